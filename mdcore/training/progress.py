"""What a stack tells of itself while it trains: steps taken, and how many it expects to take, by its gaps."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

from mdcore.files import atomic_write
from mdcore.math.engine.trainer import StackTrainer

# Gaps fall faster than the power of t seen so far: the steps shrink, and the last support vectors are found. At a
# tenth of their steps the shipped grids' cells are then expected within a factor 2 either way, a stack within 1.5.
STEEPER = 1.25


def tell(trainer: StackTrainer, path: str, began: int, seconds: float) -> None:
    """Rewrite the progress file: cell-steps.

    done of total: an ended cell counts as done to its last epoch. taken of expected: those really taken, and those
    that are expected in all. seconds: since `began` of them had been taken.
    """
    total, alive = trainer.plan.epochs * len(trainer.cells), len(trainer.alive)
    counts: dict[str, Any] = {
        "done": trainer.epoch * alive + trainer.plan.epochs * (len(trainer.cells) - alive),
        "total": total,
        "epoch": trainer.epoch,
        "alive": alive,
        "taken": steps_taken(trainer),
        "expected": round(sum(expected_epochs(trainer, position) for position in range(len(trainer.cells)))),
        "stops": trainer.plan.stop_gap is not None,
        "began": began,
        "seconds": round(seconds, 3),
    }
    with suppress(OSError):  # progress is a courtesy; a full disk is reported where results are written
        atomic_write(path, json.dumps(counts), durable=False)


def steps_taken(trainer: StackTrainer) -> int:
    """Of all cells together."""
    alive = set(trainer.alive)
    return sum(trainer.epoch if i in alive else _last_epoch(trainer, i) for i in range(len(trainer.cells)))


def _last_epoch(trainer: StackTrainer, position: int) -> int:
    """Of a cell that has ended."""
    diverged = trainer.observer.diverged_at.get(position)
    return diverged if diverged is not None else trainer.plan.log_epochs[int(trainer.observer.last[position])]


def expected_epochs(trainer: StackTrainer, position: int) -> float:
    """The epoch at which a cell is expected to end: where its gap, as a power of t, reaches the one that stops it."""
    cap, goal, epoch = trainer.plan.epochs, trainer.plan.stop_gap, trainer.epoch
    followed = [i for i in trainer.cells[position].companion_of if i not in trainer.ended]
    if position in trainer.ended:
        if position not in trainer.alive:
            return _last_epoch(trainer, position)
        return max(expected_epochs(trainer, i) for i in followed) if followed else epoch
    if goal is None:
        return cap
    logged = [t for t in trainer.plan.log_epochs if t <= epoch]
    gaps = trainer.observer.values["gap"][position, : len(logged)].nan_to_num(1.0).cummin(dim=0).values.tolist()
    for i in reversed(range(len(logged) - 1)):  # since half the time, or as long as the gap has not moved
        if 2 * logged[i] <= epoch and goal < gaps[-1] < gaps[i]:
            slope = STEEPER * math.log(gaps[i] / gaps[-1]) / math.log(logged[-1] / logged[i])
            return min(cap, max(epoch, logged[-1] * math.exp(min(50.0, math.log(gaps[-1] / goal) / slope))))
    return cap
