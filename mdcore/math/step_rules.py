"""Step rules s_t of Z_l ← Z_l + s_t G_l, one scalar for all layers: per-layer scalars break the invariants.

Gradients come scaled, G = e^{−c} G̃, so that a risk of 1e-300 underflows nowhere; the rules return the coefficient
of G̃, s_t e^{−c}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mdcore.math.parameters import REQUIRED, Number, one_of
from mdcore.math.torch_later import torch

if TYPE_CHECKING:
    from torch import Tensor

ADAPTIVE_GROWTH, ADAPTIVE_SHRINK = 1.05, 0.5  # Lyu & Li 2020, appendix
ETA = Number(above=0, most=1e12, default=1.0, symbol="η")


@dataclass(frozen=True)
class Moment:
    """What s_t may depend on: the step's number t = 1, 2, …; N e^{c} (`norm`), c (`log_scale`), log R, the adaptive h.

    Each is (K,), a value a cell; t is a number, or a tensor where steps are queued.
    """

    t: float | Tensor
    norm: Tensor
    log_scale: Tensor
    log_risk: Tensor
    h: float | Tensor


class Rule:
    """What a rule is: its key in grid files, its parameters, what its s_t depends on, and s_t itself."""

    name: str = ""
    parameters: Mapping[str, Number] = {"eta": ETA}
    deepest: int | None = None  # the largest depth at which it converges
    adapts = False  # a step can be refused
    needs_norm = False  # s_t depends on N
    needs_risk = False  # s_t, or whether it is taken, depends on log R

    @staticmethod
    def coefficient(step: StepRule, now: Moment) -> Tensor:
        """s_t e^{−c} (K,)."""
        raise TypeError(f"step rule {step.rule} does not define coefficient(step, now): add s_t e^(−c)")


class Constant(Rule):
    """s = η."""

    name = "constant"
    parameters: Mapping[str, Number] = {"eta": Number(above=0, most=1e12, default=0.1, symbol="η")}

    @staticmethod
    def coefficient(step: StepRule, now: Moment) -> Tensor:
        return step.eta * torch.exp(-now.log_scale)


class Normalized(Rule):
    """s_t = η t^{a−1} (1 − (t−1)/T)^c/N."""

    name, needs_norm = "normalized", True
    parameters: Mapping[str, Number] = {
        "eta": ETA,
        "decay": Number(least=0, most=10, default=1.0, words="an exponent from 0 to 10"),
        "anneal": Number(least=0, most=100, default=0.0, words="an exponent from 0 to 100"),
    }

    @staticmethod
    def coefficient(step: StepRule, now: Moment) -> Tensor:
        return step.length(now.t) / now.norm


class Adaptive(Rule):
    """s = h/N, where h starts at η, grows while log R falls and is halved where it does not."""

    name, adapts, needs_norm, needs_risk = "adaptive", True, True, True

    @staticmethod
    def coefficient(step: StepRule, now: Moment) -> Tensor:
        return now.h / now.norm


class LossScaled(Rule):
    """s = η/R: at depth 1 only."""

    name, needs_risk, deepest = "loss_scaled", True, 1

    @staticmethod
    def coefficient(step: StepRule, now: Moment) -> Tensor:
        return step.eta * torch.exp(-now.log_scale - now.log_risk)


RULES: dict[str, type[Rule]] = {rule.name: rule for rule in (Constant, Normalized, Adaptive, LossScaled)}


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
    plug_in: type[Rule] | None = None  # the class of a rule that is not built in
    parameters: Mapping[str, Any] = field(default_factory=dict)  # all that the class declares, for its `coefficient`

    @classmethod
    def of(cls, step: Mapping[str, Any], horizon: int, plug_in: type[Rule] | None = None) -> StepRule:
        """The rule of a configuration's `step`; what is not given takes its default. ValueError out of range."""
        name = step["rule"]
        declared = dict((plug_in or RULES[name]).parameters)
        if unknown := sorted(step.keys() - declared.keys() - {"rule"}):
            raise ValueError(f"step rule {name}: unknown parameter {unknown[0]!r}; expected {one_of(declared)}")
        if lacking := [key for key, each in declared.items() if key not in step and each.default is REQUIRED]:
            raise ValueError(f"step rule {name}: parameter {lacking[0]} missing")
        values = {key: each.check(name, key, step.get(key, each.default)) for key, each in declared.items()}
        common = {key: values[key] for key in ("eta", "decay", "anneal") if key in values}
        return cls(name, **{"eta": 1.0, **common}, horizon=horizon, plug_in=plug_in, parameters=values)

    def __post_init__(self) -> None:
        if self.plug_in is None and self.rule not in RULES:
            raise ValueError(f"step rule {self.rule!r}; expected one of {', '.join(RULES)}")
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ValueError(f"step eta = {self.eta}; expected a finite number > 0")
        if self.anneal and self.horizon is None:
            raise ValueError("step anneal needs the horizon T, the number of steps after which the step length is 0")

    @property
    def kind(self) -> type[Rule]:
        """The class of the rule."""
        return self.plug_in or RULES[self.rule]

    @property
    def adapts(self) -> bool:
        """True where a step can be refused."""
        return self.kind.adapts

    @property
    def needs_norm(self) -> bool:
        """True where s_t depends on N."""
        return self.kind.needs_norm

    @property
    def needs_risk(self) -> bool:
        """True where s_t, or whether it is taken, depends on log R."""
        return self.kind.needs_risk

    def length(self, t: float | Tensor) -> float | Tensor:
        """η t^{a−1} (1 − (t−1)/T)^c of the normalised rule; t is a number, or a tensor where steps are queued."""
        eta = self.eta * t ** (self.decay - 1.0)
        if self.anneal and self.horizon is not None:
            rest = 1.0 - (t - 1) / self.horizon
            eta = eta * (rest.clamp(min=0.0) if isinstance(rest, torch.Tensor) else max(0.0, rest)) ** self.anneal
        return eta

    def coefficient(self, now: Moment) -> Tensor:
        """s_t e^{−c} (K,)."""
        return self.kind.coefficient(self, now)
