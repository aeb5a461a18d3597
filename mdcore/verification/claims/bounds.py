"""Claims about certificates: in cells of every kind, none is below the exact margin, and no angle beyond its bound."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.metrics import angle
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.math.step_rules import StepRule
from mdcore.problems.proofs import exact
from mdcore.problems.solvers.max_margin import max_margin
from mdcore.problems.solvers.separability import separability
from mdcore.problems.synthetic import gaussian, planted
from mdcore.training.measures import angle_bound
from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, is_quick, prediction

CLAIMS = Register()
EPOCHS = 120
STACK = (
    (Quadratic(),), (Lp(1.1),), (Lp(1.5),), (Lp(3.0),), (Hypentropy(0.5),), (Cosh(1.0),), (Scaled(),) * 2,
    (Lp(1.1),) * 2, (Lp(1.5),) * 3, (Lp(3.0),) * 2, (LayerScaled(1.0), LayerScaled(4.0)),
    (Lp(1.5), Quadratic(), Hypentropy(0.5)),
)  # fmt: skip
RULES = (
    (StepRule("normalized", 1.0), torch.float64, 12),
    (StepRule("normalized", 10.0, 1.0, anneal=4.0, horizon=EPOCHS), torch.float32, 12),
    (StepRule("normalized", 10.0, 1.0, anneal=30.0, horizon=EPOCHS), torch.float64, EPOCHS),
    (StepRule("adaptive", 1.0), torch.float64, 2),
    (StepRule("constant", 0.02), torch.float32, 12),
)
SEEDS, QUICK_SEEDS = 7, 1


def data_sets(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Signed data A (n, d) of six kinds that are separable, and a_0 where ψ_p(a_0) is the exact direction for all p."""
    X, y = gaussian(5, 30, 4.0, 1.0, seed)
    wide, signs = gaussian(30, 12, 2.0, 1.0, seed)
    rays, labels, a_0 = planted(4, 25, 2.0, 1.0, seed)
    X_2, y_2, b_0 = planted(2, 15, 2.0, 1.0, seed)
    A = y[:, None] * X
    A = A[A @ A.mean(axis=0) > 0.1]
    centre = A.mean(axis=0) / np.linalg.norm(A.mean(axis=0))
    across = A - np.outer(A @ centre, centre)
    return {
        "gaussian": (A, None),
        "points three times": (np.vstack([A] * 3), None),
        "margin of 1e-5": (np.vstack([across, -across]) + 1e-5 * centre, None),
        "more dimensions than points": (signs[:, None] * wide, None),
        "planted, d = 4": (labels[:, None] * rays, a_0),
        "planted, d = 2": (y_2[:, None] * X_2, b_0),
    }


@cache
def measured(seeds: int) -> tuple[list[float], list[float], int]:
    """(least bound/γ_p* − 1 of each cell, bound − true angle of each logged predictor, number of cells).

    γ_p* is bounded from below by exact arithmetic on the reference's w. True angles are to ψ_p(a_0) on planted data,
    1 < p < ∞.
    """
    excess, room, count = [], [], 0
    for seed in range(seeds):
        for A, a_0 in data_sets(seed).values():
            separation = separability(A)
            if separation.verdict != "separable":
                continue
            ps = sorted({p for phis in STACK if (p := phis[0].limit_p) is not None})
            references = {p: max_margin(A, p, separation.w) for p in ps}
            least = {p: float(exact.margin_lower_bound(A, reference.w, p)) for p, reference in references.items()}
            cells = [CellPlan(phis, seed, 4, 0.0 if len(phis) == 1 else 0.3) for phis in STACK]
            for rule, dtype, points in RULES:
                plan = StackPlan(rule, EPOCHS, log_spaced_epochs(EPOCHS, points), dtype=dtype)
                trainer = StackTrainer(torch.from_numpy(A), cells, plan)
                while not trainer.done:
                    trainer.advance()
                values = trainer.observer.values
                for position, cell in enumerate(cells):
                    p = cell.limit_p
                    bounds = values["gamma_bound"][position].numpy()
                    bounds = bounds[np.isfinite(bounds)]
                    if p is None or not bounds.size:  # its first step overflowed
                        continue
                    count += 1
                    excess.append(float(bounds.min()) / least[p] - 1)
                    if a_0 is not None and 1 < p < np.inf:
                        path = trainer.observer.predictors[position]
                        proven = angle_bound(path, values["gap"][position].numpy(), references[p])
                        best = np.sign(a_0) * np.abs(a_0) ** (1 / (p - 1))
                        room += list(proven - angle(path, torch.from_numpy(best)).numpy())
    return excess, [x for x in room if np.isfinite(x)], count


@CLAIMS.add(
    "the certificate is a bound",
    "weak duality, for every λ ≥ 0; rounding: math/certificate.py",
    f"{SEEDS} seeds (QUICK: {QUICK_SEEDS}) × 6 kinds of data × {len(RULES)} step rules, float64 and float32 "
    f"× {len(STACK)} lists of potentials",
    "‖A^Tλ‖_q/Σλ ≥ γ_p* at every logged epoch, γ_p* from below by exact arithmetic",
    "none: no bound may be below it",
)
def never_below(evidence) -> Measurement:
    excess, _, count = measured(QUICK_SEEDS if is_quick(evidence) else SEEDS)
    below, order = sum(x < 0 for x in excess), np.sort(excess)
    share = np.arange(1, count + 1) / count
    figure = ClaimFigure(
        "share of the cells",
        "bound over exact margin, less 1",
        (Series("cells", share, order), prediction("double precision", 2.2e-16, share)),
        y_scale="log",
    )
    enough = count >= (250 if is_quick(evidence) else 2000)
    summary = f"{below} of {count:,} cells below; the nearest is {order[0]:.1e} above"
    return Measurement(summary, below == 0 and enough, figure)


@CLAIMS.add(
    "no angle is larger than angle_bound",
    "modulus of convexity of l_p: Clarkson 1936; Ball, Carlen & Lieb 1994",
    "the planted data of the same cells, where the direction of every l_p optimum is known in closed form",
    "angle(w, ψ_p(a_0)) ≤ angle_bound at every logged epoch",
    "1e-7 degrees, the rounding of ψ_p(a_0)",
)
def angles_within(evidence) -> Measurement:
    _, room, _ = measured(QUICK_SEEDS if is_quick(evidence) else SEEDS)
    beyond, order = sum(x < -1e-7 for x in room), np.sort(room)
    share = np.arange(1, len(room) + 1) / len(room)
    figure = ClaimFigure(
        "share of the predictors",
        "bound less true angle (degrees)",
        (Series("predictors", share, order), prediction("1°", 1.0, share)),
        y_scale="log",
    )
    summary = f"{beyond} of {len(room):,} predictors beyond; the nearest has {order[0]:.1e}° to spare"
    return Measurement(summary, beyond == 0 and len(room) > 100, figure)
