"""Potentials, step rules, data sets and metrics of the user's own, named in a grid as my_file:Name.

my_file.py lies beside the grid file or in the working directory. It is run only when a grid names it, under a private
module name, so that it shadows nothing, and may import modules beside it. A reference is two identifiers: it cannot
leave its directory.
"""

from __future__ import annotations

import copy
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mdcore.config.cell import Cell, entries_of, is_user_defined, layers, name_of, parameters_of, per_layer
from mdcore.config.errors import GridError, nearest
from mdcore.config.plugins.conformance import check_potential, check_rule
from mdcore.config.plugins.sources import digest_of, load_module, read_sources, reason
from mdcore.config.schema import INVALID, Setting
from mdcore.config.values import REFERENCE
from mdcore.math.parameters import Number
from mdcore.math.potentials import BUILTIN, Potential
from mdcore.math.step_rules import RULES, Rule, StepRule

if TYPE_CHECKING:
    from mdcore.config.grid import Grid

# What a metric may declare of itself, as attributes of its function: what holds of it, in words.
DECLARED: dict[str, tuple[Callable[[str], bool], str]] = {
    "label": (
        lambda text: len(text) <= 60 and text.isprintable(),
        "at most 60 letters: its name in tables and figures",
    ),
    "unit": (lambda text: len(text) <= 20 and text.isprintable(), "at most 20 letters, such as 's'"),
    "better": (lambda text: text in ("low", "high", ""), "'low' or 'high': which values are better, or '' for neither"),
}
Base = TypeVar("Base")
_conform: set[tuple[type, str]] = set()  # (class, parameters) that have been tried out


def load_potential(reference: str, plugin_dir: str | Path | None = None) -> type[Potential]:
    """The class my_file:MyPotential, a subclass of mdcore.math.potentials.Potential. Raises GridError."""
    needed = ("value_per_entry", "mirror_map", "inverse_mirror_map")
    return _load_class(reference, plugin_dir, Potential, "potential", needed)


def load_rule(reference: str, plugin_dir: str | Path | None = None) -> type[Rule]:
    """The class my_file:MyRule, a subclass of mdcore.math.step_rules.Rule. Raises GridError."""
    rule_class = _load_class(reference, plugin_dir, Rule, "step rule", ("coefficient",))
    declared = rule_class.parameters
    if not (isinstance(declared, Mapping) and all(isinstance(each, Number) for each in declared.values())):
        raise GridError(
            f"{reference}: parameters is {str(declared)[:60]}; expected {{name: Number(…)}} with "
            "`from mdcore.math.parameters import Number`"
        )
    return rule_class


def _load_class(
    reference: str, plugin_dir: str | Path | None, base: type[Base], what: str, needed: tuple[str, ...]
) -> type[Base]:
    """A subclass of `base` that defines the methods `needed`."""
    loaded = _load(reference, plugin_dir)
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise GridError(
            f"{reference}: is not a {what}; expected `class {reference.split(':')[1]}({base.__name__})` with "
            f"`from {base.__module__} import {base.__name__}`"
        )
    lacking = [name for name in needed if getattr(loaded, name) is getattr(base, name)]
    if lacking:
        raise GridError(f"{reference}: has no {', '.join(lacking)}; expected a {what} to define {', '.join(needed)}")
    return loaded


def rule_for(config: dict[str, Any], plugin_dir: str | Path | None = None) -> StepRule:
    """The step rule of a configuration. Raises GridError."""
    step, depth = config["step"], config["depth"]
    name = step["rule"]
    if name in RULES:
        return StepRule.of(step, config["epochs"])
    rule_class = load_rule(name, plugin_dir)
    try:
        rule = StepRule.of(step, config["epochs"], rule_class)
    except (TypeError, ValueError) as error:
        given = {key: value for key, value in step.items() if key != "rule"}
        raise GridError(f"{name}: cannot be made with the parameters {given}: {reason(error)}") from error
    if rule_class.deepest is not None and depth > rule_class.deepest:
        raise GridError(f"{name}: is for depth ≤ {rule_class.deepest}; got depth {depth}: exclude the pair")
    check_rule(rule)
    return rule


def load_dataset(reference: str, plugin_dir: str | Path | None = None) -> Callable[..., Any]:
    """The data set function my_file:my_data. Raises GridError."""
    return _load_callable(reference, plugin_dir, "a function that returns the data")


def load_metric(reference: str, plugin_dir: str | Path | None = None) -> Callable[..., Any]:
    """The metric function my_file:my_metric, what it declares of itself checked. Raises GridError."""
    metric = _load_callable(reference, plugin_dir, "a function that returns a number")
    for name, (allowed, expected) in DECLARED.items():
        given = getattr(metric, name, "")
        if not (isinstance(given, str) and allowed(given)):
            raise GridError(f"{reference}: its {name} is {str(given)[:60]!r}; expected {expected}")
    return metric


def declarations(grid: Grid) -> dict[str, dict[str, str]]:
    """{reference: what it declares, of label, unit and better} of the metrics that a grid names."""
    names = sorted({name for cell in grid.cells for name in cell.config.get("metrics", ())})
    metrics = {name: load_metric(name, grid.plugin_dir) for name in names}
    return {
        name: {key: text for key in DECLARED if (text := getattr(metric, key, ""))} for name, metric in metrics.items()
    }


def load_figure(reference: str, plugin_dir: str | Path | None = None) -> Callable[..., Any]:
    """The figure function my_file:my_figure. Raises GridError."""
    return _load_callable(reference, plugin_dir, "a function that draws a figure")


def potentials_for(config: dict[str, Any], plugin_dir: str | Path | None = None) -> list[Potential]:
    """The Potential of each layer of a canonical configuration, input layer first. Raises GridError."""
    return [_make(entry, plugin_dir) for entry in layers(config["potential"], config["depth"])]


def companion_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of linear mirror descent beside a deep cell: depth 1, the input layer's potential,
    zero start; data, loss, step rule and seed as they are."""
    if config["depth"] == 1:
        return config
    first = layers(config["potential"], config["depth"])[0]
    return {**config, "potential": first, "depth": 1, "width": None, "init": {"scale": 0.0, "distribution": "normal"}}


def references(config: dict[str, Any]) -> dict[str, str]:
    """{reference: kind} of the plug-ins that a configuration names: potential, step rule, dataset or metric."""
    out = {name_of(entry): "potential" for entry in entries_of(config["potential"]) if name_of(entry) not in BUILTIN}
    chosen = {config["dataset"]["name"]: "dataset", config["step"]["rule"]: "step rule"}
    out |= {name: kind for name, kind in chosen.items() if is_user_defined(name)}
    return out | dict.fromkeys(config.get("metrics", ()), "metric")


def plugin_fingerprint(config: dict[str, Any], plugin_dir: str | Path | None = None) -> str:
    """sha256 over the sources of the plug-ins that a configuration names, "" for none. Raises GridError.

    Not part of a cell's identity, which is what was asked for: a changed file makes a finished cell stale.
    """
    stems = sorted({reference.split(":")[0] for reference in references(config)})
    digest = hashlib.sha256(b"".join(digest_of(read_sources(stem, plugin_dir)) for stem in stems))
    return digest.hexdigest() if stems else ""


def source_files(references: Iterable[str], plugin_dir: str | Path | None) -> list[Path]:
    """The files of plug-ins and of what they import beside them. Raises GridError where one cannot be read."""
    stems = {reference.split(":")[0] for reference in references}
    return sorted({path for stem in stems for path in read_sources(stem, plugin_dir)})


def check(
    settings: Iterable[Setting], cells: Iterable[Cell], plugin_dir: str | None, grid_dir: Path
) -> tuple[list[str], str | None]:
    """(references, directory of their files): every plug-in of a grid is loaded, potentials and step rules made.

    The directory is the first with all files: beside the grid file, the grid's plugin_dir, the working one.
    """
    configs = [cell.config for cell in cells]
    wanted = [(setting, *named) for setting in settings for named in _named(setting, configs)]
    if not wanted:
        return [], None
    references = sorted({reference for _, reference, _ in wanted})
    files = sorted({reference.split(":")[0] for reference in references})
    folders = [grid_dir, *([grid_dir / plugin_dir] if plugin_dir else []), Path.cwd()]
    folder = next((folder for folder in folders if all(os.path.isfile(folder / f"{name}.py") for name in files)), None)
    if folder is None:
        there = ", ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        expected = f"expected {', '.join(f'{name}.py' for name in files)} together in one of {there}"
        for setting, reference, _ in wanted:
            others = [name[:-3] for each in folders for name in sorted(glob.glob("*.py", root_dir=each))[:200]]
            hint = nearest(reference.split(":")[0], others)
            setting.spot.tell(f"{reference}: its file is not found; {expected}{hint}")
        return references, None
    for setting, _, load in wanted:
        try:
            load(folder)
        except GridError as error:
            for line in error.problems:
                setting.spot.tell(line)
    return references, str(folder.resolve())


def _named(setting: Setting, configs: list[dict[str, Any]]) -> list[tuple[str, Callable[[Path], Any]]]:
    """(reference, what loads it from a directory) for every plug-in that a setting names."""
    leaf, value = setting.leaf, setting.value
    if value is INVALID:
        return []
    if leaf == "potential":
        return [(name_of(e), partial(_make, e)) for e in entries_of(value) if name_of(e) not in BUILTIN]
    if leaf == "dataset.name" and ":" in value:
        return [(value, partial(load_dataset, value))]
    if leaf == "step.rule" and ":" in value:
        used = {repr((c["step"], c["depth"])): c for c in configs if c["step"]["rule"] == value}
        return [(value, partial(load_rule, value)), *((value, partial(rule_for, config)) for config in used.values())]
    return [(name, partial(load_metric, name)) for name in (value if leaf == "metrics" and value else [])]


def _make(entry: Any, plugin_dir: str | Path | None) -> Potential:
    """The Potential of one single-layer entry."""
    name, parameters = name_of(entry), dict(parameters_of(entry))
    if name in BUILTIN:
        return BUILTIN[name](**parameters | {key: value[0] for key, value in per_layer(entry).items()})
    potential_class = load_potential(name, plugin_dir)
    try:
        made = potential_class(**copy.deepcopy(parameters))
    except Exception as error:
        raise GridError(f"{name}: cannot be made with the parameters {parameters}: {reason(error)}") from error
    tried = (potential_class, json.dumps(parameters, sort_keys=True))
    if tried not in _conform:
        check_potential(made, name if not parameters else f"{name} with {parameters}")
        _conform.add(tried)
    return made


def _load_callable(reference: str, plugin_dir: str | Path | None, what: str) -> Callable[..., Any]:
    loaded: Callable[..., Any] = _load(reference, plugin_dir)
    if not callable(loaded):
        raise GridError(f"{reference}: is a {type(loaded).__name__}; expected {what}")
    return loaded


def _load(reference: str, plugin_dir: str | Path | None) -> Any:
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise GridError(f"{str(reference)[:80]!r}: expected a plug-in as my_file:Name, no directories, no dots")
    stem, name = reference.split(":")
    module = load_module(stem, plugin_dir)
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise GridError(f"{module.__file__}: has no {name}" + nearest(name, public))
    return getattr(module, name)
