"""The sections of a grid file (fixed, vary, zip, only_if, exclude) as typed settings and conditions.

A condition is {depth: [2, 3], potential: lp, dataset: {name: mnist}}; all its keys must hold. A value matches typed
(1 and 1.0 are the same); a list of values matches if one does; a potential also by its bare name, a data set by its
name or by some of its keys; `p` is the p of lp (in a list, of the input layer).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mdcore.config.cell import name_of, parameters_of
from mdcore.config.errors import Spot, got, nearest, nearest_key, one_of, shown
from mdcore.config.schema import CHOOSE, GROUPS, INVALID, KEYS, PARAMETER_LEAVES, Setting, leaves_of, read_key, value_of
from mdcore.math.parameters import Names
from mdcore.math.potentials import BUILTIN
from mdcore.problems.sources import SOURCES

DIRECTORIES = {"plugin_dir": "the directory of the plug-in files", "data_dir": "the directory that paths start at"}
SECTIONS = ("question", "fixed", "vary", "zip", "only_if", "exclude", "timeout", "keep", *DIRECTORIES)
LISTS = (  # keys whose values are lists themselves
    "digits", "metrics",
    *(f"dataset.{k}" for each in SOURCES.values() for k, kind in each.parameters.items() if type(kind) is Names),
)  # fmt: skip
Combination = Mapping[str, Setting]
Row = dict[str, dict[str, Setting]]  # key as written -> the leaves it sets


@dataclass
class Axis:
    """Values taken one after the other. `section` vary: one key; zip: keys that move together."""

    section: str
    rows: list[Row]

    @property
    def keys(self) -> list[str]:
        return list(self.rows[0])


@dataclass
class Condition:
    """One of each `alternatives` must hold; `leaves` are what they look at; `given` is how the file wrote it."""

    alternatives: list[list[Callable[[Combination], bool]]]
    leaves: set[str]
    given: dict[str, Any]
    spot: Spot
    used: bool = False

    def holds(self, combination: Combination) -> bool:
        return all(any(test(combination) for test in tests) for tests in self.alternatives)


@dataclass
class ParsedGrid:
    """A grid before its expansion. `user_groups`: those for which it names a class of the user's own, see schema."""

    spot: Spot
    user_groups: set[str] = field(default_factory=set)
    question: str = ""
    timeout: float | None = None  # seconds
    keep: bool = True
    directories: dict[str, str] = field(default_factory=dict)  # plugin_dir and data_dir, where the file has them
    fixed: dict[str, Setting] = field(default_factory=dict)
    axes: list[Axis] = field(default_factory=list)
    only_if: dict[str, Condition] = field(default_factory=dict)
    exclude: list[Condition] = field(default_factory=list)

    def settings(self) -> Iterator[Setting]:
        """Every setting of the grid."""
        yield from self.fixed.values()
        for axis in self.axes:
            for row in axis.rows:
                for leaves in row.values():
                    yield from leaves.values()

    def leaves(self) -> set[str]:
        """Every leaf that the grid sets somewhere."""
        return {setting.leaf for setting in self.settings()}

    def read(self, key: str, value: Any, spot: Spot) -> dict[str, Setting]:
        """The leaves that `key: value` sets."""
        return read_key(key, value, spot, self.user_groups)


def read_sections(data: dict[str, Any], spot: Spot) -> ParsedGrid:
    """The grid file section by section; what is wrong is told, and its settings are INVALID."""
    parsed = ParsedGrid(spot, user_groups(data))
    for name in data:
        if name not in SECTIONS:
            spot.at(name).tell(f"unknown key; expected {one_of(SECTIONS)}{_meant(name)}", of_key=True)
    parsed.question = read_question(data, spot)
    parsed.timeout, parsed.keep = read_timeout(data, spot), read_keep(data, spot)
    for section, words in DIRECTORIES.items():
        folder = data.get(section, "-")
        if not isinstance(folder, str) or not folder.strip() or not folder.isprintable():
            spot.at(section).tell(f"got {shown(folder)}; expected {words}")
        elif section in data:
            parsed.directories[section] = folder
    taken: dict[str, Setting] = {}
    for key, value in _mapping(data, "fixed", spot).items():
        leaves = parsed.read(key, value, spot.at("fixed", key))
        _claim([leaves], taken)
        parsed.fixed.update(leaves)
    for key, value in _mapping(data, "vary", spot).items():
        _read_axis(parsed, {key: value}, spot.at("vary"), taken)
    for position, entry in _mappings(data, "zip", spot):
        _read_axis(parsed, entry, spot.at("zip", position), taken)
    for key, value in _mapping(data, "only_if", spot).items():
        inner = spot.at("only_if", key)
        if not any(leaf in taken for leaf in leaves_of(key, taken)):
            settable = sorted({setting.spot.key.split(".", 1)[1] for setting in taken.values()})
            message = "the grid does not set this key; expected a key of fixed, vary or zip"
            inner.tell(message + nearest_key(key, settable), of_key=True)
        if condition := read_condition(value, inner, parsed.user_groups):
            parsed.only_if[key] = condition
    for position, entry in _mappings(data, "exclude", spot):
        if condition := read_condition(entry, spot.at("exclude", position), parsed.user_groups):
            parsed.exclude.append(condition)
    return parsed


def _meant(name: str) -> str:
    if name.split(".")[0] in KEYS:
        return ": put it under fixed or vary"
    return ": merge keys are not YAML 1.2; write the values out" if name == "<<" else nearest(name, SECTIONS)


def read_question(data: Mapping[str, Any], spot: Spot) -> str:
    """The question, or "" where there is none to be had."""
    value = data.get("question", INVALID)
    if value is INVALID:
        spot.at("question").tell("missing; expected the question this grid answers, a non-empty string")
    elif isinstance(value, str) and value.strip():
        return value.strip()
    else:
        spot.at("question").tell(f"got {got(value)}; expected a non-empty string")
    return ""


def read_timeout(data: Mapping[str, Any], spot: Spot) -> float | None:
    """Seconds without a step after which a stack counts as hung; None: for ever. It is no part of a cell's identity."""
    value = data.get("timeout")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    if "timeout" in data:
        spot.at("timeout").tell(f"got {got(value)}; expected seconds without a step, a number > 0")
    return None


def read_keep(data: Mapping[str, Any], spot: Spot) -> bool:
    """Whether a run keeps what exploring needs. It is no part of a cell's identity."""
    value = data.get("keep", True)
    if not isinstance(value, bool):
        spot.at("keep").tell(f"got {got(value)}; expected true or false: whether to keep what exploring needs")
    return value is not False


def user_groups(data: Any) -> set[str]:
    """The groups (dataset, step) for which some value, anywhere in the file, names a class of the user's own."""
    if isinstance(data, list):
        return set().union(*map(user_groups, data))
    if not isinstance(data, dict):
        return set()
    groups = set().union(*map(user_groups, data.values()))
    for group, choose in CHOOSE.items():
        for value in (data.get(key) for key in (group, f"{group}.{choose}", choose)):
            if any(isinstance(name, str) and ":" in name for name in (value if isinstance(value, list) else [value])):
                groups.add(group)
    return groups


def _mapping(data: Mapping[str, Any], section: str, spot: Spot) -> dict[str, Any]:
    value = data.get(section, {})
    if section in data and (not isinstance(value, dict) or not value):
        spot.at(section).tell(f"got {got(value)}; expected a mapping of keys to values; remove it if there is none")
        return {}
    return dict(value)


def _mappings(data: Mapping[str, Any], section: str, spot: Spot) -> Iterator[tuple[int, dict[str, Any]]]:
    value, inner = data.get(section, []), spot.at(section)
    if section in data and (not isinstance(value, list) or not value):
        message = f"got {got(value)}; expected a list of mappings, each opened by '- '; remove it if there is none"
        inner.tell(message)
        return
    for position, entry in enumerate(value):
        if isinstance(entry, dict) and entry:
            yield position, entry
        else:
            inner.at(position).tell(f"got {got(entry)}; expected a mapping of keys")


def _claim(columns: list[dict[str, Setting]], taken: dict[str, Setting]) -> None:
    """Drop, and tell, the leaves that another key has set: a leaf has one place, fixed or vary or zip."""
    mine: dict[str, Setting] = {}
    for settings in columns:
        for leaf in list(settings):
            if leaf not in taken:
                mine.setdefault(leaf, settings[leaf])
                continue
            first = taken[leaf].spot
            message = f"{leaf} is set already as {first.key} ({first.place}); expected it in one place"
            settings.pop(leaf).spot.tell(message)
    taken.update(mine)


def _read_axis(parsed: ParsedGrid, entry: dict[str, Any], spot: Spot, taken: dict[str, Setting]) -> None:
    """Add the axis of the keys of an entry, whose lists move together."""
    columns: dict[str, list[dict[str, Setting]]] = {}
    for key, values in entry.items():
        inner = spot.at(key)
        if not isinstance(values, list):
            inner.tell(f"got {got(values)}; expected a list of values; write a single value under fixed")
        elif not values:
            inner.tell("got an empty list; expected at least one value")
        else:
            columns[key] = [parsed.read(key, value, inner.at(position)) for position, value in enumerate(values)]
            _claim(columns[key], taken)
            continue
        _poison(parsed, taken, key, inner)
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        spot.tell(f"lists that move together differ in length: {listed}; expected equal lengths")
        for key in entry:
            _poison(parsed, taken, key, spot.at(key))
    elif columns:
        rows: list[Row] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        _refuse_duplicates(rows)
        parsed.axes.append(Axis(spot.key, rows))


def _poison(parsed: ParsedGrid, taken: dict[str, Setting], key: str, spot: Spot) -> None:
    """Note that a key is set, though to nothing usable, so that it is not told as missing too."""
    if key in KEYS:
        setting = Setting(leaves_of(key)[0], INVALID, spot)
        parsed.fixed.setdefault(setting.leaf, setting)
        taken.setdefault(setting.leaf, setting)


def typed(row: Row) -> str:
    """A row's values, equal for equal values: 1 and 1.0 have been read as the same already."""
    return repr(sorted((leaf, repr(setting.value)) for leaves in row.values() for leaf, setting in leaves.items()))


def _refuse_duplicates(rows: list[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        settings = [setting for leaves in row.values() for setting in leaves.values()]
        if not settings or any(setting.value is INVALID for setting in settings):
            continue
        if typed(row) in seen:
            listed = ", ".join(str(written(key, leaves))[:80] for key, leaves in row.items() if leaves)
            settings[0].spot.tell(f"got {listed} twice; expected every value once")
        seen.add(typed(row))


def written(key: str, leaves: Mapping[str, Setting]) -> Any:
    """The value of a key as a grid file writes it."""
    if key not in GROUPS:
        return leaves[key].value
    if key == "stop" and leaves["stop.gap"].value is None:
        return None
    return {leaf.split(".", 1)[1]: setting.value for leaf, setting in leaves.items()}


# ---------------------------------------------------------------- conditions


def read_condition(value: Any, spot: Spot, groups: Collection[str]) -> Condition | None:
    """The condition of a mapping; None, with the reasons told, when it is not one."""
    if not isinstance(value, dict) or not value:
        spot.tell(f"got {got(value)}; expected a mapping: {{depth: [2, 3]}}")
        return None
    condition = Condition([], set(), value, spot)
    good = True
    for key, item in value.items():
        inner = spot.at(key)
        tests: list[Any] = [None]
        if key not in (*KEYS, *PARAMETER_LEAVES) and key.partition(".")[0] not in groups:
            names = (*KEYS, *PARAMETER_LEAVES)
            inner.tell("unknown key; expected a key of fixed or vary" + nearest_key(key, names), of_key=True)
        elif item == [] and isinstance(item, list):
            inner.tell("got an empty list; expected at least one value")
        else:
            several = isinstance(item, list) and (
                key not in LISTS or all(isinstance(each, list) or each is None for each in item)
            )
            tests = [_read_test(key, each, inner, groups) for each in (item if several else [item])]
        if None in tests:
            good = False
            continue
        condition.alternatives.append(tests)
        condition.leaves.update(["potential"] if key in PARAMETER_LEAVES else leaves_of(key))
    return condition if good else None


def _read_test(key: str, value: Any, spot: Spot, groups: Collection[str]) -> Callable[[Combination], bool] | None:
    if key in PARAMETER_LEAVES:
        wanted = PARAMETER_LEAVES[key].read(value, spot)
        return None if wanted is INVALID else lambda combination: _parameter(combination, key) == wanted
    if key == "potential" and isinstance(value, str) and value in BUILTIN:
        return lambda combination: _has_name(value_of(combination, "potential"), value)
    if key == "digits" and value is None:
        return lambda combination: "digits" not in combination
    if key in CHOOSE and isinstance(value, str):
        key = f"{key}.{CHOOSE[key]}"
    leaves = read_key(key, value, spot, groups)
    if not leaves or any(setting.value is INVALID for setting in leaves.values()):
        return None
    if key in GROUPS and isinstance(value, dict) and len(leaves) != len(value):
        return None
    pairs = [(leaf, setting.value) for leaf, setting in leaves.items()]
    return lambda combination: all(_same(value_of(combination, leaf), value) for leaf, value in pairs)


def _same(given: Any, wanted: Any) -> bool:
    return type(given) is type(wanted) and given == wanted


def _parameter(combination: Combination, key: str) -> float | None:
    """A parameter of a built-in potential, in a list of the input layer's."""
    potential = value_of(combination, "potential")
    entry = potential[0] if isinstance(potential, list) else potential
    if not isinstance(entry, dict) or name_of(entry) not in BUILTIN:
        return None
    return parameters_of(entry).get(key)


def _has_name(potential: Any, name: str) -> bool:
    return isinstance(potential, (str, dict)) and name_of(potential) == name
