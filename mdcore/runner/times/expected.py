"""How long stacks are expected to take: the cost model, corrected by what this machine and this run have measured.

A stopping rule ends the cells of some data early (a margin soon certified) and never those of others (data that
overlap): the share of its steps that a stack takes is taken from the same stack in an earlier run, else from stacks
with the same data, potentials and rules, else from those with the same data, whatever is made of them afterwards.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from mdcore.runner.times.cost import KINDS, data_size, model
from mdcore.runner.times.past import Spent

if TYPE_CHECKING:
    from mdcore.runner.stacks import Stack

# Seconds of a stack that are not training, kernel, data, references, tables, files: in all, and times √(n d).
BESIDES, BESIDES_OF_SIZE = 1.0, 0.01
# Of the steps of stacks with a stopping rule, about, in the shipped grids; in the plane, where two or three support
# vectors are soon found, less.
STOPPING_SHARE, STOPPING_SHARE_2D = 0.45, 0.1
START, COMPILE = "start", "compile"  # kinds of time that no stack has cost, and seconds of them
STARTS = {START: 4.5, COMPILE: 15.0}
LEAST_MODELLED = 0.2  # seconds; of less most is fixed, and tells nothing of the speed
NEWEST = 15  # values of a median: a machine changes, and what else it does
RULES = ("epochs", "stop", "step", "loss", "dtype")


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


class Keys(NamedTuple):
    """Under what the cost of a stack is known: the closest first."""

    stack: str  # these cells
    alike: str  # the same but for seeds, depths and numbers of components: cells that stop at about the same step
    source: str  # data set and digits, which decide whether data are separable


def keys_of(cells: Sequence) -> Keys:
    """The keys of cells that are trained together."""
    config = cells[0].config
    source = _digest([config["dataset"], config.get("digits")])
    potentials = sorted({_digest(cell.config["potential"]) for cell in cells})
    alike = _digest([source, potentials, *(config.get(key) for key in RULES)])
    return Keys(_digest([cell.cell_id for cell in cells]), alike, source)


def spent(cells: Sequence, steps: int, seconds: Mapping[str, float]) -> Spent | None:
    """What cells trained together have cost, by the `seconds` of their record; None where it does not tell."""
    training = seconds.get("training") or 0.0
    if not cells or steps <= 0 or training <= 0:
        return None
    besides = max(0.0, (seconds.get("total") or training) - training - (seconds.get("waited") or 0.0))
    share = min(1.0, steps / sum(cell.config["epochs"] for cell in cells))
    modelled = model(cells)
    return Spent(*keys_of(cells), modelled.kind, share, modelled(share), training, besides)


class Expectation:
    """`past`: what earlier runs have spent, oldest first. What this run spends is told to `learn`, and counts first.

    `pace`: seconds here for one of the cost model; it counts where the past tells nothing.
    """

    def __init__(self, past: Sequence[Spent] = (), pace: float = 1.0):
        self._pace = pace
        self._past: dict[str, list[Spent]] = defaultdict(list)
        self._now: dict[str, list[Spent]] = defaultdict(list)
        self._keys: dict[str, tuple[str, ...]] = {}
        speeds: dict[str, list[float]] = defaultdict(list)
        for one in past:
            self._sort_in(one, self._past)
            if one.modelled > LEAST_MODELLED and one.kind not in STARTS:
                for name in (one.kind, one.stack, one.alike):
                    speeds[name].append(one.training / one.modelled)
        self._speeds = {name: (median(values[-NEWEST:]), len(values)) for name, values in speeds.items()}
        self._usual = {kind: self._speeds[kind][0] for kind in KINDS if kind in self._speeds}

    @staticmethod
    def _sort_in(one: Spent, by_key: dict[str, list[Spent]]) -> None:
        for key in (one.kind,) if one.kind in STARTS else (one.stack, one.alike, one.source, ""):
            by_key[key].append(one)

    def learn(self, new: Spent | None) -> None:
        """Of this run."""
        if new is not None:
            self._sort_in(new, self._now)

    def _keys_of(self, stack: Stack) -> tuple[str, ...]:
        if stack.name not in self._keys:
            self._keys[stack.name] = (*keys_of(stack.cells), "")
        return self._keys[stack.name]

    def _known(self, stack: Stack, keys: int) -> list[Spent]:
        """The newest under the closest of the stack's first `keys` that is known; the fourth stands for all stacks."""
        for key in self._keys_of(stack)[:keys]:
            if spent := self._now.get(key) or self._past.get(key):
                return spent[-NEWEST:]
        return []

    def share(self, stack: Stack) -> float:
        """Of the steps that its cells take at most."""
        if known := self._known(stack, 3):
            return median(one.share for one in known)
        config = stack.cells[0].config
        if not config.get("stop"):
            return 1.0
        return STOPPING_SHARE if data_size(config)[1] > 2 else STOPPING_SHARE_2D

    def knows(self, stack: Stack) -> bool:
        """Whether its share has been measured, on itself or on stacks that differ little from it."""
        return bool(self._known(stack, 2))

    def speed(self, stack: Stack) -> float:
        """Seconds measured in earlier runs over those of the cost model, for the kind of its work.

        The more often this stack was measured, or one that differs little, the more that counts instead.
        """
        speed = self._usual.get(stack.model.kind) or median(self._usual.values() or [self._pace])
        for key in self._keys_of(stack)[:2]:
            if key in self._speeds:
                own, times = self._speeds[key]
                return own ** (times / (times + 1)) * speed ** (1 / (times + 1))
        return speed

    def training(self, stack: Stack) -> float:
        """Expected seconds of training."""
        return stack.model(self.share(stack)) * self.speed(stack)

    def besides(self, stack: Stack) -> float:
        """Expected seconds of all else; its references may be solved already."""
        known = self._known(stack, 4)
        if known:
            return median(one.besides for one in known)
        n, d = data_size(stack.cells[0].config)
        return (BESIDES + BESIDES_OF_SIZE * math.sqrt(n * d)) * self._pace

    def seconds(self, stack: Stack) -> float:
        """Expected seconds of the stack as a whole."""
        return self.training(stack) + self.besides(stack)

    def start(self, compiles: bool) -> float:
        """Expected seconds until kernels can start: imports, and once for a clone the compiling of the loops."""
        what = COMPILE if compiles else START
        known = [one.besides for one in self._past.get(what, ())]
        return median(known[-NEWEST:]) if known else STARTS[what] * self._pace

    def longest(self, waiting: list[Stack]) -> Stack:
        """The stack to begin with; of equals the first."""
        return max(waiting, key=self.training)


def makespan(seconds: Iterable[float], workers: int, busy: Sequence[float] = ()) -> float:
    """Seconds until all is done, longest first, each by the first free worker; some are busy for so many seconds."""
    free = [*busy, *[0.0] * max(0, workers - len(busy))]
    heapq.heapify(free)
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def expectation_for(cells, records, past: Sequence[Spent] = (), pace: float = 1.0) -> Expectation:
    """`past`, and what the committed stacks tell of a grid's cells."""
    known = {cell.cell_id: cell for cell in cells}
    ours = [record for record in records if all(cell_id in known for cell_id in record.cells)]
    made = [spent([known[cell_id] for cell_id in one.cells], one.steps, one.seconds) for one in ours]
    expectation = Expectation([*past, *filter(None, made)], pace)
    for one in made:
        expectation.learn(one)
    return expectation
