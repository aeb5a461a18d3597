"""The potential of a cell as the grid file writes it: reading, canonical form per depth, labels.

Canonical forms: "quadratic", "scaled", {"lp": {"p": 1.5}}, {"layer_scaled": {"alpha": [1.0, 4.0]}},
{"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}, "my_file:MyPotential", {"my_file:MyPotential": {…}},
or a list of these, input layer first.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.readers import INVALID, REFERENCE, free_value, number
from mdcore.grid.yaml_tree import Node

# Listed here so that a grid is read without torch; a test compares them with mdcore.math.potentials.
BUILTIN_PARAMETERS: dict[str, tuple[str, ...]] = {
    "quadratic": (),
    "lp": ("p",),
    "layer_scaled": ("alpha",),
    "scaled": (),
    "hypentropy": ("beta",),
    "cosh": ("beta",),
}
_FORMS = {
    "lp": "{lp: {p: 1.5}}",
    "layer_scaled": "{layer_scaled: {alpha: [1, 4]}}",
    "hypentropy": "{hypentropy: {beta: 0.1}}",
    "cosh": "{cosh: {beta: 1}}",
}
MOST_LAYERS = 1000
_SYMBOLS = {"beta": "β"}  # of the parameters of built-in potentials


def read_potential(node: Node, key: str, problems: Problems) -> Any:
    """A potential, or a list of them, as written; lengths are compared with the depth in `for_depth`."""
    if node.kind != "list":
        return _read_one(node, key, problems, listed=False)
    if not node.value:
        problems.add(node.place, key, "got an empty list; expected one potential per layer, input layer first")
        return INVALID
    if len(node.value) > MOST_LAYERS:
        problems.add(node.place, key, f"got {len(node.value)} potentials; expected at most {MOST_LAYERS} layers")
        return INVALID
    layers = [_read_one(item, key, problems, listed=True) for item in node.value]
    return INVALID if any(layer is INVALID for layer in layers) else layers


def _read_one(node: Node, key: str, problems: Problems, listed: bool) -> Any:
    known = one_of(BUILTIN_PARAMETERS)
    if node.kind == "str":
        name, body = node.value, None
    elif node.kind == "map" and len(node.value) == 1:
        name, body = next(iter(node.value.items()))
    else:
        what = f"{node.shown()}, a mapping of {len(node.value)} keys" if node.kind == "map" else node.got()
        expected = f"a name or {{name: {{parameter: value}}}}, the name {known}"
        problems.add(node.place, key, f"got {what}; expected {expected}")
        return INVALID
    given = {} if body is None or body.kind == "null" else body
    if ":" in name or "/" in name:
        return _read_plugin(node, name, given, key, problems)
    if name not in BUILTIN_PARAMETERS:
        problems.add(
            node.place,
            key,
            f"got {name[:60]!r}; expected {known}, or a plug-in my_file:MyPotential"
            + nearest(name, BUILTIN_PARAMETERS),
        )
        return INVALID
    parameters = BUILTIN_PARAMETERS[name]
    form = f": write {_FORMS[name]}" if name in _FORMS else f": write {name}"
    if isinstance(given, Node) and given.kind != "map":
        wanted = f"its parameter {one_of(parameters)}" if parameters else "no parameter"
        problems.add(given.place, f"{key}.{name}", f"got {given.got()}; expected {wanted}{form}")
        return INVALID
    items = given.value if isinstance(given, Node) else {}
    good = True
    for unknown in [item for item in items if item not in parameters]:
        takes = f"the parameter {one_of(parameters)}" if parameters else "no parameter"
        problems.add(
            given.key_place(unknown),
            f"{key}.{name}",
            f"got the unknown key {unknown[:60]!r}; {name} takes {takes}" + nearest(unknown, parameters),
        )
        good = False
    for parameter in parameters:
        if parameter not in items:
            problems.add(node.place, f"{key}.{name}", f"parameter {parameter} missing; expected {_FORMS[name]}")
            good = False
    if not good:
        return INVALID
    if not parameters:
        return name
    inner = f"{key}.{name}.{parameters[0]}"
    value = (
        _alphas(items["alpha"], inner, problems, listed)
        if name == "layer_scaled"
        else number(items[parameters[0]], inner, problems, 1.0 if name == "lp" else 0.0)
    )
    return INVALID if value is INVALID else {name: {parameters[0]: value}}


def _alphas(node: Node, key: str, problems: Problems, listed: bool) -> Any:
    if node.kind != "list" or not node.value or len(node.value) > MOST_LAYERS:
        problems.add(node.place, key, f"got {node.got()}; expected a list of numbers > 0, one per layer: [1, 4]")
        return INVALID
    if listed and len(node.value) != 1:
        problems.add(node.place, key, f"got {len(node.value)} values; expected one, for this entry's own layer: [4]")
        return INVALID
    values = [number(item, key, problems) for item in node.value]
    return INVALID if any(value is INVALID for value in values) else values


def _read_plugin(node: Node, name: str, given: Any, key: str, problems: Problems) -> Any:
    if not REFERENCE.fullmatch(name):
        problems.add(
            node.place,
            key,
            f"got {name[:60]!r}; expected a plug-in as my_file:MyPotential, the file my_file.py "
            "beside the grid file or in the working directory (no directories, no dots)",
        )
        return INVALID
    if isinstance(given, Node) and given.kind != "map":
        problems.add(given.place, f"{key}.{name}", f"got {given.got()}; expected a mapping of its parameters")
        return INVALID
    parameters = free_value(given, f"{key}.{name}", problems) if isinstance(given, Node) else {}
    if parameters is INVALID:
        return INVALID
    return {name: parameters} if parameters else name


def for_depth(potential: Any, depth: int) -> tuple[Any, str]:
    """(canonical potential at this depth, ""), or (None, what is wrong); equal layers collapse to one."""
    if not isinstance(potential, list):
        alphas = potential["layer_scaled"]["alpha"] if name_of(potential) == "layer_scaled" else None
        if alphas is not None and len(alphas) != depth:
            return None, f"layer_scaled has {len(alphas)} alpha but depth is {depth}; expected one per layer"
        return potential, ""
    if len(potential) != depth:
        return None, f"the list has {len(potential)} potentials but depth is {depth}; expected one per layer"
    if all(name_of(layer) == "layer_scaled" for layer in potential):
        return {"layer_scaled": {"alpha": [layer["layer_scaled"]["alpha"][0] for layer in potential]}}, ""
    return (potential[0] if all(layer == potential[0] for layer in potential) else potential), ""


def layers(potential: Any, depth: int) -> list[Any]:
    """One single-layer entry per layer of a canonical potential, input layer first."""
    if isinstance(potential, list):
        return list(potential)
    if name_of(potential) == "layer_scaled":
        return [{"layer_scaled": {"alpha": [alpha]}} for alpha in potential["layer_scaled"]["alpha"]]
    return [potential] * depth


def mathematics(potential: Any, depth: int) -> tuple:
    """Equal iff two canonical potentials are one function: |w|^2/2 is quadratic, lp 2 and layer_scaled 1."""
    out = []
    for layer in layers(potential, depth):
        name, parameters = name_of(layer), parameters_of(layer)
        if name == "quadratic" or parameters == {"p": 2.0} or (name, parameters) == ("layer_scaled", {"alpha": [1.0]}):
            out.append("|w|^2/2")
        else:
            out.append(repr(layer))
    return tuple(out)


def name_of(entry: Any) -> str:
    """Name of a single entry; the names of a list joined with +."""
    if isinstance(entry, list):
        return "+".join(name_of(layer) for layer in entry)
    return entry if isinstance(entry, str) else next(iter(entry))


def parameters_of(entry: Any) -> dict:
    return {} if isinstance(entry, str) else next(iter(entry.values()))


def plain(value: Any) -> str:
    """A number as in labels: 3.0 is 3, 1.5 is 1.5."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def label(potential: Any) -> str:
    """quadratic, lp1.5, layer_scaled1+4, hypentropy0.1, lp1.5+quadratic; mine.Mix-a2 for a plug-in with a = 2."""
    if isinstance(potential, list):
        return "+".join(label(layer) for layer in potential)
    name, parameters = name_of(potential), parameters_of(potential)
    if ":" in name:
        text = name + "".join(f"-{key}{word(value)}" for key, value in sorted(parameters.items()))
    else:
        values = [v for value in parameters.values() for v in (value if isinstance(value, list) else [value])]
        text = name + "+".join(plain(value) for value in values)
    return sanitised(text)


def words(potential: Any, file: bool = False) -> str:
    """The potential in figures, tables and text: "lp, p = 1.5", "layer-scaled, α = (1, 4)", "Mix, a = 2".

    `file` names the file of a plug-in too: "mine:Mix, a = 2".
    """
    if isinstance(potential, list):
        parts = [words(layer, file) if ":" in name_of(layer) else label(layer) for layer in potential]
        return " + ".join(part.replace("layer_scaled", "layer-scaled ") for part in parts)
    name, parameters = name_of(potential), parameters_of(potential)
    if name == "layer_scaled":
        return f"layer-scaled, α = ({', '.join(map(plain, parameters['alpha']))})"
    shown = name if file else name.rsplit(":", 1)[-1]
    symbols = {} if ":" in name else _SYMBOLS
    return ", ".join([shown, *(f"{symbols.get(k, k)} = {word(v)}" for k, v in sorted(parameters.items()))])


def word(value: Any) -> str:
    """A parameter of a user's own as one word: numbers as `plain`, text as it is, the rest as JSON."""
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return plain(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def sanitised(text: str) -> str:
    """`text` with the letters of file names only."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", ".", text)
