"""The engine's workloads of the table of goals, each with its contenders."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from mdcore.bench.baseline import train_by_hand
from mdcore.bench.timing import cpu_seconds, wall_seconds
from mdcore.math.engine.cuda_graph import WARM_UP
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Lp, Potential, Quadratic
from mdcore.math.step_rules import StepRule
from mdcore.problems.datasets import Dataset, load_dataset

POTENTIALS = (Quadratic(), Lp(1.5), Lp(3.0))
LATE_POTENTIALS = (Lp(1.5), Quadratic())
FOR_EVER = 10**7  # epochs of a plan whose end is never reached


@dataclass(frozen=True)
class Workload:
    """Cells on one data set, all of one step rule; `steps` are timed at once, after `warm_up` others."""

    key: str
    title: str
    data: Dataset
    cells: tuple[CellPlan, ...]
    rule: StepRule
    steps: int
    hand_steps: int
    warm_up: int = 5

    @property
    def A(self) -> torch.Tensor:
        """Signed data (n, d)."""
        return torch.from_numpy(np.ascontiguousarray(self.data.A))

    @property
    def pass_flops(self) -> float:
        """4·n·d: the two products of a pass, a cell and step; nothing else is counted."""
        return 4.0 * self.data.X_train.shape[0] * self.data.X_train.shape[1]

    def engine(self, active_set: bool = True, device: str = "cpu") -> StackTrainer:
        """The stack, before its first step."""
        plan = StackPlan(self.rule, FOR_EVER, (FOR_EVER,), active_set=active_set, device=device)
        return StackTrainer(self.A, self.cells, plan)

    def engine_seconds(self) -> float:
        """CPU seconds a cell and step of a fresh stack."""
        trainer = self.engine()
        trainer.advance(self.warm_up)
        return advance_seconds(trainer, self.steps)

    def gpu_seconds(self) -> float:
        """Wall seconds a cell and step of a fresh stack on the GPU, its steps captured before."""
        trainer = self.engine(device="cuda")
        trainer.advance(max(self.warm_up, 4 * WARM_UP))
        torch.cuda.synchronize()
        start = wall_seconds()
        trainer.advance(10 * self.steps)
        torch.cuda.synchronize()
        return (wall_seconds() - start) / (10 * self.steps * len(self.cells))

    def baseline_seconds(self) -> float:
        """The same of the baseline: the mean over the cells, each distinct potential, depth and width run once."""
        X, y = torch.from_numpy(self.data.X_train), torch.from_numpy(self.data.y_train)
        kinds: dict[tuple, list[CellPlan]] = {}
        for cell in self.cells:
            kinds.setdefault((cell.potentials, cell.width), []).append(cell)
        spent = [
            len(alike) * train_by_hand(X, y, alike[0], self.rule, self.hand_steps, cpu_seconds)[1]
            for alike in kinds.values()
        ]
        return sum(spent) / len(self.cells)


def advance_seconds(trainer: StackTrainer, steps: int) -> float:
    """CPU seconds a cell and step of the next `steps` steps."""
    start = cpu_seconds()
    trainer.advance(steps)
    return (cpu_seconds() - start) / (steps * len(trainer.cells))


def layers_seconds(trainer: StackTrainer, steps: int) -> float:
    """CPU seconds a cell and step of `steps` steps of length 0, which change no layer, without their passes."""
    still = np.zeros(len(trainer.mass))
    start = cpu_seconds()
    for _ in range(steps):
        for block, rows in trainer.rows:
            block.entry_scale(np.empty(block.size))
            block.gradient_norm(np.empty(block.size))
            block.step(still[rows], trainer.now.memory.w[rows], keep_old=trainer.plan.step.adapts)
            block.gradient(trainer.now.memory.g[rows])
    return (cpu_seconds() - start) / (steps * len(trainer.cells))


def stack(potentials: tuple[Potential, ...], depths: tuple[int, ...], seeds: int, most: int) -> tuple[CellPlan, ...]:
    """Width 50, the default start; at most `most` cells."""
    cells = [
        CellPlan((phi,) * depth, seed, 50 if depth > 1 else None, 0.3 if depth > 1 else 0.0)
        for seed in range(seeds)
        for phi in potentials
        for depth in depths
    ]
    return tuple(cells[:most])


def gaussian(n: int, d: int, separation: float) -> Dataset:
    """A Gaussian pair, as large as asked for."""
    keys = {"name": "synthetic", "geometry": "gaussian", "dim": d, "n": n, "separation": separation, "noise": 1.0}
    return load_dataset(keys, None, None, 0)


def planted(n: int) -> Dataset:
    """The planted 2-D data."""
    keys = {"name": "synthetic", "geometry": "planted", "dim": 2, "n": n, "separation": 2.5, "noise": 1.0}
    return load_dataset(keys, None, None, 0)


def mnist_pair(digits: tuple[int, int] = (3, 5), pca: int = 200) -> Dataset:
    """A pair of digits of the bundled images: 800 training points."""
    keys = {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.2}
    return load_dataset(keys, list(digits), pca, 0)


def dense_workloads(quick: bool) -> list[Workload]:
    """Dense phase with 18 and more cells, planted 2-D data; quick: the same shapes, smaller."""
    n, d = (2000, 100) if quick else (10_000, 200)
    data, rule = gaussian(n, d, 8.0), StepRule("normalized", 1.0)
    size = f"n = {n:,}, d = {d}"
    steps = 10 if quick else 20
    workloads = [
        Workload(key, f"dense phase, {size}, {cells} cells", data, stack(POTENTIALS, (1, 2), 32, cells), rule, steps, 3)
        for key, cells in (("dense_18", 18), ("dense_36", 36), ("dense_72", 72), ("dense_144", 144))
        if not (quick and cells > 36)
    ]
    adaptive = StepRule("adaptive", 1.0)
    title = f"dense phase, {size}, 18 cells, adaptive steps"
    workloads.append(Workload("dense_adaptive", title, data, workloads[0].cells, adaptive, steps, 3))
    flat = stack(POTENTIALS, (1, 2, 3, 4), 7, 80)
    return [*workloads, Workload("planted", "planted 2-D, n = 400, 80 cells", planted(400), flat, rule, 5 * steps, 40)]


class LatePhase:
    """The same stack twice from epoch `first` on: with the active set, and the dense engine."""

    def __init__(self, data: Dataset, seeds: int, first: int):
        cells = stack(LATE_POTENTIALS, (2,), seeds, 2 * seeds)
        self.work = Workload("late", "late phase", data, cells, StepRule("adaptive", 1.0), 0, 0)
        self.active, self.dense = self.work.engine(), self.work.engine(active_set=False)
        self.active.advance(first)
        self.saved_before = self.active.data_pass.passes_saved
        state = self.active.state_dict()
        state["data_pass"] |= {"active": None}
        self.dense.load_state_dict(deepcopy(state))

    def contenders(self, window: int) -> dict[str, Callable[[], float]]:
        """Each call goes on by `window` steps."""
        return {
            "active set": lambda: advance_seconds(self.active, window),
            "dense engine": lambda: advance_seconds(self.dense, window),
            "layers alone": lambda: layers_seconds(self.dense, window),
        }

    @property
    def passes_saved(self) -> int:
        """Passes over the active set only, since the first epoch measured."""
        return self.active.data_pass.passes_saved - self.saved_before
