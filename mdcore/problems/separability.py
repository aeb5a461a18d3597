"""Is there a w with Aw > 0? One linear program, or a certificate that its value is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdcore.problems import linear_program, logistic

SEPARABLE, QUASI, OVERLAPPING = "separable", "quasi-separable", "overlapping"
ROUNDING = 8 * np.finfo(float).eps
POSITIVE = 1e-9  # an entry of λ above this share of the largest is no rounding error of a projection


class Separability(NamedTuple):
    """Verdict; the LP's value: how many points a w with Aw ≥ 0 can have strictly inside; which; such a w.

    `strict` (n,) bool: ⟨a_n, w⟩ > 0 there, and ⟨a_n, w'⟩ = 0 elsewhere for every w' with Aw' ≥ 0.
    `message` says how the verdict was certified, or that it holds within the LP's tolerance only.
    """

    verdict: str
    value: float
    strict: np.ndarray
    w: np.ndarray
    message: str


def separability(A: np.ndarray) -> Separability:
    """max Σ_n s_n s.t. Aw ≥ s, 0 ≤ s ≤ 1, w free: value n separable, 0 overlapping, between quasi-separable.

    A (n, d), rows y_n x_n. At the optimum every s_n is 0 or 1 (scale w up), so the value is a count.
    Certificates give it without the LP, and Newton's method on the logistic risk finds them in most cases:
    for value n a w whose margins are positive beyond rounding; for 0 a λ > 0 with A^Tλ = 0 (Stiemke's
    theorem: then 0 = λ^T A w > 0 for any w with Aw ≥ 0, Aw ≠ 0); between, both: a w positive on some points
    and 0 on the rest, a λ > 0 on the rest. What they do not decide, the LP does (HiGHS), and its answer is
    checked with them; `message` says which it was. Raises ArithmeticError where HiGHS finds no answer
    either.
    """
    n, d = A.shape
    A = _unit_rows(A)
    if not A.any():
        return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), "every point is 0")
    U, V = logistic.row_space(A)
    fit = logistic.minimise(U, stop=lambda x, margins: _strictly_positive(U, x, margins))
    margins = U @ fit.w
    w = V @ np.linalg.lstsq(A @ V, margins, rcond=None)[0]  # in the coordinates of A, where it counts
    if _strictly_positive(A, w, A @ w):
        return Separability(SEPARABLE, float(n), np.ones(n, bool), w, "certified by a separating w")
    if positive_null_vector(U, margins) is not None:
        return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), "certified by λ > 0 with A^Tλ = 0")
    # On quasi-separable data Newton drives the margins of one part up for ever: split at the widest gap.
    ordered = np.sort(margins)
    widest = int(np.argmax(np.diff(ordered))) if n > 1 else 0
    w, certified = _check(A, margins > ordered[widest], w)
    if certified:
        return _verdict(margins > ordered[widest], w, "certified by w and λ on the two parts")
    return separability_lp(A)


def separability_lp(A: np.ndarray) -> Separability:
    """The same by the linear program alone, its answer checked with a certificate for each part."""
    n, d = A.shape
    A = _unit_rows(A)
    bounds = [(None, None)] * d + [(0.0, 1.0)] * n  # x = (w, s)
    cost = np.r_[np.zeros(d), -np.ones(n)]
    x, lam, tolerance = linear_program.solve(cost, np.hstack([-A, np.eye(n)]), np.zeros(n), bounds)
    strict = x[d:] > 0.5
    w, certified = _check(A, strict, x[:d], lam)
    how = "linear program, both parts certified"
    if not certified:
        how = (
            f"linear program, value {-cost @ x:.9g}, within its tolerance {tolerance:.0e} only: "
            "the data are at the edge of the verdict"
        )
    return _verdict(strict, w, how)


def _verdict(strict, w, message) -> Separability:
    value = float(strict.sum())
    verdict = SEPARABLE if strict.all() else QUASI if strict.any() else OVERLAPPING
    return Separability(verdict, value, strict, w, message)


def _check(A, strict, w, lam=None) -> tuple[np.ndarray, bool]:
    """w made exactly 0 on the rest by projection; is it positive on `strict`, and has the rest a λ > 0?"""
    rest = A[~strict]
    if len(rest) and strict.any():
        basis = logistic.row_space(rest)[1]
        w = w - basis @ (basis.T @ w)
        w = w - basis @ (basis.T @ w)
    inside = not strict.any() or _strictly_positive(A[strict], w, A[strict] @ w)
    if not inside or not rest.any():
        return w, inside
    guess = None if lam is None else lam[~strict]
    return w, positive_null_vector(logistic.row_space(rest)[0], None, guess) is not None


def _unit_rows(A):
    """Neither signs nor counts depend on the sizes of the rows."""
    largest = np.abs(A).max(axis=1, keepdims=True)
    A = A / np.where(largest > 0, largest, 1.0)
    sizes = np.linalg.norm(A, axis=1, keepdims=True)
    return A / np.where(sizes > 0, sizes, 1.0)


def positive_null_vector(U: np.ndarray, margins: np.ndarray | None, guess: np.ndarray | None = None):
    """λ > 0 (n,) with U^Tλ = 0 for U (n, r) with orthonormal columns, or None where none was found.

    Candidates σ(−margins), raised to several floors, are projected: λ − U U^Tλ. Entries must stay above
    POSITIVE of the largest: smaller ones could be rounding.
    """
    if U.shape[1] == 0:
        return np.ones(len(U))
    candidates = [] if guess is None else [guess]
    if margins is None:
        margins = U @ logistic.minimise(U).w
    base = np.exp(-np.logaddexp(0.0, margins))
    candidates += [np.maximum(base, floor) for floor in (0.0, 1e-6, 1e-4, 1e-2, 0.1)]
    for lam in candidates:
        lam = lam - U @ (U.T @ lam)
        lam = lam - U @ (U.T @ lam)
        if lam.min() > POSITIVE * lam.max() > 0:
            return lam
    return None


def _strictly_positive(A, w, margins) -> bool:
    """All margins above the rounding error of their own sum."""
    if not margins.min() > 0:
        return False
    return bool((margins > ROUNDING * A.shape[1] * (np.abs(A) @ np.abs(w))).all())
