"""Quasi-separable data: the max-margin ray and the finite offset that gradient descent tends to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcore.problems.solvers import logistic
from mdcore.problems.solvers.max_margin import MaxMargin, max_margin
from mdcore.problems.solvers.separability import separability

OTHER_P = (
    "for p ≠ 2 no theorem is known to us that gives ray and offset of l_p mirror descent on quasi-separable "
    "data: angles to an l_p max-margin direction are left undefined there"
)


@dataclass
class QuasiSeparable:
    """w(t) = ray·(a factor → ∞) + offset + o(1), for gradient descent on the logistic risk (p = 2).

    strict (n,) bool: the points that some w separates while no other point is hurt. ray (d,): max-margin
    direction of the strict points projected off the span of the rest, scaled to margin 1 there; margin,
    gap, kkt are its own. offset (d,): minimiser of the mean logistic loss of the rest, within their span;
    offset_gradient its relative gradient. message: what is known for p ≠ 2, and whether a solver missed its
    target.
    """

    strict: np.ndarray
    ray: np.ndarray
    margin: float
    gap: float
    kkt: float
    offset: np.ndarray
    offset_gradient: float
    message: str


def ray_and_offset(A: np.ndarray, strict: np.ndarray) -> QuasiSeparable:
    """ray = argmin ‖w‖_2 s.t. ⟨a_n, w⟩ ≥ 1 on strict, = 0 on the rest; offset = argmin of the rest's risk.

    A (n, d); strict (n,) from `separability`, with points on both sides. Source: Ji & Telgarsky 2019
    (COLT), "The implicit bias of gradient descent on nonseparable data": gradient descent's direction
    converges to the max-margin predictor of a maximal separable subset, orthogonal to span(rest), and its
    part in span(rest) to the bounded optimum of the risk of the rest, unique there as they overlap.
    Logistic loss: the exponential loss has the same ray and another offset. Raises ValueError where one of
    the two parts is empty.
    """
    if strict.all() or not strict.any():
        raise ValueError(
            f"strict: {int(strict.sum())} of {len(strict)} points; expected some but not all "
            "(the data must be quasi-separable)"
        )
    _, _, V = logistic.row_space(A[~strict])  # V spans the rest
    free = _complement(V, A.shape[1])
    inside = A[strict] @ free
    best: MaxMargin = max_margin(inside, 2.0, separability(inside).w)
    fit = logistic.minimise(A[~strict] @ V) if V.shape[1] else None
    offset = V @ fit.w if fit is not None else np.zeros(A.shape[1])
    message = "; ".join(filter(None, [best.message, OTHER_P]))
    return QuasiSeparable(
        strict,
        free @ best.w,
        best.margin,
        best.gap,
        best.kkt,
        offset,
        fit.relative if fit is not None else 0.0,
        message,
    )


def _complement(V, d):
    """Orthonormal basis (d, d − r) of what is orthogonal to the columns of V (d, r)."""
    full, _ = np.linalg.qr(np.hstack([V, np.eye(d)]))
    return full[:, V.shape[1] :]
