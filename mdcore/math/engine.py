"""Training of a stack: cells that share one data set, trained together in one pass over it.

    M = w A^T        margins of all cells, one matrix product          (K, n)
    V = −ℓ'(M)       sample weights, scaled by e^{c} in every cell     (K, n)
    g = V A          n e^{c} (−∂R/∂w), the second matrix product       (K, d)
    Z_l += s_t b_l^T a_l^T,  W_l = (∇φ_l)^{-1}(Z_l)                     see block.py

Rows never mix, so a cell that diverges harms no other, and cells leave when they end.

A naive twin, autograd with `MirrorDescent`, stands in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdcore.math import losses
from mdcore.math.block import Block
from mdcore.math.models import initial_weights, layer_shapes
from mdcore.math.observe import Observer
from mdcore.math.potentials import Potential
from mdcore.math.step_rules import ADAPTIVE_GROWTH, ADAPTIVE_SHRINK, StepRule


@dataclass(frozen=True)
class CellPlan:
    """What distinguishes a cell in its stack. `follows` lists stack positions whose linear companion this cell is."""

    potentials: tuple[Potential, ...]
    seed: int
    width: int | None = None
    init_scale: float = 0.3
    init_distribution: str = "normal"
    follows: tuple[int, ...] = ()

    @property
    def depth(self) -> int:
        """Number of layers: one potential each."""
        return len(self.potentials)

    @property
    def limit_p(self) -> float | None:
        """p of the predicted l_p max-margin limit: the input layer's potential decides (THEORY prediction 2)."""
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
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    def __post_init__(self):
        losses.check_loss(self.loss)
        if not self.log_epochs or self.log_epochs[-1] != self.epochs:
            raise ValueError("the last logged epoch must be the last epoch")


def log_spaced_epochs(epochs: int, points: int) -> tuple[int, ...]:
    """At most `points` epochs from 1 to `epochs`, spaced evenly in log t, both ends included."""
    if points == 1:
        return (epochs,)
    exact = [math.exp(math.log(epochs) * i / (points - 1)) for i in range(points)]
    return tuple(sorted({max(1, round(t)) for t in exact} | {epochs}))


class _Pass:
    """What one pass over the data leaves, a row a live cell: w, g = A^T v scaled by n e^{c}, c + log n, log R, min m."""

    def __init__(self, like: Tensor, cells: int):
        self.w, self.g = like.new_zeros(cells, like.shape[1]), like.new_zeros(cells, like.shape[1])
        self.log_scale, self.log_risk = like.new_zeros(cells), like.new_zeros(cells)
        self.weight_sum, self.smallest = like.new_zeros(cells), like.new_zeros(cells)

    def put_back(self, rows: Tensor, other: _Pass) -> None:
        """Overwrite the masked rows by those of `other`."""
        for name, mine in vars(self).items():
            mine[rows] = getattr(other, name)[rows]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but `rows`."""
        for name, mine in vars(self).items():
            setattr(self, name, mine[rows])


class StackTrainer:
    """Trains the cells of a stack on A.

    Parameters
    ----------
    A : (n, d) signed data y_n x_n.
    cells, plan : what differs between the cells, and what they share.
    A_test : (m, d) signed test data, or None.

    `advance` goes on to the next logged epoch or for some steps, `observer` holds what was logged, and
    `state_dict`/`load_state_dict` carry a run over a restart to the bit.
    """

    def __init__(self, A: Tensor, cells: Sequence[CellPlan], plan: StackPlan, A_test: Tensor | None = None):
        self.plan, self.cells = plan, list(cells)
        self.A = A.to(device=plan.device, dtype=plan.dtype).contiguous()
        self.blocks, self.members = self._build_blocks()
        self.epoch = 0
        self.ended: dict[int, str] = {}  # stack position -> "stopped", "diverged"
        K = len(self.cells)
        self.h = self.A.new_full((K,), plan.step.eta)
        self.gradient_sum = self.A.new_zeros(K, self.A.shape[1])  # A^Tλ of the certificate, λ = Σ_t λ_t
        self.mass = self.A.new_zeros(K)  # Σ_n λ_n
        self.now, self.before = _Pass(self.A, K), _Pass(self.A, K)
        self.margins = self.A.new_zeros(K, self.A.shape[0])
        self.observer = Observer(self.cells, plan, self.A, None if A_test is None else A_test.to(self.A))
        self.observer.start(self.blocks, self.members)
        self._pass_over_data()
        self._right_products()

    def _build_blocks(self) -> tuple[list[Block], list[list[int]]]:
        groups: dict[tuple, list[int]] = {}
        for position, cell in enumerate(self.cells):
            groups.setdefault((cell.potentials, cell.width if cell.depth > 1 else None), []).append(position)
        blocks = []
        for (potentials, width), members in groups.items():
            shapes = layer_shapes(len(potentials), width, self.A.shape[1])
            starts = [
                initial_weights(cell.seed, shapes, cell.init_scale, cell.init_distribution)
                for cell in (self.cells[position] for position in members)
            ]
            blocks.append(Block(potentials, [torch.stack(layer).to(self.A) for layer in zip(*starts)]))
        return blocks, list(groups.values())

    @property
    def alive(self) -> list[int]:
        """Stack positions in the order of the rows."""
        return [position for members in self.members for position in members]

    @property
    def done(self) -> bool:
        """True when every cell has ended or reached the last epoch."""
        return self.epoch >= self.plan.epochs or not self.members

    def _rows(self):
        start = 0
        for block in self.blocks:
            yield block, slice(start, start + block.size)
            start += block.size

    # ---- one step ---------------------------------------------------------------------------------------------
    def _pass_over_data(self) -> None:
        """w, margins, log R where the rule needs it, weights and g of every cell."""
        now, loss = self.now, self.plan.loss
        for block, rows in self._rows():
            block.end_to_end(now.w[rows])
        torch.mm(now.w, self.A.mT, out=self.margins)
        torch.amin(self.margins, dim=1, out=now.smallest)
        shift = losses.weight_shift(now.smallest, loss).unsqueeze(1)
        log_risk = None
        if self.plan.step.needs_risk and not losses.weights_tell_risk(shift, loss):
            log_risk = losses.log_risk(self.margins, loss)
        weights = losses.scaled_weights_(self.margins, shift, loss)
        torch.sum(weights, dim=1, out=now.weight_sum)
        torch.mm(weights, self.A, out=now.g)
        now.log_scale = shift.squeeze(1) + math.log(self.A.shape[0])
        if self.plan.step.needs_risk:
            now.log_risk = now.weight_sum.log() - now.log_scale if log_risk is None else log_risk

    def _right_products(self) -> None:
        for block, rows in self._rows():
            block.gradient(self.now.g[rows])

    def _step(self) -> None:
        rule = self.plan.step
        norm = torch.cat([block.gradient_norm() for block in self.blocks]) if rule.needs_norm else None
        coefficient = rule.coefficient(self.epoch + 1, norm, self.now.log_scale, self.now.log_risk, self.h)
        weight = coefficient * torch.cat([block.entry_scale() for block in self.blocks])
        for block, rows in self._rows():
            block.step(coefficient[rows], keep_old=rule.adapts)
        self.now, self.before = self.before, self.now
        self._pass_over_data()
        if rule.adapts:
            rejected = ~(
                self.now.log_risk < self.before.log_risk
            )  # a risk that is not finite is rejected too
            self.h = torch.where(rejected, ADAPTIVE_SHRINK * self.h, ADAPTIVE_GROWTH * self.h)
            weight = weight.masked_fill_(rejected, 0.0)
        # λ += s_t ‖W_L ⋯ W_2‖ v_t, the coefficient with which A^T v_t entered Z_1
        self.gradient_sum.addcmul_(weight.unsqueeze(1), self.before.g)
        self.mass.addcmul_(weight, self.before.weight_sum)
        if rule.adapts and bool(rejected.any()):
            self.now.put_back(rejected, self.before)
            for block, rows in self._rows():
                if bool(rejected[rows].any()):
                    block.undo(rejected[rows])
                    block.end_to_end(self.now.w[rows])
        self._right_products()

    # ---- the loop ---------------------------------------------------------------------------------------------
    def advance(self, max_steps: int | None = None) -> bool:
        """Train to the next logged epoch, log it, and return True; or stop after `max_steps` and return False."""
        target = next(epoch for epoch in self.plan.log_epochs if epoch > self.epoch)
        last = target if max_steps is None else min(target, self.epoch + max_steps)
        while self.epoch < last:
            self._step()
            self.epoch += 1
            if not bool(torch.isfinite(self.now.smallest).all()):
                self._end_diverged()
                if not self.members:
                    return True
        if self.epoch < target:
            return False
        index = self.plan.log_epochs.index(self.epoch)
        gaps = self.observer.record(
            index, self.blocks, self.members, self.now.w, self.gradient_sum, self.mass
        )
        if self.plan.stop_gap is not None:
            for position in self.alive:
                if position not in self.ended and gaps[position] <= self.plan.stop_gap:
                    self.ended[position] = "stopped"
                    self.observer.end(position, index)
            self._drop_ended()
        return True

    def _end_diverged(self) -> None:
        finite = torch.isfinite(self.now.smallest).tolist()
        for position, good in zip(self.alive, finite):
            if not good:
                self.ended[position] = "diverged"
                self.observer.diverged(position, self.epoch)
        self._drop_ended()

    def _drop_ended(self) -> None:
        """Ended cells leave the stack, unless they are the linear companion of one that trains on."""
        keep = [
            self.ended.get(position) != "diverged"
            and (position not in self.ended or any(f not in self.ended for f in self.cells[position].follows))
            for position in self.alive
        ]
        if all(keep):
            return
        row, blocks, members = 0, [], []
        for block, inside in zip(self.blocks, self.members):
            flags = keep[row : row + block.size]
            row += block.size
            if any(flags):
                block.keep(torch.tensor([i for i, flag in enumerate(flags) if flag], device=self.A.device))
                blocks.append(block)
                members.append([position for position, flag in zip(inside, flags) if flag])
        rows = torch.tensor(
            [i for i, flag in enumerate(keep) if flag], device=self.A.device, dtype=torch.long
        )
        self.blocks, self.members = blocks, members
        self.h, self.gradient_sum, self.mass = self.h[rows], self.gradient_sum[rows], self.mass[rows]
        self.now.keep(rows)
        self.before.keep(rows)
        self.margins = self.margins[: len(rows)].clone()
        for block, kept in self._rows():
            block.end_to_end(self.now.w[kept])
        self._right_products()

    # ---- restarts ---------------------------------------------------------------------------------------------
    def state_dict(self) -> dict:
        """Everything needed to go on to the bit."""
        return {
            "epoch": self.epoch, "ended": dict(self.ended), "members": self.members, "h": self.h,
            "gradient_sum": self.gradient_sum, "mass": self.mass, "pass": vars(self.now),
            "blocks": [block.state() for block in self.blocks], "observer": self.observer.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        """Inverse of `state_dict`, on a trainer made from the same A, cells and plan."""
        where = {position: block for block, inside in zip(self.blocks, self.members) for position in inside}
        self.blocks = [where[members[0]] for members in state["members"]]
        self.members = state["members"]
        self.epoch, self.ended = state["epoch"], dict(state["ended"])
        self.h, self.gradient_sum, self.mass = state["h"], state["gradient_sum"], state["mass"]
        for block, saved in zip(self.blocks, state["blocks"]):
            block.load(saved)
        self.now, self.before = _Pass(self.A, len(self.h)), _Pass(self.A, len(self.h))
        vars(self.now).update(state["pass"])
        self.margins = self.A.new_zeros(len(self.h), self.A.shape[0])
        self.observer.load_state_dict(state["observer"])
        w = self.now.w.clone()
        for block, rows in self._rows():
            block.end_to_end(w[rows])  # the left products; w itself is as saved
        self._right_products()
