"""A potential or a step rule of the user's own is tried out before anything trains with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mdcore.config.errors import GridError
from mdcore.config.plugins.sources import reason
from mdcore.math.potentials import Potential
from mdcore.math.step_rules import Moment, StepRule
from mdcore.math.torch_later import torch

SIZES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # of the weights tried, both signs; 0 is tried too


def check_rule(rule: StepRule) -> None:
    """Ask a step rule of the user's own for the first step of two cells: two numbers > 0, or GridError."""
    one = torch.ones(2, dtype=torch.float64)
    moment = Moment(1, norm=0.5 * one, log_scale=0.0 * one, log_risk=-0.7 * one, h=rule.eta * one)
    try:
        got = rule.coefficient(moment)
    except Exception as error:
        raise _wrong(rule.rule, f"coefficient raises {reason(error)}") from error
    if not isinstance(got, torch.Tensor) or got.shape != one.shape:
        shape = f" of shape {tuple(got.shape)}" if isinstance(got, torch.Tensor) else ""
        raise _wrong(rule.rule, f"coefficient gives a {type(got).__name__}{shape}; expected a tensor (K,) for K cells")
    if not bool((torch.isfinite(got) & (got > 0)).all()):
        raise _wrong(rule.rule, f"coefficient gives {got.tolist()} at the first step; expected numbers > 0")


def check_potential(phi: Potential, name: str) -> None:
    """Try the four methods of a Potential on weights up to 2 in size; GridError names the first thing wrong.

    Each method gives a tensor of its argument's shape and dtype, finite, and leaves the argument as it was;
    inverse_mirror_map writes into `out`; mirror_map rises, is the derivative of value_per_entry (by central
    differences) and the inverse of inverse_mirror_map; φ is even, so that mirror_map(0) = 0; limit_p is None or ≥ 1.
    """
    half = torch.tensor(SIZES, dtype=torch.float64)
    # as the engine passes them: cells × rows × columns
    w = torch.cat([-half.flip(0), torch.zeros(1, dtype=torch.float64), half]).expand(2, 3, -1).contiguous()
    z = _result(phi.mirror_map, w, name, "mirror_map")
    back = _result(phi.inverse_mirror_map, z, name, "inverse_mirror_map")
    value = _result(phi.value_per_entry, w, name, "value_per_entry")
    conjugate = _result(phi.conjugate_per_entry, z, name, "conjugate_per_entry")
    out = torch.full_like(z, math.nan)
    _result(lambda dual: phi.inverse_mirror_map(dual, out=out), z, name, "inverse_mirror_map with out")
    if not torch.equal(out, back):
        raise _wrong(name, "inverse_mirror_map(z, out) does not write the result into out; end it with out.copy_(w)")
    if not bool((z.diff() > 0).all()):
        raise _wrong(name, "mirror_map does not rise strictly; expected φ' of a strictly convex φ")
    if float(z[0, 0, len(SIZES)].abs()) > 1e-9:
        raise _wrong(name, f"mirror_map(0) is {float(z[0, 0, len(SIZES)]):g}; expected 0, as φ is even")
    if not torch.allclose(back, w, rtol=1e-5, atol=1e-9):
        raise _wrong(name, f"inverse_mirror_map(mirror_map(w)) is not w: {_example(w, back)}")
    legendre = w * z - value
    if not torch.allclose(conjugate, legendre, rtol=1e-5, atol=1e-9 + 1e-6 * float(legendre.abs().max())):
        raise _wrong(name, f"conjugate_per_entry(φ'(w)) is not wφ'(w) − φ(w): {_example(legendre, conjugate)}")
    step = 1e-5 * w.abs() + 1e-7
    slope = (phi.value_per_entry(w + step) - phi.value_per_entry(w - step)) / (2 * step)
    if not torch.allclose(slope, z, rtol=1e-3, atol=1e-3 * float(z.abs().max())):
        raise _wrong(name, f"mirror_map is not the derivative of value_per_entry: {_example(slope, z)}")
    for dtype in (torch.float64, torch.float32):
        _result(phi.inverse_mirror_map, z.to(dtype), name, "inverse_mirror_map")
        _result(phi.mirror_map, w.to(dtype), name, "mirror_map")
    p = phi.limit_p
    if p is not None and not (isinstance(p, (int, float)) and not isinstance(p, bool) and p >= 1):
        raise _wrong(name, f"limit_p is {p!r}; expected a number ≥ 1 (inf for l_∞), or None where no limit is known")


def _result(method: Callable[..., Any], given: torch.Tensor, name: str, what: str) -> torch.Tensor:
    """method(given), checked; GridError says what is wrong."""
    before = given.clone()
    try:
        result = method(given)
    except Exception as error:
        raise _wrong(name, f"{what} raises {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if not torch.equal(given, before):
        raise _wrong(name, f"{what} changes its argument; expected a new tensor, or one written into out")
    if not isinstance(result, torch.Tensor):
        raise _wrong(name, f"{what} gives a {type(result).__name__}; expected a tensor")
    if result.shape != given.shape or result.dtype != given.dtype:
        given_and_got = f"{tuple(result.shape)} {result.dtype} for {tuple(given.shape)} {given.dtype}"
        raise _wrong(name, f"{what} gives {given_and_got}; expected the shape and dtype of its argument")
    if not bool(torch.isfinite(result).all()):
        raise _wrong(name, f"{what} gives NaN or infinity for weights up to {SIZES[-1]:g}; expected finite numbers")
    return result.clone()


def _example(expected: torch.Tensor, got: torch.Tensor) -> str:
    at = int((expected - got).abs().flatten().argmax())
    return f"{float(got.flatten()[at]):.6g} where {float(expected.flatten()[at]):.6g} is expected"


def _wrong(name: str, what: str) -> GridError:
    return GridError(f"{name}: {what}")
