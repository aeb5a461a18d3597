"""Identity of a cell: the sorted JSON of its typed configuration, hashed; and the columns it flattens to.

Ids and keys tell cells, conditions, data and potentials apart; labels (grid.labels) are for readers only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mdcore.grid.potential_spec import label, name_of, parameters_of, plain, sanitised

LONGEST_LABEL = 80  # cell ids are file names; the hash tells apart what a cut label does not
CONDITION_COLUMNS = ("potential", "p", "depth", "dataset", "digits", "pca")
COLUMNS = (
    *CONDITION_COLUMNS,
    "seed",
    "potential_label",
    "alpha",
    "beta",
    "init_scale",
    "init_distribution",
    "step_rule",
    "step_eta",
    "step_decay",
    "step_anneal",
    "stop_gap",
    "dataset_source",
    "dataset_geometry",
    "dataset_dim",
    "dataset_n",
    "dataset_separation",
    "dataset_noise",
    "dataset_test_fraction",
    "width",
    "loss",
    "epochs",
    "log_points",
    "svm_C",
    "logreg_C",
    "dtype",
)
PARAM = "param."  # opens the columns of parameters of a user's own potential or data set
METRIC = "metric."  # opens the columns of a user's own metrics


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def without_place(config: dict) -> dict:
    """Without the directory of MNIST's files: it decides no number, their content does. A user's own data set may
    have a parameter called path, which is a parameter like any other."""
    dataset = config["dataset"]
    if dataset["name"] != "mnist":
        return config
    return {**config, "dataset": {key: value for key, value in dataset.items() if key != "path"}}


def without_seed(config: dict) -> dict:
    """The configuration of a condition: without seed and place."""
    return {key: value for key, value in without_place(config).items() if key != "seed"}


def identity(config: dict) -> str:
    """What is hashed: sorted JSON, floats by repr (never rounded), the place of MNIST's files left out."""
    return _json(without_place(config))


def data_key(config: dict) -> str:
    """Equal for two conditions iff they name the same data, whose draw may hang on the seed."""
    config = without_place(config)
    return _json({key: config.get(key) for key in ("dataset", "digits", "pca")})


def potential_key(config: dict) -> str:
    """Equal for two conditions iff they name the same potentials, layer by layer."""
    return _json(config["potential"])


def is_own(name: str) -> bool:
    """Whether a potential or data set is the user's own, my_file:Name."""
    return ":" in name


def dataset_label(config: dict) -> str:
    """mnist-3v5-pca50, mnist-3v5 (no PCA), synthetic-planted-d2, or file.Name of a plug-in."""
    dataset = config["dataset"]
    if dataset["name"] == "mnist":
        first, second = config["digits"]
        return f"mnist-{first}v{second}" + ("" if config["pca"] is None else f"-pca{config['pca']}")
    if dataset["name"] == "synthetic":
        return f"synthetic-{dataset['geometry']}-d{dataset['dim']}"
    return sanitised(dataset["name"])[:LONGEST_LABEL]


def _entries(potential: Any) -> list:
    return potential if isinstance(potential, list) else [potential]


def own_parameters(config: dict) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of the user's own data set, and of the user's own potentials with their layers joined by +."""
    dataset = config["dataset"]
    data = {key: value for key, value in dataset.items() if key != "name"} if is_own(dataset["name"]) else {}
    layers: dict[str, list] = {}
    for entry in _entries(config["potential"]):
        for key, value in parameters_of(entry).items() if is_own(name_of(entry)) else ():
            layers.setdefault(key, []).append(value)
    several = isinstance(config["potential"], list)
    return data, {k: "+".join(plain(_cell(v)) for v in vs) if several else vs[0] for k, vs in layers.items()}


def names_in_both(configs: Iterable[dict]) -> frozenset[str]:
    """Parameter names that both data sets and potentials of the user's have: their columns are told apart."""
    pairs = [own_parameters(config) for config in configs]
    return frozenset({key for data, _ in pairs for key in data} & {key for _, mine in pairs for key in mine})


def _cell(value: Any) -> Any:
    """A parameter as one value of a table: text, number or truth value; anything else as JSON."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else _json(value)


def flatten(config: dict, in_both: frozenset[str] | None = None) -> dict[str, Any]:
    """The configuration as the columns COLUMNS; None where a key does not apply.

    For per-layer potentials p and beta are the input layer's, alpha joins the layers that have one. Parameters of
    a data set or potential of the user's own follow as param.<name>; names that both kinds have (`in_both`, by
    default those of this configuration) as param.dataset.<name> and param.potential.<name>.
    """
    dataset, potential, digits = config["dataset"], config["potential"], config.get("digits")
    entries = _entries(potential)
    first = entries[0]
    alphas = [alpha for e in entries if name_of(e) == "layer_scaled" for alpha in parameters_of(e)["alpha"]]
    values = {
        "potential": name_of(potential),
        "p": parameters_of(first)["p"] if name_of(first) == "lp" else None,
        "potential_label": label(potential)[:LONGEST_LABEL],
        "dataset": dataset["name"],
        "digits": None if digits is None else f"{digits[0]}v{digits[1]}",
        "alpha": "+".join(plain(alpha) for alpha in alphas) or None,
        "beta": parameters_of(first)["beta"] if name_of(first) in ("hypentropy", "cosh") else None,
    }
    for column in COLUMNS:
        group, _, part = column.partition("_")
        if column in values:
            continue
        if group in ("init", "step", "stop", "dataset") and part:
            inner = {} if group == "dataset" and is_own(dataset["name"]) else config.get(group) or {}
            values[column] = inner.get(part)
        else:
            values[column] = config.get(column)
    flat = {column: values[column] for column in COLUMNS}
    in_both = names_in_both([config]) if in_both is None else in_both
    for kind, parameters in zip(("dataset", "potential"), own_parameters(config), strict=True):
        for key, value in parameters.items():
            flat[f"{PARAM}{kind}.{key}" if key in in_both else f"{PARAM}{key}"] = _cell(value)
    return flat


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run. `config` is canonical and typed, for reading only; `cell_id` names it, `condition_id`
    names it without its seed. Two cells are equal iff their ids are."""

    config: dict[str, Any] = field(compare=False)
    cell_id: str
    condition_id: str

    @property
    def dataset_label(self) -> str:
        return dataset_label(self.config)

    @property
    def data_key(self) -> str:
        """Equal for two cells iff load_dataset gives them the same data: all but MNIST hang on the seed."""
        key = data_key(self.config)
        return key if self.config["dataset"]["name"] == "mnist" else f"{key} seed {self.config['seed']}"

    def flat(self) -> dict[str, Any]:
        """The configuration as columns of final.parquet, see `flatten`."""
        return flatten(self.config)


def condition_id(config: dict) -> str:
    """The readable id of a condition; its hash tells apart what the label does not."""
    return f"{_name(config)}-{_digest(_json(without_seed(config)))}"


def _name(config: dict) -> str:
    return f"{dataset_label(config)}_{label(config['potential'])[:LONGEST_LABEL]}_L{config['depth']}"


def make_cell(config: dict[str, Any]) -> Cell:
    """The Cell of a canonical configuration (not validated here: see grid.spec)."""
    return Cell(config, f"{_name(config)}_s{config['seed']}-{_digest(identity(config))}", condition_id(config))


def grid_hash(cells: list[Cell]) -> str:
    """sha256 of the sorted identities: the same cells in any order, from any file, are the same grid."""
    digest = hashlib.sha256()
    for text in sorted(identity(cell.config) for cell in cells):
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
