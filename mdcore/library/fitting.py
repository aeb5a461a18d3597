"""`fit`: mirror descent on a researcher's own X and y, in one call, with its certificate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
import torch

from mdcore.library import arrays, settings
from mdcore.library.settings import Keys, PotentialEntry, Settings
from mdcore.math.engine.trainer import StackTrainer
from mdcore.problems.datasets import Dataset
from mdcore.problems.references import References
from mdcore.problems.solvers.max_margin import MaxMargin, max_margin
from mdcore.problems.solvers.separability import SEPARABLE, separability
from mdcore.training import measures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    "epoch", "loss", "log_inverse_loss", "train_accuracy", "weight_norm", "margin_l2", "margin_lp", "margin_ratio",
    "gap", "angle_max_margin", "angle_bound", "flow_time", "norm_balance", "norm_balance_frobenius", "balance_drift",
    "layer_alignment", "stable_rank", "participation",
)  # fmt: skip
ADVICE = "standardise the columns of X, which makes most problems easier, or give more steps with epochs=…"


@dataclass(frozen=True)
class Fit:
    """What mirror descent has found. A has the rows y_n x_n; ‖·‖_p is the norm of the potential's limit.

    w : (d,) the end-to-end predictor (W_L ⋯ W_1)^T; ⟨w, x⟩ > 0 predicts classes[1].
    gap : certified: w misses at most this share of the largest l_p margin; NaN where the data are not separable.
    margin : γ_p(w) = min Aw/‖w‖_p; p : of the limit, None where none is known.
    status : converged, transient, failed, diverged, overlap or quasi-separable, as in the report of a grid.
    message : empty, or what is to be known of the status. steps : taken by the last attempt.
    history : a row for each logged epoch, with the columns of a grid's history; path : (T, d) its predictors.
    layers : the final W_1 … W_L. reference : the exact l_p max-margin, None where there is none.
    """

    w: np.ndarray
    gap: float
    margin: float
    p: float | None
    status: str
    message: str
    steps: int
    history: pd.DataFrame
    path: np.ndarray = field(repr=False)
    layers: tuple[np.ndarray, ...] = field(repr=False)
    reference: MaxMargin | None = field(repr=False)
    classes: np.ndarray
    data: Dataset = field(repr=False)
    settings: Settings = field(repr=False)
    z: np.ndarray | None = field(repr=False)

    @cached_property
    def lam(self) -> np.ndarray | None:
        """λ (n,) ≥ 0, Σλ = 1: weights of the points whose A^Tλ certified the gap; None where there is no certificate.

        The run keeps A^Tλ only; this is the non-negative least-squares solution of it.
        """
        if self.z is None or not np.isfinite(self.z).all():
            return None
        from scipy.optimize import nnls

        scale = np.abs(self.z).max()
        A = self.data.A
        ones = np.full((1, len(A)), scale)  # Σλ = 1, as one more equation
        lam, _ = nnls(np.vstack([A.T, ones]), np.append(self.z, scale))
        return lam / lam.sum()

    def plot(self) -> Figure:
        """Gap, and angle to the exact max-margin in degrees, against the steps."""
        from mdcore.library.pictures import curves

        return curves({"": self})


def fit(X: Any, y: Any, potential: PotentialEntry = "lp", depth: int = 1, **keys: Unpack[Keys]) -> Fit:
    """Train a deep linear network f(x) = ⟨w, x⟩ by mirror descent, with a certificate of the margin it may still miss.

    X (n, d), y (n,) with two values, the larger one +1. There is no intercept. The keywords are the keys of grid
    files, `fit(X, y, "lp", p=1.5, depth=2, width=20, seed=1)`; the parameters of the potential are p (l_p; 2 unless
    given, which is gradient descent), alpha, beta. `potential` may also be a grid's entry, {"hypentropy": {"beta":
    0.1}}, a `Potential` of your own, or a list with one for each layer.

    Without `step` and `epochs` the steps are normalised and annealed, over 2,000, then 16,000, then 128,000 steps,
    until the certified gap is at most 1 %, or `stop={"gap": …}`. Where that is not reached a ConvergenceWarning and
    `.message` say so. Raises ValueError for data or values that cannot be used, each with what is expected.
    """
    data, classes = arrays.read(X, y)
    return run(data, classes, settings.read(potential, depth, keys, data.A))


def run(
    data: Dataset, classes: np.ndarray, asked: Settings, start: Sequence[np.ndarray] | None = None, exact: bool = True
) -> Fit:
    """The best of the attempts. `start`: weights W_1 … W_L to go on from; `exact`: solve for the reference too."""
    if start is not None:
        tensors = tuple(torch.as_tensor(layer) for layer in start)
        asked = replace(asked, cell=replace(asked.cell, start=tensors))
    separation = separability(data.A)
    separable = separation.verdict == SEPARABLE
    p = asked.cell.limit_p
    references = References(separation.verdict, separation.value, len(data.A))
    if separable and exact and p is not None:
        references.max_margin[p] = max_margin(data.A, p, separation.w)
    first, *longer = asked.horizons if separable and p is not None else asked.horizons[:1]
    best = _train(data, classes, asked, first, references)
    for epochs in longer:
        if asked.gap is not None and best.gap <= asked.gap:
            break
        trained = _train(data, classes, asked, epochs, references)
        best = best if best.gap <= trained.gap else trained
    if best.message:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(best.message, ConvergenceWarning, stacklevel=3)
    return best


def _train(data: Dataset, classes: np.ndarray, asked: Settings, epochs: int, references: References) -> Fit:
    plan = asked.plan(epochs, references.separability == SEPARABLE)
    trainer = StackTrainer(torch.tensor(data.A), [asked.cell], plan)
    block = trainer.blocks[0]  # the trainer lets go of it when the cell ends
    while not trainer.done:
        trainer.advance()
    observer, p = trainer.observer, asked.cell.limit_p
    rows = int(observer.last[0]) + 1
    columns = {name: values[0].numpy() for name, values in observer.values.items()}
    measures.verify_last_gap(observer, 0, columns, data.A)
    reference = None if p is None else references.max_margin.get(p)
    path = observer.predictors[0]
    if reference is not None:
        columns |= measures.against_max_margin(path, columns, reference)
    columns["epoch"] = np.array(plan.log_epochs)
    table = pd.DataFrame({name: columns[name][:rows] for name in COLUMNS if name in columns})
    diverged_at = observer.diverged_at.get(0)
    status, message = measures.status_of(table, diverged_at, asked.cell, references)
    last = table.iloc[-1] if rows else dict.fromkeys(COLUMNS, np.nan)
    w = path[rows - 1].numpy().copy() if rows else np.full(path.shape[1], np.nan)
    gap = float(last["gap"])
    return Fit(
        w=w, gap=gap, margin=float(last["margin_lp"]), p=p, status=status,
        message=_message(status, message, gap, epochs, asked), steps=int(last["epoch"]) if rows else 0, history=table,
        path=path[:rows].numpy(), layers=tuple(layer[0].double().numpy().copy() for layer in block.W),
        reference=reference, classes=classes, data=data, settings=asked,
        z=None if observer.certificates is None else observer.certificates.z[0].numpy(),
    )  # fmt: skip


def _message(status: str, message: str, gap: float, epochs: int, asked: Settings) -> str:
    if status == "overlap":
        return "the data are not separable: there is no margin, and w tends to the logistic minimiser"
    if status == "failed":
        return f"{message}. {ADVICE[0].upper()}{ADVICE[1:]}"
    if status == "transient" and not message:
        return f"not converged: certified gap {gap:.2g} after {epochs:,} steps; {ADVICE}"
    goal = asked.gap
    if status == "converged" and goal is not None and gap > goal:
        return f"certified gap {gap:.2g} after {epochs:,} steps, above {goal:g}; {ADVICE}"
    return message
