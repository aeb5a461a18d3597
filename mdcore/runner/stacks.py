"""Which cells are trained together: a matter of the grid and of what is done, never of the workers or of the clock."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property

from mdcore.runner.times.cost import Model, layers_cost, model

# Cells a stack holds at most. One pass over the data serves them all and a kernel's fixed cost (about 3 s) is
# shared; a larger stack would leave workers idle at the end of a grid and lose more when a kernel dies.
MAX_CELLS = 18
# What all cells of one stack have in common, besides their data.
SHARED = ("epochs", "log_points", "loss", "step", "stop", "dtype", "svm_C", "logreg_C", "metrics")

# Layers that would take longer than this in one stack are shared out over several, so that all cores have some of
# them. Cutting costs the layers nothing; passes over the data are cheaper together, and are no reason to cut.
LONGEST = 60.0


def digest(cell_ids: list[str]) -> str:
    """What in the name of a stack tells it from all others."""
    return hashlib.sha256("\n".join(map(str, cell_ids)).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Stack:
    """Cells (of config.grid) trained in one pass over one dataset."""

    cells: tuple

    @cached_property
    def cell_ids(self) -> list[str]:
        return [cell.cell_id for cell in self.cells]

    @cached_property
    def name(self) -> str:
        """Readable, and the same for the same cells: `mnist-3v5-pca50_18-1a2b3c4d`."""
        label = re.sub(r"[^A-Za-z0-9.-]+", "-", str(self.cells[0].dataset_label))[:60].strip(".-") or "data"
        return f"{label}_{len(self.cells)}-{digest(self.cell_ids)}"

    @cached_property
    def model(self) -> Model:
        """What training it is expected to cost, before anything of this machine is known."""
        return model(self.cells)

    @property
    def cost(self) -> float:
        """The same in seconds, if no cell stops early."""
        return self.model()


def _key(value) -> str:
    return json.dumps(value, sort_keys=True)


def group_key(cell) -> str:
    """(dataset, potential, seed): cells that share a depth-1 companion, kept together as long as they fit a stack.

    Where they do not, each stack trains a companion of its own: the same numbers.
    """
    return _key([cell.data_key, cell.config["potential"], cell.config["seed"]])


def compose(cells, pending=None, max_cells: int = MAX_CELLS) -> list[Stack]:
    """The stacks of a whole grid, costliest first; with `pending` (cell ids), what of them is to be trained.

    The grid is divided first and narrowed afterwards, so that a stack that was lost is trained again with the
    same neighbours and gives the same bits.
    """
    pools: dict[str, dict[str, list]] = {}
    for cell in cells:
        shared = _key([cell.data_key, {key: cell.config.get(key) for key in SHARED}])
        pools.setdefault(shared, {}).setdefault(group_key(cell), []).append(cell)
    stacks = []
    for groups in pools.values():
        total, longest = sum(map(len, groups.values())), max_cells
        stacks_needed = math.ceil(total / max_cells)
        by_work = min(total, math.ceil(sum(layers_cost(c) for group in groups.values() for c in group) / LONGEST))
        if by_work > stacks_needed:
            stacks_needed, longest = by_work, math.ceil(total / by_work)
        parts = [part for group in groups.values() for part in _parts(group, longest)]
        for bundle in _fill(parts, total / stacks_needed, longest):
            kept = tuple(c for c in bundle if pending is None or c.cell_id in pending)
            if kept:
                stacks.append(Stack(kept))
    return sorted(stacks, key=lambda stack: (-stack.cost, stack.name))


def _parts(group: list, most: int) -> list[list]:
    """The group in order, in as few parts of at most `most` cells as do, about equal."""
    count = math.ceil(len(group) / most)
    ends = [round(len(group) * i / count) for i in range(count + 1)]
    return [group[a:b] for a, b in zip(ends, ends[1:])]


def _fill(groups: list[list], even: float, most: int) -> list[list]:
    """Whole groups in order: bundles of about `even` cells, at most `most`."""
    bundles: list[list] = [[]]
    for group in groups:
        if bundles[-1] and (len(bundles[-1]) >= even or len(bundles[-1]) + len(group) > most):
            bundles.append([])
        bundles[-1].extend(group)
    return bundles


def halve(stack: Stack) -> list[Stack]:
    """Two stacks of about half the cells, split between two groups where there are several."""
    middle = len(stack.cells) / 2
    keys = [group_key(cell) for cell in stack.cells]
    borders = [i for i in range(1, len(keys)) if keys[i] != keys[i - 1]]
    at = min(borders, key=lambda i: abs(i - middle)) if borders else math.ceil(middle)
    return [Stack(stack.cells[:at]), Stack(stack.cells[at:])]
