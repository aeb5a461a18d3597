"""How far a claimed optimum is from the true one, from (w, λ) and the data alone, not by a solver's word."""

from __future__ import annotations

import numpy as np


def conjugate_exponent(p: float) -> float:
    """q with 1/p + 1/q = 1; q(1) = ∞, q(∞) = 1."""
    if p == 1:
        return np.inf
    return 1.0 if np.isinf(p) else p / (p - 1)


def norm(v: np.ndarray, p: float) -> float:
    """‖v‖_p for p in [1, ∞], scaled first so that no power over- or underflows."""
    largest = float(np.max(np.abs(v), initial=0.0))
    if largest == 0 or np.isinf(p) or not np.isfinite(largest):
        return largest
    return largest * float(np.sum((np.abs(v) / largest) ** p)) ** (1 / p)


def largest_row_norm(A: np.ndarray, q: float) -> float:
    """max_n ‖a_n‖_q over the rows of A (n, d), not rounded down."""
    scale = np.maximum(np.abs(A).max(axis=1), np.finfo(float).tiny)
    return float((np.linalg.norm(A / scale[:, None], ord=q, axis=1) * scale).max()) * (1 + 1e-9)


def margin(A: np.ndarray, w: np.ndarray, p: float) -> float:
    """γ_p(w) = min(Aw)/‖w‖_p; −inf for w = 0."""
    size = norm(w, p)
    return float((A @ w).min()) / size if size > 0 else -np.inf


def margin_bound(A: np.ndarray, lam: np.ndarray, p: float) -> float:
    """‖A^Tλ‖_q/Σλ ≥ γ_p*, for any λ ≥ 0, λ ≠ 0: no w has a larger l_p margin (A (n, d), λ (n,))."""
    return norm(A.T @ lam, conjugate_exponent(p)) / float(lam.sum())


def max_margin_gap(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float) -> float:
    """1 − γ_p(w)/‖A^Tλ‖_q, λ scaled to the simplex: relative duality gap, ≥ 0 up to rounding.

    γ_p* lies between the two, so w misses the largest margin by at most this share. inf if γ_p(w) ≤ 0 or λ
    has negative entries.
    """
    attained = margin(A, w, p)
    if not attained > 0 or not lam.sum() > 0 or lam.min() < 0:
        return np.inf
    return 1.0 - attained / margin_bound(A, lam, p)


def max_margin_kkt(A: np.ndarray, w: np.ndarray, lam: np.ndarray, p: float) -> float:
    """Largest relative violation of the KKT conditions of min ‖w‖_p s.t. Aw ≥ 1, at w scaled to min(Aw) = 1.

    Stationarity, with z = A^Tλ: for p ≥ 2, ∇‖w‖_p = z/‖z‖_q, difference in norm q; for 1 < p < 2, the same
    solved for w, w/‖w‖_p = ψ_p(z)/‖ψ_p(z)‖_p, difference in norm p (of the two the smooth side: |w|^{p−1}
    makes 0.2 of 1e-15); for p = 1 and ∞ the distance of z to the subdifferential, largest entry.
    Complementarity: Σ_n λ_n (⟨a_n, w⟩ − 1)/Σλ. λ ≥ 0: its most negative entry over its largest. Primal
    feasibility holds by the scaling; inf if min(Aw) ≤ 0.
    """
    smallest = float((A @ w).min())
    if not smallest > 0 or not lam.max() > 0:
        return np.inf
    w = w / smallest
    complementarity = float(lam @ (A @ w - 1)) / float(lam.sum())
    z = A.T @ lam
    z = z / norm(z, conjugate_exponent(p))
    if p == 1:
        used = np.abs(w) > 1e-9 * np.abs(w).max()
        stationarity = float(np.abs(z - np.sign(w))[used].max())
    elif np.isinf(p):
        inner = np.abs(w) < (1 - 1e-9) * np.abs(w).max()
        stationarity = float(max(np.max(np.abs(z[inner]), initial=0.0), np.max(-z * np.sign(w), initial=0.0)))
    elif p < 2:
        implied = np.sign(z) * (np.abs(z) / np.abs(z).max()) ** (1 / (p - 1))
        stationarity = norm(w / norm(w, p) - implied / norm(implied, p), p)
    else:
        gradient = np.sign(w) * (np.abs(w) / norm(w, p)) ** (p - 1)
        stationarity = norm(gradient - z, conjugate_exponent(p))
    return max(stationarity, abs(complementarity), float(-lam.min() / lam.max()))


def soft_margin_gap(A: np.ndarray, w: np.ndarray, lam: np.ndarray, C: float) -> float:
    """Relative duality gap of min ½‖w‖² + C Σ max(0, 1 − Aw), dual max Σλ − ½‖A^Tλ‖² over 0 ≤ λ ≤ C.

    inf where λ is not in [0, C].
    """
    if lam.min() < 0 or lam.max() > C * (1 + 1e-15):
        return np.inf
    z = A.T @ lam
    primal = 0.5 * float(w @ w) + C * float(np.maximum(0.0, 1.0 - A @ w).sum())
    return (primal - float(lam.sum()) + 0.5 * float(z @ z)) / primal


def soft_margin_kkt(A: np.ndarray, w: np.ndarray, lam: np.ndarray, C: float) -> float:
    """Largest relative violation of w = A^Tλ, λ_n = C where the margin is < 1, λ_n = 0 where it is > 1.

    Complementarity is counted by its product, min(slack, C−λ over C) and so on, so that a margin of exactly
    1 is free.
    """
    margins = A @ w
    stationarity = norm(w - A.T @ lam, 2) / max(norm(w, 2), 1e-300)
    below = np.maximum(0.0, 1.0 - margins) * (C - lam) / C
    above = np.maximum(0.0, margins - 1.0) * lam / C
    return float(max(stationarity, below.max(), above.max()))


def powers_of_two(sizes: np.ndarray) -> np.ndarray:
    """2^k, one an entry, that bring `sizes` into [1, 2): a product with them is exact. 1 where a size is 0."""
    _, exponents = np.frexp(sizes)
    return np.where(sizes > 0, np.ldexp(1.0, 1 - exponents), 1.0)


def positive_null(A: np.ndarray, lam: np.ndarray) -> np.ndarray | None:
    """λ' (n,), Σλ' = 1, next to which there is, proved, a λ > 0 with A^Tλ = 0; None proves nothing.

    Where there is one, no w has Aw ≥ 0, Aw ≠ 0: the data overlap.

    λ (n,) belongs to the rows of A (n, d) scaled to length 1. With the rows scaled by powers of two (exactly) and λ to
    match, λ is first projected on the null space of A^T as well as rounding allows. With r = A^Tλ, λ − A(A^TA)^{-1}r
    is an exact null vector, provided that A has full column rank; it differs from λ by at most ‖r‖_2/σ_min(A) in every
    entry, and is positive where that is less than min λ. Rounding makes r wrong by at most (n + 2)u|A|^Tλ, and the
    computed σ_min by at most a multiple of u‖A‖_F that grows slower than n + d (a backward stable singular value
    decomposition; Higham 2002, chapter 19); both are taken in full. Columns that are zero, or a power of two times
    another one or its negative, constrain nothing and are left out first.
    """
    rows = np.abs(A).max(axis=1)
    if not rows.all():  # a point at 0 takes any λ
        null_vector, inside = np.ones(len(A)), positive_null(A[rows > 0], lam[rows > 0]) if rows.any() else None
        if inside is not None:
            null_vector[rows > 0] = inside * inside.size
        return null_vector / null_vector.sum() if inside is not None or not rows.any() else None
    powers = powers_of_two(rows)
    A = A * powers[:, None]
    lam = lam / np.linalg.norm(A, axis=1)
    used = A[:, np.abs(A).max(axis=0) > 0]
    first = used[np.argmax(used != 0, axis=0), np.arange(used.shape[1])]
    alike = used * (np.sign(first) * powers_of_two(np.abs(used).max(axis=0)))
    A = used[:, np.unique(alike, axis=1, return_index=True)[1]]
    n, d = A.shape
    if n <= d:
        return None
    Q = np.linalg.qr(A)[0]
    for _ in range(2):
        lam = lam - Q @ (Q.T @ lam)
    if not lam.min() > 0:
        return None
    unit = np.finfo(float).eps / 2
    rest = np.linalg.norm(np.abs(A.T @ lam) + 2 * (n + 2) * unit * (np.abs(A).T @ lam))
    least = np.linalg.svd(A, compute_uv=False)[-1] - 8 * (n + d) * unit * np.linalg.norm(A)
    if not (least > 0 and 1.01 * rest / least < lam.min()):
        return None
    lam = lam * (powers / powers.max())
    return lam / lam.sum()
