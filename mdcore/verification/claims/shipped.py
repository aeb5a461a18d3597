"""Claims on the references of every shipped grid: found from the grid files and solved anew, whatever was run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mdcore.config.cell import data_key
from mdcore.config.grid import load_grid
from mdcore.config.plugins.loading import potentials_for
from mdcore.problems.datasets import Dataset
from mdcore.problems.proofs import certificates
from mdcore.problems.references import References, solve_references
from mdcore.problems.solvers import conic
from mdcore.training.cell_data import load_data
from mdcore.verification.claim import ClaimFigure, Measurement, Register, at_most, curves, is_quick, largest
from mdcore.verification.evidence import GRIDS
from mdcore.verification.independent import degrees, least_polyhedral

CLAIMS = Register()
NEAR = (1.2, 1.5, 2.0, math.inf)  # margins up to which points go to the second solver, which breaks down on some sets
SOLVED = 1e-8  # gap at which the second solver is exact itself
SETTING = "every data set of every file in grids/ × every p of its potentials, all seeds (QUICK: one each)"


@dataclass(frozen=True)
class Case:
    """A data set that a grid trains on, and its references, solved without a cache."""

    data: Dataset
    known: References


@lru_cache(maxsize=2)
def cases(quick: bool) -> tuple[Case, ...]:
    """The data sets of all shipped grids, each once, with every p that a layer of one of its cells has for limit."""
    wanted: dict[tuple, tuple[dict, set]] = {}
    for path in sorted(p for p in GRIDS.glob("*.yaml") if not p.name.endswith(".style.yaml")):
        for cell in load_grid(path).cells:
            config = cell.config
            key = (data_key(config) if quick else cell.data_key, config["svm_C"], config["logreg_C"])
            ps = wanted.setdefault(key, (config, set()))[1]
            ps.update(phi.limit_p for phi in potentials_for(config, GRIDS) if phi.limit_p is not None)
    shipped_cases = []
    for config, ps in wanted.values():
        data = load_data(config, GRIDS)
        shipped_cases.append(Case(data, solve_references(data, ps, config["svm_C"], config["logreg_C"], None)))
    return tuple(shipped_cases)


def residual_figure(x_label: str, gaps, residuals) -> ClaimFigure:
    """Duality gaps, without their signs, and KKT residuals by number, with the gap that is asked for."""
    series = curves(range(len(gaps)), {"gap": gaps, "KKT": residuals}, {"target": 1e-7})
    return ClaimFigure(x_label, "residual", series, y_scale="log")


def second_opinion(A: np.ndarray, w: np.ndarray, p: float) -> tuple[np.ndarray, float]:
    """(w', gap of w') of the l_p max-margin problem on A (n, d), by clarabel; `w` only says which points are near.

    A point that is left out has λ = 0, and the gap is that of the whole problem: inf where none was solved.
    """
    margins = A @ w
    solve = least_polyhedral if p == 1 or math.isinf(p) else conic.solve
    best = w, math.inf
    for share in NEAR:
        near = margins <= share * margins.min()
        other, lam = solve(A[near] * (certificates.norm(w, p) / margins.min()), p)
        everywhere = np.zeros(len(A))
        everywhere[near] = lam
        best = min(best, (other, certificates.max_margin_gap(A, other, everywhere, p)), key=lambda pair: pair[1])
        if best[1] < SOLVED:
            break
    return best


@CLAIMS.add(
    "references of every shipped grid are exact",
    "duality gap and KKT residual, stored with each reference",
    SETTING + "; hard- and soft-margin SVM, logistic regression",
    "max-margin and SVM: relative gap 0, KKT residual 0; logistic: relative gradient 0",
    "gap ≤ 1e-7; residuals ≤ 1e-6",
)
def exact_everywhere(evidence) -> Measurement:
    gaps, residuals = [], []
    for case in cases(is_quick(evidence)):
        margins, svm = case.known.max_margin.values(), case.known.svm
        gaps += [*(abs(reference.gap) for reference in margins), abs(svm.gap)]
        residuals += [*(reference.kkt for reference in margins), svm.kkt]
    gradients = [case.known.logreg.kkt for case in cases(is_quick(evidence))]
    figure = residual_figure("reference", gaps, residuals)
    good = at_most(gaps, 1e-7) and at_most(residuals, 1e-6) and at_most(gradients, 1e-6)
    summary = f"{len(gaps)} references: gap ≤ {largest(gaps):.1e}, KKT ≤ {largest(residuals):.1e}; "
    return Measurement(summary + f"{len(gradients)} gradients ≤ {largest(gradients):.1e}", good, figure)


@CLAIMS.add(
    "references of every shipped grid agree with a second solver",
    "clarabel: power cones; linear program for p = 1, ∞",
    SETTING + ", separable data",
    "angle 0°, all of them compared",
    "≤ 0.001°",
)
def agree_everywhere(evidence) -> Measurement:
    angles = []
    for case in cases(is_quick(evidence)):
        for p, reference in case.known.max_margin.items():
            w, gap = second_opinion(case.data.A, reference.w, p)
            angles.append(degrees(w, reference.w) if gap < SOLVED else math.nan)  # else it compares nothing
    series = curves(range(len(angles)), {"pairs": angles}, {"tolerance": 1e-3})
    figure = ClaimFigure("reference", "angle (°)", series, y_scale="log")
    return Measurement(f"{len(angles)} pairs; largest {largest(angles):.1e}°", at_most(angles, 1e-3), figure)
