"""What a stack is to train: its cells, and what they share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mdcore.math import losses
from mdcore.math.potentials import Potential
from mdcore.math.step_rules import StepRule
from mdcore.math.torch_later import torch  # the runner's cost model asks for the logged epochs alone


@dataclass(frozen=True)
class CellPlan:
    """What distinguishes a cell in its stack.

    `companion_of`: positions of the cells in the stack that are compared with this linear one.
    `start`: initial weights W_1 … W_L, each (out, in), instead of drawn ones.
    """

    potentials: tuple[Potential, ...]
    seed: int
    width: int | None = None
    init_scale: float = 0.3
    init_distribution: str = "normal"
    companion_of: tuple[int, ...] = ()
    start: tuple[torch.Tensor, ...] | None = field(default=None, compare=False)

    @property
    def depth(self) -> int:
        """Number of layers: one potential each."""
        return len(self.potentials)

    @property
    def limit_p(self) -> float | None:
        """p of the predicted l_p max-margin limit: the input layer's potential decides (theory 5.2)."""
        return self.potentials[0].limit_p


@dataclass(frozen=True)
class StackPlan:
    """What the cells of a stack share."""

    step: StepRule
    epochs: int
    log_epochs: tuple[int, ...]
    loss: str = "logistic"
    stop_gap: float | None = None
    separable: bool = True
    active_set: bool = True  # leave out points whose weight is provably below rounding, see data_pass.py
    dtype: torch.dtype = field(default_factory=lambda: torch.float64)
    device: str = "cpu"

    def __post_init__(self) -> None:
        losses.check_loss(self.loss)
        if not self.log_epochs or self.log_epochs[-1] != self.epochs:
            raise ValueError("the last logged epoch must be the last epoch")


def log_spaced_epochs(epochs: int, points: int) -> tuple[int, ...]:
    """At most `points` epochs from 1 to `epochs`, spaced evenly in log t, both ends included."""
    if points == 1:
        return (epochs,)
    exact = [math.exp(math.log(epochs) * i / (points - 1)) for i in range(points)]
    return tuple(sorted({max(1, round(t)) for t in exact} | {epochs}))
