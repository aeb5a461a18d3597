"""From a parsed grid file to its cells: Cartesian product in file order, only_if, exclude, one cell per configuration.

A combination becomes a configuration in four parts (data, network, step, the rest). Each is worked out once for each
different set of settings and shared between cells, so that thousands of cells cost a few look-ups each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mdcore.config.cell import KEYS, Cell, function_of, identity, make_cell, name_of, parameters_of, per_layer
from mdcore.config.errors import Problems, Spot, nearest, one_of, shown
from mdcore.config.expansion.sections import Combination, Condition, ParsedGrid
from mdcore.config.schema import CHOOSE, CLASSES, INVALID, LEAVES, Setting, leaves_of, value_of
from mdcore.math.parameters import REQUIRED
from mdcore.math.step_rules import RULES
from mdcore.problems.sources import SOURCES

MOST_COMBINATIONS = 1_000_000
REST = ("loss", "epochs", "log_points", "svm_C", "logreg_C", "dtype", "stop.gap", "metrics")
Part = dict[str, Any]  # of a configuration
Wrong = Iterator[tuple[str, str]]  # (leaf, what is wrong with its value beside the others)


def expand(parsed: ParsedGrid) -> list[Cell]:
    """The cells of a parsed grid file, the last axis fastest; what is wrong with a combination is told."""
    spot, problems = parsed.spot, parsed.spot.problems
    count = math.prod(len(axis.rows) for axis in parsed.axes)
    if count > MOST_COMBINATIONS:
        sizes = " × ".join(f"{len(axis.rows)} ({'+'.join(axis.keys)})" for axis in parsed.axes)
        way_out = "split the grid, or let keys move together with zip"
        message = f"{sizes} are {count} combinations; expected at most {MOST_COMBINATIONS}: {way_out}"
        problems.add(spot.place, "vary", message)
        return []
    leaves = parsed.leaves()
    rules = _ordered_rules(parsed, leaves)
    if rules is None:
        return []
    axes = [
        [{leaf: s for part in row.values() for leaf, s in part.items()} for row in axis.rows] for axis in parsed.axes
    ]
    configurations = Configurations(leaves, spot)
    by_key: dict[tuple[Any, ...], Cell] = {}
    excluded = 0
    for row in itertools.product(*axes):
        combination: dict[str, Setting] = dict(parsed.fixed)
        for settings in row:
            combination.update(settings)
        for names, condition in rules:
            if not condition.holds(combination):
                for leaf in names:
                    combination.pop(leaf, None)
        if parsed.exclude and _excluded(parsed, combination):
            excluded += 1
            continue
        key_and_config = configurations.of(combination)
        if key_and_config is not None and key_and_config[0] not in by_key:
            by_key[key_and_config[0]] = make_cell(key_and_config[1])
    cells = list(by_key.values())
    if not cells and not problems:
        message = f"no cell is left: all {excluded} combinations are excluded; expected at least one"
        problems.add(spot.place, "exclude", message)
    _refuse_collisions(cells, spot.place, problems)
    _refuse_two_names(cells, configurations)
    return cells


def _ordered_rules(parsed: ParsedGrid, leaves: set[str]) -> list[tuple[tuple[str, ...], Condition]] | None:
    """only_if rules, each after those that decide a key it looks at; None when they go in a circle."""
    names = {key: set(leaves_of(key, leaves)) for key in parsed.only_if}
    waits = {
        key: {other for other in names if names[other] & condition.leaves} for key, condition in parsed.only_if.items()
    }
    try:
        order = list(TopologicalSorter(waits).static_order())
    except CycleError as error:
        circle, spot = " → ".join(error.args[1]), parsed.only_if[error.args[1][0]].spot
        message = f"the conditions go in a circle: {circle}; expected each to look at other keys only"
        spot.problems.add(spot.place, "only_if", message)
        return None
    return [(tuple(names[key]), parsed.only_if[key]) for key in order]


def _excluded(parsed: ParsedGrid, combination: Combination) -> bool:
    hit = False
    for condition in parsed.exclude:  # all of them: each shall know whether it ever matched
        if (not hit or not condition.used) and condition.holds(combination):
            condition.used = hit = True
    return hit


class Configurations:
    """Makes canonical configurations of combinations of settings; what is wrong with one is told in its place."""

    def __init__(self, leaves: set[str], spot: Spot):
        self.spot = spot
        data, step = (
            sorted({leaf for leaf in leaves if leaf.startswith(f"{group}.")} | {f"{group}.{choose}"})
            for group, choose in CHOOSE.items()
        )
        network = ("potential", "depth", "width", "init.scale", "init.distribution")
        self._parts: list[tuple[tuple[str, ...], Callable[[Combination], Part | None], dict[Any, Any]]] = [
            ((*data, "digits", "pca"), self._data, {}),
            (network, self._network, {}),
            ((*step, "depth"), self._step, {}),
            (REST, self._rest, {}),
            (("seed",), lambda combination: self._values(combination, ("seed",)), {}),
        ]
        self._shared: dict[str, dict[str, Any]] = {}
        self.functions: dict[tuple[Any, ...], dict[str, Setting]] = {}  # a function of the layers -> its names

    def of(self, combination: Combination) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """(key, configuration), or None if refused; the same configuration has the same key."""
        config: dict[str, Any] = {}
        parts = []
        get = combination.get
        for leaves, build, cache in self._parts:
            settings = tuple([get(leaf) for leaf in leaves])
            part = cache.get(settings, cache)  # the cache itself stands for "not yet worked out"
            if part is cache:
                part = build(combination)
                cache[settings] = part = part and self._shared.setdefault(repr(part), part)
            parts.append(part)
        if None in parts:
            return None
        for part in parts:
            config.update(part)
        return tuple(map(id, parts)), {key: config[key] for key in KEYS if key in config}

    def _tell(self, combination: Combination, leaf: str, message: str) -> None:
        if leaf in combination:
            combination[leaf].spot.tell(message)
        else:
            self.spot.problems.add(self.spot.place, leaf, message)

    def _values(self, combination: Combination, leaves: tuple[str, ...]) -> dict[str, Any] | None:
        """{leaf: value}; None where one is INVALID, or missing, which is told."""
        values = {leaf: value_of(combination, leaf) for leaf in leaves}
        for leaf in (leaf for leaf, value in values.items() if value is REQUIRED):
            self._tell(combination, leaf, f"missing; expected {LEAVES[leaf].expected} under fixed, vary or zip")
        return None if any(value is INVALID or value is REQUIRED for value in values.values()) else values

    def _checked(self, combination: Combination, wrong: Wrong) -> bool:
        messages = list(wrong)
        for leaf, message in messages:
            self._tell(combination, leaf, message)
        return not messages

    def _group(self, combination: Combination, group: str) -> dict[str, Any] | None:
        """The chosen data set or step rule with what it takes, defaults included; a key that is another's is told."""
        choose = CHOOSE[group]
        chosen = self._values(combination, (f"{group}.{choose}",))
        if chosen is None:
            return None
        name = chosen[f"{group}.{choose}"]
        if name not in CLASSES[group]:
            return self._user_group(combination, group, name)
        takes = (choose, *CLASSES[group][name].parameters)
        values = self._values(combination, tuple(f"{group}.{part}" for part in takes))
        for leaf, setting in combination.items():
            part = leaf.removeprefix(group + ".")
            if part == leaf or setting.value is INVALID:
                continue
            if part not in takes:
                setting.spot.tell(_of_another(group, name, part))
                values = None
            elif LEAVES[leaf].others and LEAVES[leaf].read(setting.value, setting.spot, name) is INVALID:
                values = None
        return None if values is None else {part: values[f"{group}.{part}"] for part in takes}

    def _user_group(self, combination: Combination, group: str, name: str) -> dict[str, Any] | None:
        """A class of the user's own with the parameters that are given, whatever they are called."""
        given = {leaf.split(".", 1)[1]: s.value for leaf, s in combination.items() if leaf.startswith(group + ".")}
        if group == "dataset" and "seed" in given:
            self._tell(
                combination,
                "dataset.seed",
                "a data set of one's own gets the grid's seed as its argument seed; got another one, "
                f"{given['seed']!r}; expected a parameter of another name, or the key seed",
            )
            return None
        if INVALID in given.values():
            return None
        choose = CHOOSE[group]
        return {choose: name} | {part: given[part] for part in sorted(given.keys() - {choose})}

    def _data(self, combination: Combination) -> dict[str, Any] | None:
        dataset = self._group(combination, "dataset")
        name = value_of(combination, "dataset.name")
        if name is INVALID or name is REQUIRED:
            return None
        source = SOURCES.get(name)
        if source is None or not source.images:
            good = self._checked(combination, _no_images(combination, name))
            if source is not None and dataset is not None:
                good &= self._checked(combination, source.wrong(dataset, None))
            return {"dataset": dataset, "digits": None, "pca": None} if good and dataset else None
        images = self._values(combination, ("digits", "pca"))
        if dataset is None or images is None or not self._checked(combination, source.wrong(dataset, images["pca"])):
            return None
        return {"dataset": dataset, **images}

    def _network(self, combination: Combination) -> dict[str, Any] | None:
        values = self._values(combination, ("potential", "depth", "width", "init.scale", "init.distribution"))
        if values is None:
            return None
        potential, depth, width, scale, distribution = values.values()
        if not self._checked(combination, _wrong_network(potential, depth, width, scale)):
            return None
        potential = for_depth(potential, depth)
        names = self.functions.setdefault((depth, function_of(potential, depth)), {})
        names.setdefault(repr(potential), combination["potential"])
        return {
            "potential": potential,
            "depth": depth,
            "width": width if depth > 1 else None,
            "init": {"scale": scale, "distribution": distribution if scale else "normal"},
        }

    def _step(self, combination: Combination) -> dict[str, Any] | None:
        step = self._group(combination, "step")
        rule, depth = (value_of(combination, leaf) for leaf in ("step.rule", "depth"))
        good = rule not in RULES or self._checked(combination, _too_deep(rule, depth))
        return {"step": step} if good and step is not None else None

    def _rest(self, combination: Combination) -> dict[str, Any] | None:
        values = self._values(combination, REST)
        if values is None:
            return None
        gap, metrics = values.pop("stop.gap"), values.pop("metrics")
        values["stop"] = None if gap is None else {"gap": gap}
        return values if metrics is None else {**values, "metrics": metrics}


def _of_another(group: str, name: str, part: str) -> str:
    """What is wrong with a key that the data set or step rule `name` does not take."""
    classes, what = CLASSES[group], {"dataset": "dataset", "step": "rule"}[group]
    owners = [other for other, each in classes.items() if part in each.parameters]
    hint = f": {part} is of {what} {one_of(owners)}; remove it or name it under only_if"
    hint = hint if owners else nearest(part, (CHOOSE[group], *classes[name].parameters))
    return f"unknown key {part[:60]!r} of {what} {name}; expected {one_of(classes[name].parameters)}{hint}"


def _no_images(combination: Combination, name: str) -> Wrong:
    of = " or ".join(other for other, source in SOURCES.items() if source.images)
    for leaf in ("digits", "pca"):
        value = value_of(combination, leaf)
        if value not in (None, INVALID, REQUIRED):
            way_out = f"it is of dataset {of}; remove it or name it under only_if"
            yield leaf, f"got {shown(value)} for dataset {name}; expected no {leaf}: {way_out}"


def _too_deep(rule: str, depth: Any) -> Wrong:
    deepest = RULES[rule].deepest
    if deepest is not None and depth is not INVALID and depth > deepest:
        others = one_of(name for name, other in RULES.items() if other.deepest is None)
        yield (
            "step.rule",
            f"got {rule!r} at depth {depth}; expected {others}: {rule} diverges at depth ≥ {deepest + 1}",
        )


def _wrong_network(potential: Any, depth: int, width: int | None, scale: float) -> Wrong:
    if wrong := _wrong_length(potential, depth):
        yield "potential", f"{wrong}: move them together with zip, or exclude the pair"
    if depth >= 2 and scale == 0.0:
        why = "zero is a saddle, the gradient is zero for ever"
        yield "init.scale", f"got 0 at depth {depth}; expected a number > 0 at depth ≥ 2: {why}"
    if depth >= 2 and width is None:
        yield "width", f"got nothing (null) at depth {depth}; expected an integer ≥ 1"


def _wrong_length(potential: Any, depth: int) -> str:
    """What is wrong with the number of layers that a potential is for."""
    listed = isinstance(potential, list)
    if listed and len(potential) != depth:
        return f"the list has {len(potential)} potentials but depth is {depth}; expected one per layer"
    wanted = 1 if listed else depth
    for entry in potential if listed else [potential]:
        for key, value in per_layer(entry).items():
            if len(value) != wanted:
                has = f"{name_of(entry)} has {len(value)} {key}"
                return (
                    f"{has} in a list; expected one, for its own layer"
                    if listed
                    else f"{has} but depth is {depth}; expected one per layer"
                )
    return ""


def for_depth(potential: Any, depth: int) -> Any:
    """The canonical potential at this depth: equal layers collapse to one, per-layer parameters to their list."""
    if not isinstance(potential, list):
        return potential
    first, keys = potential[0], per_layer(potential[0])
    if keys and all(name_of(layer) == name_of(first) for layer in potential) and len(keys) == len(parameters_of(first)):
        return {name_of(first): {key: [parameters_of(layer)[key][0] for layer in potential] for key in keys}}
    return first if all(layer == first for layer in potential) else potential


def _refuse_collisions(cells: list[Cell], place: str, problems: Problems) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        first = seen.setdefault(cell.cell_id, cell)
        if first is cell:
            continue
        if identity(first.config) == identity(cell.config):
            paths = " and ".join(repr(other.config["dataset"]["path"]) for other in (first, cell))
            message = f"got {paths} for the same cell; expected one place: of a file only the name is part of a cell"
            problems.add(place, "dataset.path", message)
        else:
            message = f"two different cells share the id {cell.cell_id} (its hash has 32 bits)"
            problems.add(place, "vary", f"{message}; expected different ids: split the grid in two")


def _refuse_two_names(cells: list[Cell], configurations: Configurations) -> None:
    """Quadratic, lp with p = 2 and layer_scaled with every alpha 1 are one potential, one run."""
    doubtful = {key for key, names in configurations.functions.items() if len(names) > 1}
    if not doubtful:
        return
    seen: dict[str, Cell] = {}
    for cell in cells:
        potential, depth = cell.config["potential"], cell.config["depth"]
        function = (depth, function_of(potential, depth))
        if function not in doubtful:
            continue
        first = seen.setdefault(identity({**cell.config, "potential": repr(function)}), cell)
        if first is not cell:
            names = " and ".join(shown(each.config["potential"]).replace("'", "") for each in (first, cell))
            message = f"{names} are the same mathematics at depth {depth}, run under two names"
            message += "; expected one of them: remove the other"
            configurations.functions[function][repr(potential)].spot.tell(message)
