"""What is exactly known of a data set, without training: separability, the max-margin of a norm, the gap of any w."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdcore.library import arrays
from mdcore.problems.proofs import exact
from mdcore.problems.solvers import max_margin as solver
from mdcore.problems.solvers import separability as program

NOT_SEPARABLE = "the data are {0}: no w separates them, so there is no margin; mdcore.separability(X, y) tells more"


@dataclass(frozen=True)
class Separability:
    """Can a hyperplane through the origin separate the classes? The verdict and its certificate.

    verdict: "separable", "quasi-separable" or "overlapping". w (d,): Aw > 0 on the points `strict` (n,), and 0 on the
    others; None where the data overlap. lam (n,): λ > 0 with A^Tλ = 0 to rounding, Σλ = 1, next to which an exact one
    is proved to exist, so that no w has Aw ≥ 0, Aw ≠ 0; None unless the data overlap, and where they do so to double
    precision only. message: how the verdict was certified. A has the rows y_n x_n.
    """

    verdict: str
    strict: np.ndarray
    w: np.ndarray | None
    lam: np.ndarray | None
    message: str


def separability(X: Any, y: Any) -> Separability:
    """max Σ_n s_n s.t. y_n⟨w, x_n⟩ ≥ s_n, 0 ≤ s ≤ 1: n where the data are separable, 0 where they overlap.

    X (n, d), y (n,) with two values. There is no intercept: append a column of ones to X for one. See
    `mdcore.problems.solvers.separability` for how it is solved and certified. Raises ValueError for other data.
    """
    separation = program.separability(arrays.read(X, y)[0].A)
    w = None if separation.verdict == program.OVERLAPPING else separation.w
    return Separability(separation.verdict, separation.strict, w, separation.lam, separation.message)


def max_margin(X: Any, y: Any, p: float = 2.0) -> solver.MaxMargin:
    """w = argmin ‖w‖_p s.t. y_n⟨w, x_n⟩ ≥ 1, for 1 ≤ p ≤ ∞, exact: γ_p* = 1/‖w‖_p is the largest l_p margin.

    X (n, d), y (n,) with two values, the larger one +1; no intercept. The result has `.w` (d,), `.margin`, `.gap` (its
    duality gap, rounded up), `.lam` (n,) (the λ that proves it), `.unique`, `.angle_bound` (degrees) and `.message`.
    Raises ValueError for p < 1 and for data that are not separable.
    """
    return _solve(arrays.read(X, y)[0].A, p)


def check_p(p: float) -> None:
    """ValueError unless there is an l_p norm."""
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not p >= 1:
        raise ValueError(f"p: got {p!r}; expected a number ≥ 1, or float('inf')")


def _words(array: np.ndarray) -> str:
    size = "zeros" if not array.any() else "numbers" if np.isfinite(array).all() else "NaN or infinity"
    return f"an array of shape {array.shape} with {size}"


def _solve(A: np.ndarray, p: float) -> solver.MaxMargin:
    check_p(p)
    separation = program.separability(A)
    if separation.verdict != program.SEPARABLE:
        raise ValueError(NOT_SEPARABLE.format(separation.verdict))
    return solver.max_margin(A, float(p), separation.w)


def certificate(w: Any, X: Any, y: Any, p: float = 2.0, lam: Any = None) -> float:
    """gap = 1 − γ_p(w)/‖A^Tλ‖_q, λ on the simplex: w misses at most this share of the largest l_p margin γ_p*.

    By weak duality γ_p(w) = min_n y_n⟨w, x_n⟩/‖w‖_p ≤ γ_p* ≤ ‖A^Tλ‖_q for every λ ≥ 0, Σλ = 1, where A has the rows
    y_n x_n and q = p/(p − 1). Both sides are computed in exact arithmetic and the gap is rounded up, so that it holds
    whatever made w and λ.

    w (d,): any predictor, of mdcore or of anything else. lam (n,): the weights of the points; `fit(…).lam` holds those
    of a run. None: those of the exact max-margin, so that the gap is the true missing share. 1 and more where w
    misclassifies a point. Raises ValueError for shapes that do not fit, a λ that is negative or zero, w = 0, and
    without `lam` for data that are not separable.
    """
    A = arrays.read(X, y)[0].A
    w = np.asarray(w, dtype=float)
    if w.shape != A.shape[1:] or not np.isfinite(w).all() or not w.any():
        raise ValueError(f"w: got {_words(w)}; expected shape {A.shape[1:]}, finite numbers, not all zero")
    check_p(p)
    weights = _solve(A, p).lam if lam is None else np.asarray(lam, dtype=float)
    if weights.shape != A.shape[:1] or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise ValueError(f"lam: got {_words(weights)}; expected shape {A.shape[:1]}, numbers ≥ 0, not all zero")
    return exact.gap_between(exact.margin_lower_bound(A, w, p), exact.bound_of_weights(A, weights, p))


def angle(u: Any, v: Any) -> float:
    """The angle between two vectors in degrees, 0 to 180: an opposite vector is at 180°. NaN for a zero vector."""
    import torch

    from mdcore.math.metrics import angle as degrees

    return float(degrees(*(torch.as_tensor(np.asarray(each, dtype=float)) for each in (u, v))))
