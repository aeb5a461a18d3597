"""A layout to its cells: Cartesian product in file order, only_if, exclude, one cell per configuration."""

from __future__ import annotations

import itertools
import math
from graphlib import CycleError, TopologicalSorter

from mdcore.grid.canonical import Canonical
from mdcore.grid.errors import Problems
from mdcore.grid.identity import Cell, identity, make_cell
from mdcore.grid.layout import Layout
from mdcore.grid.potential_spec import mathematics
from mdcore.grid.schema import Setting, leaves_of

MOST_COMBINATIONS = 1_000_000


def expand(layout: Layout, problems: Problems) -> list[Cell]:
    """The cells of a layout, the last axis fastest; what is wrong with a combination goes to `problems`."""
    count = math.prod(len(axis.rows) for axis in layout.axes)
    if count > MOST_COMBINATIONS:
        sizes = " × ".join(f"{len(axis.rows)} ({'+'.join(axis.keys)})" for axis in layout.axes)
        problems.add(
            layout.place,
            "vary",
            f"{sizes} are {count} combinations; expected at most {MOST_COMBINATIONS}: split "
            "the grid, or let keys move together with zip",
        )
        return []
    leaves = layout.leaves()
    rules = _ordered_rules(layout, leaves, problems)
    if rules is None:
        return []
    axes = [[_merged(row.values()) for row in axis.rows] for axis in layout.axes]
    canonical = Canonical(leaves, problems, layout.place)
    cells: dict[tuple, Cell] = {}
    excluded = 0
    for choice in itertools.product(*axes):
        combination: dict[str, Setting] = dict(layout.fixed)
        for settings in choice:
            combination.update(settings)
        for names, condition in rules:
            if not condition.holds(combination):
                for leaf in names:
                    combination.pop(leaf, None)
        if layout.exclude and _excluded(layout, combination):
            excluded += 1
            continue
        outcome = canonical.config(combination)
        if outcome is not None and outcome[0] not in cells:
            cells[outcome[0]] = make_cell(outcome[1])
    found = list(cells.values())
    if not found and not problems:
        problems.add(
            layout.place,
            "exclude",
            f"no cell is left: all {excluded} combinations are excluded; expected at least one",
        )
    _refuse_collisions(found, layout.place, problems)
    _refuse_two_names(found, canonical, problems)
    return found


def _merged(parts) -> dict[str, Setting]:
    out: dict[str, Setting] = {}
    for part in parts:
        out.update(part)
    return out


def _ordered_rules(layout: Layout, leaves: set[str], problems: Problems):
    """only_if rules, each after those that decide a key it looks at; None when they go in a circle."""
    names = {key: set(leaves_of(key, leaves)) for key in layout.only_if}
    waits = {
        key: {other for other in names if names[other] & condition.leaves} for key, condition in layout.only_if.items()
    }
    try:
        order = list(TopologicalSorter(waits).static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        problems.add(
            layout.only_if[error.args[1][0]].node.place,
            "only_if",
            f"the conditions go in a circle: {circle}; expected each to look at other keys only",
        )
        return None
    return [(tuple(names[key]), layout.only_if[key]) for key in order]


def _excluded(layout: Layout, combination: dict[str, Setting]) -> bool:
    hit = False
    for condition in layout.exclude:  # all of them: each shall know whether it ever matched
        if (not hit or not condition.used) and condition.holds(combination):
            condition.used = hit = True
    return hit


def _refuse_collisions(cells: list[Cell], place: str, problems: Problems) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        first = seen.setdefault(cell.cell_id, cell)
        if first is cell:
            continue
        if identity(first.config) == identity(cell.config):
            paths = " and ".join(repr(other.config["dataset"]["path"]) for other in (first, cell))
            problems.add(
                place,
                "dataset.path",
                f"got {paths} for the same cell; expected one directory: where the files lie is no part of a cell",
            )
        else:
            problems.add(
                place,
                "vary",
                f"two different cells share the id {cell.cell_id} (its hash has 32 bits); expected "
                "different ids: split the grid in two",
            )


def _refuse_two_names(cells: list[Cell], canonical: Canonical, problems: Problems) -> None:
    """Quadratic, lp with p = 2 and layer_scaled with every alpha 1 are one potential, one run."""
    doubtful = {key for key, names in canonical.mathematics.items() if len(names) > 1}
    if not doubtful:
        return
    seen: dict[str, Cell] = {}
    for cell in cells:
        function = (cell.config["depth"], mathematics(cell.config["potential"], cell.config["depth"]))
        if function not in doubtful:
            continue
        first = seen.setdefault(identity({**cell.config, "potential": repr(function)}), cell)
        if first is not cell:
            setting = canonical.mathematics[function][repr(cell.config["potential"])]
            setting.complain(
                problems,
                f"{_shown(first)} and {_shown(cell)} are the same mathematics at depth "
                f"{function[0]}, run under two names; expected one of them: remove the other",
            )


def _shown(cell: Cell) -> str:
    return str(cell.config["potential"]).replace("'", "")[:80]
