"""Conditions: cells without their seeds, in reading order, with the names that readers see.

Ids, keys and columns come from mdcore.config.cell, labels and words from mdcore.config.labels.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from mdcore.config import labels
from mdcore.config.cell import (
    COLUMNS,
    condition_id,
    data_key,
    flatten,
    function_of,
    layers,
    potential_key,
    sanitised,
    shared_names,
    user_parameters,
    without_seed,
)
from mdcore.math.potentials import BUILTIN


@dataclass
class Condition:
    """A cell without its seed. `cells` maps seed -> cell_id; `flat` are its columns; `config` has no seed.

    `potential_key` and `data_key` tell potentials and data apart. What readers see is unique within the run:
    `label` and `words` of the potential; `data` (label) and `data_words` of the data, `family_words` without
    the parameters in which data sets of one kind differ.
    """

    id: str
    config: dict
    flat: dict
    potential_key: str
    data_key: str
    label: str = ""
    words: str = ""
    data: str = ""
    data_words: str = ""
    family_words: str = ""
    cells: dict[int, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return int(self.flat["depth"])

    @property
    def family_key(self) -> str:
        return labels.family_key(self.config)

    @property
    def input_key(self) -> str:
        """The function of the input layer's potential: what the depth-1 companion trains with."""
        return repr(function_of(layers(self.config["potential"], self.depth)[0], 1))


def potential_order(label: str, flat: dict) -> tuple:
    """Order of potentials in legends and tables: quadratic, lp by p, then the others by name and parameters."""
    rank = {name: position for position, name in enumerate(BUILTIN)}
    numbers = tuple(float(x) for x in re.findall(r"\d+\.?\d*(?:e-?\d+)?", label))
    return rank.get(flat["potential"], len(rank)), flat["potential"], numbers, label


def sortable(value) -> tuple:
    if value is None:
        return (0, 0, "")
    if isinstance(value, (int, float)):
        return (1, value, "")
    return (2, 0, str(value))


_DATA_ORDER = ["dataset", "digits", "pca", *(column for column in COLUMNS if column.startswith("dataset_"))]
_REST_ORDER = [
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


def conditions_of(cells: list[dict], called: dict[str, str] | None = None) -> list[Condition]:
    """Conditions of a manifest's cells in reading order; their columns are the union over all cells.

    called: {data key: name} of images that were read as MNIST's and found to be others; nothing calls them MNIST.
    """
    by_id: dict[str, Condition] = {}
    shared = shared_names(cell["config"] for cell in cells)
    for cell in cells:
        config = cell["config"]
        name = condition_id(config)
        if name not in by_id:
            flat = {k: v for k, v in flatten(config, shared).items() if k != "seed"}
            by_id[name] = Condition(name, without_seed(config), flat, potential_key(config), data_key(config))
        by_id[name].cells[int(config["seed"])] = cell["cell_id"]
    configs = [c.config for c in by_id.values()]
    label, words = labels.potential_labels(configs), labels.potential_words(configs)
    data, data_words, family = labels.data_labels(configs), labels.data_words(configs), labels.family_words(configs)
    user_columns = sorted({column for c in by_id.values() for column in c.flat if column.startswith("param.")})
    for c in by_id.values():
        c.label, c.words = label[c.potential_key], words[c.potential_key]
        c.data, c.data_words, c.family_words = data[c.data_key], data_words[c.data_key], family[c.family_key]
        name = (called or {}).get(c.data_key, "")
        if name:
            c.data_words, c.family_words = (re.sub("^MNIST", name, text) for text in (c.data_words, c.family_words))
            c.data = re.sub("^mnist", sanitised(name), c.data)
            c.flat["dataset"] = sanitised(name)
        c.cells = dict(sorted(c.cells.items()))
        c.flat |= {"potential_label": c.label} | {column: c.flat.get(column) for column in user_columns}
    data_names = sorted({name for config in configs for name in user_parameters(config)["dataset"]})
    return sorted(
        by_id.values(),
        key=lambda c: (
            [sortable(c.flat[k]) for k in _DATA_ORDER],
            [sortable(user_parameters(c.config)["dataset"].get(k)) for k in data_names],
            potential_order(c.label, c.flat),
            c.depth,
            [sortable(c.flat[k]) for k in _REST_ORDER],
            c.id,
        ),
    )


def same_value(value) -> str:
    """A column's value as text that is equal only for equal values: 1, "1" and true differ."""
    return json.dumps(value, sort_keys=True)
