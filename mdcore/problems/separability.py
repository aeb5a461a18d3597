"""Is there a w with Aw > 0? One linear program, or a certificate that its value is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from mdcore.problems import logistic

SEPARABLE, QUASI, OVERLAPPING = "separable", "quasi-separable", "overlapping"
ROUNDING = 8 * np.finfo(float).eps
POSITIVE = 1e-9  # an entry of λ above this share of the largest is no rounding error of a projection
RANK = 1e-10


class Separability(NamedTuple):
    """Verdict; the LP's value (how many points a w with Aw ≥ 0 can have strictly inside); which points; such a w.

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

    A (n, d), rows y_n x_n. At the optimum every s_n is 0 or 1 (scale w up), so the value is a count. Two certificates
    give it without the LP, and Newton's method on the logistic risk finds one of them in most cases:
    a w whose margins are positive beyond rounding (n), and a λ > 0 with A^Tλ = 0 (0, by Stiemke's theorem: then
    0 = λ^T A w > 0 for any w with Aw ≥ 0, Aw ≠ 0). The LP's own answer is checked with both, on its two parts.
    """
    n, d = A.shape
    sizes = np.linalg.norm(A, axis=1)
    if not sizes.any():
        return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), "every point is 0")
    A = A / np.where(sizes > 0, sizes, 1.0)[:, None]  # neither sign nor count depends on the rows' sizes
    U, V = logistic.row_space(A)

    def separates(x, margins):
        return _strictly_positive(U, x, margins)

    fit = logistic.minimise(U, stop=separates)
    margins = U @ fit.w
    if separates(fit.w, margins):
        # back to the coordinates of A, where it counts
        w = _from_row_space(A, V, margins)
        if _strictly_positive(A, w, A @ w):
            return Separability(SEPARABLE, float(n), np.ones(n, bool), w, "certified by a separating w")
    if positive_null_vector(U, margins) is not None:
        return Separability(OVERLAPPING, 0.0, np.zeros(n, bool), np.zeros(d), "certified by λ > 0 with A^Tλ = 0")
    return separability_lp(A)


def separability_lp(A: np.ndarray) -> Separability:
    """The same by the linear program alone (HiGHS), its answer checked with a certificate for each part."""
    n, d = A.shape
    sizes = np.linalg.norm(A, axis=1)
    A = A / np.where(sizes > 0, sizes, 1.0)[:, None]
    constraint = np.hstack([-A, np.eye(n)])  # s − Aw ≤ 0
    bounds = [(None, None)] * d + [(0.0, 1.0)] * n
    answer = linprog(np.r_[np.zeros(d), -np.ones(n)], A_ub=constraint, b_ub=np.zeros(n), bounds=bounds, method="highs",
                     options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
    if answer.x is None:
        raise ArithmeticError(f"the separability LP was not solved: {answer.message}; scale the data or drop "
                              "duplicate points")
    w, s = answer.x[:d], answer.x[d:]
    strict = s > 0.5
    rest = ~strict
    if rest.any() and strict.any():  # exactly zero on the rest: project
        w = w - np.linalg.lstsq(A[rest], A[rest] @ w, rcond=RANK)[0]
    inside = not strict.any() or _strictly_positive(A[strict], w, A[strict] @ w)
    tight = not rest.any() or positive_null_vector(logistic.row_space(A[rest])[0], None,
                                                   -answer.ineqlin.marginals[rest]) is not None
    value = float(strict.sum())
    verdict = SEPARABLE if value == n else OVERLAPPING if value == 0 else QUASI
    message = "linear program, both parts certified" if inside and tight else (
        f"linear program, value {answer.fun * -1:.9g}, within its tolerance 1e-10 only: the data are at the edge of "
        "the verdict")
    return Separability(verdict, value, strict, w, message)


def positive_null_vector(U: np.ndarray, margins: np.ndarray | None, guess: np.ndarray | None = None):
    """λ > 0 (n,) with U^Tλ = 0 for U (n, r) with orthonormal columns, or None where none was found.

    Candidates σ(−margins), raised to several floors, are projected: λ − U U^Tλ. Entries must stay above POSITIVE of
    the largest: smaller ones could be rounding.
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


def _from_row_space(A, V, margins):
    return V @ np.linalg.lstsq(A @ V, margins, rcond=None)[0]
