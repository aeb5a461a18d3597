"""Mirror descent as a torch optimiser: Z ← Z + s_t G, W ← (∇φ)^{-1}(Z), for any module.

The dual variable Z = ∇φ(W) is the state; it is taken from W once, at the first step, and never recomputed from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mdcore.math.metrics import p_norm
from mdcore.math.potentials import Potential, normalisation_exponent
from mdcore.math.step_rules import ADAPTIVE_GROWTH, ADAPTIVE_SHRINK, StepRule


class MirrorDescent(torch.optim.Optimizer):
    """Z_l ← Z_l + s_t G_l, G_l = −∂R/∂W_l; W_l ← (∇φ_l)^{-1}(Z_l); s_t by `StepRule`, one scalar for all layers.

    Parameters
    ----------
    params : iterable of tensors, or of parameter groups; layers in order, input layer first.
    potential : one `Potential` for all, or a sequence with one per parameter.
    eta, rule, decay, anneal, horizon : see `mdcore.math.step_rules.StepRule`.

    Rules adaptive and loss_scaled need `step(closure)` with a closure that computes the full-batch risk, calls
    backward and returns the risk. Raises ValueError for a missing closure or a wrong number of potentials.
    Sources: Nemirovski & Yudin 1983; Sun et al. 2022 (l_p potentials on separable data).
    """

    def __init__(
        self,
        params: Iterable,
        potential: Potential | Sequence[Potential],
        eta: float = 0.1,
        rule: str = "constant",
        decay: float = 1.0,
        anneal: float = 0.0,
        horizon: int | None = None,
    ):
        super().__init__(params, {"eta": eta})
        count = len(self._parameters())
        self.potentials = [potential] * count if isinstance(potential, Potential) else list(potential)
        if len(self.potentials) != count:
            raise ValueError(
                f"{len(self.potentials)} potentials for {count} parameters; give one, or one per parameter"
            )
        self.rule = StepRule(rule, eta, decay, anneal, horizon)
        self.q = normalisation_exponent(self.potentials)
        self.steps = 0
        self.h = float(eta)
        self._accepted: tuple[Tensor, list[Tensor]] | None = None  # adaptive: log R and G where the last step ended

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def dual(self, parameter: Tensor, potential: Potential) -> Tensor:
        """Z of a parameter; ∇φ(W) before the first step."""
        state = self.state[parameter]
        if "Z" not in state:
            state["Z"] = potential.mirror_map(parameter.detach())
        return state["Z"]

    def _evaluate(self, closure) -> tuple[Tensor, list[Tensor]]:
        with torch.enable_grad():
            risk = closure()
        return torch.as_tensor(risk).detach().log(), self._ascent()

    def _ascent(self) -> list[Tensor]:
        return [-p.grad.detach().clone() if p.grad is not None else torch.zeros_like(p) for p in self._parameters()]

    @torch.no_grad()
    def step(self, closure=None):
        """One step; returns the closure's risk where there is a closure (adaptive: of the accepted point)."""
        if self.rule.needs_risk and closure is None:
            raise ValueError(f"rule {self.rule.rule!r} needs step(closure): it depends on the risk")
        if self._accepted is not None:
            log_risk, ascent = self._accepted
        elif closure is not None:
            log_risk, ascent = self._evaluate(closure)
        else:
            log_risk, ascent = self._parameters()[0].new_tensor(math.nan), self._ascent()
        norm = None
        if self.rule.needs_norm:
            norm = p_norm(torch.stack([p_norm(g.flatten(), self.q) for g in ascent]), self.q)
        self.steps += 1
        coefficient = self.rule.coefficient(self.steps, norm, torch.zeros_like(log_risk), log_risk, self.h)
        old = []
        for parameter, phi, g in zip(self._parameters(), self.potentials, ascent):
            Z = self.dual(parameter, phi)
            old.append((Z, parameter.clone()))
            self.state[parameter]["Z"] = Z + coefficient * g
            parameter.copy_(phi.inverse_mirror_map(self.state[parameter]["Z"]))
        if self.rule.adapts:
            trial = self._evaluate(closure)
            if bool(trial[0] < log_risk):
                self.h *= ADAPTIVE_GROWTH
                self._accepted = trial
            else:
                self.h *= ADAPTIVE_SHRINK
                self._accepted = (log_risk, ascent)
                for parameter, (Z, weight) in zip(self._parameters(), old):
                    self.state[parameter]["Z"] = Z
                    parameter.copy_(weight)
            log_risk = self._accepted[0]
        return log_risk.exp() if closure is not None else None
