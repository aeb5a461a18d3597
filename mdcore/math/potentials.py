"""Potentials φ of mirror descent, applied entry by entry.

A potential is a strictly convex, even φ: R → R. Mirror descent keeps the dual variable Z = ∇φ(W) and reads
the weights off it, W = (∇φ)^{-1}(Z) = ∇φ*(Z). Every class below has the same few methods; a potential of
your own needs `mirror_map`, `inverse_mirror_map`, `value_per_entry`, and `limit_p` where its limit is known.

On separable data the limit direction is the max-margin direction of the norm that φ tends to far from the
origin, its horizon (Sun et al. 2022 for l_p; Pesme et al. 2024 for horizon functions); `limit_p` names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdcore.math.engine.loops import is_asynchronous
from mdcore.math.parameters import Number, nearest, one_of
from mdcore.math.torch_later import torch

if TYPE_CHECKING:
    from torch import Tensor


class Potential:
    """Base class: φ(w) summed over the entries of a tensor of any shape.

    Attributes
    ----------
    name : str
        The key in grid files, and the first part of labels.
    parameters : mapping of str to Number
        The constructor's arguments, with their ranges; a potential of your own may give a tuple of their names.
    limit_p : float or None
        p of the l_p max-margin direction predicted on separable data; None where no prediction is known.
    title : str
        The name in tables and figures, where it differs from `name`.
    colour : str or None
        Its colour in every figure, whatever the parameters; None: the next free one.
    colours : mapping of float to str
        Colours of some values of its only parameter.
    quadratic_at : mapping of str to float, or None
        The values of the parameters at which φ(w) is w²/2; None where there are none.
    """

    name: str = "potential"
    parameters: Mapping[str, Number] = {}
    limit_p: float | None = None
    title: str = ""
    colour: str | None = None
    colours: Mapping[float, str] = {}
    quadratic_at: Mapping[str, float] | None = None

    @classmethod
    def map_cost(cls, parameters: Mapping[str, Any]) -> float:
        """Expected time of the inverse map, in that of a power 1, 2 or ½: plans rest on it, no result does."""
        return 6.0

    def value_per_entry(self, w: Tensor) -> Tensor:
        """φ(w_i) for every entry, same shape as `w`."""
        raise TypeError(f"potential {type(self).__name__} does not define value_per_entry(w): add φ(w), entry by entry")

    def mirror_map(self, w: Tensor) -> Tensor:
        """z = φ'(w), entry by entry."""
        raise TypeError(f"potential {type(self).__name__} does not define mirror_map(w): add φ'(w), entry by entry")

    def inverse_mirror_map(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """w = (φ')^{-1}(z), entry by entry; written into `out` (not aliasing `z`) when given."""
        raise TypeError(
            f"potential {type(self).__name__} does not define inverse_mirror_map(z): add (φ')^{{-1}}(z), entry by entry"
        )

    def conjugate_per_entry(self, z: Tensor) -> Tensor:
        """φ*(z_i) = z_i w_i − φ(w_i) at w = (φ')^{-1}(z) (equality in Fenchel-Young)."""
        w = self.inverse_mirror_map(z)
        return z * w - self.value_per_entry(w)

    def value(self, w: Tensor) -> Tensor:
        """φ(w) = Σ_i φ(w_i), a scalar tensor."""
        return self.value_per_entry(w).sum()

    def conjugate(self, z: Tensor) -> Tensor:
        """φ*(z) = Σ_i φ*(z_i), a scalar tensor."""
        return self.conjugate_per_entry(z).sum()

    def bregman(self, u: Tensor, v: Tensor) -> Tensor:
        """D_φ(u, v) = φ(u) − φ(v) − ⟨∇φ(v), u − v⟩ ≥ 0, a scalar tensor."""
        return (self.value_per_entry(u) - self.value_per_entry(v) - self.mirror_map(v) * (u - v)).sum()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={getattr(self, key)!r}" for key in self.parameters)
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other: object) -> bool:
        """Same class and same state. The names in `parameters` would not do: a class may declare none of them.

        What cannot be compared (tensors in the state) is taken for different, which costs speed and nothing else.
        """
        if self is other:
            return True
        try:
            return type(self) is type(other) and bool(self.__getstate__() == other.__getstate__())
        except Exception:
            return False

    def __hash__(self) -> int:
        return hash(repr(self))


class PowerPotential(Potential):
    """A potential with (φ')^{-1}(z) = c sign(z)|z|^e: `inverse_scale` c, `inverse_exponent` e.

    The engine takes e = 1, 2 and ½ inside its own loops, unless a subclass has an `inverse_mirror_map` of its own.
    """

    inverse_scale: float = 1.0
    inverse_exponent: float = 1.0

    @classmethod
    def map_cost(cls, parameters: Mapping[str, Any]) -> float:
        return 1.0

    def inverse_mirror_map(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        w = signed_power(z, self.inverse_exponent, out)
        return w if self.inverse_scale == 1.0 else w.mul_(self.inverse_scale)


class LayerScaled(PowerPotential):
    """φ(w) = α w²/2; ∇φ = α w; φ* = z²/(2α). Limit: l_2 max-margin, with α_l‖W_l‖_F² equal in all layers."""

    name, title, colour, limit_p = "layer_scaled", "layer-scaled", "#7F7F7F", 2.0
    parameters: Mapping[str, Number] = {"alpha": Number(above=0, symbol="α", example=[1, 4], per_layer=True)}
    quadratic_at: Mapping[str, float] = {"alpha": 1.0}

    def __init__(self, alpha: float):
        self.alpha = LayerScaled.parameters["alpha"].check(self.name, "alpha", alpha)
        self.inverse_scale = 1.0 / self.alpha

    def value_per_entry(self, w: Tensor) -> Tensor:
        return 0.5 * self.alpha * w * w

    def mirror_map(self, w: Tensor) -> Tensor:
        return self.alpha * w

    def conjugate_per_entry(self, z: Tensor) -> Tensor:
        return z * z / (2 * self.alpha)


class Quadratic(LayerScaled):
    """φ(w) = w²/2: mirror descent is gradient descent. Limit: l_2 max-margin (Soudry et al. 2018)."""

    name, title, colour = "quadratic", "", "#0072B2"
    parameters: Mapping[str, Number] = {}
    quadratic_at: Mapping[str, float] = {}

    def __init__(self) -> None:
        super().__init__(1.0)


class Lp(PowerPotential):
    """φ(w) = |w|^p/p; ∇φ = sign(w)|w|^{p−1}; inverse ψ_p(z) = sign(z)|z|^{1/(p−1)}; φ* = |z|^q/q.

    p > 1, q = p/(p−1). Limit: l_p max-margin (Sun et al. 2022). Exponents 1, 2 and ½ of the inverse
    (p = 2, 1.5, 3) avoid the general power. There is no clamp: ψ_p(1e-15) at p = 10 is 0.0215, far from ψ_p(1e-12).
    """

    name = "lp"
    parameters: Mapping[str, Number] = {"p": Number(above=1, symbol="p", example=1.5)}
    quadratic_at: Mapping[str, float] = {"p": 2.0}
    colours: Mapping[float, str] = {
        1.1: "#AA4499",
        1.2: "#882255",
        1.5: "#D55E00",
        2.0: "#332288",
        3.0: "#009E73",
        4.0: "#999933",
        6.0: "#44AA99",
        10.0: "#117733",
    }

    def __init__(self, p: float):
        self.p = self.parameters["p"].check(self.name, "p", p)
        self.q = self.p / (self.p - 1.0)
        self.limit_p = self.p
        self.inverse_exponent = 1.0 / (self.p - 1.0)

    @classmethod
    def map_cost(cls, parameters: Mapping[str, Any]) -> float:
        return 1.0 if parameters["p"] in (1.5, 2.0, 3.0) else Potential.map_cost(parameters)

    def value_per_entry(self, w: Tensor) -> Tensor:
        return w.abs().pow(self.p) / self.p

    def mirror_map(self, w: Tensor) -> Tensor:
        return signed_power(w, self.p - 1.0)

    def conjugate_per_entry(self, z: Tensor) -> Tensor:
        return z.abs().pow(self.q) / self.q


def signed_power(z: Tensor, exponent: float, out: Tensor | None = None) -> Tensor:
    """sign(z)|z|^exponent entry by entry, exact at 0 and ±inf; `out` must not alias `z`."""
    if exponent == 1.0:
        return z.clone() if out is None else out.copy_(z)
    out = torch.abs(z, out=out)
    if exponent == 2.0:
        return out.mul_(z)
    if exponent == 0.5:
        return out.sqrt_().copysign_(z)
    return out.pow_(exponent).copysign_(z)


class Hypentropy(Potential):
    """φ(w) = w asinh(w/β) − √(w²+β²); ∇φ = asinh(w/β); inverse β sinh(z); φ* = β cosh(z).

    β > 0. Horizon: l_1 (Ghai et al. 2020; Pesme et al. 2024).
    """

    name, colour, limit_p = "hypentropy", "#E69F00", 1.0
    parameters: Mapping[str, Number] = {"beta": Number(above=0, symbol="β", example=0.1)}

    def __init__(self, beta: float):
        self.beta = self.parameters["beta"].check(self.name, "beta", beta)

    def value_per_entry(self, w: Tensor) -> Tensor:
        return w * torch.asinh(w / self.beta) - torch.hypot(w, torch.full_like(w, self.beta))

    def mirror_map(self, w: Tensor) -> Tensor:
        return torch.asinh(w / self.beta)

    def inverse_mirror_map(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.sinh(z, out=out).mul_(self.beta)

    def conjugate_per_entry(self, z: Tensor) -> Tensor:
        return self.beta * torch.cosh(z)


class Cosh(Potential):
    """φ(w) = β² cosh(w/β); ∇φ = β sinh(w/β); inverse β asinh(z/β); φ* = zβ asinh(z/β) − β√(z²+β²).

    β > 0. Horizon: l_∞ (Pesme et al. 2024).
    """

    name, colour, limit_p = "cosh", "#56B4E9", math.inf
    parameters: Mapping[str, Number] = {"beta": Number(above=0, symbol="β")}

    def __init__(self, beta: float):
        self.beta = self.parameters["beta"].check(self.name, "beta", beta)

    def value_per_entry(self, w: Tensor) -> Tensor:
        return self.beta**2 * torch.cosh(w / self.beta)

    def mirror_map(self, w: Tensor) -> Tensor:
        return self.beta * torch.sinh(w / self.beta)

    def inverse_mirror_map(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.div(z, self.beta, out=out).asinh_().mul_(self.beta)

    def conjugate_per_entry(self, z: Tensor) -> Tensor:
        return z * self.beta * torch.asinh(z / self.beta) - self.beta * torch.hypot(z, torch.full_like(z, self.beta))


class Scaled(Potential):
    """φ(r) = r⁴/(1+r²); ∇φ = r³(4+2r²)/(1+r²)²; inverse by safeguarded Newton to machine precision.

    Quartic near 0, quadratic far out: its horizon is r², so the limit is the l_2 max-margin.
    """

    name, colour, limit_p = "scaled", "#CC79A7", 2.0

    @classmethod
    def map_cost(cls, parameters: Mapping[str, Any]) -> float:
        return 100.0  # Newton's method

    def value_per_entry(self, w: Tensor) -> Tensor:
        square = w * w
        return square * (square / (1.0 + square))

    def mirror_map(self, w: Tensor) -> Tensor:
        shrink = self._shrink(w)
        return w * shrink * (4.0 - 2.0 * shrink)

    @staticmethod
    def _shrink(r: Tensor) -> Tensor:
        """r²/(1+r²) in [0, 1], written so that r² may overflow."""
        return 1.0 / (1.0 + 1.0 / (r * r))

    def inverse_mirror_map(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """Newton kept inside a bracket, for all entries at once.

        φ'(r) ≤ 2r and φ'(r) ≤ 4r³ make low = max(z/2, (z/4)^{1/3}) a lower bound of the root; φ'(2 low) ≥ z
        makes 2 low an upper one (2.1: room for rounding). A step that leaves the bracket is replaced by bisection.
        """
        target = z.abs()
        low = torch.maximum(target / 2.0, (target / 4.0).pow(1.0 / 3.0)) * (1.0 - 1e-12)  # pow rounds up to 1e-14
        high = 2.1 * low
        r = low.clone()
        for _ in range(12):  # five are enough but for the last digit
            shrink = self._shrink(r)
            excess = r * shrink * (4.0 - 2.0 * shrink) - target
            slope = 2.0 * shrink * (2.0 - shrink) + 8.0 * shrink * (1.0 - shrink) ** 2
            low = torch.where(excess < 0, r, low)
            high = torch.where(excess > 0, r, high)
            newton = r - excess / slope  # 0/0 at r = 0 is not inside the bracket
            updated = torch.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
            moved = (updated - r).abs() > 2.0 * torch.finfo(r.dtype).eps * r
            r = updated
            if not is_asynchronous(z) and not bool(moved.any()):
                break
        return torch.copysign(r, z, out=out)


BUILTIN: dict[str, type[Potential]] = {cls.name: cls for cls in (Quadratic, LayerScaled, Lp, Scaled, Hypentropy, Cosh)}


def potential(name: str | Mapping[str, Any] | Potential, **parameters: float) -> Potential:
    """A potential by its name in grid files: potential("lp", p=1.5), potential({"lp": {"p": 1.5}}), "quadratic".

    A `Potential` is returned as it is. Raises ValueError for an unknown name, with the nearest one, and for parameters
    that the potential has not, lacks, or cannot take.
    """
    if isinstance(name, Potential):
        if parameters:
            raise ValueError(f"{name!r} was given with {one_of(parameters)}; it has its parameters already")
        return name
    if isinstance(name, Mapping) and len(name) == 1 and not parameters:
        ((name, parameters),) = name.items()
    if not isinstance(name, str) or name not in BUILTIN:
        hint = nearest(name, BUILTIN) if isinstance(name, str) else ""
        raise ValueError(f"potential: got {name!r}; expected {one_of(BUILTIN)}, or a Potential of your own{hint}")
    declared = BUILTIN[name].parameters
    if set(parameters or {}) != set(declared):
        given = ", ".join(f"{key}={value!r}" for key, value in (parameters or {}).items()) or "no parameter"
        takes = ", ".join(f"{key}, {each.expected}" for key, each in declared.items()) or "no parameter"
        raise ValueError(f"potential {name}: got {given}; expected {takes}")
    return BUILTIN[name](**(parameters or {}))


def normalisation_exponent(potentials: Sequence[Potential]) -> float:
    """q of the global gradient norm of the normalised step: p/(p−1) for one l_p everywhere, else 2."""
    first = potentials[0]
    if isinstance(first, Lp) and all(potential == first for potential in potentials):
        return first.q
    return 2.0
