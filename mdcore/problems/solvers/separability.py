"""Is there a w with Aw > 0? One linear program, or a certificate that its value is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mdcore.problems.datasets import in_parts
from mdcore.problems.proofs import certificates
from mdcore.problems.solvers import linear_program, logistic

SEPARABLE, QUASI, OVERLAPPING = "separable", "quasi-separable", "overlapping"
ROUNDING = 8 * np.finfo(float).eps
EDGE = "the data are at the edge of double precision"
TO_PRECISION = "to double precision: no rounded w can prove that a margin is 0"
NULL = "certified by λ > 0 with A^Tλ = 0"
POSITIVE = 1e-9  # an entry of λ above this share of the largest is no rounding error of a projection
ATTEMPTS = 6  # iterates that are a null vector to rounding before it is taken that none proves one
STEPS = 100  # of Newton's method, before the LP is asked


class Separability(NamedTuple):
    """Verdict; the LP's value: how many points a w with Aw ≥ 0 can have strictly inside; which; such a w.

    `strict` (n,) bool: ⟨a_n, w⟩ > 0 there, and ⟨a_n, w'⟩ = 0 elsewhere for every w' with Aw' ≥ 0.
    `message` says how the verdict was certified, or that it holds within the LP's tolerance only.
    `lam` (n,): λ > 0, A^Tλ = 0 to rounding, Σλ = 1, where that there is such a λ was proved and is the certificate.
    """

    verdict: str
    value: float
    strict: np.ndarray
    w: np.ndarray
    message: str
    lam: np.ndarray | None = None


def separability(A: np.ndarray) -> Separability:
    """max Σ_n s_n s.t. Aw ≥ s, 0 ≤ s ≤ 1, w free: value n separable, 0 overlapping, between quasi-separable.

    A (n, d), rows y_n x_n. At the optimum every s_n is 0 or 1 (scale w up), so the value is a count.
    Certificates give it without the LP, and `_balance` finds them in most cases: for value n a w whose
    margins are positive beyond rounding; for 0 a λ > 0 with A^Tλ = 0 (Stiemke's theorem: then 0 = λ^T A w >
    0 for any w with Aw ≥ 0, Aw ≠ 0), which `certificates.positive_null` proves to exist; between, both: a w
    positive on some points and 0 on the rest, a λ > 0 on the rest. That a margin is 0 no rounded w can prove, so
    between is a verdict to double precision. A verdict of 0 that is not proved is tried again with the columns
    brought to one size, which changes no verdict; what is proved by neither way is said to be at the edge of double
    precision. What `_balance` does not decide, the LP does (HiGHS), and its answer is checked with the same
    certificates; `message` says which it was. Raises ArithmeticError where HiGHS finds no answer either.
    """
    result = _separability(A)
    if result.verdict == SEPARABLE or EDGE not in result.message:
        return result
    powers = certificates.powers_of_two(np.abs(A).max(axis=0))
    again = _separability(A * powers)
    if EDGE in again.message or not np.isfinite(again.w * powers).all():
        return result
    return _verdict(again.strict, again.w * powers, again.message, again.lam)


def _separability(original: np.ndarray) -> Separability:
    """The same without a second attempt."""
    n, d = original.shape
    A = _unit_rows(original)
    if not A.any():
        return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), "every point is 0", np.full(n, 1 / n))
    U, sizes, V = logistic.row_space(A)
    near = 0
    for step, (margins, lam) in enumerate(_balance(U)):
        if _null(U, lam):
            near += 1
            proved = certificates.positive_null(original, lam)
            if proved is not None or near == ATTEMPTS:
                how = f"λ > 0 with A^Tλ = 0 to rounding: {EDGE}" if proved is None else NULL
                return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), how, proved)
        if margins.min() > 0:
            w = V @ (U.T @ margins / sizes)
            if _strictly_positive(A, w):
                return _verdict(np.ones(n, bool), w, "certified by a separating w")
        if step in (10, 20, 40) and (result := _split(A, margins, V @ (U.T @ margins / sizes))):
            return result
    return _split(A, margins, V @ (U.T @ margins / sizes)) or separability_lp(A)


def separability_lp(A: np.ndarray) -> Separability:
    """The same by the linear program alone, its answer checked with a certificate for each part."""
    n, d = A.shape
    original, A = A, _unit_rows(A)
    bounds = [(None, None)] * d + [(0.0, 1.0)] * n  # x = (w, s)
    cost = np.r_[np.zeros(d), -np.ones(n)]
    x, _, tolerance = linear_program.solve(cost, np.hstack([-A, np.eye(n)]), np.zeros(n), bounds)
    strict = x[d:] > 0.5
    w, certified = _check(A, strict, x[:d])
    proved = None
    how = f"linear program, value {-cost @ x:.9g}, within its tolerance {tolerance:.0e} only: {EDGE}"
    if certified and strict.all():
        how = "linear program, certified by its separating w"
    elif certified and strict.any():
        how = f"linear program, with w and λ on the two parts, {TO_PRECISION}"
    elif certified:
        proved = _positive_null(original)
        how = f"linear program, λ > 0 to rounding: {EDGE}" if proved is None else f"linear program, {NULL}"
    return _verdict(strict, w, how, proved)


def _positive_null(original) -> np.ndarray | None:
    U = logistic.row_space(_unit_rows(original))[0]
    candidates = (certificates.positive_null(original, lam) for _, lam in _balance(U))
    return next((lam for lam in candidates if lam is not None), None)


def _split(A, margins, w) -> Separability | None:
    """Quasi-separable, if certified: the margins of one part grow for ever, so split at the widest ratio."""
    order = np.sort(np.maximum(margins, 1.0))
    if order[-1] == order[0]:
        return None
    strict = margins > order[np.argmax(order[1:] / order[:-1])]
    w, certified = _check(A, strict, w)
    return _verdict(strict, w, f"by w and λ on the two parts, {TO_PRECISION}") if certified else None


def _verdict(strict, w, message, lam=None) -> Separability:
    size = float(np.abs(w).max())
    w = w / size if size > 0 else w
    verdict = SEPARABLE if strict.all() else QUASI if strict.any() else OVERLAPPING
    return Separability(verdict, float(strict.sum()), strict, w, message, lam)


def _balance(U: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Newton iterates of max Σ log λ_n + log(1 − λ_n) s.t. U^Tλ = 0, from its dual: margins m = Ux and λ(m), (n,).

    The dual is min_x Σ f(m_n), f' = −λ(m) = −2/(m + 2 + √(m² + 4)): a loss like the logistic one, but with
    a tail 1/m instead of e^{−m}, so that no λ_n is lost in rounding and the margins of what can be
    separated grow by a factor each step, not by 1. f is self-concordant, as the conjugate of a barrier. U
    (n, r) has orthonormal columns.
    """
    margins, x = np.zeros(len(U)), np.zeros(U.shape[1])
    for _ in range(STEPS):
        lam = _tail(margins)
        yield margins, lam
        curvature = 1 / (lam**-2 + _tail(-margins) ** -2)  # 1 − λ(m) = λ(−m)
        try:
            direction = cho_solve(cho_factor(_gram(U, np.sqrt(curvature))), U.T @ lam)
        except LinAlgError:
            return
        x = x + _line_minimum(margins, U @ direction) * direction
        margins = U @ x
        if not np.isfinite(margins).all() or np.abs(margins).max() > 1e30:
            return


def _gram(U, weights):
    """U^T diag(weights²) U."""
    total, start = 0.0, 0
    for part in in_parts(U):
        weighted = weights[start : start + len(part), None] * part
        total, start = total + weighted.T @ weighted, start + len(part)
    return total


def _tail(margins):
    size = np.abs(margins)
    small = 2 / (size + 2 + np.hypot(size, 2.0))
    return np.where(margins >= 0, small, 1 - small)


def _line_minimum(margins, change) -> float:
    """t > 0 with Σ f'(m + tΔ)Δ = 0, by doubling and bisection; what doubling reaches where there is none."""

    def falling(t):
        return float(_tail(margins + t * change) @ change) > 0

    low, high = 0.0, 1.0
    while falling(high):
        low, high = high, 2 * high
        if high > 1e12:
            return low
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falling(middle) else (low, middle)
    return 0.5 * (low + high)


def _null(U, lam) -> bool:
    """Is there a positive λ' with U^Tλ' = 0 next to λ (n,)? Its projection λ − U U^Tλ, if that is positive.

    Its entries must be above POSITIVE of the largest of λ: smaller ones could be rounding.
    """
    near = lam
    for _ in range(2):
        near = near - U @ (U.T @ near)
    return bool(near.min() > POSITIVE * lam.max())


def _check(A, strict, w) -> tuple[np.ndarray, bool]:
    """w made exactly 0 on the rest by projection; is it positive on `strict`, and has the rest a λ > 0?"""
    rest = A[~strict]
    U, _, V = logistic.row_space(rest)
    for _ in range(2):
        w = w - V @ (V.T @ w)
    inside = not strict.any() or _strictly_positive(A[strict], w)
    return w, inside and (U.shape[1] == 0 or any(_null(U, lam) for _, lam in _balance(U)))


def _unit_rows(A):
    """Neither signs nor counts depend on the sizes of the rows."""
    largest = np.maximum(A.max(axis=1, keepdims=True), -A.min(axis=1, keepdims=True))
    A = A / np.where(largest > 0, largest, 1.0)
    sizes = np.linalg.norm(A, axis=1, keepdims=True)
    A /= np.where(sizes > 0, sizes, 1.0)
    return A


def _strictly_positive(A, w) -> bool:
    """All margins above the rounding error of their own sum."""
    sizes = np.concatenate([np.abs(part) @ np.abs(w) for part in in_parts(A)])
    return bool((A @ w > ROUNDING * A.shape[1] * sizes).all())
