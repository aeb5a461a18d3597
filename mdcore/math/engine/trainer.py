"""Training of a stack: cells that share one data set, trained together in one pass over it.

    M = w A^T        margins of all cells, one matrix product          (K, n)
    V = −ℓ'(M)       sample weights, scaled by e^{c} in every cell     (K, n)
    g = V A          n e^{c} (−∂R/∂w), the second matrix product       (K, d)
    Z_l += s_t b_l^T a_l^T,  W_l = (∇φ_l)^{-1}(Z_l)                     see block.py

Rows never mix, so a cell that diverges harms no other, and cells leave when they end.

A naive twin, autograd with `MirrorDescent`, stands in the tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mdcore.math.engine.block import Block
from mdcore.math.engine.cuda_graph import CapturedSteps
from mdcore.math.engine.data_pass import DataPass, Pass
from mdcore.math.engine.loops import is_asynchronous, loops_for
from mdcore.math.engine.observer import Observer
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.models import initial_weights, layer_shapes
from mdcore.math.step_rules import ADAPTIVE_GROWTH, ADAPTIVE_SHRINK, Moment


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

    PER_CELL = ("h", "gradient_sum", "mass", "log_flow_time")  # tensors with a row a live cell

    def __init__(self, A: Tensor, cells: Sequence[CellPlan], plan: StackPlan, A_test: Tensor | None = None):
        self.plan, self.cells = plan, list(cells)
        self.A = A.to(device=plan.device, dtype=plan.dtype).contiguous()
        self.loops = loops_for(self.A)
        self.blocks, self.members = self._build_blocks()
        self._number_rows()
        self.epoch = 0
        self.ended: dict[int, str] = {}  # stack position -> "stopped", "diverged"
        K = len(self.cells)
        self.h = self.A.new_full((K,), plan.step.eta)
        # A^Tλ of the certificate, λ = Σ_t λ_t, and Σ_n λ_n since the last logged epoch; log Σ_t s_t since the start
        self.gradient_sum = self.A.new_zeros(K, self.A.shape[1], dtype=torch.float64)
        self.mass = self.A.new_zeros(K, dtype=torch.float64)
        self.log_flow_time = torch.full_like(self.mass, -torch.inf)
        self.now, self.before = (Pass(self.A, K, self.loops.view) for _ in range(2))
        self.data_pass = DataPass(self.A, plan.loss, active=plan.separable and plan.active_set)
        where: dict[str, Any] = {"device": plan.device, "dtype": torch.float64}
        self.observer = Observer(self.cells, plan, A.to(**where), None if A_test is None else A_test.to(**where))
        self.observer.start(self.blocks, self.members)
        self._end_to_end()
        self.data_pass.first(self.now, plan.step.needs_risk)
        self._right_products()
        self._prepare()

    def _build_blocks(self) -> tuple[list[Block], list[list[int]]]:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for position, cell in enumerate(self.cells):
            groups.setdefault((cell.depth, cell.width if cell.depth > 1 else None), []).append(position)
        blocks = []
        for (depth, width), members in groups.items():
            alike = list(dict.fromkeys(self.cells[position].potentials for position in members))
            members.sort(key=lambda position: alike.index(self.cells[position].potentials))
            shapes = layer_shapes(depth, width, self.A.shape[1])
            starts = [
                cell.start or initial_weights(cell.seed, shapes, cell.init_scale, cell.init_distribution)
                for cell in (self.cells[position] for position in members)
            ]
            weights = [torch.stack(layer).to(self.A) for layer in zip(*starts)]
            blocks.append(Block([self.cells[position].potentials for position in members], weights))
        return blocks, list(groups.values())

    @property
    def alive(self) -> list[int]:
        """Stack positions in the order of the rows."""
        return [position for members in self.members for position in members]

    @property
    def done(self) -> bool:
        """True when every cell has ended or reached the last epoch."""
        return self.epoch >= self.plan.epochs or not self.members

    def _number_rows(self) -> None:
        """`rows`: every block with its rows of the stack."""
        ends = list(itertools.accumulate((block.size for block in self.blocks), initial=0))
        self.rows = [(block, slice(*ends[i : i + 2])) for i, block in enumerate(self.blocks)]

    def _prepare(self) -> None:
        """Whenever the cells have changed: their numbers as the loops take them; on a GPU, steps are captured anew."""
        view = self.loops.view
        sums = {name: view(getattr(self, name)) for name in self.PER_CELL}
        self.memory = SimpleNamespace(scale=view(torch.empty_like(self.h)), **sums)
        self.captured = None
        if is_asynchronous(self.A) and self.members:
            potentials = (
                phi for block in self.blocks for layer_potentials in block.potentials for phi in layer_potentials
            )
            self.captured = CapturedSteps(self._step, lambda: self.now, self.epoch, potentials)

    # ---- one step ---------------------------------------------------------------------------------------------
    def _end_to_end(self) -> None:
        for block, rows in self.rows:
            block.end_to_end(self.now.memory.w[rows])

    def _right_products(self) -> None:
        for block, rows in self.rows:
            block.gradient(self.now.memory.g[rows])

    def _step(self, t: int | Tensor) -> None:
        """Step number t = 1, 2, …; a tensor on a GPU, where nothing may be read back."""
        rule, view, memory = self.plan.step, self.loops.view, self.memory
        adapts, needs_norm, needs_risk = rule.adapts, rule.needs_norm, rule.needs_risk
        norm = torch.empty_like(self.h)  # a new one: a rule of the user's own may keep it
        norms = view(norm)
        for block, rows in self.rows:
            block.entry_scale(memory.scale[rows])
            if needs_norm:
                block.gradient_norm(norms[rows])
        coefficient = rule.coefficient(Moment(t, norm, self.now.log_scale, self.now.log_risk, self.h))
        lengths = view(coefficient)
        self.now, self.before = self.before, self.now
        for block, rows in self.rows:
            block.step(lengths[rows], self.now.memory.w[rows], keep_old=adapts)
        self.data_pass(self.now, needs_risk)
        if adapts:
            rejected = ~(self.now.log_risk < self.before.log_risk)  # a risk that is not finite is rejected too
            torch.where(rejected, ADAPTIVE_SHRINK * self.h, ADAPTIVE_GROWTH * self.h, out=self.h)
            coefficient.masked_fill_(rejected, 0.0)
        # λ += s_t ‖W_L ⋯ W_2‖ v_t, the coefficient with which A^T v_t entered Z_1
        sums = memory.gradient_sum, memory.mass, memory.log_flow_time
        self.loops.accumulate(lengths * memory.scale, lengths, self.before.memory, *sums)
        if adapts and (self.captured or bool(rejected.any())):
            self.now.put_back(rejected, self.before)
            for block, rows in self.rows:
                block.undo(view(rejected)[rows], self.now.memory.w[rows])
        self._right_products()

    def _steps(self, most: int) -> dict[int, int]:
        """At least one step, at most `most`: {row of a cell that is not finite any more: the epoch that showed it}."""
        if self.captured:
            steps, finite = self.captured.take(most)
            self.epoch += steps
            return {row: self.epoch - steps + count + 1 for row, count in enumerate(finite) if count < steps}
        self.epoch += 1
        self._step(self.epoch)
        if self.loops.all_finite(self.now.memory.smallest):
            return {}
        return {row: self.epoch for row, least in enumerate(self.now.smallest.tolist()) if not math.isfinite(least)}

    # ---- the loop ---------------------------------------------------------------------------------------------
    def advance(self, max_steps: int | None = None) -> bool:
        """Train to the next logged epoch, log it, and return True; or stop after `max_steps` and return False."""
        target = next(epoch for epoch in self.plan.log_epochs if epoch > self.epoch)
        last = target if max_steps is None else min(target, self.epoch + max_steps)
        while self.epoch < last:
            if diverged := self._steps(last - self.epoch):
                self._end_diverged(diverged)
                if not self.members:
                    return True
        if self.epoch < target:
            return False
        index = self.plan.log_epochs.index(self.epoch)
        summed = self.gradient_sum, self.mass, self.log_flow_time
        gaps = self.observer.record(index, self.blocks, self.members, self.now.w, summed)
        self.gradient_sum.zero_()
        self.mass.zero_()
        if self.plan.stop_gap is not None:
            for position in self.alive:
                if position not in self.ended and gaps[position] <= self.plan.stop_gap:
                    self.ended[position] = "stopped"
                    self.observer.end(position, index)
            self._drop_ended()
        return True

    def _end_diverged(self, diverged: dict[int, int]) -> None:
        alive = self.alive
        for row, epoch in diverged.items():
            self.ended[alive[row]] = "diverged"
            self.observer.diverged(alive[row], epoch)
        self._drop_ended()

    def _drop_ended(self) -> None:
        """Ended cells leave the stack, unless they are the linear companion of one that trains on."""
        keep = [
            self.ended.get(position) != "diverged"
            and (position not in self.ended or any(f not in self.ended for f in self.cells[position].companion_of))
            for position in self.alive
        ]
        if all(keep):
            return
        row, blocks, members = 0, [], []
        for block, inside in zip(self.blocks, self.members):
            flags = keep[row : row + block.size]
            row += block.size
            if any(flags):
                block.keep([i for i, flag in enumerate(flags) if flag])
                blocks.append(block)
                members.append([position for position, flag in zip(inside, flags) if flag])
        rows = torch.tensor([i for i, flag in enumerate(keep) if flag], device=self.A.device, dtype=torch.long)
        self.blocks, self.members = blocks, members
        self._number_rows()
        for name in self.PER_CELL:
            setattr(self, name, getattr(self, name)[rows])
        self.now.keep(rows)
        self.before.keep(rows)
        self.data_pass.forget()
        self._end_to_end()
        self._right_products()
        self._prepare()

    # ---- restarts ---------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on to the bit."""
        return {
            **{name: getattr(self, name) for name in self.PER_CELL},
            "epoch": self.epoch, "ended": dict(self.ended), "members": self.members, "pass": self.now.tensors(),
            "blocks": [block.state() for block in self.blocks], "observer": self.observer.state_dict(),
            "data_pass": self.data_pass.state(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`, on a trainer made from the same A, cells and plan; the state may lie on the CPU."""
        where = {position: number for number, inside in enumerate(self.members) for position in inside}
        numbers = [where[members[0]] for members in state["members"]]
        for number, members, saved in zip(numbers, state["members"], state["blocks"]):
            self.blocks[number].load(saved, [self.members[number].index(position) for position in members])
        self.blocks = [self.blocks[number] for number in numbers]
        self.members = state["members"]
        self._number_rows()
        self.epoch, self.ended = state["epoch"], dict(state["ended"])
        for name in self.PER_CELL:
            setattr(self, name, state[name].to(self.A.device))
        self.now, self.before = (Pass(self.A, len(self.h), self.loops.view) for _ in range(2))
        self.now.load(state["pass"])
        self.data_pass.load(state["data_pass"])
        self.observer.load_state_dict(state["observer"])
        self._right_products()
        self._prepare()
