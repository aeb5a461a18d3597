"""Linear baselines without bias: the soft-margin SVM and logistic regression, exact, with their residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcore.problems.proofs import certificates
from mdcore.problems.solvers import logistic
from mdcore.problems.solvers import soft_margin as soft_margin_solver
from mdcore.problems.solvers.max_margin import GAP_TARGET

GRADIENT_TARGET = 1e-10  # relative gradient at which a logistic minimiser counts as exact


@dataclass
class Linear:
    """A linear baseline w (d,) without bias.

    kind: "hard-margin", "soft-margin" (SVM), "unregularised", "l2" (logistic); C is None where none was
    used. gap: relative duality gap (SVM) or norm of the gradient of the objective (logistic). kkt: largest
    relative violation of the optimality conditions (logistic: the gradient over the terms that cancel in
    it). message: empty unless the solver missed its target. unique: False for the unregularised minimiser where A has
    not full column rank: then w + v is another for every v with Av = 0.
    """

    w: np.ndarray
    C: float | None
    kind: str
    gap: float
    kkt: float
    message: str = ""
    unique: bool = True


def soft_margin(A: np.ndarray, C: float) -> Linear:
    """argmin ½‖w‖² + C Σ max(0, 1 − Aw), A (n, d)."""
    w, lam = soft_margin_solver.solve(A, C)
    gap = certificates.soft_margin_gap(A, w, lam, C)
    message = "" if gap <= GAP_TARGET else f"relative duality gap {gap:.2e} > {GAP_TARGET:.0e}: not exact"
    return Linear(w, C, "soft-margin", gap, certificates.soft_margin_kkt(A, w, lam, C), message)


def logistic_regression(A: np.ndarray, C: float | None) -> Linear:
    """argmin ½‖w‖² + C Σ log(1 + e^{−Aw}), A (n, d).

    C None: argmin mean log(1 + e^{−Aw}), the one of least norm; it exists only on overlapping data.
    """
    if C is None:
        _, _, V = logistic.row_space(A)
        w, kind = V @ logistic.minimise(A @ V).w, "unregularised"
        gradient, size = logistic.gradient(A, w, 0.0, 1 / len(A))
        unique = V.shape[1] == A.shape[1]
    else:
        w, kind, unique = logistic.minimise(A, C).w, "l2", True
        gradient, size = logistic.gradient(A, w, 1.0, C)
    gap = float(np.linalg.norm(gradient))
    kkt = gap / size if size > 0 else 0.0
    message = "" if kkt <= GRADIENT_TARGET else f"relative gradient {kkt:.2e} > {GRADIENT_TARGET:.0e}: not exact"
    return Linear(w, C, kind, gap, kkt, message, unique)
