"""Primal-dual interior-point method for l_p max-margin and soft-margin problems: one Cholesky a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mdcore.problems.certificates import max_margin_gap, max_margin_kkt, norm, soft_margin_gap

MAX_STEPS = 200
STALL = 10  # steps without a clearly better certificate: rounding has been reached
LOST = 80  # steps after which a gap above 0.1 is not going to close
KKT_SHARE = 1e-4  # a gap of 1e-14 may leave 1e-7 of the direction open; the residual is linear in it
TO_BOUNDARY = 0.995  # share of the way to the boundary of the positive orthant


class Solution(NamedTuple):
    """Best pair met: w (d,), λ (n,) ≥ 0; its `error`; Newton steps taken."""

    w: np.ndarray
    lam: np.ndarray
    error: float
    steps: int


class _Point(NamedTuple):
    """An iterate: slacks s of Aw + ξ ≥ 1, hinge losses ξ ≥ 0 (0 for hard margin), λ > 0, u = C − λ > 0."""

    w: np.ndarray
    s: np.ndarray
    lam: np.ndarray
    xi: np.ndarray
    u: np.ndarray

    def step(self, length: float, move: _Point) -> _Point:
        return _Point(*(x + length * dx for x, dx in zip(self, move, strict=True)))


def central_curve(x: np.ndarray, p: float, mu: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (w, z) of the curve z = h'(w), which tends to z = sign(w)|w|^{p−1} as μ → 0, and dw/dx, dz/dx:

        τ = (μ(p + cosh x))^{1/p},   w = τ tanh(x/2),   z = μ sinh(x)/τ,   x ∈ R.

    h(w) = min_{τ>|w|} τ^p/p − μ[log(τ² − w²) + (p−1) log τ]; the bracket is the self-concordant barrier of
    the epigraph {(w, t): t ≥ |w|^p}, t = τ^p (Nesterov & Nemirovskii 1994, section 5.3; Chares 2009).
    Stationarity in τ, τ^p = μ(p−1) + 2μτ²/(τ² − w²), with w = τ tanh(x/2), gives the three formulas.
    """
    half, sinh, cosh = np.tanh(0.5 * x), np.sinh(x), np.cosh(x)
    tau = (mu * (p + cosh)) ** (1 / p)
    growth = sinh / (p * (p + cosh))  # τ'/τ
    slope_w = tau * (growth * half + 0.5 * (1 - half**2))
    slope_z = mu / tau * ((p - 1) * cosh**2 + p**2 * cosh + 1) / (p * (p + cosh))
    return tau * half, mu * sinh / tau, slope_w, slope_z


def nearest_on_curve(r: np.ndarray, p: float, mu: float, eta: float) -> tuple[np.ndarray, np.ndarray]:
    """w with w + h'(w)/η = r, the proximal point of h/η at r, and h''(w) there, entrywise (shapes of r).

    Newton on the logarithm of the equation along `central_curve`, from below, kept in a bracket.
    """
    if p == 2.0:  # no smoothing needed: h(w) = w²/2
        return eta * r / (eta + 1), np.ones_like(r)
    size = np.maximum(np.abs(r), 1e-300)
    _, _, slope_w, slope_z = central_curve(np.zeros(1), p, mu)
    x = np.arcsinh(size / (slope_w + slope_z / eta))  # from below: w + z/η grows no faster than sinh(x)
    low, high = np.zeros_like(x), np.full_like(x, 300.0)
    for _ in range(60):
        w, z, slope_w, slope_z = central_curve(x, p, mu)
        value = w + z / eta
        low, high = np.where(value < size, x, low), np.where(value >= size, x, high)
        new = x - np.log(value / size) * value / (slope_w + slope_z / eta)
        new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
        done = np.abs(new - x) <= 1e-15 * (1 + x)
        x = np.where(np.abs(value - size) <= 4e-16 * size, x, new)
        if (done | (x != new)).all():
            break
    w, _, slope_w, slope_z = central_curve(x, p, mu)
    return np.sign(r) * w, slope_z / slope_w


def solve(A: np.ndarray, p: float, start: np.ndarray, C: float = np.inf, tol: float = 1e-14) -> Solution:
    """min ‖w‖_p^p/p s.t. Aw ≥ 1 (C = ∞, 1 < p < ∞), or min ½‖w‖² + C Σ ξ s.t. Aw + ξ ≥ 1, ξ ≥ 0 (p = 2).

    A (n, d); start (d,), best with Aw > 1. Boyd & Vandenberghe 2004, section 11.7, with Mehrotra's
    corrector: λs (and ξu) follow μ → 0, and so does the smoothing of |w|^p. The relation h'(w) = A^Tλ = z
    is linearised not at w nor at z but at the point of the curve nearest to (w, z), so that Newton's
    method neither sees the kink at w = 0 for p near 1 nor the flat bottom for large p. The unit of length
    is changed on the way to keep ‖w‖_p near 1. Ends when the error is ≤ tol or stops improving: the caller
    judges the answer.
    """
    point, unit = _starting_point(A, start, C), 1.0
    shrink, idle, best = 0.3, 0, Solution(start, np.zeros(len(A)), np.inf, 0)
    for step in range(MAX_STEPS):
        now = error(A, point.w, point.lam, p, C)
        idle = 0 if now < 0.7 * best.error or best.error > 0.1 else idle + 1
        if now < best.error:
            best = Solution(unit * point.w, point.lam, now, step)
        if best.error <= tol or idle > STALL or (step > LOST and best.error > 0.1):
            break
        size = norm(point.w, p)
        if np.isinf(C) and not 0.9 < size < 1.1:
            A, unit = A * size, unit * size
            point = point._replace(w=point.w / size, lam=point.lam / size**p)
        try:
            point, length = _newton_step(A, p, C, point, shrink * _mean_product(point, C))
        except (LinAlgError, ValueError):  # not a number in the normal equations: nothing more to gain
            break
        shrink = 0.05 if length > 0.9 else 0.2 if length > 0.5 else 0.6
    return best._replace(steps=step)


def _starting_point(A, start, C) -> _Point:
    n, d = A.shape
    beyond = A @ start - 1
    if np.isfinite(C):  # feasible and near the central path: s − ξ = Aw − 1, sξ = 1, λs = ξu
        s = 0.5 * (beyond + np.hypot(beyond, 2.0))
        xi = s - beyond
        return _Point(start, s, C * xi / (s + xi), xi, C * s / (s + xi))
    s = np.maximum(beyond, 0.1)
    return _Point(start, s, 1 / (n + 2 * d) / s, np.zeros(n), np.full(n, np.inf))


def error(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float, C: float = np.inf) -> float:
    """What `solve` drives to 0: relative duality gap; for max-margin, KKT_SHARE·KKT residual if larger."""
    if np.isfinite(C):
        return soft_margin_gap(A, w, lam, C)
    return max(max_margin_gap(A, w, lam, p), KKT_SHARE * max_margin_kkt(A, w, lam, p))


def _mean_product(point, C) -> float:
    if np.isfinite(C):
        return float(point.s @ point.lam + point.xi @ point.u) / (2 * len(point.s))
    return float(point.s @ point.lam) / len(point.s)


def _residuals(A, p, C, point, mu):
    """Parts that vanish on the central path (off curve, infeasibility, λs − μ, ξu − μ); then h'', η."""
    eta = len(point.w) ** (2 / p - 1)  # the size of z over that of w when ‖w‖_p = 1 = ‖z‖_q
    on_curve, curvature = nearest_on_curve(point.w + A.T @ point.lam / eta, p, mu, eta)
    hinge = point.xi * point.u - mu if np.isfinite(C) else np.zeros(0)
    parts = (
        np.sqrt(eta) * (point.w - on_curve),
        A @ point.w + point.xi - 1 - point.s,
        point.s * point.lam - mu,
        hinge,
    )
    return parts, curvature, eta


def _size(parts) -> float:
    return float(np.sqrt(sum(part @ part for part in parts)))


def _newton_step(A, p, C, point, mu) -> tuple[_Point, float]:
    soft = np.isfinite(C)
    _, s, lam, xi, u = point
    parts, curvature, eta = _residuals(A, p, C, point, mu)
    off_curve, r_p, r_s, r_u = parts
    r_w = off_curve / np.sqrt(eta) * (eta + curvature)  # tangent at the nearest point: h''Δw − A^TΔλ = −r_w
    theta = 1 / (s / lam + xi / u)  # ξ/u is 0 for a hard margin
    weighted = np.sqrt(theta)[:, None] * A
    normal = weighted.T @ weighted
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
    second = length**2  # Mehrotra: the products that the linear step leaves out
    corrected = direction(r_s + second * move.s * move.lam, r_u + second * move.xi * move.u if soft else r_u)
    if _to_boundary(point, corrected, soft) > length:
        move, length = corrected, _to_boundary(point, corrected, soft)
    before = _size(parts)
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
