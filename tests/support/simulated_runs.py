"""Runs of which every second is known beforehand, on a clock of their own: what the ETA says and what comes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from mdcore.config.grid import load_grid
from mdcore.runner.execution import PROGRESS
from mdcore.runner.stacks import Stack, compose
from mdcore.runner.times.expected import Expectation, spent
from mdcore.runner.times.past import Spent
from mdcore.runner.times.progress import Log, Progress
from mdcore.store.locations import grid_path


@cache
def stacks_of(grid: str, *overrides: str) -> tuple[Stack, ...]:
    return tuple(compose(load_grid(grid_path(grid), overrides).cells))


def share_taken(stack: Stack) -> float:
    """The share of their steps that the cells of shipped grids took when they were run."""
    config = stack.cells[0].config
    if not config["stop"]:
        return 1.0
    if config["dataset"]["name"] == "mnist":
        return {(0, 50): 0.34, (0, 200): 0.38, (3, 50): 1.0, (3, 200): 0.6}[config["digits"][0], config["pca"]]
    names = {cell.cell_id.split("_")[1] for cell in stack.cells}
    if any(name.startswith("cosh") for name in names):
        return 1.0
    if config["dataset"]["geometry"] == "planted":
        return 0.012
    return 0.36 if len(names) > 1 else 0.53


@dataclass(frozen=True)
class World:
    """How a machine differs from the cost model."""

    speed: float = 1.0  # its seconds over the model's
    uneven: float = 0.15  # std of the logarithm of a stack's own factor
    start: float = 3.0  # seconds until kernels can start
    besides: float = 2.0  # of a stack
    seed: int = 0
    fails: int = 0  # stacks that end without results when they have taken half of their steps


@dataclass
class _One:
    stack: Stack
    share: float
    training: float
    began: float
    end: float
    fails: bool


@dataclass
class Run:
    """`stacks` trained by `workers` in a `world`, after what was `known`; files in `place`; `clock` holds a time."""

    stacks: tuple[Stack, ...]
    workers: int
    world: World
    place: Path
    clock: list[float]
    known: list[Spent] = field(default_factory=list)

    def go(self, looks=()) -> tuple[float, list[Spent], list[float]]:
        """Seconds that it takes, what its stacks have spent, and the ETAs at the seconds `looks`."""
        world, clock, begin = self.world, self.clock, self.clock[0]
        rng = np.random.default_rng(world.seed)
        factors = {s.name: world.speed * float(np.exp(world.uneven * rng.normal())) for s in self.stacks}
        progress = Progress(self.stacks, self.workers, 7, Log(None), Expectation(self.known))
        progress.starting = lambda: "starting" if clock[0] < begin + world.start - 1e-9 else ""
        waiting, running, failing = list(self.stacks), [], world.fails
        costs, etas, looks = [], [], [begin + at for at in sorted(looks)]
        while waiting or running:
            for one in [one for one in running if one.end <= clock[0]]:
                running.remove(one)
                costs += self._end(progress, one)
            while waiting and len(running) < self.workers:
                stack = progress.expectation.longest(waiting)
                waiting.remove(stack)
                running.append(self._begin(stack, factors[stack.name], max(clock[0], begin + world.start), failing > 0))
                failing -= failing > 0
                progress.began(stack, self.place / stack.name)
            if looks and clock[0] >= looks[0]:
                for one in running:
                    _tell(one, clock[0], self.place / one.stack.name)
                etas.append(progress.eta())
                looks.pop(0)
            ends = [one.end for one in running if one.end > clock[0]]
            clock[0] = min([*ends, *looks[:1]], default=clock[0])
        return clock[0] - begin, costs, etas

    def _begin(self, stack: Stack, factor: float, first: float, fails: bool) -> _One:
        share = share_taken(stack)
        training, besides = stack.model(share) * factor, self.world.besides
        took = besides + training * (0.5 if fails else 1.0)
        return _One(stack, share, training, first + 0.7 * besides, first + took, fails)

    def _end(self, progress: Progress, one: _One) -> list[Spent]:
        if one.fails:
            progress.ended(one.stack, failed=len(one.stack.cells))
            return []
        seconds = {"training": one.training, "total": one.training + self.world.besides}
        cost = spent(one.stack.cells, round(one.share * _most(one.stack)), seconds)
        progress.ended(one.stack, done=len(one.stack.cells), cost=cost)
        return [cost]

    def ratios(self, *shares: float) -> list[float]:
        """ETA over what was really left, when such shares of the time had passed."""
        took, _, _ = self.go()
        _, _, etas = self.go([share * took for share in shares])
        return [eta / (took - share * took) for eta, share in zip(etas, shares, strict=True)]


def _most(stack: Stack) -> int:
    return sum(cell.config["epochs"] for cell in stack.cells)


def _tell(one: _One, now: float, place) -> None:
    """The progress file as the kernel writes it; the cells of a stack end at its share of their steps together."""
    if now < one.began:
        return
    gone, most = min(1.0, (now - one.began) / one.training), _most(one.stack)
    whole = one.stack.model(one.share)
    low, high = 0.0, one.share
    for _ in range(30):  # rows cost more at first: the share at which so much of the training has passed
        middle = (low + high) / 2
        low, high = (middle, high) if one.stack.model(middle) < gone * whole else (low, middle)
    taken = round(high * most)
    stops = one.share < 1.0
    ahead = most if not stops or gone < 0.05 else min(most, 1.4 * one.share * most)
    counts = {"done": most if gone >= 1 else taken, "total": most, "taken": taken, "expected": max(taken, ahead)}
    place.mkdir(parents=True, exist_ok=True)
    (place / PROGRESS).write_text(json.dumps(counts | {"stops": stops, "began": 0, "seconds": now - one.began}))
