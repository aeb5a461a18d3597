"""A value of the tree to a typed value; INVALID, with the reason told, where it is not one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from mdcore.grid.errors import Problems, nearest, one_of
from mdcore.grid.yaml_tree import Node

Reader = Callable[[Node, str, Problems], Any]  # (value, key as shown, where to tell what is wrong)
REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*:[A-Za-z_][A-Za-z0-9_]*")  # my_file:MyPotential
INVALID = type("Invalid", (), {"__repr__": lambda self: "INVALID", "__slots__": ()})()


def refuse(node: Node, key: str, problems: Problems, expected: str, hint: str = "") -> Any:
    """Record "got …; expected …" and give INVALID."""
    problems.add(node.place, key, f"got {node.got()}; expected {expected}{hint}")
    return INVALID


def refuse_name(node: Node, key: str, problems: Problems, expected: str, names: Iterable[str]) -> Any:
    """`refuse` for a word, with the nearest of `names`."""
    if node.kind != "str":
        return refuse(node, key, problems, expected)
    problems.add(node.place, key, f"got {node.shown()}; expected {expected}" + nearest(node.value, names))
    return INVALID


def integer(low: int, high: int, null: str = "") -> Reader:
    """Reads an integer in [low, high]; 2.0 is 2, true and "2" are refused. `null`: its meaning, if any."""
    expected = f"an integer ≥ {low}" + (f" or null ({null})" if null else "")

    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "null" and null:
            return None
        value = node.value
        if node.kind == "float" and value.is_integer():
            value = int(value)
        elif node.kind != "int":
            hint = ": write it without quotes" if node.kind == "str" and value.strip().isdecimal() else ""
            if node.kind == "float" and not math.isfinite(value):
                hint = ": NaN and infinity are refused"
            return refuse(node, key, problems, expected, hint)
        if not low <= value <= high:
            return refuse(node, key, problems, expected if value < low else f"an integer from {low} to {high}")
        return value

    return read


def real(
    low: float, high: float, expected: str, null: bool = False, low_in: bool = False, high_in: bool = False
) -> Reader:
    """Reads a finite float between low and high, each end included or not."""

    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "null" and null:
            return None
        value = number(node, key, problems, -float("inf"), expected)
        if value is INVALID:
            return INVALID
        if not (low <= value if low_in else low < value) or not (value <= high if high_in else value < high):
            return refuse(node, key, problems, expected)
        return value

    return read


def choice(names: tuple[str, ...]) -> Reader:
    """Reads one of some names."""

    def read(node: Node, key: str, problems: Problems) -> Any:
        if node.kind == "str" and node.value in names:
            return node.value
        return refuse_name(node, key, problems, one_of(names), names)

    return read


def number(node: Node, key: str, problems: Problems, above: float = 0.0, what: str = "") -> Any:
    """A finite float > above, else INVALID with the reason recorded."""
    expected = what or f"a number > {above:g}"
    if node.kind not in ("int", "float"):
        hint = ""
        if node.kind == "str":
            bare = node.value.replace("_", "").strip()
            if re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", bare):
                hint = f": write {bare}" + (" (no underscores in YAML 1.2)" if "_" in node.value else " without quotes")
        problems.add(node.place, key, f"got {node.got()}; expected {expected}{hint}")
        return INVALID
    try:
        value = float(node.value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        problems.add(node.place, key, f"got {node.shown()}; expected {expected}: NaN and infinity are refused")
        return INVALID
    if not value > above:
        problems.add(node.place, key, f"got {node.shown()}; expected {expected}")
        return INVALID
    return value + 0.0  # -0.0 is 0.0


def free_value(node: Node, key: str, problems: Problems, level: int = 0) -> Any:
    """Parameters of a plug-in: what JSON has, without NaN; 1.0 becomes 1, so that both are one identity."""
    if node.kind == "map":
        out = {name: free_value(node.value[name], f"{key}.{name}", problems, level + 1) for name in sorted(node.value)}
        return INVALID if any(value is INVALID for value in out.values()) else out
    if node.kind == "list":
        items = [free_value(item, key, problems, level + 1) for item in node.value]
        return INVALID if any(value is INVALID for value in items) else items
    if node.kind == "float":
        if not math.isfinite(node.value):
            problems.add(node.place, key, f"got {node.shown()}; expected a finite number")
            return INVALID
        return int(node.value) if node.value.is_integer() and abs(node.value) < 2**53 else node.value
    return node.value
