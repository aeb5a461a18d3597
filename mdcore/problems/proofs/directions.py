"""From a certified gap to a direction: how far a unit vector of nearly the largest margin can be from the optimum.

û = w/‖w‖_p, û* the unit vector of the largest l_p margin γ_p*, ε ≥ 1 − γ_p(w)/γ_p*. A small ε is not a small angle: at
p = 2 a gap of 1 % leaves 8.1°, near p = 1 and for large p it may leave anything. All angles are in degrees, between
the vectors as points of R^d; 180 says that nothing is proven.
"""

from __future__ import annotations

import numpy as np

from mdcore.problems.proofs import certificates, exact

NOTHING = 180.0
CONVERGED_GAP = 0.01  # a run on separable data has converged when its certified gap is at most this
ROUNDING = 1.0 + 1e-12  # a handful of elementary functions, each to a few units in the last place


def angle(u: np.ndarray, v: np.ndarray) -> float:
    """2 atan2(‖û − v̂‖, ‖û + v̂‖) in degrees, 0 to 180, exact near both ends; NaN where one is zero or not finite."""
    a, b = np.abs(u).max(), np.abs(v).max()  # first: the squares of 1e200 overflow
    if not (0 < a < np.inf and 0 < b < np.inf):
        return float("nan")
    u, v = (w / np.linalg.norm(w) for w in (u / a, v / b))
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def distance_bound(gap: np.ndarray | float, p: float) -> np.ndarray:
    """δ ≥ ‖û − û*‖_p for 1 < p < ∞, from the modulus of convexity of l_p; shape of `gap`, at most 2.

    min A(û + û*)/2 ≥ (1 − ε/2)γ_p* and ≤ γ_p*‖(û + û*)/2‖_p, so ‖(û + û*)/2‖_p ≥ 1 − ε/2. Then

        p ≥ 2:      ‖û − û*‖_p ≤ 2 (1 − (1 − ε/2)^p)^{1/p}                (Clarkson 1936),
        1 < p ≤ 2:  ‖û − û*‖_p ≤ 2 √((1 − (1 − ε/2)²)/(p − 1))            (Ball, Carlen & Lieb 1994).

    inf for p = 1 and ∞, which are not uniformly convex, and where ε ≥ 1 or is not a number.
    """
    gap = np.asarray(gap, dtype=float)
    if p <= 1 or np.isinf(p):
        return np.full(gap.shape, np.inf)
    exponent = max(p, 2.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        short = -np.expm1(exponent * np.log1p(-np.clip(gap, 0.0, 1.0) / 2))  # 1 − (1 − ε/2)^p, also for tiny ε
        delta = 2.0 * (short / min(p - 1.0, 1.0)) ** (1.0 / exponent)
    return np.where(gap < 1.0, np.minimum(delta, 2.0), np.inf) * ROUNDING


def angle_from_gap(gap: np.ndarray | float, p: float, size_2: np.ndarray | float, dim: int) -> np.ndarray:
    """Bound in degrees on the angle between û and û*, given ‖û‖_2 (`size_2`) and d (`dim`); shape of `gap`.

    The distance in l_2 is at most δ for p ≤ 2 and d^{1/2 − 1/p} δ for p > 2, and two vectors one of which has length
    s, at a distance of at most δ_2 < s, are at an angle of at most arcsin(δ_2/s). At p = 2 the exact
    arccos(1 − ε) = 2 arcsin(√(ε/2)) is smaller, since ⟨û, û*⟩ ≥ 1 − ε.
    """
    gap, size_2 = np.asarray(gap, dtype=float), np.asarray(size_2, dtype=float)
    distance = distance_bound(gap, p) * dim ** max(0.0, 0.5 - 1.0 / p)
    bound = angle_from_distance(distance, size_2)
    if p == 2:
        with np.errstate(invalid="ignore"):
            exact_bound = np.rad2deg(2.0 * np.arcsin(np.sqrt(np.clip(gap, 0.0, 1.0) / 2))) * ROUNDING
        bound = np.where(gap < 1.0, np.minimum(bound, exact_bound), bound)
    return bound


def angle_from_distance(distance: np.ndarray | float, size: np.ndarray | float) -> np.ndarray:
    """arcsin(distance/size) in degrees where distance < size, else 180: the angle of v to a vector within `distance`.

    size (…) is ‖v‖_2; both in the same norm l_2.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(distance, dtype=float) / size
        return np.where(share < 1.0, np.rad2deg(np.arcsin(np.minimum(share, 1.0))) * ROUNDING, NOTHING)


def angle_from_margins(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float, gap: float) -> float:
    """Bound in degrees on the angle between w and every optimum, from the points that λ puts on the margin.

    z = A^Tλ, λ on the simplex, Z = ‖z‖_q, u = û − û*; both û and û* have ‖·‖_p ≤ 1 and every margin ≥ (1 − ε)Z.
    Then ⟨z, û⟩ ≤ Z, and Σ_n λ_n(⟨a_n, û⟩ − (1 − ε)Z) ≤ εZ with no term negative, so that for the points S with λ_n > 0

        |⟨a_n, u⟩| ≤ εZ/λ_n.

    For p = 1, Σ_j |û_j|(1 − |z_j|/Z) ≤ ε, so |u_j| ≤ 2ε/(1 − |z_j|/Z); for p = ∞, Σ_j |z_j|(1 − sign(z_j)û_j) ≤ εZ,
    so |u_j| ≤ εZ/|z_j|. With F the coordinates for which that says little, c_j these bounds on the others,

        ‖u_F‖_2 ≤ (‖(εZ/λ_n)_S‖_2 + ‖|A_{S,rest}| c‖_2)/σ_min(A_{S,F}),

    and ‖u‖_2 ≤ √(‖u_F‖_2² + ‖c‖_2²). For other p all coordinates are in F. 180 where A_{S,F} has not full column rank.
    """
    z = A.T @ lam
    q = certificates.conjugate_exponent(p)
    Z = certificates.norm(z, q) * (1 + 1e-9)
    on = lam > 1e-9 * lam.max()
    with np.errstate(divide="ignore"):
        if p == 1:
            each = 2 * gap / np.maximum(0.0, 1 - np.abs(z) / np.abs(z).max() - 1e-12)
        elif np.isinf(p):
            each = gap * Z / np.maximum(0.0, np.abs(z) - 1e-12 * Z)
        else:
            each = np.full(len(z), np.inf)
    free = each > 1e-3
    each = each[~free]
    rows = gap * Z / lam[on] + np.abs(A[on][:, ~free]) @ each
    inside = 0.0
    if free.any():
        sizes = np.linalg.svd(A[on][:, free], compute_uv=False)
        least = sizes[-1] - 1e-12 * sizes[0] if on.sum() >= free.sum() else 0.0
        if not least > 0:
            return NOTHING
        inside = float(np.linalg.norm(rows)) / least
    distance = float(np.hypot(inside, np.linalg.norm(each))) * (1 + 1e-9)
    return float(angle_from_distance(distance, certificates.norm(w, 2) / certificates.norm(w, p)))


def reference_angle(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float, unique: bool) -> tuple[float, float]:
    """(ε, degrees): the duality gap of (w, λ) rounded up by exact arithmetic, and how far w can be from the optimum.

    NaN degrees where the optimum is not proved unique: there is no direction to be near to.
    """
    gap = exact.duality_gap(A, w, lam, p)
    if not unique:
        return gap, np.nan
    size_2 = certificates.norm(w, 2) / certificates.norm(w, p)
    by_norm = float(angle_from_gap(gap, p, size_2, len(w)))
    return gap, min(by_norm, angle_from_margins(A, w, lam, p, gap))
