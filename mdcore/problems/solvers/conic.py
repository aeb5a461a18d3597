"""l_p max-margin by the conic solver clarabel: the second opinion where the interior point stops short."""

from __future__ import annotations

import clarabel
import numpy as np
from scipy import sparse


def solve(A: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(w, λ) of min τ s.t. Aw ≥ 1, Σ_j r_j ≤ τ, |w_j| ≤ r_j^{1/p} τ^{1−1/p}, so that ‖w‖_p ≤ τ; 1 < p < ∞.

    A (n, d), scaled so that the optimum has size about 1. The power cones hold (r_j, τ, w_j). λ (n,) ≥ 0
    are the multipliers of Aw ≥ 1. clarabel's own status is not looked at: the caller certifies (w, λ).
    """
    n, d = A.shape
    margins = sparse.csc_matrix(np.hstack([-A, np.zeros((n, d + 1))]))  # x = (w, r, τ)
    budget = sparse.csc_matrix(np.r_[np.zeros(d), np.ones(d), -1.0][None])
    first = 3 * np.arange(d)
    place = np.r_[first, first + 1, first + 2], np.r_[d + np.arange(d), np.full(d, 2 * d), np.arange(d)]
    power = sparse.csc_matrix((-np.ones(3 * d), place), shape=(3 * d, 2 * d + 1))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = 1e-13
    answer = clarabel.DefaultSolver(
        sparse.csc_matrix((2 * d + 1, 2 * d + 1)),
        np.r_[np.zeros(2 * d), 1.0],
        sparse.vstack([margins, budget, power], format="csc"),
        np.r_[-np.ones(n), np.zeros(3 * d + 1)],
        [clarabel.NonnegativeConeT(n + 1)] + [clarabel.PowerConeT(1 / p)] * d,
        settings,
    ).solve()
    return np.array(answer.x)[:d], np.maximum(0.0, np.array(answer.z)[:n])
