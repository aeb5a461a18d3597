"""Computations of the suite's own, independent of the code that it judges."""

from __future__ import annotations

import clarabel
import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize


def degrees(u: np.ndarray, v: np.ndarray) -> float:
    """Angle of u and v in degrees, [0, 180]: atan2(‖u_⟂‖, ⟨u, v̂⟩) with u_⟂ the part of u orthogonal to v."""
    u, v = (np.asarray(x, float) / np.abs(x).max() for x in (u, v))
    v = v / np.linalg.norm(v)
    along = float(u @ v)
    return float(np.degrees(np.arctan2(np.linalg.norm(u - along * v), along)))


def least_potential(A: np.ndarray, m: float) -> np.ndarray:
    """argmin Σ_j cosh(w_j) s.t. Aw ≥ m (d,), divided by m; by the logarithm, so that m may be 1e4 (SLSQP).

    Raises ValueError for m ≤ 0.
    """
    if not m > 0:
        raise ValueError(f"m = {m:g}: the predictor misclassifies a point; expected a margin above 0")

    def objective(x):
        top = m * np.abs(x).max()
        plus, minus = np.exp(m * x - top), np.exp(-m * x - top)
        total = (plus + minus).sum()
        return (top + np.log(total)) / m, (plus - minus) / total

    start = np.linalg.lstsq(A, np.ones(len(A)), rcond=None)[0]
    start = _separate(A, start)
    answer = minimize(
        objective,
        start,
        jac=True,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda x: A @ x - 1, "jac": lambda x: A},
        options={"maxiter": 2000, "ftol": 1e-14},
    )
    return answer.x


def _separate(A, w):
    """A w with Aw ≥ 1, by the perceptron where the least-squares one does not do."""
    while (A @ w).min() <= 0:
        w = w + A[np.argmin(A @ w)]
    return w / (A @ w).min()


def newton_logistic(A: np.ndarray, steps: int = 50) -> np.ndarray:
    """argmin mean log(1 + e^{−Aw}) on overlapping data, by Newton's method with halved steps from 0."""
    w = np.zeros(A.shape[1])
    for _ in range(steps):
        s = 1 / (1 + np.exp(A @ w))
        direction = np.linalg.solve(A.T @ (A * (s * (1 - s))[:, None]), A.T @ s)
        size, now = 1.0, np.logaddexp(0, -A @ w).sum()
        while np.logaddexp(0, -A @ (w + size * direction)).sum() > now and size > 1e-6:
            size /= 2
        w = w + size * direction
    return w


def soft_margin_svm(A: np.ndarray, C: float) -> np.ndarray:
    """argmin ½‖w‖² + C Σ max(0, 1 − Aw), no bias: L-BFGS-B on its dual."""
    Q = A @ A.T
    answer = minimize(
        lambda a: (0.5 * a @ Q @ a - a.sum(), Q @ a - 1),
        np.full(len(A), 0.5 * C),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, C)] * len(A),
        options={"maxiter": 50000, "maxfun": 100000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 50},
    )
    return A.T @ answer.x


def least_polyhedral(A: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(w, λ) of min Σr (p = 1) or min r (p = ∞) s.t. Aw ≥ 1, −r ≤ w ≤ r; A (n, d), the optimum of size about 1.

    By clarabel's interior point; λ (n,) ≥ 0 are the multipliers of Aw ≥ 1. Its status is not looked at: certify.
    """
    n, d = A.shape
    bound = np.eye(d) if p == 1 else np.ones((d, 1))
    rows = np.block([[-A, np.zeros((n, bound.shape[1]))], [np.eye(d), -bound], [-np.eye(d), -bound]])
    size = rows.shape[1]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_rel = settings.tol_gap_abs = settings.tol_feas = 1e-13
    answer = clarabel.DefaultSolver(
        sparse.csc_matrix((size, size)),
        np.r_[np.zeros(d), np.ones(size - d)],
        sparse.csc_matrix(rows),
        np.r_[-np.ones(n), np.zeros(2 * d)],
        [clarabel.NonnegativeConeT(n + 2 * d)],
        settings,
    ).solve()
    return np.array(answer.x)[:d], np.maximum(0.0, np.array(answer.z)[:n])


def least_factorisation(w: np.ndarray, p: float, widths: tuple[int, ...], starts: int) -> float:
    """The least Σ_l ‖W_l‖_p^p found over W_L ⋯ W_1 = w^T, hidden widths k_1, …, k_{L−1} (L-BFGS from random starts).

    W_1 is eliminated: for v = W_L ⋯ W_2 the least ‖W_1‖_p^p with v W_1 = w^T is ‖w‖_p^p/‖v‖_q^p (Hölder).
    """
    shapes = [(widths[i + 1] if i + 1 < len(widths) else 1, k) for i, k in enumerate(widths)]
    sizes = [a * b for a, b in shapes]
    q, target = p / (p - 1), float(np.sum(np.abs(w) ** p))

    def objective(x):
        x = torch.tensor(x, requires_grad=True)
        layers = [part.reshape(shape) for part, shape in zip(torch.split(x, sizes), shapes, strict=True)]
        v = layers[-1]
        for layer in layers[-2::-1]:
            v = v @ layer
        value = x.abs().pow(p).sum() + target / v.abs().pow(q).sum().pow(p / q)
        value.backward()
        return value.item(), x.grad.numpy()

    rng = np.random.default_rng(1)
    runs = [
        minimize(
            objective,
            rng.standard_normal(sum(sizes)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-10},
        )
        for _ in range(starts)
    ]
    return float(min(run.fun for run in runs))
