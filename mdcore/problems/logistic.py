"""Logistic regression without bias by damped Newton: unregularised, or l2-regularised at a stated C."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

MAX_STEPS = 200


class LogisticFit(NamedTuple):
    """w (d,), the norm of the gradient, its size relative to the terms that cancel in it, Newton steps."""

    w: np.ndarray
    gradient: float
    relative: float
    steps: int


def row_space(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U (n, r), V (d, r) with orthonormal columns and A = U (U^T A V) V^T; r is the numerical rank of A.

    Minimising over w = V x loses nothing (Aw depends on no other part of w) and leaves no flat direction.
    """
    n, d = A.shape
    if n > 2 * d:  # QR first: the singular vectors of the small factor, then one product
        R = np.linalg.qr(A, mode="r")
        _, sizes, Vt = np.linalg.svd(R, full_matrices=False)
    else:
        _, sizes, Vt = np.linalg.svd(A, full_matrices=False)
    rank = int((sizes > max(n, d) * np.finfo(float).eps * sizes[0]).sum()) if sizes[0] > 0 else 0
    V = np.ascontiguousarray(Vt[:rank].T)
    return (A @ V) / sizes[:rank], V


def minimise(A: np.ndarray, C: float | None = None, stop=None) -> LogisticFit:
    """C None: min_w mean log(1 + e^{−Aw}); else min_w ½‖w‖² + C Σ log(1 + e^{−Aw}) (scikit-learn's convention).

    A (n, d) of full column rank when C is None. Damped Newton until the gradient stops falling at rounding size
    (about 1e-16 of its terms). stop(w, margins) → bool ends it early. On separable data and C None there is no
    minimiser: the steps run to MAX_STEPS or to `stop`.
    """
    n, d = A.shape
    ridge, weight = (0.0, 1.0 / n) if C is None else (1.0, C)
    w, margins = np.zeros(d), np.zeros(n)
    best = None
    for step in range(MAX_STEPS):
        lam = weight * expit(-margins)
        gradient = ridge * w - A.T @ lam
        size = float(np.linalg.norm(gradient))
        if best is None or size < 0.5 * best.gradient:
            idle = 0
        else:
            idle += 1
        if best is None or size < best.gradient:
            terms = float(np.linalg.norm(np.abs(A).T @ lam))
            best = LogisticFit(w, size, size / terms if terms > 0 else 0.0, step)
        if (idle > 3 and best.relative < 1e-12) or idle > 20 or (stop is not None and stop(w, margins)):
            break
        curvature = lam * expit(margins)
        hessian = A.T @ (curvature[:, None] * A)
        hessian[np.diag_indices(d)] += ridge
        try:
            direction = -cho_solve(cho_factor(hessian), gradient)
        except LinAlgError:
            hessian[np.diag_indices(d)] += 1e-14 * hessian.diagonal().max() + 1e-300
            direction = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        if not np.isfinite(direction).all():
            break
        w, margins = _line_search(A, w, margins, direction, gradient, ridge, weight)
    return best if stop is None else LogisticFit(w, size, best.relative, step)


def _line_search(A, w, margins, direction, gradient, ridge, weight):
    """Halve the step until the objective falls by a share of what its slope promises (Armijo)."""
    def objective(w, margins):
        return 0.5 * ridge * float(w @ w) + weight * float(np.logaddexp(0.0, -margins).sum())

    change = A @ direction
    value, slope = objective(w, margins), float(gradient @ direction)
    length = 1.0
    for _ in range(40):
        new, new_margins = w + length * direction, margins + length * change
        # the last term: at rounding size the objective says nothing, the full Newton step is right
        if objective(new, new_margins) <= value + 1e-4 * length * slope + 1e-15 * abs(value):
            break
        length *= 0.5
    return new, A @ new
