"""Figures of fits and runs: curves along training, and decision boundaries in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mdcore.library.fitting import Fit

LABELS = {"epoch": "step", "gap": "certified gap", "angle_max_margin": "angle to max-margin (degrees)"}
LOGARITHMIC = ("gap", "angle_max_margin", "angle_bound", "weight_norm", "loss")


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure that a notebook shows once: where it is returned, not where pyplot would flush it."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, 3.0), layout="constrained", squeeze=False)
    plt.close(figure)
    return figure, axes[0]


def axis_label(column: str) -> str:
    """A column of a history with its unit, as in the report."""
    from mdcore.store.columns import METRICS

    return LABELS.get(column) or (METRICS[column].axis if column in METRICS else column)


def draw_curves(axis: Axes, histories: Mapping[str, pd.DataFrame], column: str) -> None:
    """One column against the steps; a line for each history that has it."""
    for label, history in histories.items():
        if column in history and history[column].notna().any():
            axis.plot(history["epoch"], history[column], "." if len(history) == 1 else "-", label=label or None)
    scale = "log" if column in LOGARITHMIC else "linear"
    axis.set(xscale="log", yscale=scale, xlabel=LABELS["epoch"], ylabel=axis_label(column))
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize="small")


def draw_boundaries(axis: Axes, X: np.ndarray, y: np.ndarray, predictors: Mapping[str, np.ndarray]) -> None:
    """Points of the plane by class, and the line ⟨w, x⟩ = 0 of every predictor (2,)."""
    for label, marker in zip(np.unique(y), "ox"):
        across, up = X[y == label].T
        axis.scatter(across, up, marker=marker, s=18, alpha=0.6, color="0.4", label=f"class {label:g}")
    reach = float(np.abs(X).max()) * 1.1
    for number, (label, w) in enumerate(predictors.items()):
        along = np.array([-w[1], w[0]]) / np.hypot(*w) * 3 * reach
        dashes = ("-", "--", "-.", ":")[number % 4]  # lines that coincide are seen both
        axis.plot(*zip(-along, along), dashes, color=f"C{number}", label=label or None)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x₁", ylabel="x₂")
    axis.set_aspect("equal")
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def curves(fits: Mapping[str, Fit]) -> Figure:
    """Certified gap, and angle to the exact max-margin of each one's own norm, against the steps; a line a fit.

    Where there is no margin, the loss. The names are the legend.
    """
    histories = {label: fit.history for label, fit in fits.items()}
    known = [c for c in ("gap", "angle_max_margin") if any(c in h and h[c].notna().any() for h in histories.values())]
    figure, axes = _panels(max(1, len(known)))
    for axis, column in zip(axes, known or ["log_inverse_loss"]):
        draw_curves(axis, histories, column)
    return figure


def history_curves(histories: Mapping[str, pd.DataFrame], column: str) -> Figure:
    """One column of several histories against the steps."""
    figure, (axis,) = _panels(1)
    draw_curves(axis, histories, column)
    return figure


def boundaries(X: Any, y: Any, predictors: Mapping[str, np.ndarray]) -> Figure:
    """Points X (n, 2) by class, and the line ⟨w, x⟩ = 0 of every predictor. ValueError for other shapes."""
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X has the shape {X.shape}; expected (points, 2): boundaries are drawn in the plane")
    figure, (axis,) = _panels(1)
    draw_boundaries(axis, X, y, predictors)
    return figure


def training(fit: Fit) -> Figure:
    """A fit beside its exact max-margin: boundaries where the data lie in the plane, gap and angle along training."""
    plane = fit.data.X_train.shape[1] == 2
    figure, axes = _panels(3 if plane else 2)
    if plane:
        exact = {} if fit.reference is None else {f"exact l_{fit.p:g} max-margin": fit.reference.w}
        draw_boundaries(axes[0], fit.data.X_train, fit.data.y_train, exact | {"mirror descent": fit.w})
    for axis, column in zip(axes[-2:], ("gap", "angle_max_margin")):
        draw_curves(axis, {"": fit.history}, column)
    figure.suptitle(
        f"{fit.status}: certified gap {fit.gap:.2g}, margin {fit.margin:.4g} after {fit.steps:,} steps", fontsize=10
    )
    return figure
