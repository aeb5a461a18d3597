"""Identity of a cell: the sorted JSON of its typed configuration, hashed; and the columns it flattens to."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from mdcore.grid.potential_spec import label, name_of, parameters_of, plain

LONGEST_LABEL = 80  # cell ids are file names; the hash tells apart what a cut label does not
CONDITION_COLUMNS = ("potential", "p", "depth", "dataset", "digits", "pca")
COLUMNS = (
    "potential",
    "p",
    "potential_label",
    "depth",
    "dataset",
    "digits",
    "pca",
    "seed",
    "width",
    "init_scale",
    "init_distribution",
    "loss",
    "step_rule",
    "step_eta",
    "step_decay",
    "step_anneal",
    "epochs",
    "stop_gap",
    "log_points",
    "svm_C",
    "logreg_C",
    "dtype",
    "dataset_source",
    "dataset_geometry",
    "dataset_dim",
    "dataset_n",
    "dataset_separation",
    "dataset_noise",
    "dataset_test_fraction",
    "alpha",
    "beta",
)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _without_place(config: dict) -> dict:
    """Without dataset.path: where the files lie decides no number."""
    dataset = config["dataset"]
    if dataset["name"] != "mnist":
        return config
    return {**config, "dataset": {key: value for key, value in dataset.items() if key != "path"}}


def identity(config: dict) -> str:
    """What is hashed: sorted JSON, floats by repr (never rounded), dataset.path left out."""
    return _json(_without_place(config))


def _sanitised(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+_-]+", ".", text)[:LONGEST_LABEL]


def dataset_label(config: dict) -> str:
    """mnist-3v5-pca50, mnist-3v5 (no PCA), synthetic-planted-d2, or file.Name of a plug-in."""
    dataset = config["dataset"]
    if dataset["name"] == "mnist":
        first, second = config["digits"]
        return f"mnist-{first}v{second}" + ("" if config["pca"] is None else f"-pca{config['pca']}")
    if dataset["name"] == "synthetic":
        return f"synthetic-{dataset['geometry']}-d{dataset['dim']}"
    return _sanitised(dataset["name"])


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
        """Equal for two cells iff load_dataset gives them the same data: synthetic data hang on the seed."""
        config = _without_place(self.config)
        data = {key: config[key] for key in ("dataset", "digits", "pca")}
        return _json(data if config["dataset"]["name"] == "mnist" else {**data, "seed": config["seed"]})

    def flat(self) -> dict[str, Any]:
        """The configuration as the columns COLUMNS of final.parquet; None where a key does not apply.

        For per-layer potentials p and beta are the input layer's, alpha joins the layers that have one. The
        parameters of a data set of the user's own follow as dataset_<parameter>.
        """
        config, dataset = self.config, self.config["dataset"]
        potential, step, digits = config["potential"], config["step"], config["digits"]
        first = potential[0] if isinstance(potential, list) else potential
        alphas = [
            alpha
            for entry in (potential if isinstance(potential, list) else [potential])
            if name_of(entry) == "layer_scaled"
            for alpha in parameters_of(entry)["alpha"]
        ]
        own = dataset["name"] not in ("synthetic", "mnist")
        values = {
            "potential": name_of(potential),
            "p": parameters_of(first)["p"] if name_of(first) == "lp" else None,
            "potential_label": label(potential)[:LONGEST_LABEL],
            "dataset": dataset["name"],
            "digits": None if digits is None else f"{digits[0]}v{digits[1]}",
            "init_scale": config["init"]["scale"],
            "init_distribution": config["init"]["distribution"],
            "step_rule": step["rule"],
            "step_eta": step["eta"],
            "step_decay": step.get("decay"),
            "step_anneal": step.get("anneal"),
            "stop_gap": None if config["stop"] is None else config["stop"]["gap"],
            "alpha": "+".join(plain(alpha) for alpha in alphas) or None,
            "beta": parameters_of(first)["beta"] if name_of(first) in ("hypentropy", "cosh") else None,
        }
        for column in COLUMNS:
            if column not in values:
                part = column.removeprefix("dataset_")
                values[column] = config[column] if part == column else dataset.get(part)
        own_keys = {
            f"dataset_{key}": value if isinstance(value, (str, int, float, bool)) else _json(value)
            for key, value in dataset.items()
            if own and key != "name"
        }
        return {**{column: values[column] for column in COLUMNS}, **own_keys}


def make_cell(config: dict[str, Any]) -> Cell:
    """The Cell of a canonical configuration (not validated here: see grid.spec)."""
    stripped = _without_place(config)
    digest = hashlib.sha256(_json(stripped).encode()).hexdigest()[:8]
    seedless = {key: value for key, value in stripped.items() if key != "seed"}
    condition = hashlib.sha256(_json(seedless).encode()).hexdigest()[:8]
    name = f"{dataset_label(config)}_{label(config['potential'])[:LONGEST_LABEL]}_L{config['depth']}"
    return Cell(config, f"{name}_s{config['seed']}-{digest}", f"{name}-{condition}")


def grid_hash(cells: list[Cell]) -> str:
    """sha256 of the sorted identities: the same cells in any order, from any file, are the same grid."""
    digest = hashlib.sha256()
    for text in sorted(identity(cell.config) for cell in cells):
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
