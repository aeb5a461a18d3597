"""Mirror descent as a torch optimizer: Z ← Z + s_t G, W ← (∇φ)^{-1}(Z), for the parameters of any module.

The dual variable Z = ∇φ(W) is the state; it is taken from W at the first step, and again only where somebody else has
changed W since.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack, cast

import torch
from torch import Tensor

from mdcore.math import potentials
from mdcore.math.metrics import p_norm
from mdcore.math.potentials import Potential, normalisation_exponent
from mdcore.math.step_rules import ADAPTIVE_GROWTH, ADAPTIVE_SHRINK, Moment, StepRule


class StepOptions(TypedDict, total=False):
    """What `StepRule` takes beside the rule and η."""

    decay: float
    anneal: float
    horizon: int | None


class MirrorDescent(torch.optim.Optimizer):
    """Z_l ← Z_l + s_t G_l, G_l = −∂R/∂W_l; W_l ← (∇φ_l)^{-1}(Z_l), for parameters W_l of any shape.

    Parameters
    ----------
    params : iterable of tensors, or of parameter groups. A group may have an `lr` and a `potential` of its own.
    potential : a potential as in grid files, "quadratic" or {"lp": {"p": 1.5}}, or a `Potential`; or a sequence with
        one for each parameter.
    lr : the step length η ≥ 0 of groups that name none; schedulers set it in `param_groups`, as for any optimizer.
    rule : "constant", "normalized", "adaptive" or "loss_scaled", see `mdcore.math.step_rules.StepRule`. The norm N of
        the gradient is taken over all groups. The adaptive rule itself changes `lr`.
    decay, anneal, horizon : of the normalised rule.

    `state_dict` holds Z of every parameter, and the number of steps and `lr` of every group: loaded into an optimizer
    made with the same arguments, it goes on to the bit. Rules adaptive and loss_scaled need `step(closure)`, where the
    closure computes the risk of all data, calls backward and returns the risk. Raises ValueError for a missing
    closure, an unknown potential, a wrong number of potentials, and an lr that is negative or not finite.
    Sources: Nemirovski & Yudin 1983; Sun et al. 2022 (l_p potentials on separable data).
    """

    def __init__(
        self,
        params: Iterable[Any],
        potential: str | Mapping[str, Any] | Potential | Sequence[Potential] = "quadratic",
        lr: float = 0.1,
        rule: str = "constant",
        **options: Unpack[StepOptions],
    ):
        self.rule = StepRule(rule, 1.0, **options)
        self.potentials: list[Potential] = []  # one a parameter, in the order of the groups
        several, given = isinstance(potential, Sequence) and not isinstance(potential, str), cast(Any, potential)
        self._default = "quadratic" if several else potentials.potential(given)
        super().__init__(params, {"lr": lr, "step": 0})
        if several:
            self._set_potentials(list(given))
        self._forget()

    def _set_potentials(self, given: list[Any]) -> None:
        count = len(self.potentials)
        if len(given) != count:
            raise ValueError(f"{len(given)} potentials for {count} parameters; give one, or one per parameter")
        self.potentials = [potentials.potential(each) for each in given]
        self.q = normalisation_exponent(self.potentials)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with an `lr` and a `potential` of their own where the group names them."""
        group = dict(param_group)
        chosen = potentials.potential(group.pop("potential", self._default))
        lr = float(group.get("lr", self.defaults["lr"]))
        if not 0 <= lr < math.inf:
            raise ValueError(f"lr: got {lr}; expected a finite number ≥ 0")
        group.setdefault("step", self.steps)
        super().add_param_group(group)
        self.potentials += [chosen] * len(self.param_groups[-1]["params"])
        self.q = normalisation_exponent(self.potentials)

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return int(self.param_groups[0]["step"]) if self.param_groups else 0

    def __getstate__(self) -> dict[str, Any]:
        names = ("rule", "potentials", "q", "_default")
        return dict(super().__getstate__()) | {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        self._seen: dict[Tensor, int] = {}  # a parameter's version when this optimizer last wrote it
        # adaptive: what the closure gave where the last step ended
        self._accepted: tuple[Any, Tensor, list[Tensor | None]] | None = None

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def dual(self, parameter: Tensor, phi: Potential) -> Tensor:
        """Z of a parameter; ∇φ(W) before the first step, and where W is no longer what Z says."""
        state = self.state[parameter]
        changed = self._seen.get(parameter) != parameter._version
        if "dual" not in state or (changed and not torch.equal(phi.inverse_mirror_map(state["dual"]), parameter)):
            state["dual"] = phi.mirror_map(parameter.detach())
        Z: Tensor = state["dual"]
        return Z

    def _write(self, parameter: Tensor, Z: Tensor, W: Tensor) -> None:
        self.state[parameter]["dual"] = Z
        parameter.copy_(W)
        self._seen[parameter] = parameter._version

    def _evaluate(self, closure: Callable[[], Any] | None) -> tuple[Any, Tensor, list[Tensor | None]]:
        """(what the closure returned, log R, the −gradients); a parameter without a gradient has None."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        parameters = self._parameters()
        risk = parameters[0].new_tensor(math.nan) if value is None else torch.as_tensor(value).detach()
        return value, risk.log(), [None if p.grad is None else -p.grad.detach() for p in parameters]

    def _lengths(self, log_risk: Tensor, ascent: list[Tensor | None]) -> list[Tensor]:
        """s_t, one for each parameter: of its group."""
        norm = torch.full_like(log_risk, math.nan)
        if self.rule.needs_norm:
            sizes = [p_norm(g.flatten(), self.q).to(log_risk) for g in ascent if g is not None]
            norm = p_norm(torch.stack(sizes), self.q) if sizes else torch.zeros_like(log_risk)
        lengths = []
        for group in self.param_groups:
            lr, s = float(group["lr"]), torch.zeros_like(log_risk)
            if lr > 0 and (norm > 0 or not self.rule.needs_norm):
                s = replace(self.rule, eta=lr).coefficient(Moment(group["step"], norm, s, log_risk, lr))
            lengths += [s] * len(group["params"])
        return lengths

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure returned, if there is one (adaptive: at the accepted point)."""
        if self.rule.needs_risk and closure is None:
            raise ValueError(f"rule {self.rule.rule!r} needs step(closure): it depends on the risk")
        parameters = self._parameters()
        known = self._accepted is not None and all(self._seen.get(p, p._version) == p._version for p in parameters)
        now = self._accepted if known and self._accepted else self._evaluate(closure)
        value, log_risk, ascent = now
        for group in self.param_groups:
            group["step"] += 1
        old = []
        for parameter, phi, g, s in zip(parameters, self.potentials, ascent, self._lengths(log_risk, ascent)):
            if g is not None:
                Z = self.dual(parameter, phi)
                old.append((parameter, Z, parameter.clone()))
                after = Z + s.to(Z.device) * g
                self._write(parameter, after, phi.inverse_mirror_map(after))
        if not self.rule.adapts:
            return value
        trial = self._evaluate(closure)
        accepted = bool(trial[1] < log_risk)
        for group in self.param_groups:
            group["lr"] *= ADAPTIVE_GROWTH if accepted else ADAPTIVE_SHRINK
        if not accepted:
            for before in old:
                self._write(*before)
        self._accepted = trial if accepted else now
        return self._accepted[0]
