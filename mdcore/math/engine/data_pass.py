"""One pass over the data for all cells of a stack: margins, weights and g = A^T v, cache block by cache block.

A block of points is read once: its margins, its weights and its part of g are computed while it is in the cache. The
scale e^{c} of the sums follows the smallest margin seen so far, and what has been summed is rescaled when that falls
(as an online softmax; Milakov & Gimelshein 2018), so nothing overflows and no block is read twice.
Late in training most points weigh less than the rounding of the sum; the active set leaves them out while a bound
proves that they still do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mdcore.math import losses
from mdcore.math.engine import torch_loops
from mdcore.math.engine.loops import is_asynchronous, loops_for

BLOCK_BYTES = 1664 * 1024  # of A a block: stays in the cache between its two products; measured by `make bench`
# d up to which products column by column are the fastest, and from which on those point by point; between, a BLAS.
FEW_COLUMNS, LEAST_COLUMNS = 8, 16  # measured
SHORTEST_WAIT, LONGEST_WAIT = 64, 512  # steps between two attempts at an active set
SHORT_LIFE, FULL_LIFE = 32, 256  # passes: a set that lasts less gets more room next time; none lasts longer
LEAST_ROOM, MOST_ROOM = 0.02, 1.0  # an active set takes the margins up to (1 + room) times the smallest


class Pass:
    """What a pass leaves, a row a live cell: w and g (K, d); c + log n, log R, Σ_n of the weights, min m (K,).

    g and the weights are those of the risk, scaled by n e^{c}. `memory` holds them as the loops take them.
    """

    NAMES = ("w", "g", "log_scale", "log_risk", "weight_sum", "smallest")
    w: Tensor
    g: Tensor
    log_scale: Tensor
    log_risk: Tensor
    weight_sum: Tensor
    smallest: Tensor

    def __init__(self, like: Tensor, cells: int, view: Callable[[Tensor], Any]):
        d = like.shape[1]
        self.view = view
        self._hold({name: like.new_zeros((cells, d) if name in ("w", "g") else cells) for name in self.NAMES})

    def _hold(self, tensors: dict[str, Tensor]) -> None:
        vars(self).update(tensors)
        self.memory = SimpleNamespace(**{name: self.view(tensor) for name, tensor in tensors.items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {name: getattr(self, name) for name in self.NAMES}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        self._hold({name: tensors[name].to(self.w) for name in self.NAMES})

    def put_back(self, rows: Tensor, other: Pass) -> None:
        """Overwrite `rows` (K,), a mask, by those of `other`."""
        for name, mine in self.tensors().items():
            mask = rows.unsqueeze(1) if mine.dim() == 2 else rows
            torch.where(mask, getattr(other, name), mine, out=mine)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but `rows`."""
        self._hold({name: mine[rows] for name, mine in self.tensors().items()})


@dataclass
class ActiveSet:
    """Points that may weigh something, and what proves that the others do not.

    With unit vectors u = w_0/‖w_0‖ of the cells where the set was chosen and w = βu + r, r ⟂ u, an excluded point has
    margin ≥ β μ − X‖r‖, where μ (K,) is the smallest excluded margin of u and X the largest excluded ‖x_n‖.
    """

    points: Tensor  # (m,) indices
    direction: Tensor  # u, (K, d)
    excluded_margin: Tensor  # μ, (K,)
    excluded_norm: float  # X

    def holds(self, now: Pass, slack: float, loops: ModuleType) -> bool:
        """True where every excluded point's margin exceeds min m by at least `slack`, in every finite cell."""
        u, least = loops.view(self.direction), loops.view(self.excluded_margin)
        return bool(loops.still_below_rounding(now.memory.w, u, least, self.excluded_norm, now.memory.smallest, slack))


def products_for(loops: ModuleType, d: int) -> ModuleType:
    """The module whose functions are the fastest products with points of d columns, beside these `loops`."""
    if loops is torch_loops or FEW_COLUMNS < d < LEAST_COLUMNS:
        return torch_loops
    from mdcore.math.engine.compiled import few_columns  # here: as in loops_for

    return few_columns if d <= FEW_COLUMNS else loops


class DataPass:
    """Passes over A (n, d) for cells w (K, d), of loss `loss`.

    `active` allows leaving points out; the numbers then differ from the full sum by less than its rounding.
    """

    def __init__(self, A: Tensor, loss: str, active: bool = True):
        self.A, self.loss = A, loss
        self.n = A.shape[0]
        self.is_asynchronous = is_asynchronous(A)
        self.may_be_active = active and self.n > 64 and not self.is_asynchronous
        self.slack = math.log(self.n) - math.log(torch.finfo(A.dtype).eps / 2)
        self.loops = loops_for(A)
        self.products = products_for(self.loops, A.shape[1])
        self.weigh_points = getattr(self.products, "weigh_points", None)  # margins, weights and their sum, cell by cell
        self.norms = torch.linalg.vector_norm(A, dim=1)
        self.blocks = self._cache_blocks(A)
        self.buffer = A.new_zeros(0)
        self.rooms: dict[tuple[int, int], tuple[Tensor, Any, Any]] = {}  # parts of the buffer, by their shapes
        self.early = loss == "logistic"  # some margin was ≤ 40 in the last full pass: log R needs the losses
        self.passes_saved = 0  # passes that went over the active set only
        self.room = 0.3
        self.forget()

    def forget(self) -> None:
        """Take every point again, as after a change of the cells."""
        self.active: ActiveSet | None = None
        self.active_blocks: list[tuple[int, Any]] = []
        self.rooms.clear()
        self.life = 0  # passes of the present set
        self.wait = self.patience = SHORTEST_WAIT  # steps to the next attempt at an active set, and after a vain one

    def first(self, now: Pass, needs_risk: bool) -> None:
        """Fill `now` from now.w with a pass over every point."""
        if self.is_asynchronous:  # cell by cell, the sweep itself sees which sum is needed
            self._sweep(self.blocks, now, by_loss=needs_risk and self.loss == "logistic")
            return
        by_loss = needs_risk and self.early
        self._sweep(self.blocks, now, by_loss)
        if needs_risk:
            self.early = self._is_early(now)
            if self.early and not by_loss:
                self._sweep(self.blocks, now, by_loss=True)

    def __call__(self, now: Pass, needs_risk: bool) -> None:
        """Fill `now` from now.w, with a pass over the active set where there is one and its bound holds."""
        if self.active is not None:
            self._sweep(self.active_blocks, now, by_loss=False)
            if not self._is_early(now) and self.active.holds(now, self.slack, self.loops):
                self.passes_saved += 1
                self.life += 1
                if self.life == FULL_LIFE:
                    self._retire()
                return
            self._retire()
        self.first(now, needs_risk)
        self._consider_active_set(now)

    def _retire(self) -> None:
        """Give the set up. Room is a matter of measurement: little leaves out more points, much lasts longer."""
        self.active, self.wait = None, 0
        if self.life >= SHORT_LIFE:
            self.room, self.patience = max(0.7 * self.room, LEAST_ROOM), SHORTEST_WAIT
        elif self.room < MOST_ROOM:
            self.room = min(1.5 * self.room, MOST_ROOM)
        else:
            self._be_patient()  # choosing it cost more than it saved, and no other would last

    def _be_patient(self) -> None:
        """Wait for the next attempt twice as long as before this vain one."""
        self.wait, self.patience = self.patience, min(2 * self.patience, LONGEST_WAIT)

    def _is_early(self, now: Pass) -> bool:
        """Whether log R needs the losses: above margins of 40 they are the weights, to rounding."""
        return self.loss == "logistic" and not bool((now.smallest > losses.LOGISTIC_IS_EXPONENTIAL).all())

    def _sweep(self, blocks: list[tuple[int, Any]], now: Pass, by_loss: bool) -> None:
        of, view = now.memory, self.products.view
        w, g = (of.w, of.g) if view is self.loops.view else (view(now.w), view(now.g))
        logistic = self.loss == "logistic"
        loss_sum: Any = 0.0  # a tensor from the first block on
        self.loops.begin(of.smallest, of.weight_sum, of.g)
        for size, points in blocks:
            margins, values, memory = self._workspace(len(w), size)
            if self.weigh_points and not by_loss:
                self.weigh_points(w, points, values, of.smallest, of.weight_sum, of.g, logistic)
                continue
            self.products.margins(w, points, values)
            if by_loss:
                loss_sum = loss_sum + losses.logistic_sum(margins)
            self.loops.weigh(memory, of.smallest, of.weight_sum, of.g, logistic)
            self.products.add_weighted_points(values, points, g)  # the weights are where the margins were
        torch.log(now.weight_sum, out=now.log_risk)
        self.loops.finish(of.smallest, self.n, logistic, of.log_scale, of.log_risk)
        if by_loss:
            late = now.smallest > losses.LOGISTIC_IS_EXPONENTIAL
            torch.where(late, now.log_risk, loss_sum.log() - math.log(self.n), out=now.log_risk)

    def _workspace(self, cells: int, points: int) -> tuple[Tensor, Any, Any]:
        """Room for margins (K, n): the tensor, and its memory as the products and as the other loops take it."""
        if (cells, points) not in self.rooms:
            if self.buffer.numel() < cells * points:
                self.buffer = self.A.new_zeros(cells * points)
                self.rooms.clear()
            room = self.buffer[: cells * points].view(cells, points)
            self.rooms[cells, points] = room, self.products.view(room), self.loops.view(room)
        return self.rooms[cells, points]

    def _consider_active_set(self, now: Pass) -> None:
        """Choose an active set now and then; one that would not halve the work is not kept."""
        if not self.may_be_active:
            return
        self.wait -= 1
        if self.wait > 0:
            return
        length = torch.linalg.vector_norm(now.w, dim=1, keepdim=True)
        direction = now.w / length
        margins = self.A.new_empty(len(direction), self.n)  # of the unit vectors
        w, out = map(self.products.view, (direction, margins))
        self.products.margins(w, self.products.laid_out(self.A), out)
        least = now.smallest.unsqueeze(1) / length
        taken = (margins <= (1.0 + self.room) * least + 2.0 * self.slack / length).any(dim=0)
        late = bool((now.smallest > losses.LOGISTIC_IS_EXPONENTIAL).all()) and bool(torch.isfinite(length).all())
        if late and 2 * int(taken.sum()) <= self.n:
            left_out = ~taken
            self._use(ActiveSet(
                points=taken.nonzero().squeeze(1),
                direction=direction,
                excluded_margin=margins[:, left_out].amin(dim=1),
                excluded_norm=float(self.norms[left_out].max()),
            ))  # fmt: skip
        else:
            self._be_patient()

    def _use(self, active: ActiveSet) -> None:
        self.active, self.life = active, 0
        self.rooms.clear()
        self.active_blocks = self._cache_blocks(self.A[active.points])

    def state(self) -> dict[str, Any]:
        """Everything `load` needs to go on to the bit: which points are summed decides the rounding."""
        active = None if self.active is None else vars(self.active)
        return {
            "active": active, "wait": self.wait, "patience": self.patience, "room": self.room, "life": self.life,
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.forget()
        self.wait, self.patience = state["wait"], state["patience"]
        if state["active"] is not None:
            where = self.A.device
            parts: dict[str, Any] = {k: v.to(where) if isinstance(v, Tensor) else v for k, v in state["active"].items()}
            self._use(ActiveSet(**parts))
        self.room, self.life = state["room"], state["life"]

    def _cache_blocks(self, A: Tensor) -> list[tuple[int, Any]]:
        """A cut into equal blocks of rows that fit the cache, (n, rows as the products take them); one on a GPU."""
        rows = len(A) if self.is_asynchronous else max(64, BLOCK_BYTES // (A.shape[1] * A.element_size()))
        parts = A.tensor_split(max(1, math.ceil(A.shape[0] / rows)))
        return [(len(part), self.products.laid_out(part)) for part in parts]
