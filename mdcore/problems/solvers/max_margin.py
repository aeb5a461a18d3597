"""Exact l_p max-margin directions for every p in [1, ∞], with certificates, by constraint generation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcore.problems.proofs import certificates, directions
from mdcore.problems.solvers import conic, interior_point, polyhedral

GAP_TARGET = 1e-7  # largest relative duality gap that counts as exact
SOLVE_WHOLE = 2e8  # n·d² up to which the whole problem is solved at once
EXACT = 1e-10  # error, of gap and residual, at which no other way is tried
ROUNDS = 60
ANGLE_TOLD = 0.1  # degrees: a reference whose direction may be further off says so
OUTSIDE = 1e-12  # a margin may fall short of 1 by this share before its point joins the working set


@dataclass
class MaxMargin:
    """argmin ‖w‖_p s.t. Aw ≥ 1 with its certificate: γ_p(w) = `margin` ≤ γ_p* ≤ ‖A^Tλ‖_q, λ on the simplex.

    w (d,) scaled to min(Aw) = 1, so margin = 1/‖w‖_p. λ (n,) ≥ 0, Σλ = 1. gap = 1 − margin/‖A^Tλ‖_q, rounded up
    by exact arithmetic. kkt: see `certificates.max_margin_kkt`. solver: what was run. angle_bound: degrees, how far
    w can be from the optimum by that gap; 180: nothing is proven; NaN: the optimum may not be unique. unique: proved
    so; always for 1 < p < ∞ (strict convexity), for p = 1 and ∞ where the conditions of optimality leave one point.
    message: empty, or what the reader must know (gap above 1e-7; a direction that the gap does not determine; an
    optimum that may not be unique).
    """

    p: float
    w: np.ndarray
    margin: float
    gap: float
    kkt: float
    lam: np.ndarray
    solver: str
    angle_bound: float
    unique: bool = True
    message: str = ""


def max_margin(A: np.ndarray, p: float, start: np.ndarray) -> MaxMargin:
    """min ‖w‖_p s.t. Aw ≥ 1, for separable A (n, d), 1 ≤ p ≤ ∞; `start` (d,) is any w with Aw > 0.

    1 < p < ∞: interior point on a smoothed norm (`interior_point`), other starts and clarabel where it
    stops short; p = 1 and ∞: linear program (HiGHS). Large problems are solved on a working set of points
    that grows by the most violated ones until none is violated; then λ = 0 on the others makes the
    certificate one of the whole problem. Raises ValueError for p < 1 and for a start that does not
    separate.
    """
    if not p >= 1:
        raise ValueError(f"p: got {p}; expected a number ≥ 1 or inf")
    smallest = float((A @ start).min())
    if not smallest > 0:
        raise ValueError(
            f"start: smallest margin {smallest:.3g}; expected a w with every margin above 0 "
            "(the data must be separable)"
        )
    n, d = A.shape
    working = np.arange(n) if n * d * d <= SOLVE_WHOLE else _closest(A @ start, max(4 * d, 500))
    best = (np.inf, start, np.ones(n))
    for _ in range(ROUNDS):
        w, lam, who = _solve(A[working], float(p), start)
        everywhere = np.zeros(n)
        everywhere[working] = lam
        best = min(best, (certificates.max_margin_gap(A, w, everywhere, p), w, everywhere), key=lambda it: it[0])
        margins = A @ w
        violated = margins < margins[working].min() * (1 - OUTSIDE)
        violated[working] = False
        if not violated.any():
            break
        new = np.flatnonzero(violated)
        new = new[_closest(margins[new], max(2 * d, 200))]
        working = np.sort(np.concatenate([working, new]))
    _, w, lam = best
    w, lam = w / (A @ w).min(), lam / lam.sum()
    solver = who + (f", working set of {len(working)} of {n} points" if len(working) < n else "")
    unique = 1 < p < np.inf or polyhedral.determined(A, p, lam)
    gap, angle = directions.reference_angle(A, w, lam, p, unique)
    return MaxMargin(
        float(p),
        w,
        certificates.margin(A, w, p),
        gap,
        certificates.max_margin_kkt(A, w, lam, p),
        lam,
        solver,
        angle,
        unique,
        _message(p, gap, unique, angle),
    )


def _closest(margins: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` smallest margins."""
    return np.sort(np.argsort(margins, kind="stable")[:count])


def _solve(A, p, start) -> tuple[np.ndarray, np.ndarray, str]:
    """(w, λ, who) on these rows, from the first of several ways that is exact, else from the best one."""
    unit = certificates.norm(start, p) / (A @ start).min()
    A = A * unit  # the optimum, of size 1/γ, gets size about 1
    if p == 1 or np.isinf(p):
        return *polyhedral.solve(A, p), "linear program (HiGHS)"
    best, least = (start, start, ""), np.inf
    for w, lam, who in _ways(A, p, start):
        error = interior_point.error(A, w, lam, p)
        if not best[2] or error < least:
            best, least = (w, lam, who), error
        if error <= EXACT:
            break
    return best


def _ways(A, p, start):
    """Interior point from the start, from nearer the optimum, from an end of [1, ∞]; then conic solver."""
    for above in (1.2, 1.2 ** (2 / p)):  # |w|^p is steep: the larger p, the nearer
        yield _interior(A, p, start, above)
    try:
        end, _ = polyhedral.solve(A, 1 if p < 2 else np.inf)
        yield _interior(A, p, end, 1.2 ** (2 / p))
    except ArithmeticError:
        pass
    if A.shape[0] * A.shape[1] ** 2 <= SOLVE_WHOLE:  # sparse factors of dense data: slow beyond
        w, lam = conic.solve(A, p)
        yield w, lam, "conic (clarabel)"
        if (A @ w).min() > 0:
            yield _interior(A, p, w, 1.2 ** (2 / p))


def _interior(A, p, start, above):
    size = certificates.norm(start, p)
    unit = size / (A @ start).min()
    answer = interior_point.solve(unit * A, p, above / size * start)
    return unit * answer.w, answer.lam, f"interior point, {answer.steps} steps"


def _message(p, gap, unique, angle) -> str:
    parts = []
    if not gap <= GAP_TARGET:
        parts.append(
            f"relative duality gap {gap:.2e} is above {GAP_TARGET:.0e}: not exact, γ is known to that share "
            "only; the data are badly scaled or almost not separable"
        )
    if unique and angle > ANGLE_TOLD:
        parts.append(
            f"its direction is proven to {angle:.2g}° only"
            if angle < directions.NOTHING
            else f"its direction is not proven: a gap of {gap:.1e} says nothing of it in this norm"
        )
    if not unique:
        parts.append(f"the l_{p:g} optimum may not be unique: one of them is given, angles to it may mislead")
    return "; ".join(parts)
