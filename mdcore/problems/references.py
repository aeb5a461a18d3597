"""Exact solutions that a cell is compared with, each solved once per data set and kept on disk. No bias anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdcore.problems import cache, certificates, interior_point, logistic
from mdcore.problems.datasets import Dataset
from mdcore.problems.max_margin import GAP_TARGET, MaxMargin, max_margin
from mdcore.problems.separability import OVERLAPPING, QUASI, SEPARABLE, Separability, separability

SOLVER_VERSION = 1  # raised whenever a solver may answer differently: old files are then left alone
GRADIENT_TARGET = 1e-10  # relative gradient at which a logistic minimiser counts as exact


@dataclass
class Linear:
    """A linear baseline w (d,) without bias.

    kind: "hard-margin", "soft-margin" (SVM), "unregularised", "l2" (logistic); C is None where none was used.
    gap: relative duality gap (SVM) or norm of the gradient of the objective (logistic). kkt: largest relative
    violation of the optimality conditions. message: empty unless the solver missed its target.
    """

    w: np.ndarray
    C: float | None
    kind: str
    gap: float
    kkt: float
    message: str = ""


@dataclass
class References:
    """What is exactly known of a data set; see `solve_references`."""

    separability: str
    separability_value: float
    n: int
    max_margin: dict[float, MaxMargin] = field(default_factory=dict)
    svm: Linear | None = None
    logreg: Linear | None = None
    quasi: object | None = None
    message: str = ""


def solve_references(data: Dataset, ps: Iterable[float], svm_C: float, logreg_C: float,
                     cache_dir: Path | None) -> References:
    """Separability, l_p max-margin for each p of `ps` (separable data only), SVM and logistic regression of the
    training points.

    svm: min ‖w‖_2 s.t. Aw ≥ 1 where separable, else min ½‖w‖² + svm_C Σ max(0, 1 − Aw).
    logreg: min Σ log(1 + e^{−Aw}) where a minimiser exists (overlapping data), else min ½‖w‖² +
    logreg_C Σ log(1 + e^{−Aw}).
    Kept under cache_dir, one file each; a second call reads them. Raises ValueError for p < 1 or C ≤ 0.
    """
    ps = sorted({float(p) for p in ps})
    for name, value in (("svm_C", svm_C), ("logreg_C", logreg_C)):
        if not value > 0 or not np.isfinite(value):
            raise ValueError(f"{name}: got {value}; expected a number above 0")
    for p in ps:
        if not p >= 1:
            raise ValueError(f"p: got {p}; expected a number ≥ 1, or inf")
    A = data.A
    keep = _Shelf(data.fingerprint, A, None if cache_dir is None else Path(cache_dir))
    verdict = keep.separability()
    found = References(verdict.verdict, verdict.value, len(A), message=verdict.message)
    if verdict.verdict == SEPARABLE:
        # the l2 solution is a good start for every p, and the hard-margin SVM itself
        l2 = keep.max_margin(2.0, verdict.w)
        found.max_margin = {p: l2 if p == 2.0 else keep.max_margin(p, l2.w) for p in ps}
        found.svm = Linear(l2.w, None, "hard-margin", l2.gap, l2.kkt, l2.message)
    else:
        found.svm = keep.soft_margin(float(svm_C))
    found.logreg = keep.logistic(None if verdict.verdict == OVERLAPPING else float(logreg_C))
    return found


class _Shelf:
    """The references of one data set, from disk where a whole file is there."""

    def __init__(self, fingerprint: str, A: np.ndarray, directory: Path | None):
        self.fingerprint, self.A, self.directory = fingerprint, A, directory

    def _cached(self, kind, parameters, solve, valid=lambda record: True) -> dict:
        name = cache.key_name(self.fingerprint, kind, parameters, SOLVER_VERSION)
        return cache.cached(None if self.directory is None else self.directory / name, solve, valid)

    def separability(self) -> Separability:
        def solve():
            return separability(self.A)._asdict()
        return Separability(**self._cached("separability", {}, solve, self._fits("w", "strict")))

    def max_margin(self, p: float, start: np.ndarray) -> MaxMargin:
        def solve():
            return vars(max_margin(self.A, p, start))
        return MaxMargin(**self._cached("max_margin", {"p": repr(p)}, solve, self._fits("w", "lam")))

    def soft_margin(self, C: float) -> Linear:
        def solve():
            return vars(soft_margin(self.A, C))
        return Linear(**self._cached("svm", {"C": repr(C)}, solve, self._fits("w")))

    def logistic(self, C: float | None) -> Linear:
        def solve():
            answer = vars(logistic_regression(self.A, C))
            return answer | {"C": np.nan if C is None else C}
        return Linear(**self._cached("logreg", {"C": repr(C)}, solve, self._fits("w")) | {"C": C})

    def _fits(self, *names):
        n, d = self.A.shape
        wanted = {"w": (d,), "lam": (n,), "strict": (n,)}
        return lambda record: all(np.shape(record.get(name)) == wanted[name] for name in names)


def soft_margin(A: np.ndarray, C: float) -> Linear:
    """min ½‖w‖² + C Σ max(0, 1 − Aw), exact; gap and kkt from (w, λ) alone."""
    root = np.sqrt(C)  # w = √C v makes it a problem with C = 1
    answer = interior_point.solve(root * A, 2.0, np.zeros(A.shape[1]), 1.0)
    w, lam = root * answer.w, C * answer.lam
    gap = certificates.soft_margin_gap(A, w, lam, C)
    message = "" if gap <= GAP_TARGET else f"relative duality gap {gap:.2e} is above {GAP_TARGET:.0e}: not exact"
    return Linear(w, C, "soft-margin", gap, certificates.soft_margin_kkt(A, w, lam, C), message)


def logistic_regression(A: np.ndarray, C: float | None) -> Linear:
    """C None: min mean log(1 + e^{−Aw}) on overlapping data, the minimiser of least norm; else l2-regularised."""
    if C is None:
        U, V = logistic.row_space(A)
        inner = A @ V
        fit = logistic.minimise(inner)
        fit = fit._replace(w=V @ fit.w)
    else:
        fit = logistic.minimise(A, C)
    message = "" if fit.relative <= GRADIENT_TARGET else (
        f"relative gradient {fit.relative:.2e} is above {GRADIENT_TARGET:.0e}: not exact")
    return Linear(fit.w, C, "unregularised" if C is None else "l2", fit.gradient, fit.relative, message)
