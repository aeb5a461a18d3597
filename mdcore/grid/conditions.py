"""Conditions on a combination: {depth: [2, 3], potential: lp, dataset: {name: mnist}}; all keys must hold.

A value matches typed (1 and 1.0 are the same); a list of values matches if one does; a potential also by
its bare name, a dataset by its name or by some of its keys; `p` is the p of lp (in a list, of the input
layer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mdcore.grid.canonical import value_of
from mdcore.grid.errors import Problems, nearest
from mdcore.grid.potential_spec import BUILTIN_PARAMETERS, name_of, parameters_of
from mdcore.grid.readers import INVALID, number
from mdcore.grid.schema import DATASET_KEYS, GROUPS, KEYS, STEP_KEYS, Setting, read_key
from mdcore.grid.yaml_tree import Node

Test = Callable[[Mapping[str, Setting]], bool]


@dataclass
class Condition:
    """`holds(combination)`; `leaves` are what it looks at; `plain` is how the file wrote it."""

    tests: list[Test]
    leaves: set[str]
    plain: dict[str, Any]
    node: Node
    shown: str
    used: bool = False

    def holds(self, combination: Mapping[str, Setting]) -> bool:
        return all(test(combination) for test in self.tests)


def read_condition(node: Node, shown: str, plugin_data: bool, problems: Problems) -> Condition | None:
    """The condition of a mapping; None, with the reasons recorded, when it is not one."""
    if node.kind != "map" or not node.value:
        problems.add(node.place, shown, f"got {node.got()}; expected a mapping: {{depth: [2, 3]}}")
        return None
    condition = Condition([], set(), node.plain(), node, shown)
    good = True
    for key, item in node.value.items():
        inner = f"{shown}.{key[:80]}"
        if key not in KEYS and key != "p" and not (plugin_data and key.startswith("dataset.")):
            problems.add(
                node.key_place(key),
                inner,
                "unknown key; expected a key of fixed or vary" + nearest(key, (*KEYS, "p")),
            )
            good = False
            continue
        if item.kind == "list" and not item.value:
            problems.add(item.place, inner, "got an empty list; expected at least one value")
            good = False
            continue
        values = item.value if _is_several(key, item) else [item]
        tests = [_read_test(key, value, inner, plugin_data, problems, node.key_place(key)) for value in values]
        if any(test is None for test in tests):
            good = False
            continue
        condition.tests.append(lambda combination, tests=tests: any(test(combination) for test in tests))
        condition.leaves.update(
            ["potential"] if key == "p" else [key] if key not in GROUPS else [f"{key}.{part}" for part in GROUPS[key]]
        )
    return condition if good else None


def _is_several(key: str, node: Node) -> bool:
    """A list is a list of values, but for keys whose values are lists themselves."""
    if node.kind != "list":
        return False
    return key not in ("digits", "metrics") or all(item.kind in ("list", "null") for item in node.value)


def _read_test(key: str, node: Node, shown: str, plugin_data: bool, problems: Problems, place: str) -> Test | None:
    if key == "p":
        value = number(node, shown, problems, 1.0)
        return None if value is INVALID else lambda combination: _p_of(value_of(combination, "potential")) == value
    if key == "potential" and node.kind == "str" and node.value in BUILTIN_PARAMETERS:
        name = node.value
        return lambda combination: _has_name(value_of(combination, "potential"), name)
    if key == "digits" and node.kind == "null":
        return lambda combination: "digits" not in combination
    if key == "dataset" and node.kind == "str":
        key = "dataset.name"
    leaves = read_key(key, node, shown, problems, place, plugin_data)
    if not leaves or any(setting.value is INVALID for setting in leaves.values()):
        return None
    if key in GROUPS and node.kind == "map" and len(leaves) != len(node.value):
        return None
    wanted = [(leaf, setting.value) for leaf, setting in leaves.items()]
    return lambda combination: all(_same(_seen(combination, leaf), value) for leaf, value in wanted)


def _seen(combination: Mapping[str, Setting], leaf: str) -> Any:
    """value_of, but None for a key that makes no sense here (geometry for mnist, decay for adaptive)."""
    group, _, part = leaf.partition(".")
    if leaf not in combination and part not in ("", "name", "rule"):
        table, chooser = {"dataset": (DATASET_KEYS, "dataset.name"), "step": (STEP_KEYS, "step.rule")}.get(
            group, ({}, "")
        )
        chosen = value_of(combination, chooser) if chooser else None
        if chosen in table and part not in table[chosen]:
            return None
    return value_of(combination, leaf)


def _same(given: Any, wanted: Any) -> bool:
    return type(given) is type(wanted) and given == wanted


def _p_of(potential: Any) -> float | None:
    entry = potential[0] if isinstance(potential, list) else potential
    return parameters_of(entry)["p"] if isinstance(entry, dict) and name_of(entry) == "lp" else None


def _has_name(potential: Any, name: str) -> bool:
    return isinstance(potential, (str, dict)) and name_of(potential) == name
