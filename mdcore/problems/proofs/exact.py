"""The last word on a certificate: margins and duality gaps from (w, λ) or (w, z) in exact or directed arithmetic.

Floating-point numbers are rational numbers. Products and sums are taken exactly, as integers times a power of two; only
powers and roots are rounded, in decimal arithmetic of 50 digits, and outwards. Nothing here is shared with the
arithmetic of the training or of the solvers: it is what they are checked with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import wraps

import numpy as np

from mdcore.problems.proofs import certificates

DIGITS = 50
_CONTEXT = Context(prec=DIGITS, Emin=-999_999_999, Emax=999_999_999)
_SLACK = Decimal(10) ** -40  # relative; thousands of operations with 50 digits stay far below
MOST_EXACT = 64  # candidates for the smallest margin that are computed exactly; beyond, a proven lower bound is taken
UNIT = np.finfo(float).eps / 2


def _precisely(function: Callable) -> Callable:
    """Decimal operators inside work with DIGITS digits, whatever the caller's context."""

    @wraps(function)
    def inside(*arguments):
        with localcontext(_CONTEXT):
            return function(*arguments)

    return inside


def _integers(x: np.ndarray) -> tuple[np.ndarray, int]:
    """x = m·2^e exactly: (m as Python integers in an object array, e)."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=float))
    shift = int(exponent.min())  # that of 0 is 0
    whole = (mantissa * 2.0**53).astype(np.int64).astype(object)
    # a difference of exponents of more than some thousands cannot occur in float64
    return whole * 2 ** (exponent - shift).astype(object), shift - 53


def product(A: np.ndarray, x: np.ndarray) -> list[Fraction]:
    """A x without any rounding; A (m, k) and x (k,) finite."""
    left, e = _integers(A)
    right, f = _integers(x)
    power = Fraction(2) ** (e + f)
    return [int(value) * power for value in left @ right]


@_precisely
def _decimal(x: Fraction | float) -> Decimal:
    x = Fraction(x)
    return Decimal(x.numerator) / Decimal(x.denominator)


@_precisely
def norm_bounds(v: list[Fraction], p: float | Fraction) -> tuple[Decimal, Decimal]:
    """Numbers below and above ‖v‖_p, p in [1, ∞], 10^{-40} apart in relative terms."""
    sizes = [abs(x) for x in v]
    largest = max(sizes, default=Fraction(0))
    if largest == 0 or p == math.inf:
        value = _decimal(largest)
    elif p == 1:
        value = _decimal(sum(sizes))
    elif p == 2:
        value = _decimal(sum(x * x for x in sizes)).sqrt()
    else:
        power, total = _decimal(Fraction(p)), Decimal(0)
        for x in sizes:
            if x:
                total += _decimal(x / largest) ** power
        value = total ** (1 / power) * _decimal(largest)
    return value * (1 - _SLACK), value * (1 + _SLACK)


def conjugate(p: float) -> Fraction | float:
    """q = p/(p − 1) as an exact fraction; ∞ and 1 for p = 1 and ∞."""
    if p == 1:
        return math.inf
    return Fraction(1) if math.isinf(p) else Fraction(p) / (Fraction(p) - 1)


def smallest_margin(A: np.ndarray, w: np.ndarray) -> Fraction:
    """min_n ⟨a_n, w⟩, exactly; a proven lower bound where more than MOST_EXACT points share it to rounding."""
    computed = A @ w
    error = (A.shape[1] + 2) * UNIT * 1.01 * (np.abs(A) @ np.abs(w)) + 1e-300
    near = np.flatnonzero(computed - error <= (computed + error).min())
    near = near[np.unique(A[near], axis=0, return_index=True)[1]]
    if len(near) > MOST_EXACT:
        return Fraction(float((computed - error).min()))
    return min(product(A[near], w))


@_precisely
def margin_lower_bound(A: np.ndarray, w: np.ndarray, p: float) -> Decimal:
    """A number ≤ γ_p(w) = min(Aw)/‖w‖_p, 10^{-40} from it; A (n, d), w (d,) ≠ 0."""
    low, high = norm_bounds([Fraction(float(x)) for x in w], p)
    smallest = _decimal(smallest_margin(A, w))
    return smallest / (high if smallest > 0 else low) - abs(smallest / low) * _SLACK


@_precisely
def bound_of_weights(A: np.ndarray, lam: np.ndarray, p: float) -> Decimal:
    """A number ≥ ‖A^Tλ‖_q/Σλ ≥ γ_p*, 10^{-40} from it; A (n, d), λ (n,) ≥ 0, not all zero."""
    on = lam > 0
    z = product(np.ascontiguousarray(A[on].T), lam[on])
    mass = sum(Fraction(float(x)) for x in lam[on])
    return norm_bounds(z, conjugate(p))[1] / (_decimal(mass) * (1 - _SLACK))


@_precisely
def bound_of_sum(z: np.ndarray, p: float, kappa: float, A: np.ndarray) -> Decimal:
    """A number ≥ γ_p* from z = A^Tλ, Σλ = 1, whose rounding is κ: (1 + κ)‖z‖_q + κ max_n ‖a_n‖_q, see math.certificate.

    z was divided by its mass in float64, one more rounding an entry, which κ's factor of two has room for.
    """
    largest = certificates.largest_row_norm(A, certificates.conjugate_exponent(p))
    high = norm_bounds([Fraction(float(x)) for x in z], conjugate(p))[1]
    return (high * _decimal(1 + kappa) + _decimal(kappa) * _decimal(largest)) * (1 + _SLACK)


@_precisely
def gap_between(lower: Decimal, upper: Decimal) -> float:
    """1 − lower/upper, rounded up to a float64; 0 at least."""
    gap = 1 - lower / upper + _SLACK
    return max(0.0, math.nextafter(float(gap), math.inf))


def duality_gap(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float) -> float:
    """1 − γ_p(w) Σλ/‖A^Tλ‖_q rounded up: w misses the largest l_p margin by at most this share. A (n, d), λ (n,) ≥ 0.

    inf where the margin is not positive, or λ is zero or has a negative entry.
    """
    if not (np.isfinite(w).all() and np.isfinite(lam).all()) or lam.min() < 0 or not lam.any():
        return math.inf
    lower = margin_lower_bound(A, w, p)
    return gap_between(lower, bound_of_weights(A, lam, p)) if lower > 0 else math.inf
