"""Exact solutions that a cell is compared with, solved once per data set, kept on disk. No bias anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdcore.problems import cache
from mdcore.problems.baselines import Linear, logistic_regression, soft_margin
from mdcore.problems.datasets import Dataset
from mdcore.problems.solvers.max_margin import MaxMargin, max_margin
from mdcore.problems.solvers.quasi import QuasiSeparable, ray_and_offset
from mdcore.problems.solvers.separability import OVERLAPPING, QUASI, SEPARABLE, Separability, separability


@dataclass
class References:
    """What is exactly known of a data set of n points; see `solve_references`.

    separability: "separable", "quasi-separable", "overlapping"; separability_value: value of its LP, n,
    between, 0. max_margin: by p; empty unless separable. svm, logreg: baselines, their kind says which
    problem they solve. quasi: ray and offset; None unless quasi-separable. message: how the verdict was
    certified.
    """

    separability: str
    separability_value: float
    n: int
    max_margin: dict[float, MaxMargin] = field(default_factory=dict)
    svm: Linear = field(init=False)
    logreg: Linear = field(init=False)
    quasi: QuasiSeparable | None = None
    message: str = ""


def solve_references(
    data: Dataset, ps: Iterable[float], svm_C: float, logreg_C: float, cache_dir: Path | None
) -> References:
    """Separability, l_p max-margin for each p of `ps`, SVM and logistic regression of the training points.

    max_margin: argmin ‖w‖_p s.t. Aw ≥ 1, separable data only, p in [1, ∞].
    svm: argmin ‖w‖_2 s.t. Aw ≥ 1 where separable, else argmin ½‖w‖² + svm_C Σ max(0, 1 − Aw).
    logreg: argmin Σ log(1 + e^{−Aw}) where a minimiser exists (overlapping data), else
    argmin ½‖w‖² + logreg_C Σ log(1 + e^{−Aw}).
    quasi: where quasi-separable, the ray and the offset of gradient descent.
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
    keep = _SolutionCache(data.fingerprint, A, None if cache_dir is None else Path(cache_dir))
    verdict = keep.separability()
    references = References(verdict.verdict, verdict.value, len(A), message=verdict.message)
    if verdict.verdict == SEPARABLE:
        # the l2 solution is a good start for every p, and the hard-margin SVM itself
        l2 = keep.max_margin(2.0, verdict.w)
        references.max_margin = {p: l2 if p == 2.0 else keep.max_margin(p, l2.w) for p in ps}
        references.svm = Linear(l2.w, None, "hard-margin", l2.gap, l2.kkt, l2.message)
    else:
        references.svm = keep.soft_margin(float(svm_C))
    if verdict.verdict == QUASI:
        references.quasi = keep.quasi(verdict.strict)
    references.logreg = keep.logistic(None if verdict.verdict == OVERLAPPING else float(logreg_C))
    return references


class _SolutionCache:
    """The references of one data set, from disk where a whole file is there."""

    def __init__(self, fingerprint: str, A: np.ndarray, directory: Path | None):
        self.fingerprint, self.A, self.directory = fingerprint, A, directory

    def _cached(self, kind, parameters, solve, valid=lambda record: True) -> dict:
        name = cache.key_name(self.fingerprint, kind, parameters)
        return cache.cached(None if self.directory is None else self.directory / name, solve, valid)

    def separability(self) -> Separability:
        def solve():
            return {name: value for name, value in separability(self.A)._asdict().items() if name != "lam"}

        return Separability(**self._cached("separability", {}, solve, self._fits("w", "strict")))

    def max_margin(self, p: float, start: np.ndarray) -> MaxMargin:
        def solve():
            return vars(max_margin(self.A, p, start))

        return MaxMargin(**self._cached("max_margin", {"p": repr(p)}, solve, self._fits("w", "lam")))

    def quasi(self, strict: np.ndarray) -> QuasiSeparable:
        def solve():
            return vars(ray_and_offset(self.A, strict))

        return QuasiSeparable(**self._cached("quasi", {}, solve, self._fits("ray", "offset", "strict")))

    def soft_margin(self, C: float) -> Linear:
        def solve():
            return vars(soft_margin(self.A, C))

        return Linear(**self._cached("svm", {"C": repr(C)}, solve, self._fits("w")))

    def logistic(self, C: float | None) -> Linear:
        def solve():
            return vars(logistic_regression(self.A, C)) | {"C": np.nan if C is None else C}

        return Linear(**self._cached("logreg", {"C": repr(C)}, solve, self._fits("w")) | {"C": C})

    def _fits(self, *names):
        n, d = self.A.shape
        wanted = {"w": (d,), "ray": (d,), "offset": (d,), "lam": (n,), "strict": (n,)}
        return lambda record: all(np.shape(record.get(name)) == wanted[name] for name in names)
