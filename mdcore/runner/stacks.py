"""Which cells are trained together, and which stack is trained next.

What is trained together is a matter of the grid and of what is done, never of the workers. Next is the stack expected
to take longest, by what the run has seen of its data: a stopping rule ends the cells of some data early (a margin soon
certified) and never those of others (data that overlap), however many components are kept of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

# Cells a stack holds at most. One pass over the data serves them all and a kernel's fixed cost (about 3 s) is
# shared; a larger stack would leave workers idle at the end of a grid and lose more when a kernel dies.
MAX_CELLS = 18
# What all cells of one stack have in common, besides their data.
SHARED = ("epochs", "log_points", "loss", "step", "stop", "dtype", "svm_C", "logreg_C", "metrics")

# Seconds of training on one thread, for plans and for an ETA's first guess: measured rates replace them.
SECONDS_PER_STEP = 6e-6  # of one cell of a full stack, whatever its data
SECONDS_PER_ENTRY = 1e-10  # of one cell and step, for each of the n·d entries of the data


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
        digest = hashlib.sha256("\n".join(self.cell_ids).encode()).hexdigest()[:8]
        label = re.sub(r"[^A-Za-z0-9.-]+", "-", str(self.cells[0].dataset_label))[:60].strip(".-") or "data"
        return f"{label}_{len(self.cells)}-{digest}"

    @cached_property
    def cost(self) -> float:
        """Expected seconds of training."""
        return sum(cost(cell) for cell in self.cells)


def data_size(config: dict) -> tuple[int, int]:
    """(n, d) as far as the configuration tells; a plug-in's data are taken to be (1000, 100)."""
    data = config["dataset"]
    if data.get("name") == "synthetic":
        return int(data["n"]), int(data["dim"])
    if data.get("name") == "mnist":
        n = 12000 if data.get("source") == "full" else 1000 * (1 - data.get("test_fraction", 0.2))
        return int(n), int(config.get("pca") or 784)
    return 1000, 100


def cost(cell) -> float:
    """Expected seconds: epochs · (a·(1 + log₂(depth + 1)) + b·n·d)."""
    n, d = data_size(cell.config)
    layers = 1 + math.log2(cell.config["depth"] + 1)
    return cell.config["epochs"] * (SECONDS_PER_STEP * layers + SECONDS_PER_ENTRY * n * d)


def _key(value) -> str:
    return json.dumps(value, sort_keys=True)


def group_key(cell) -> str:
    """(dataset, potential, seed): such a group, with its depth-1 companion, is never split by `compose`."""
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
        total = sum(map(len, groups.values()))
        even = total / math.ceil(total / max_cells)
        for bundle in _fill(list(groups.values()), even, max_cells):
            kept = tuple(c for c in bundle if pending is None or c.cell_id in pending)
            if kept:
                stacks.append(Stack(kept))
    return sorted(stacks, key=lambda stack: (-stack.cost, stack.name))


def _fill(groups: list[list], even: float, most: int) -> list[list]:
    """Whole groups in order: bundles of about `even` cells, at most `most` (a larger group stays whole)."""
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


class Schedule:
    """The share of their cap of epochs that finished stacks have used, by the source of their data."""

    def __init__(self) -> None:
        self._steps: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # source -> [steps taken, steps at most]

    def learn(self, cells, steps: int) -> None:
        """`cells`, trained together, have taken `steps` in all; 0: nobody has counted them."""
        if cells and steps > 0:
            counted = self._steps[_source(cells[0])]
            counted[0] += steps
            counted[1] += sum(cell.config["epochs"] for cell in cells)

    def expected(self, stack: Stack) -> float:
        """The stack's cost times that share; all of its cost where none has finished: it never takes more."""
        taken, most = self._steps.get(_source(stack.cells[0]), (1, 1))
        return stack.cost * taken / most

    def longest(self, waiting: list[Stack]) -> Stack:
        """The stack to begin with; of equals the first."""
        return max(waiting, key=self.expected)


def _source(cell) -> str:
    """What decides whether data are separable, whatever is made of them afterwards: data set and digits."""
    return _key([cell.config["dataset"], cell.config.get("digits")])


def schedule_from(cells, records) -> Schedule:
    """What the committed stacks tell of a grid's cells."""
    known = {cell.cell_id: cell for cell in cells}
    schedule = Schedule()
    for record in records:
        if all(cell_id in known for cell_id in record.cells):
            schedule.learn([known[cell_id] for cell_id in record.cells], record.steps)
    return schedule
