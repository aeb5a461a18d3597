"""Logistic regression without bias by damped Newton: unregularised, or l2-regularised at a stated C."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

from mdcore.problems.datasets import in_parts

MAX_STEPS = 200


class LogisticFit(NamedTuple):
    """w (d,), the gradient's norm over that of the terms that cancel in it, Newton steps."""

    w: np.ndarray
    relative: float
    steps: int


def row_space(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A = U diag(σ) V^T: U (n, r), σ (r,), V (d, r), orthonormal columns, r the numerical rank of A.

    Minimising over w = V x loses nothing (Aw depends on no other part of w) and leaves no flat direction.
    """
    n, d = A.shape
    if not A.any():
        return np.zeros((n, 0)), np.zeros(0), np.zeros((d, 0))
    if n > 2 * d:  # QR first: the singular vectors of the small factor, then one product
        factors = np.vstack([np.linalg.qr(part, mode="r") for part in in_parts(A)])
        R = np.linalg.qr(factors, mode="r") if len(factors) > d else factors
        _, sizes, Vt = np.linalg.svd(R, full_matrices=False)
    else:
        _, sizes, Vt = np.linalg.svd(A, full_matrices=False)
    rank = int((sizes > max(n, d) * np.finfo(float).eps * sizes[0]).sum())
    V = np.ascontiguousarray(Vt[:rank].T)
    U = A @ V
    U /= sizes[:rank]
    return U, sizes[:rank], V


def gradient(A: np.ndarray, w: np.ndarray, ridge: float, weight: float) -> tuple[np.ndarray, float]:
    """∇ of (ridge/2)‖w‖² + weight Σ log(1 + e^{−Aw}) (d,), and the size of the terms that cancel in it."""
    lam = weight * expit(-(A @ w))
    ends = np.cumsum([len(part) for part in in_parts(A)])[:-1]
    terms = sum(np.abs(part).T @ some for part, some in zip(in_parts(A), np.split(lam, ends)))
    return ridge * w - A.T @ lam, float(np.linalg.norm(terms))


def minimise(A: np.ndarray, C: float | None = None) -> LogisticFit:
    """min_w mean log(1 + e^{−Aw}) for C None, else min_w ½‖w‖² + C Σ log(1 + e^{−Aw}) (scikit-learn's C).

    A (n, d); for C None of full column rank and overlapping: otherwise there is no minimiser and the steps
    run on until the gradient is rounding. Damped Newton until the gradient stops falling, at about 1e-16 of
    its terms; returns the w of smallest gradient.
    """
    n, d = A.shape
    ridge, weight = (0.0, 1.0 / n) if C is None else (1.0, C)
    w, margins, smallest, idle = np.zeros(d), np.zeros(n), np.inf, 0
    best = LogisticFit(w, np.inf, 0)
    for step in range(MAX_STEPS):
        slope, terms = gradient(A, w, ridge, weight)
        size = float(np.linalg.norm(slope))
        fit = LogisticFit(w, size / terms if terms > 0 else 0.0, step)
        idle = 0 if size < 0.5 * smallest else idle + 1
        if size < smallest:
            best, smallest = fit, size
        if (idle > 3 and best.relative < 1e-12) or idle > 20:
            break
        direction = _newton_direction(A, margins, slope, ridge, weight)
        if not np.isfinite(direction).all():
            break
        objective = partial(_objective, ridge, weight)
        w, margins = _line_search(A, objective, (w, margins), direction, float(slope @ direction))
    return best


def _newton_direction(A, margins, slope, ridge, weight):
    hessian = A.T @ ((weight * expit(margins) * expit(-margins))[:, None] * A)
    hessian[np.diag_indices_from(hessian)] += ridge
    try:
        return -cho_solve(cho_factor(hessian), slope)
    except LinAlgError:  # flat to rounding in some direction
        return -np.linalg.lstsq(hessian, slope, rcond=None)[0]


def _objective(ridge: float, weight: float, w: np.ndarray, margins: np.ndarray) -> float:
    return 0.5 * ridge * float(w @ w) + weight * float(np.logaddexp(0.0, -margins).sum())


def _line_search(A, objective, point, direction, promised: float):
    """Halve the step until the objective falls by a share of what its slope promises (Armijo); point: (w, margins)."""
    (w, margins), change = point, A @ direction
    value, length = objective(w, margins), 1.0
    for _ in range(40):
        new, new_margins = w + length * direction, margins + length * change
        # the last term: at rounding size the objective says nothing, the full Newton step is right
        if objective(new, new_margins) <= value + 1e-4 * length * promised + 1e-15 * abs(value):
            break
        length *= 0.5
    return new, A @ new
