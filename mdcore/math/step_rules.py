"""Step rules s_t of Z_l ← Z_l + s_t G_l, one scalar for all layers: per-layer scalars break the invariants.

Gradients come scaled, G = e^{−c} G̃, so that a risk of 1e-300 underflows nowhere; the rules return the coefficient
of G̃, s_t e^{−c}.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RULES = ("constant", "normalized", "adaptive", "loss_scaled")
ADAPTIVE_GROWTH, ADAPTIVE_SHRINK = 1.05, 0.5  # Lyu & Li 2020, appendix


@dataclass(frozen=True)
class StepRule:
    """constant s = η; normalized s_t = η t^{a−1} (1 − (t−1)/T)^c/N; adaptive s = h/N; loss_scaled s = η/R.

    N = (Σ_l ‖G_l‖_q^q)^{1/q} over all layers, R the risk, a = `decay`, t = 1, 2, …, T = `horizon`. c = `anneal` is 0
    unless given; c > 0 first takes long steps, which make the weights large, and then shortens them, which lets
    the oscillation of the entries near zero die out: what the last iterate needs for p > 2 (ours, measured).
    The adaptive rule starts at h = η, accepts a step only if log R falls, and then takes h ← 1.05 h, else h ← h/2
    (Lyu & Li 2020, appendix).
    """

    rule: str
    eta: float
    decay: float = 1.0
    anneal: float = 0.0
    horizon: int | None = None

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"step rule {self.rule!r}; expected one of {', '.join(RULES)}")
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ValueError(f"step eta = {self.eta}; expected a finite number > 0")
        if self.anneal and self.horizon is None:
            raise ValueError("step anneal needs the horizon T, the number of steps after which the step length is 0")

    @property
    def adapts(self) -> bool:
        """True where a step can be refused."""
        return self.rule == "adaptive"

    @property
    def needs_norm(self) -> bool:
        """True where s_t depends on N."""
        return self.rule in ("normalized", "adaptive")

    @property
    def needs_risk(self) -> bool:
        """True where s_t, or whether it is taken, depends on log R."""
        return self.rule in ("adaptive", "loss_scaled")

    def length(self, t: float | Tensor) -> float | Tensor:
        """η t^{a−1} (1 − (t−1)/T)^c of the normalised rule; t is a number, or a tensor where steps are queued."""
        eta = self.eta * t ** (self.decay - 1.0)
        if self.anneal:
            rest = 1.0 - (t - 1) / self.horizon
            eta = eta * (rest.clamp(min=0.0) if isinstance(rest, Tensor) else max(0.0, rest)) ** self.anneal
        return eta

    def coefficient(
        self, t: float | Tensor, norm: Tensor | None, log_scale: Tensor, log_risk: Tensor, h: Tensor
    ) -> Tensor:
        """s_t e^{−c} (K,) from N e^{c} (`norm`), c (`log_scale`), log R and the adaptive h, each (K,)."""
        if self.rule == "adaptive":
            return h / norm
        if self.rule == "normalized":
            return self.length(t) / norm
        if self.rule == "constant":
            return self.eta * torch.exp(-log_scale)
        return self.eta * torch.exp(-log_scale - log_risk)
