"""What is logged of a stack while it trains: metrics of the predictors and of the layers, and the certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mdcore.math import losses, metrics
from mdcore.math.certificate import Certificates
from mdcore.math.engine.block import Block
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.potentials import Potential

LOGGED = (
    "loss", "log_inverse_loss", "train_accuracy", "test_accuracy", "weight_norm", "margin_l2", "margin_lp", "gap",
    "gamma_bound", "flow_time", "log_flow_time", "norm_balance", "norm_balance_frobenius", "balance_drift",
    "layer_alignment", "stable_rank", "participation",
)  # fmt: skip
MOST_LAYERS = 16_000_000  # bytes of the layers of a stack, kept for looking at them; above, none are


class Observer:
    """Logged values of the K cells of a stack at its T logged epochs, NaN where a cell was not logged.

    `values[name]` is (K, T), `predictors` (K, T, d). `last` (K,) is the index of a cell's last row; -1: none.
    `layers` holds W_1 … W_L at that row, flat in float64, by stack position; {} unless `keeps_layers`: all of them,
    `layer_bytes`, are at most MOST_LAYERS.
    """

    def __init__(self, cells: Sequence[CellPlan], plan: StackPlan, A: Tensor, A_test: Tensor | None):
        self.cells, self.plan = list(cells), plan
        self.A, self.A_test = A.double(), None if A_test is None else A_test.double()
        K, T, d = len(self.cells), len(plan.log_epochs), A.shape[1]
        self.values = {name: torch.full((K, T), math.nan, dtype=torch.float64) for name in LOGGED}
        self.predictors = torch.full((K, T, d), math.nan, dtype=torch.float64)
        self.certificates = None
        if plan.separable:
            ps = [cell.limit_p for cell in self.cells]
            self.certificates = Certificates(ps, self.A, plan.loss, plan.dtype, plan.log_epochs)
        self.last = torch.full((K,), -1, dtype=torch.long)
        self.closed = torch.zeros(K, dtype=torch.bool)  # ended by certificate; still trained where it is a companion
        self.diverged_at: dict[int, int] = {}
        self.invariants: dict[int, Tensor] = {}
        self.layers: dict[int, Tensor] = {}

    def start(self, blocks: Sequence[Block], members: Sequence[Sequence[int]]) -> None:
        """Keep the invariants of the initial layers, which `balance_drift` compares with."""
        self.layer_bytes = 8 * sum(block.w.flat.numel() for block in blocks)
        self.keeps_layers = self.layer_bytes <= MOST_LAYERS
        for block, inside in zip(blocks, members):
            for segment in block.segments if block.depth > 1 else ():
                Z = [z[segment.rows] for z in block.Z]
                self.invariants.update(zip(inside[segment.rows], metrics.balance_invariants(segment.potentials, Z)))

    def record(
        self, index: int, blocks: Sequence[Block], members: Sequence[Sequence[int]], w: Tensor,
        summed: tuple[Tensor, Tensor, Tensor],
    ) -> list[float]:  # fmt: skip
        """Log epoch number `index` of all live cells; returns the certified gap of every stack position.

        w (k, d): their predictors. summed: (A^Tλ, Σλ) of the steps since the last logged epoch, and log Σ_t s_t.
        """
        positions = torch.tensor([position for inside in members for position in inside])
        w = w.double()
        z, mass, log_flow_time = summed
        margins = w @ self.A.mT
        log_risk = losses.log_risk(margins, self.plan.loss)
        row = {
            "loss": log_risk.exp(),
            "log_inverse_loss": -log_risk,
            "train_accuracy": (margins > 0).to(w).mean(dim=1),
            "weight_norm": metrics.p_norm(w, 2.0),
            "flow_time": log_flow_time.exp(),
            "log_flow_time": log_flow_time,
        }
        if self.A_test is not None and len(self.A_test):
            row["test_accuracy"] = (w @ self.A_test.mT > 0).to(w).mean(dim=1)
        if self.certificates is not None:
            row["margin_l2"] = margins.amin(dim=1) / row["weight_norm"]
            self.certificates.add(index, positions, z, mass)
            row |= self.certificates.certify(positions, w, margins)
        for name, values in row.items():
            self.values[name][positions, index] = values.cpu()
        self.predictors[positions, index] = w.cpu()
        self._layers(index, blocks, members)
        self.last[positions[~self.closed[positions]]] = index
        return self.values["gap"][:, index].tolist()

    def _layers(self, index: int, blocks: Sequence[Block], members: Sequence[Sequence[int]]) -> None:
        for block, inside in zip(blocks, members):
            for segment in block.segments:
                Z, W = ([layer[segment.rows] for layer in layers] for layers in (block.Z, block.W))
                row = self._layer_metrics(segment.potentials, Z, W, inside[segment.rows])
                for name, values in row.items():
                    self.values[name][inside[segment.rows], index] = values.double().cpu()
            if self.keeps_layers:
                flat, alive = block.w.flat.cpu(), [(r, p) for r, p in enumerate(inside) if not self.closed[p]]
                self.layers.update({p: flat[r].to(torch.float64, copy=True) for r, p in alive})

    def _layer_metrics(
        self, potentials: Sequence[Potential], Z: list[Tensor], W: list[Tensor], positions: Sequence[int]
    ) -> dict[str, Tensor]:
        alignment, stable_rank = metrics.alignment_and_stable_rank(W)
        one = torch.ones_like(alignment)
        row = {
            "norm_balance": one,
            "norm_balance_frobenius": one,
            "balance_drift": torch.zeros_like(one),
            "layer_alignment": alignment,
            "stable_rank": stable_rank,
            "participation": metrics.participation(W, potentials[0].limit_p or 2.0),
        }
        if len(W) > 1:
            per_layer = metrics.layer_potentials(potentials, Z)
            start = torch.stack([self.invariants[position] for position in positions])
            moved = (metrics.balance_invariants(potentials, Z) - start).abs().amax(dim=(-2, -1))
            frobenius = torch.stack([metrics.p_norm(layer.flatten(1), 2.0) for layer in W], dim=-1)
            row["norm_balance"] = metrics.max_over_min(per_layer)
            row["norm_balance_frobenius"] = metrics.max_over_min(frobenius)
            row["balance_drift"] = moved / per_layer.sum(dim=-1)
        return row

    def end(self, position: int, index: int) -> None:
        """The cell's history ends with row `index`, though it may be trained on as a companion."""
        self.closed[position], self.last[position] = True, index

    def diverged(self, position: int, epoch: int) -> None:
        """The cell met its first non-finite value at `epoch`."""
        self.closed[position] = True
        self.diverged_at[position] = epoch

    def state_dict(self) -> dict[str, Any]:
        """Everything logged so far."""
        names = ("values", "predictors", "last", "closed", "diverged_at", "invariants", "layers")
        state = {name: getattr(self, name) for name in names}
        return state | {"certificates": self.certificates.state_dict() if self.certificates else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        certificates = state["certificates"]
        vars(self).update({name: value for name, value in state.items() if name != "certificates"})
        if self.certificates is not None:
            self.certificates.load_state_dict(certificates)
