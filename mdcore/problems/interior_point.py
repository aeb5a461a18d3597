"""Primal-dual interior-point method for l_p max-margin and soft-margin problems: dense, one Cholesky a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mdcore.problems.certificates import max_margin_gap, soft_margin_gap

MAX_STEPS = 200
STALL = 15  # steps without a better certificate: rounding has been reached
TO_BOUNDARY = 0.995


class Solution(NamedTuple):
    """Best certified pair: w (d,), λ (n,) ≥ 0, their relative duality gap, Newton steps taken."""

    w: np.ndarray
    lam: np.ndarray
    gap: float
    steps: int


class _Point(NamedTuple):
    """An iterate: s are the slacks of Aw + ξ ≥ 1, ξ ≥ 0 the hinge losses (0 for hard margin), λ and u = C − λ > 0."""

    w: np.ndarray
    s: np.ndarray
    lam: np.ndarray
    xi: np.ndarray
    u: np.ndarray

    def step(self, length: float, move: _Point) -> _Point:
        return _Point(*(x + length * dx for x, dx in zip(self, move)))


def smoothed_power(w: np.ndarray, p: float, mu: float) -> tuple[np.ndarray, np.ndarray]:
    """h'(w) and h''(w), entrywise, of h(w) = min_{τ>|w|} τ^p/p − μ[log(τ² − w²) + (p−1) log τ] → |w|^p/p as μ → 0.

    The bracket is the self-concordant barrier of the epigraph {(w, t): t ≥ |w|^p}, t = τ^p (Nesterov & Nemirovskii
    1994, section 5.3; Chares 2009), so that Newton's method neither sees the kink of |w|^p at 0 for p < 2 nor its
    flat bottom for p > 2. For p = 2 nothing needs smoothing: h' = w, h'' = 1.
    """
    if p == 2.0:
        return w, np.ones_like(w)
    size = np.abs(w)
    # The optimal τ: (τ^p − μ(p−1))(1 − w²/τ²) = 2μ. Newton in x = log τ, kept in a bracket.
    log_size = np.log(np.maximum(size, 1e-300))
    low = np.maximum(log_size, np.log(mu * (p + 1)) / p)
    high = low + np.log(3.0)
    x = low + 0.1
    for _ in range(100):
        power = np.exp(p * x)
        rest, shrunk = power - mu * (p - 1), -np.expm1(2 * (log_size - x))  # shrunk = 1 − w²/τ²
        value = rest * shrunk - 2 * mu
        low, high = np.where(value < 0, x, low), np.where(value >= 0, x, high)
        new = x - value / (p * power * shrunk + 2 * rest * (1 - shrunk))
        new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
        moved, x = np.max(np.abs(new - x)), new
        if moved <= 1e-15 * (1 + np.max(np.abs(x))):
            break
    tau = np.exp(x)
    gap = 2 * mu * tau**2 / (tau**p - mu * (p - 1))  # τ² − w² without cancellation
    a = 2 * mu * (tau**2 + size**2) / gap**2
    c = (p - 1) * (tau ** (p - 2) + mu / tau**2)
    return 2 * mu * w / gap, (4 * mu**2 / gap**2 + a * c) / (a + c)


def solve(A: np.ndarray, p: float, start: np.ndarray, C: float = np.inf, tol: float = 1e-14) -> Solution:
    """min ‖w‖_p^p/p s.t. Aw ≥ 1 (C = ∞, any p in (1, ∞)), or min ½‖w‖² + C Σ ξ s.t. Aw + ξ ≥ 1, ξ ≥ 0 (p = 2).

    A (n, d), scaled so that the solution has size about 1; start (d,), feasible for speed, not of need. Boyd &
    Vandenberghe 2004, section 11.7, with Mehrotra's corrector: the objective is smoothed with the barrier parameter
    μ, the products λs (and ξu) follow μ → 0. Ends when the certificate is ≤ tol, or no better for STALL steps: the
    caller judges the gap of the answer.
    """
    point = _starting_point(A, start, C)
    shrink, best, idle = 0.3, Solution(start, np.zeros(len(A)), np.inf, 0), 0
    for step in range(MAX_STEPS):
        gap = _gap(A, point, p, C)
        idle = 0 if gap < 0.9 * best.gap or not np.isfinite(best.gap) else idle + 1
        if gap < best.gap:
            best = Solution(point.w, point.lam, gap, step)
        if best.gap <= tol or idle > STALL:
            break
        mu = shrink * _mean_product(point, C)
        try:
            point, length = _newton_step(A, p, C, point, mu)
        except (LinAlgError, ValueError):  # not a number in the normal equations: nothing more to gain
            break
        shrink = 0.05 if length > 0.9 else 0.2 if length > 0.5 else 0.6
    return best


def _starting_point(A, start, C) -> _Point:
    n, d = A.shape
    margins = A @ start
    xi = np.maximum(1 - margins, 0) + 0.1 if np.isfinite(C) else np.zeros(n)
    s = np.maximum(margins + xi - 1, 0.1)
    lam = np.minimum(1 / (n + 2 * d) / s, 0.5 * C)
    return _Point(start, s, lam, xi, C - lam)


def _gap(A, point, p, C) -> float:
    if np.isfinite(C):
        return soft_margin_gap(A, point.w, point.lam, C)
    return max_margin_gap(A, point.w, point.lam, p)


def _mean_product(point, C) -> float:
    if np.isfinite(C):
        return float(point.s @ point.lam + point.xi @ point.u) / (2 * len(point.s))
    return float(point.s @ point.lam) / len(point.s)


def _residuals(A, p, C, point, mu):
    """(stationarity, feasibility, λs − μ, ξu − μ) at `point`, and h''."""
    slope, curvature = smoothed_power(point.w, p, mu)
    hinge = point.xi * point.u - mu if np.isfinite(C) else np.zeros_like(point.s)
    parts = (slope - A.T @ point.lam, A @ point.w + point.xi - 1 - point.s, point.s * point.lam - mu, hinge)
    return parts, curvature


def _size(parts) -> float:
    return float(np.sqrt(sum(part @ part for part in parts)))


def _newton_step(A, p, C, point, mu) -> tuple[_Point, float]:
    soft = np.isfinite(C)
    w, s, lam, xi, u = point
    (r_w, r_p, r_s, r_u), curvature = _residuals(A, p, C, point, mu)
    theta = 1 / (s / lam + xi / u)  # ξ/u is 0 for a hard margin
    normal = A.T @ (theta[:, None] * A)
    normal[np.diag_indices_from(normal)] += curvature
    scale = 1 / np.sqrt(normal.diagonal())
    factor = _cholesky(normal * scale[:, None] * scale)

    def direction(r_s, r_u):
        target = -r_s / lam + (r_u / u if soft else 0.0) - r_p
        rhs = A.T @ (theta * target) - r_w
        dw = scale * cho_solve(factor, scale * rhs)
        rest = rhs - curvature * dw - A.T @ (theta * (A @ dw))  # one refinement: the matrix is ill-conditioned late
        dw = dw + scale * cho_solve(factor, scale * rest)
        dlam = theta * (target - A @ dw)
        dxi = (xi * dlam - r_u) / u if soft else np.zeros_like(xi)
        return _Point(dw, -(r_s + s * dlam) / lam, dlam, dxi, -dlam)

    move = direction(r_s, r_u)
    length = _to_boundary(point, move, soft)
    second = length**2  # Mehrotra: the products the linear step leaves out
    corrected = direction(r_s + second * move.s * move.lam, r_u + second * move.xi * move.u if soft else r_u)
    if _to_boundary(point, corrected, soft) > length:
        move, length = corrected, _to_boundary(point, corrected, soft)
    before = _size((r_w, r_p, r_s, r_u))
    for _ in range(30):
        new = point.step(length, move)
        after = _size(_residuals(A, p, C, new, mu)[0])
        if after <= (1 - 0.01 * length) * before or after < 1e-14:
            break
        length *= 0.6
    return (new._replace(u=C - new.lam) if soft else new), length


def _to_boundary(point, move, soft) -> float:
    pairs = [(point.s, move.s), (point.lam, move.lam)]
    if soft:
        pairs += [(point.xi, move.xi), (point.u, move.u)]
    length = 1.0
    for value, change in pairs:
        falling = change < 0
        if falling.any():
            length = min(length, TO_BOUNDARY * float(np.min(-value[falling] / change[falling])))
    return length


def _cholesky(matrix):
    for ridge in (0.0, 1e-14, 1e-12, 1e-10):
        try:
            return cho_factor(matrix + ridge * np.eye(len(matrix)) if ridge else matrix)
        except LinAlgError:
            continue
    return cho_factor(matrix + 1e-8 * np.eye(len(matrix)))
