"""l_1 and l_∞ max-margin by linear programming, refined to rounding at the vertex that the program ends at."""

from __future__ import annotations

import numpy as np

from mdcore.problems.proofs import certificates
from mdcore.problems.solvers import linear_program

NONZERO = 1e-7  # a multiplier or coordinate below this share of the largest is taken for 0


def solve(A: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(w, λ) of min ‖w‖_p s.t. Aw ≥ 1 for p = 1 or ∞; A (n, d), scaled so that the optimum has size about 1.

    p = 1: min Σ(u + v), w = u − v, u, v ≥ 0. p = ∞: min t, w = v − t, 0 ≤ v ≤ 2t. λ (n,) are the
    multipliers of Aw ≥ 1. HiGHS stops at absolute tolerances; `_refine` solves the equations of its vertex.
    Raises ArithmeticError where HiGHS finds no optimum.
    """
    n, d = A.shape
    if p == 1:
        x, lam, _ = linear_program.solve(np.ones(2 * d), np.hstack([-A, A]), -np.ones(n), (0, None))
        w = x[:d] - x[d:]
    else:
        margins = np.hstack([-A, A.sum(axis=1)[:, None]])
        box = np.hstack([np.eye(d), np.full((d, 1), -2.0)])
        x, lam, _ = linear_program.solve(
            np.r_[np.zeros(d), 1.0], np.vstack([margins, box]), np.r_[-np.ones(n), np.zeros(d)], (0, None)
        )
        w, lam = x[:d] - x[d], lam[:n]
    refined = _refine(A, p, w, lam)
    return min([(w, lam), refined], key=lambda pair: certificates.max_margin_gap(A, pair[0], pair[1], p))


def _refine(A, p, w, lam) -> tuple[np.ndarray, np.ndarray]:
    """The equations that hold at the vertex, solved by least squares; with n_S rows on the margin (λ > 0):

    p = 1: A_SJ w_J = 1 and A_SJ^T λ_S = sign(w_J) on the coordinates J that are used. p = ∞: w = tσ where
    |w_j| is largest, free on F: A_SF w_F + A_S σ t = 1, and A_SF^T λ_S = 0, σ^T A_S^T λ_S = 1.
    """
    rows = lam > NONZERO * lam.max()
    size = np.abs(w).max()
    if p == 1:
        moving = np.abs(w) > NONZERO * size
        fixed, basis = np.zeros(len(w)), A[rows][:, moving]
        cost = np.sign(w[moving])
    else:
        moving = np.abs(w) < (1 - NONZERO) * size
        fixed = np.where(moving, 0.0, np.sign(w))
        basis = np.hstack([A[rows][:, moving], (A[rows] @ fixed)[:, None]])  # unknowns w_F and t
        cost = np.r_[np.zeros(moving.sum()), 1.0]
    unknown = np.linalg.lstsq(basis, np.ones(len(basis)), rcond=None)[0]
    new_w = np.zeros(len(w)) if p == 1 else unknown[-1] * fixed
    new_w[moving] = unknown[: moving.sum()]
    new_lam = np.zeros(len(lam))
    new_lam[rows] = np.maximum(0.0, np.linalg.lstsq(basis.T, cost, rcond=None)[0])
    return new_w, new_lam


def determined(A: np.ndarray, p: float, lam: np.ndarray) -> bool:
    """Do the conditions that every optimum must meet, given λ, leave one point? (Sufficient for uniqueness.)

    Points with λ_n > 0 lie on the margin for every optimum. p = 1: w_j = 0 where |A^Tλ|_j < ‖A^Tλ‖_∞. p =
    ∞: |w_j| = ‖w‖_∞ with the sign of (A^Tλ)_j where that is not 0. The other coordinates are free: they are
    determined iff the margin rows have full column rank on them.
    """
    z = np.abs(A.T @ lam)
    free = z > (1 - 1e-7) * z.max() if p == 1 else z < 1e-7 * z.max()
    rows = A[lam > 1e-9 * lam.max()][:, free]
    return not free.any() or bool(len(rows) and np.linalg.matrix_rank(rows) == free.sum())
