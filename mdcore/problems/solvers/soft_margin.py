"""Soft-margin SVM without bias by Mehrotra's predictor-corrector method: dense, one Cholesky a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

from mdcore.problems.proofs.certificates import soft_margin_gap
from mdcore.problems.solvers import logistic

MAX_STEPS = 200
STALL = 10  # steps without a clearly better certificate: rounding has been reached
INTERIOR = 1e-6  # the first λ keep this share of C from 0 and C
TO_BOUNDARY = 0.995  # share of the way to the boundary of the positive orthant


class _Point(NamedTuple):
    """w (d,); slacks s of Aw + ξ ≥ 1, multipliers λ, hinge losses ξ, u = C − λ: (n,), all positive."""

    w: np.ndarray
    s: np.ndarray
    lam: np.ndarray
    xi: np.ndarray
    u: np.ndarray

    def step(self, length: float, move: _Point) -> _Point:
        return _Point(*(x + length * dx for x, dx in zip(self, move, strict=True)))

    def mean_product(self) -> float:
        """The duality gap over 2n, at a feasible point."""
        return float(self.s @ self.lam + self.xi @ self.u) / (2 * len(self.s))

    def longest(self, move: _Point) -> float:
        """Length ≤ 1 of the step that stays positive."""
        length = 1.0
        for value, change in zip(self[1:], move[1:], strict=True):
            falling = change < 0
            if falling.any():
                length = min(length, TO_BOUNDARY * float(np.min(-value[falling] / change[falling])))
        return length


def solve(A: np.ndarray, C: float, tol: float = 1e-14) -> tuple[np.ndarray, np.ndarray]:
    """(w, λ) of min ½‖w‖² + C Σ ξ s.t. Aw + ξ ≥ 1, ξ ≥ 0; dual max Σλ − ½‖A^Tλ‖², 0 ≤ λ ≤ C. A (n, d).

    Starts from logistic regression at the same C: its w = A^Tλ with 0 < λ < C is feasible for the dual
    already. Ends at a relative duality gap ≤ tol or where it stops improving; the caller certifies. Wright
    1997, chapter 10.
    """
    root = np.sqrt(C)  # w = √C v makes it a problem with C = 1
    A = root * A
    point = _start(A)
    best, idle = (np.inf, point.w, point.lam), 0
    for _ in range(MAX_STEPS):
        lam = np.minimum(point.lam, 1.0)
        gap = soft_margin_gap(A, point.w, lam, 1.0)
        idle = 0 if gap < 0.7 * best[0] else idle + 1
        if gap < best[0]:
            best = (gap, point.w, lam)
        if best[0] <= tol or (idle > STALL and best[0] < 1e-6) or idle > 4 * STALL:
            break
        try:
            point = _newton_step(A, point)
        except (LinAlgError, ValueError):  # not a number in the normal equations: nothing more to gain
            break
    _, w, lam = best
    return root * w, C * lam


def _start(A) -> _Point:
    w = logistic.minimise(A, 1.0).w
    margins = A @ w
    larger = 0.5 * (np.abs(margins - 1) + np.hypot(margins - 1, 1.0))  # s − ξ = Aw − 1 and sξ = 1/4
    s, xi = np.where(margins > 1, larger, 0.25 / larger), np.where(margins > 1, 0.25 / larger, larger)
    lam = np.clip(expit(-margins), INTERIOR, 1 - INTERIOR)
    return _Point(w, s, lam, xi, 1 - lam)


def _newton_step(A, point) -> _Point:
    w, s, lam, xi, u = point
    r_w, r_p = w - A.T @ lam, A @ w + xi - 1 - s
    theta = 1 / (s / lam + xi / u)
    weighted = np.sqrt(theta)[:, None] * A
    normal = weighted.T @ weighted
    normal[np.diag_indices_from(normal)] += 1.0
    scale = 1 / np.sqrt(normal.diagonal())
    factor = cho_factor(normal * scale[:, None] * scale)

    def direction(r_s, r_u):
        target = r_u / u - r_s / lam - r_p
        rhs = A.T @ (theta * target) - r_w
        dw = scale * cho_solve(factor, scale * rhs)
        rest = rhs - dw - A.T @ (theta * (A @ dw))  # one refinement: the matrix is ill-conditioned late
        dw = dw + scale * cho_solve(factor, scale * rest)
        dlam = theta * (target - A @ dw)
        return _Point(dw, -(r_s + s * dlam) / lam, dlam, (xi * dlam - r_u) / u, -dlam)

    predictor = direction(s * lam, xi * u)
    now = point.mean_product()
    ahead = point.step(point.longest(predictor), predictor).mean_product()
    mu = now * (ahead / now) ** 3
    move = direction(s * lam - mu + predictor.s * predictor.lam, xi * u - mu + predictor.xi * predictor.u)
    return point.step(point.longest(move), move)
