"""Cells and conditions: what a configuration is called, as an id, as columns and in words."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field

# Keys of the nested parts of a configuration; a part may have more, which become columns all the same.
_NESTED = {
    "init": ("scale", "distribution"),
    "step": ("rule", "eta", "decay", "anneal"),
    "stop": ("gap",),
    "dataset": ("source", "geometry", "dim", "n", "separation", "noise", "test_fraction"),
}
_DATA = _NESTED["dataset"]
_PLAIN = ("width", "loss", "epochs", "log_points", "svm_C", "logreg_C", "dtype")


def _entry(potential) -> tuple[str, dict]:
    """(name, parameters) of one canonical potential."""
    if isinstance(potential, dict):
        ((name, parameters),) = potential.items()
        return name, dict(parameters or {})
    return potential, {}


def number_word(x) -> str:
    """A number as in labels: 3.0 is 3, 1.5 is 1.5."""
    if isinstance(x, float) and x.is_integer() and abs(x) < 1e15:
        return str(int(x))
    return str(x)


def potential_label(potential) -> str:
    """ "quadratic", "lp1.5", "layer_scaled1+4", "lp1.5+quadratic": the name with its parameters, layers joined."""
    if isinstance(potential, list):
        return "+".join(potential_label(part) for part in potential)
    name, parameters = _entry(potential)
    values = [v for value in parameters.values() for v in (value if isinstance(value, list) else [value])]
    return re.sub(r"[^A-Za-z0-9.+_-]+", ".", name + "+".join(number_word(v) for v in values))


def input_potential(potential) -> str:
    """Label of the input layer's potential: what the depth-1 companion trains with. One α of 1 is quadratic."""
    name, parameters = _entry(potential[0] if isinstance(potential, list) else potential)
    if name == "layer_scaled":
        alpha = parameters["alpha"]
        first = alpha[0] if isinstance(alpha, list) else alpha
        return "quadratic" if first == 1 else f"layer_scaled{number_word(first)}"
    return potential_label(potential[0] if isinstance(potential, list) else potential)


def flatten(config: dict) -> dict:
    """Canonical configuration -> flat columns (DESIGN.md); also for cells that have left no result."""
    potential, data = config["potential"], config.get("dataset") or {}
    layers = potential if isinstance(potential, list) else [potential]
    names, parameters = zip(*(_entry(layer) for layer in layers), strict=True)
    alpha = [v for p in parameters for v in _listed(p.get("alpha"))] if "layer_scaled" in names else []
    digits = config.get("digits")
    flat = {
        "potential": "+".join(names),
        "p": parameters[0].get("p") if names[0] == "lp" else None,
        "depth": config.get("depth", 1),
        "dataset": data.get("name"),
        "digits": f"{digits[0]}v{digits[1]}" if digits else None,
        "pca": config.get("pca"),
        "seed": config.get("seed", 0),
        "potential_label": potential_label(potential),
        "alpha": "+".join(map(number_word, alpha)) or None,
        "beta": parameters[0].get("beta") if names[0] in ("hypentropy", "cosh") else None,
    }
    for part, keys in _NESTED.items():
        values = {
            k: v
            for k, v in (config.get(part) or {}).items()
            if (part, k) not in (("dataset", "name"), ("dataset", "path"))
        }
        flat |= {f"{part}_{k}": values.get(k) for k in dict.fromkeys([*keys, *values])}
    return flat | {key: config.get(key) for key in _PLAIN}


def _listed(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def public_config(config: dict) -> dict:
    """The configuration without places of one machine (dataset.path)."""
    data = {k: v for k, v in (config.get("dataset") or {}).items() if k != "path"}
    return {**config, "dataset": data}


def condition_key(config: dict) -> str:
    """Sorted JSON of the configuration without seed and path: equal iff two cells are of one condition."""
    return json.dumps({k: v for k, v in public_config(config).items() if k != "seed"}, sort_keys=True)


def dataset_label(flat: dict) -> str:
    """ "mnist-3v5-pca50", "synthetic-planted-d2"; a data set of the user's own by its name."""
    if flat["dataset"] == "mnist":
        return f"mnist-{flat['digits']}" + (f"-pca{flat['pca']}" if flat["pca"] is not None else "")
    if flat["dataset"] == "synthetic":
        return f"synthetic-{flat['dataset_geometry']}-d{flat['dataset_dim']}"
    return str(flat["dataset"]).rsplit(":", 1)[-1]


@dataclass
class Condition:
    """A cell without its seed. `cells` maps seed -> cell_id; `flat` are its columns; `config` has no seed."""

    id: str
    config: dict
    flat: dict
    cells: dict[int, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.flat["potential_label"]

    @property
    def depth(self) -> int:
        return int(self.flat["depth"])

    @property
    def data(self) -> str:
        return dataset_label(self.flat)

    @property
    def input_label(self) -> str:
        return input_potential(self.config["potential"])


def potential_order(label: str, flat: dict) -> tuple:
    """Order of potentials in legends and tables: quadratic, lp by p, then the others by name and parameters."""
    rank = {"quadratic": 0, "layer_scaled": 1, "lp": 2, "scaled": 3, "hypentropy": 4, "cosh": 5}
    numbers = tuple(float(x) for x in re.findall(r"\d+\.?\d*(?:e-?\d+)?", label))
    return rank.get(flat["potential"], 6), flat["potential"], numbers, label


def _sortable(value) -> tuple:
    if value is None:
        return (0, 0, "")
    if isinstance(value, (int, float)):
        return (1, value, "")
    return (2, 0, str(value))


def conditions_of(cells: list[dict], ids: dict[str, str] | None = None) -> list[Condition]:
    """Conditions of a manifest's cells in reading order. `ids`: cell_id -> condition_id where the run knows it."""
    found: dict[str, Condition] = {}
    for cell in cells:
        config, key = cell["config"], condition_key(cell["config"])
        flat = flatten(config)
        if key not in found:
            name = f"{dataset_label(flat)}_{flat['potential_label']}_L{flat['depth']}"
            name += "-" + hashlib.sha256(key.encode()).hexdigest()[:8]
            rest = {k: v for k, v in public_config(config).items() if k != "seed"}
            found[key] = Condition(name, rest, {k: v for k, v in flat.items() if k != "seed"})
        found[key].cells[int(flat["seed"])] = cell["cell_id"]
    for condition in found.values():
        known = [ids[c] for c in condition.cells.values() if ids and c in ids and isinstance(ids[c], str)]
        condition.id = known[0] if known else condition.id
        condition.cells = dict(sorted(condition.cells.items()))
    order = ["dataset", "digits", "pca", *(f"dataset_{k}" for k in _DATA)]
    rest = [
        "loss",
        "step_rule",
        "step_eta",
        "step_decay",
        "step_anneal",
        "epochs",
        "stop_gap",
        "width",
        "init_scale",
        "init_distribution",
    ]
    return sorted(
        found.values(),
        key=lambda c: (
            [_sortable(c.flat[k]) for k in order],
            potential_order(c.label, c.flat),
            c.depth,
            [_sortable(c.flat[k]) for k in rest],
            c.id,
        ),
    )


def data_title(flat: dict) -> str:
    """Words for the data: "MNIST 3 vs 5, PCA 50"."""
    if flat["dataset"] == "mnist" and flat["digits"]:
        pca = f"PCA {flat['pca']}" if flat["pca"] is not None else "no PCA"
        return f"MNIST {flat['digits'].replace('v', ' vs ')}, {pca}"
    if flat["dataset"] == "synthetic":
        return f"{str(flat['dataset_geometry']).capitalize()}, d = {flat['dataset_dim']}"
    return dataset_label(flat)


def pretty_potential(label: str, flat: dict) -> str:
    """Words for a potential in figures, tables and text: "quadratic", "lp, p = 1.5", "hypentropy, β = 0.1"."""
    name = flat["potential"]
    if ":" in name:
        return label.split(".", 1)[-1]
    if "+" in name:
        return label.replace("+", " + ").replace("layer_scaled", "layer-scaled ")
    if name == "lp":
        return f"lp, p = {number_word(flat['p'])}"
    if name in ("hypentropy", "cosh"):
        return f"{name}, β = {number_word(flat['beta'])}"
    if name == "layer_scaled":
        return f"layer-scaled, α = ({str(flat['alpha']).replace('+', ', ')})"
    return label


def is_missing(x) -> bool:
    """None or NaN."""
    return x is None or (isinstance(x, float) and math.isnan(x))
