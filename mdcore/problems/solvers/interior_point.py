"""Primal-dual interior-point method for l_p max-margin problems: dense, one Cholesky a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from mdcore.problems.proofs.certificates import max_margin_gap, max_margin_kkt, norm

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
    """An iterate: w (d,), slacks s > 0 of Aw ≥ 1 and multipliers λ > 0 (n,)."""

    w: np.ndarray
    s: np.ndarray
    lam: np.ndarray

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


def solve(A: np.ndarray, p: float, start: np.ndarray, tol: float = 1e-14) -> Solution:
    """min ‖w‖_p^p/p s.t. Aw ≥ 1, 1 < p < ∞; A (n, d), start (d,), best with Aw > 1.

    Boyd & Vandenberghe 2004, section 11.7, with Mehrotra's corrector: λs follows μ → 0, and so does the
    smoothing of |w|^p. The relation h'(w) = A^Tλ = z is linearised not at w nor at z but at the point of
    the curve nearest to (w, z), so that Newton's method neither sees the kink at w = 0 for p near 1 nor the
    flat bottom for large p. The unit of length is changed on the way to keep ‖w‖_p near 1. Ends when the
    error is ≤ tol or stops improving: the caller judges the answer.
    """
    n, d = A.shape
    s = np.maximum(A @ start - 1, 0.1)
    point, unit = _Point(start, s, 1 / (n + 2 * d) / s), 1.0
    shrink, idle, best = 0.3, 0, Solution(start, np.zeros(n), np.inf, 0)
    for step in range(MAX_STEPS):
        now = error(A, point.w, point.lam, p)
        idle = 0 if now < 0.7 * best.error or best.error > 0.1 else idle + 1
        if now < best.error:
            best = Solution(unit * point.w, point.lam, now, step)
        if best.error <= tol or idle > STALL or (step > LOST and best.error > 0.1):
            break
        size = norm(point.w, p)
        if not 0.9 < size < 1.1:
            A, unit = A * size, unit * size
            point = point._replace(w=point.w / size, lam=point.lam / size**p)
        try:
            point, length = _newton_step(A, p, point, shrink * float(point.s @ point.lam) / n)
        except (LinAlgError, ValueError):  # not a number in the normal equations: nothing more to gain
            break
        shrink = 0.05 if length > 0.9 else 0.2 if length > 0.5 else 0.6
    return best._replace(steps=step)


def error(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float) -> float:
    """What `solve` drives to 0: the relative duality gap, or KKT_SHARE times the KKT residual if larger."""
    return max(max_margin_gap(A, w, lam, p), KKT_SHARE * max_margin_kkt(A, w, lam, p))


def _residuals(A, p, point, mu):
    """Parts that vanish on the central path (off the curve, infeasibility, λs − μ); then h'' and η."""
    eta = len(point.w) ** (2 / p - 1)  # the size of z over that of w when ‖w‖_p = 1 = ‖z‖_q
    on_curve, curvature = nearest_on_curve(point.w + A.T @ point.lam / eta, p, mu, eta)
    off_curve = np.sqrt(eta) * (point.w - on_curve)
    return (off_curve, A @ point.w - 1 - point.s, point.s * point.lam - mu), curvature, eta


def _size(parts) -> float:
    return float(np.sqrt(sum(part @ part for part in parts)))


def _newton_step(A, p, point, mu) -> tuple[_Point, float]:
    _, s, lam = point
    parts, curvature, eta = _residuals(A, p, point, mu)
    off_curve, r_p, r_s = parts
    r_w = off_curve / np.sqrt(eta) * (eta + curvature)  # tangent at the nearest point: h''Δw − A^TΔλ = −r_w
    theta = lam / s
    weighted = np.sqrt(theta)[:, None] * A
    normal = weighted.T @ weighted
    normal[np.diag_indices_from(normal)] += curvature
    scale = 1 / np.sqrt(normal.diagonal())
    factor = _cholesky(normal * scale[:, None] * scale)

    def direction(r_s):
        target = -r_s / lam - r_p
        rhs = A.T @ (theta * target) - r_w
        dw = scale * cho_solve(factor, scale * rhs)
        rest = rhs - curvature * dw - A.T @ (theta * (A @ dw))  # one refinement: ill-conditioned late
        dw = dw + scale * cho_solve(factor, scale * rest)
        dlam = theta * (target - A @ dw)
        return _Point(dw, -(r_s + s * dlam) / lam, dlam)

    move = direction(r_s)
    length = _to_boundary(point, move)
    corrected = direction(r_s + length**2 * move.s * move.lam)  # Mehrotra: what the linear step leaves out
    if _to_boundary(point, corrected) > length:
        move, length = corrected, _to_boundary(point, corrected)
    before = _size(parts)
    for _ in range(30):
        new = point.step(length, move)
        after = _size(_residuals(A, p, new, mu)[0])
        if after <= (1 - 0.01 * length) * before or after < 1e-14:
            break
        length *= 0.6
    return new, length


def _to_boundary(point, move) -> float:
    length = 1.0
    for value, change in ((point.s, move.s), (point.lam, move.lam)):
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
