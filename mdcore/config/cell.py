"""Identity of a cell: the sorted JSON of its typed configuration, hashed; and the columns it flattens to.

Ids and keys tell cells, conditions, data and potentials apart; labels (here one by one, in config.labels unique within
a run) are for readers only. Canonical potentials are "quadratic", {"lp": {"p": 1.5}}, {"layer_scaled": {"alpha": [1.0,
4.0]}}, "my_file:MyPotential", {"my_file:MyPotential": {…}}, or a list of these, input layer first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdcore.math.potentials import BUILTIN
from mdcore.math.step_rules import RULES
from mdcore.problems.sources import SOURCES

KEYS = (
    "dataset", "digits", "pca", "potential", "depth", "width", "init", "loss", "step", "epochs", "stop", "log_points",
    "seed", "svm_C", "logreg_C", "dtype", "metrics",
)  # fmt: skip
GROUPS = ("init", "step", "stop", "dataset")
PARAMETERS = {name: declared for cls in BUILTIN.values() for name, declared in cls.parameters.items()}
CONDITION_COLUMNS = ("potential", "p", "depth", "dataset", "digits", "pca")
_ORDER = (
    *CONDITION_COLUMNS, "seed", "potential_label", "alpha", "beta", "init_scale", "init_distribution", "step_rule",
    "step_eta", "step_decay", "step_anneal", "stop_gap", "dataset_source", "dataset_geometry", "dataset_dim",
    "dataset_n", "dataset_separation", "dataset_noise", "dataset_test_fraction", "width", "loss", "epochs",
    "log_points", "svm_C", "logreg_C", "dtype",
)  # fmt: skip
_DECLARED = (
    *PARAMETERS,
    *(f"step_{name}" for rule in RULES.values() for name in rule.parameters),
    *(f"dataset_{name}" for each in SOURCES.values() for name in each.parameters),
)
COLUMNS = tuple(dict.fromkeys((*_ORDER, *_DECLARED)))  # in reading order; what a new class declares comes last
PARAM = "param."  # opens the columns of parameters of the user's own potentials, data sets and step rules
METRIC = "metric."  # opens the columns of a user's own metrics
LONGEST_LABEL = 80  # cell ids are file names; the hash tells apart what a cut label does not


# ---------------------------------------------------------------- potentials and their labels


def name_of(entry: Any) -> str:
    """Name of a single entry; the names of a list joined with +."""
    if isinstance(entry, list):
        return "+".join(name_of(layer) for layer in entry)
    return entry if isinstance(entry, str) else next(iter(entry))


def parameters_of(entry: Any) -> dict[str, Any]:
    """The parameters of a single entry, as the grid file gives them."""
    return {} if isinstance(entry, str) else next(iter(entry.values()))


def entries_of(potential: Any) -> list[Any]:
    """The entries of a list, or the single entry."""
    return potential if isinstance(potential, list) else [potential]


def per_layer(entry: Any) -> dict[str, list[Any]]:
    """Those parameters of a single entry that are given as a list, one for each layer."""
    declared = BUILTIN[name_of(entry)].parameters if name_of(entry) in BUILTIN else {}
    return {key: value for key, value in parameters_of(entry).items() if key in declared and declared[key].per_layer}


def layers(potential: Any, depth: int) -> list[Any]:
    """One single-layer entry per layer of a canonical potential, input layer first."""
    if isinstance(potential, list):
        return list(potential)
    lists = per_layer(potential)
    if not lists:
        return [potential] * depth
    name, given = name_of(potential), parameters_of(potential)
    return [{name: given | {key: [value[layer]] for key, value in lists.items()}} for layer in range(depth)]


def function_of(potential: Any, depth: int) -> tuple[str, ...]:
    """Equal iff two canonical potentials are one function in every layer: |w|²/2 has several names."""
    out = []
    for layer in layers(potential, depth):
        name, given = name_of(layer), parameters_of(layer) | {key: value[0] for key, value in per_layer(layer).items()}
        out.append("|w|²/2" if name in BUILTIN and BUILTIN[name].quadratic_at == given else repr(layer))
    return tuple(out)


def short_number(value: Any) -> str:
    """A number as in labels: 3.0 is 3, 1.5 is 1.5."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def word(value: Any) -> str:
    """A parameter of a user's own as one word: numbers as `short_number`, text as it is, the rest as JSON."""
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return short_number(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def sanitised(text: str) -> str:
    """`text` with the letters of file names only."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", ".", text)


def potential_label(potential: Any) -> str:
    """quadratic, lp1.5, layer_scaled1+4, hypentropy0.1, lp1.5+quadratic; mine.Mix-a2 for a plug-in with a = 2."""
    if isinstance(potential, list):
        return "+".join(potential_label(layer) for layer in potential)
    name, parameters = name_of(potential), parameters_of(potential)
    if is_user_defined(name):
        return sanitised(name + "".join(f"-{key}{word(value)}" for key, value in sorted(parameters.items())))
    values = [each for value in parameters.values() for each in (value if isinstance(value, list) else [value])]
    return sanitised(name + "+".join(map(short_number, values)))


def words_of(potential: Any, file: bool = False) -> str:
    """The potential in figures, tables and text: "lp, p = 1.5", "layer-scaled, α = (1, 4)", "Mix, a = 2".

    `file` names the file of a plug-in too: "mine:Mix, a = 2".
    """
    if isinstance(potential, list):
        return " + ".join(
            words_of(each, file) if is_user_defined(name_of(each)) else _short_words(each) for each in potential
        )
    name, parameters = name_of(potential), parameters_of(potential)
    if name not in BUILTIN:
        shown = name if file else name.rsplit(":", 1)[-1]
        return ", ".join([shown, *(f"{key} = {word(value)}" for key, value in sorted(parameters.items()))])
    cls = BUILTIN[name]
    stated = {
        key: f"({', '.join(map(short_number, v))})" if isinstance(v, list) else short_number(v)
        for key, v in parameters.items()
    }
    return ", ".join([cls.title or name, *(f"{cls.parameters[key].symbol or key} = {v}" for key, v in stated.items())])


def _short_words(entry: Any) -> str:
    """A built-in potential among several: "lp1.5", "layer-scaled 4"."""
    label, title = potential_label(entry), BUILTIN[name_of(entry)].title
    return label.replace(name_of(entry), f"{title} ", 1).strip() if title else label


def dataset_label(config: dict[str, Any]) -> str:
    """mnist-3v5-pca50, mnist-3v5 (no PCA), synthetic-planted-d2, the stem of a file, or file.Name of a plug-in."""
    name = config["dataset"]["name"]
    return sanitised(SOURCES[name].label(config) if name in SOURCES else name)[:LONGEST_LABEL]


# ---------------------------------------------------------------- identity


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def is_user_defined(name: str) -> bool:
    """Whether a potential, data set or step rule is the user's own, my_file:Name."""
    return ":" in name


def without_place(config: dict[str, Any]) -> dict[str, Any]:
    """Without the directory of files: it decides no number, their content does. A user's own data set may have a
    parameter called path, which is a parameter like any other."""
    dataset = config["dataset"]
    source = SOURCES.get(dataset["name"])
    known = dataset if source is None else source.identified(dataset)
    return config if known is dataset else {**config, "dataset": known}


def located(config: dict[str, Any], data_dir: str | Path | None) -> dict[str, Any]:
    """With the paths of files absolute; relative ones start at `data_dir`, None: at the working directory."""
    dataset = config["dataset"]
    path_keys = SOURCES[dataset["name"]].path_keys if dataset["name"] in SOURCES else ()
    absolute = {key: str(Path(data_dir or ".", dataset[key]).absolute()) for key in path_keys if dataset.get(key)}
    return {**config, "dataset": dataset | absolute} if absolute else config


def without_seed(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a condition: without seed and place."""
    return {key: value for key, value in without_place(config).items() if key != "seed"}


def identity(config: dict[str, Any]) -> str:
    """What is hashed: sorted JSON, floats by repr (never rounded), the place of files left out."""
    return _json(without_place(config))


def data_key(config: dict[str, Any]) -> str:
    """Equal for two conditions iff they name the same data, whose draw may hang on the seed."""
    config = without_place(config)
    return _json({key: config.get(key) for key in ("dataset", "digits", "pca")})


def potential_key(config: dict[str, Any]) -> str:
    """Equal for two conditions iff they name the same potentials, layer by layer."""
    return _json(config["potential"])


def user_parameters(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameters of classes of the user's own, by kind: dataset, step, and potential with its layers joined by +."""
    out: dict[str, dict[str, Any]] = {"dataset": {}, "step": {}, "potential": {}}
    for kind, choose in (("dataset", "name"), ("step", "rule")):
        if is_user_defined(config[kind][choose]):
            out[kind] = {key: value for key, value in config[kind].items() if key != choose}
    for entry in entries_of(config["potential"]):
        for key, value in parameters_of(entry).items() if is_user_defined(name_of(entry)) else ():
            out["potential"].setdefault(key, []).append(value)
    for key, values in out["potential"].items():
        several = isinstance(config["potential"], list)
        out["potential"][key] = "+".join(short_number(_cell(v)) for v in values) if several else values[0]
    return out


def shared_names(configs: Iterable[dict[str, Any]]) -> frozenset[str]:
    """Parameter names that the user's own classes of several kinds have: their columns are told apart."""
    kinds: dict[str, set[str]] = {}
    for config in configs:
        for kind, parameters in user_parameters(config).items():
            for name in parameters:
                kinds.setdefault(name, set()).add(kind)
    return frozenset(name for name, some in kinds.items() if len(some) > 1)


def _cell(value: Any) -> Any:
    """A parameter as one value of a table: text, number or truth value; anything else as JSON."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else _json(value)


def flatten(config: dict[str, Any], shared: frozenset[str] | None = None) -> dict[str, Any]:
    """The configuration as the columns COLUMNS; None where a key does not apply.

    The parameters of per-layer potentials are the input layer's; those given one per layer are joined over the layers
    that have one. Parameters of the user's own classes follow as param.<name>; names that several kinds have (`shared`,
    by default those of this configuration) as param.dataset.<name>, param.step.<name> and param.potential.<name>.
    """
    config = without_place(config)
    dataset, potential, digits = config["dataset"], config["potential"], config.get("digits")
    user_defined = user_parameters(config)
    nested = {
        f"{group}_{key}": _cell(value)
        for group in GROUPS
        for key, value in (config.get(group) or {}).items()
        if key not in user_defined.get(group, ())
    }
    values = {**config, **nested, **_builtin_parameters(entries_of(potential))}
    values |= {
        "potential": name_of(potential),
        "potential_label": potential_label(potential)[:LONGEST_LABEL],
        "dataset": dataset["name"],
        "digits": None if digits is None else f"{digits[0]}v{digits[1]}",
    }
    flat = {column: values.get(column) for column in COLUMNS}
    shared = shared_names([config]) if shared is None else shared
    for kind, parameters in user_defined.items():
        for key, value in parameters.items():
            flat[f"{PARAM}{kind}.{key}" if key in shared else f"{PARAM}{key}"] = _cell(value)
    return flat


def _builtin_parameters(entries: list[Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for position, entry in enumerate(entries):
        for name, value in parameters_of(entry).items() if name_of(entry) in BUILTIN else ():
            if PARAMETERS[name].per_layer:
                out[name] = "+".join([*([out[name]] if name in out else []), *map(short_number, value)])
            elif position == 0:
                out[name] = value
    return out


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
        """Equal for two cells iff they get the same data: a user's own may hang on the seed, others say so."""
        dataset = self.config["dataset"]
        key, source = data_key(self.config), SOURCES.get(dataset["name"])
        return f"{key} seed {self.config['seed']}" if source is None or source.seeded(dataset) else key

    def flat(self) -> dict[str, Any]:
        """The configuration as columns of final.parquet, see `flatten`."""
        return flatten(self.config)


def condition_id(config: dict[str, Any]) -> str:
    """The readable id of a condition; its hash tells apart what the label does not."""
    return f"{_name(config)}-{_digest(_json(without_seed(config)))}"


def _name(config: dict[str, Any]) -> str:
    return f"{dataset_label(config)}_{potential_label(config['potential'])[:LONGEST_LABEL]}_L{config['depth']}"


def make_cell(config: dict[str, Any]) -> Cell:
    """The Cell of a canonical configuration (not validated here: see config.grid)."""
    return Cell(config, f"{_name(config)}_s{config['seed']}-{_digest(identity(config))}", condition_id(config))


def grid_hash(cells: list[Cell]) -> str:
    """sha256 of the sorted identities: the same cells in any order, from any file, are the same grid."""
    text = "".join(f"{each}\n" for each in sorted(identity(cell.config) for cell in cells))
    return hashlib.sha256(text.encode()).hexdigest()
