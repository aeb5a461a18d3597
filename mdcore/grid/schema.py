"""The keys of a grid file: type, range and default of each.

A key is a leaf (`depth`, `step.eta`) or a group of leaves (`step`). Whatever is set in `fixed`, `vary`, `zip` or --set becomes
leaves with typed values, so that {step: {eta: 1}} and step.eta: 1 are the same request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.potential_spec import INVALID, REFERENCE, free_value, number, read_potential
from mdcore.grid.yaml_source import Node

Reader = Callable[[Node, str, Problems], Any]
REQUIRED = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()
GEOMETRIES = ("planted", "gaussian")
SOURCES = ("bundled", "full")
RULES = ("constant", "normalized", "adaptive", "loss_scaled")
LOSSES = ("logistic", "exponential")
DTYPES = ("float64", "float32")
DATASET_KEYS = {"synthetic": ("geometry", "dim", "n", "separation", "noise"), "mnist": ("source", "path", "test_fraction")}
STEP_KEYS = {"constant": ("eta",), "normalized": ("eta", "decay"), "adaptive": ("eta",), "loss_scaled": ("eta",)}
PIXELS = 784


class Setting:
    """A typed value with its place. Compared by identity: the expansion caches what it derives from one."""

    __slots__ = ("value", "node", "key")

    def __init__(self, value: Any, node: Node, key: str):
        self.value, self.node, self.key = value, node, key

    def complain(self, problems: Problems, message: str) -> None:
        problems.add(self.node.place, self.key, message)


def _refuse(node: Node, key: str, problems: Problems, expected: str, hint: str = "") -> Any:
    problems.add(node.place, key, f"got {node.shown()}, {node.kind_name()}; expected {expected}{hint}")
    return INVALID


def integer(low: int, high: int, null: str = "") -> Reader:
    """Reads an integer in [low, high]; 2.0 is 2, true and "2" are refused. `null` says what null means, if allowed."""
    expected = f"an integer ≥ {low}" + (f" or null ({null})" if null else "")

    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "null" and null:
            return None
        value = node.value
        if node.kind == "float" and value.is_integer():
            value = int(value)
        elif node.kind != "int":
            hint = ": write it without quotes" if node.kind == "str" and value.strip().isdecimal() else ""
            return _refuse(node, key, problems, expected, hint)
        if not low <= value <= high:
            return _refuse(node, key, problems, expected if value < low else f"an integer from {low} to {high}")
        return value

    return read


def real(low: float, high: float, expected: str, null: bool = False, low_in: bool = False, high_in: bool = False) -> Reader:
    """Reads a finite float between low and high, each end included or not."""

    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "null" and null:
            return None
        value = number(node, key, problems, -float("inf"), expected)
        if value is INVALID:
            return INVALID
        if not (low <= value if low_in else low < value) or not (value <= high if high_in else value < high):
            return _refuse(node, key, problems, expected)
        return value

    return read


def choice(names: tuple[str, ...]) -> Reader:
    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "str" and node.value in names:
            return node.value
        return _refuse(node, key, problems, one_of(names), nearest(node.value, names) if node.kind == "str" else "")

    return read


def _dataset_name(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "str" and (node.value in DATASET_KEYS or REFERENCE.fullmatch(node.value)):
        return node.value
    expected = one_of(DATASET_KEYS) + ", or a plug-in as my_file:MyData (my_file.py beside the grid file)"
    return _refuse(node, key, problems, expected, nearest(node.value, DATASET_KEYS) if node.kind == "str" else "")


def _digits(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "list" and len(node.value) == 2:
        pair = [item.value for item in node.value]
        if all(item.kind == "int" and 0 <= item.value <= 9 for item in node.value) and pair[0] != pair[1]:
            return pair
    return _refuse(node, key, problems, "two different digits from 0 to 9: [3, 5]")


def _path(node: Node, key: str, problems: Problems) -> Any:
    if node.kind == "null" or (node.kind == "str" and node.value.strip() and node.value.isprintable()):
        return node.value
    return _refuse(node, key, problems, "the directory of the IDX files, a non-empty string, or null (download)")


def _metrics(node: Node, key: str, problems: Problems) -> Any:
    references = [item.value for item in node.value] if node.kind == "list" else []
    good = all(item.kind == "str" and REFERENCE.fullmatch(item.value) for item in node.value) if references else False
    if good and len(set(references)) == len(references):
        return references
    return _refuse(node, key, problems, "a list of different plug-ins: [my_file:my_metric]")


@dataclass(frozen=True)
class Leaf:
    """`default`: a value, REQUIRED, or a function of `get(leaf)`, for defaults that hang on other keys."""

    read: Reader
    default: Any
    expected: str


def _init_default(get: Callable[[str], Any]) -> float:
    return 0.0 if get("depth") == 1 else 0.3


def _eta_default(get: Callable[[str], Any]) -> float:
    return 0.1 if get("step.rule") == "constant" else 1.0


def _dim_default(get: Callable[[str], Any]) -> int:
    return 2 if get("dataset.geometry") == "planted" else 20


LEAVES: dict[str, Leaf] = {
    "dataset.name": Leaf(_dataset_name, REQUIRED, "dataset: {name: synthetic, …} or {name: mnist, …}"),
    "dataset.geometry": Leaf(choice(GEOMETRIES), "gaussian", one_of(GEOMETRIES)),
    "dataset.dim": Leaf(integer(2, 100_000), _dim_default, "an integer ≥ 2"),
    "dataset.n": Leaf(integer(2, 10_000_000), 60, "an integer ≥ 2"),
    "dataset.separation": Leaf(real(0, 1e6, "a number > 0, at most 1e6", high_in=True), 2.5, "a number > 0"),
    "dataset.noise": Leaf(real(0, 1e6, "a number ≥ 0, at most 1e6", low_in=True, high_in=True), 1.0, "a number ≥ 0"),
    "dataset.source": Leaf(choice(SOURCES), "bundled", one_of(SOURCES)),
    "dataset.path": Leaf(_path, None, "a directory or null"),
    "dataset.test_fraction": Leaf(real(0, 1, "a number in [0, 1); 0: all points train", low_in=True), 0.2, "in [0, 1)"),
    "digits": Leaf(_digits, REQUIRED, "two different digits for mnist: [3, 5]"),
    "pca": Leaf(integer(1, PIXELS, "no PCA"), None, f"an integer from 1 to {PIXELS} or null"),
    "potential": Leaf(read_potential, REQUIRED, "a potential: quadratic, {lp: {p: 1.5}}, …"),
    "depth": Leaf(integer(1, 1000), 1, "an integer ≥ 1"),
    "width": Leaf(integer(1, 100_000, "depth 1 has no hidden layer"), 50, "an integer ≥ 1"),
    "init.scale": Leaf(real(0, 1e6, "a number ≥ 0, at most 1e6", low_in=True, high_in=True), _init_default, "a number ≥ 0"),
    "loss": Leaf(choice(LOSSES), "logistic", one_of(LOSSES)),
    "step.rule": Leaf(choice(RULES), REQUIRED, "step: {rule: …}, the rule " + one_of(RULES)),
    "step.eta": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), _eta_default, "a number > 0"),
    "step.decay": Leaf(real(0, 10, "an exponent from 0 to 10", low_in=True, high_in=True), 1.0, "an exponent from 0 to 10"),
    "epochs": Leaf(integer(1, 10**9), REQUIRED, "an integer ≥ 1"),
    "stop.gap": Leaf(real(0, 1, "a number in (0, 1)", null=True), None, "{gap: a number in (0, 1)} or null"),
    "log_points": Leaf(integer(2, 100_000), 120, "an integer ≥ 2"),
    "seed": Leaf(integer(0, 2**53), 0, "an integer ≥ 0"),
    "svm_C": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), 1.0, "a number > 0"),
    "logreg_C": Leaf(real(0, 1e12, "a number > 0, at most 1e12", high_in=True), 1.0, "a number > 0"),
    "dtype": Leaf(choice(DTYPES), "float64", one_of(DTYPES)),
    "metrics": Leaf(_metrics, None, "a list of plug-ins"),
}
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(leaf.split(".")[1] for leaf in LEAVES if leaf.startswith(group + "."))
    for group in ("dataset", "init", "step", "stop")}
KEYS = (*GROUPS, *LEAVES)


def leaves_of(key: str, present: Any = ()) -> list[str]:
    """The leaves a key stands for; for a plug-in's dataset also those among `present`."""
    if key not in GROUPS:
        return [key]
    names = [f"{key}.{part}" for part in GROUPS[key]]
    return names + [leaf for leaf in present if leaf.startswith(key + ".") and leaf not in names]


def read_key(key: str, node: Node, shown: str, problems: Problems, place: str, plugin_data: bool) -> dict[str, Setting]:
    """Leaves set by `key: node`. `shown` is the key in messages, `place` where it stands; `plugin_data`: the grid
    names a dataset of the user's own, so that dataset may have keys this module does not know."""
    if key in LEAVES:
        return {key: Setting(LEAVES[key].read(node, shown, problems), node, shown)}
    if key in GROUPS:
        return _read_group(key, node, shown, problems, plugin_data)
    if plugin_data and key.startswith("dataset.") and key.count(".") == 1 and key.split(".")[1].isidentifier():
        return {key: Setting(free_value(node, shown, problems), node, shown)}
    problems.add(place, shown, f"unknown key {key[:80]!r}; expected {one_of(k for k in KEYS if '.' not in k)}"
                               + nearest(key, KEYS))
    return {}


def _read_group(group: str, node: Node, shown: str, problems: Problems, plugin_data: bool) -> dict[str, Setting]:
    if group == "stop" and node.kind == "null":
        return {"stop.gap": Setting(None, node, shown)}
    if group == "dataset" and node.kind == "str" and ":" in node.value:
        return {"dataset.name": Setting(_dataset_name(node, shown, problems), node, shown)}
    if node.kind != "map" or not node.value:
        example = {"dataset": "{name: mnist, source: bundled}", "init": "{scale: 0.3}", "step": "{rule: adaptive}",
                   "stop": "{gap: 0.01} or null"}[group]
        problems.add(node.place, shown, f"got {node.shown()}, {node.kind_name()}; expected a mapping: {example}")
        # the key is set, though not to anything: its leaves are not missing
        return {f"{group}.{part}": Setting(INVALID, node, shown) for part in GROUPS[group][:1]}
    name = node.value.get("name")
    name = name.value if group == "dataset" and name is not None and name.kind == "str" else ""
    own = bool(REFERENCE.fullmatch(name))
    parts = ("name", *DATASET_KEYS[name]) if name in DATASET_KEYS and not own else GROUPS[group]
    out: dict[str, Setting] = {}
    for part, item in node.value.items():
        leaf, inner = f"{group}.{part}", f"{shown}.{part}"
        if part in parts and (part == "name" or not own):
            out[leaf] = Setting(LEAVES[leaf].read(item, inner, problems), item, inner)
        elif own or (plugin_data and not name and group == "dataset"):
            out[leaf] = Setting(free_value(item, inner, problems), item, inner)
        else:
            of = f" of dataset {name}" if parts is not GROUPS[group] else ""
            problems.add(node.key_place(part), inner, f"unknown key {part[:80]!r}{of}; expected {one_of(parts)}"
                                                      + nearest(part, parts))
    return out
