"""Figures of fits and runs: curves along training, boundaries in the plane, predictors and layers as images."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mdcore.library.fitting import Fit
    from mdcore.store.reading.exploring import Kept

LABELS = {"epoch": "step", "gap": "certified gap", "angle_max_margin": "angle to max-margin (degrees)"}
LOGARITHMIC = ("gap", "angle_max_margin", "angle_bound", "weight_norm", "loss")
Looks = Mapping[str, Mapping[str, Any]]  # label -> how matplotlib draws its line
Points = tuple[np.ndarray, np.ndarray]  # X (n, 2), y (n,)
NO_LOOKS: Looks = {}
MOST_BARS, MOST_UNITS = 16, 8


def _panels(count: int, width: float = 4.6) -> tuple[Figure, Sequence[Axes]]:
    """A figure that a notebook shows once: where it is returned, not where pyplot would flush it."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(width * count, 3.0), layout="constrained", squeeze=False)
    plt.close(figure)
    return figure, axes[0]


def axis_label(column: str) -> str:
    """A column of a history with its unit, as in the report."""
    from mdcore.store.columns import METRICS

    return LABELS.get(column) or (METRICS[column].axis if column in METRICS else column)


def draw_curves(axis: Axes, histories: Mapping[str, pd.DataFrame], column: str, looks: Looks = NO_LOOKS) -> None:
    """One column against the steps; a line for each history that has it."""
    for label, history in histories.items():
        if column in history and history[column].notna().any():
            mark = "." if len(history) == 1 else ""
            axis.plot(history["epoch"], history[column], label=label or None, marker=mark, **looks.get(label, {}))
    scale = "log" if column in LOGARITHMIC else "linear"
    axis.set(xscale="log", yscale=scale, xlabel=LABELS["epoch"], ylabel=textwrap.fill(axis_label(column), 32))
    axis.grid(alpha=0.3)
    if labels := axis.get_legend_handles_labels()[1]:
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
        axis.legend(fontsize="small", **(beside if len(labels) > 3 else {}))


def draw_boundaries(axis: Axes, points: Points, predictors: Mapping[str, np.ndarray], looks: Looks = NO_LOOKS) -> None:
    """Points of the plane by class, and the line ⟨w, x⟩ = 0 of every predictor (2,)."""
    X, y = points
    for label, marker in zip(np.unique(y), "ox"):
        across, up = X[y == label].T
        axis.scatter(across, up, marker=marker, s=18, alpha=0.6, color="0.4", label=f"class {label:g}")
    reach = float(np.abs(X).max()) * 1.1
    for number, (label, w) in enumerate(predictors.items()):
        along = np.array([-w[1], w[0]]) / np.hypot(*w) * 3 * reach
        dashes = ("-", "--", "-.", ":")[number % 4]  # lines that coincide are seen both
        look = {"color": f"C{number}", "linestyle": dashes} | dict(looks.get(label, {}))
        axis.plot(*zip(-along, along), label=label or None, **look)
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


def history_curves(histories: Mapping[str, pd.DataFrame], column: str, looks: Looks = NO_LOOKS) -> Figure:
    """One column of several histories against the steps; `looks`: how the line of each is drawn."""
    figure, (axis,) = _panels(1, 7.5)
    draw_curves(axis, histories, column, looks)
    return figure


def boundaries(X: Any, y: Any, predictors: Mapping[str, np.ndarray], looks: Looks = NO_LOOKS) -> Figure:
    """Points X (n, 2) by class, and the line ⟨w, x⟩ = 0 of every predictor. ValueError for other shapes."""
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X has the shape {X.shape}; expected (points, 2): boundaries are drawn in the plane")
    figure, (axis,) = _panels(1, 6.5)
    draw_boundaries(axis, (X, y), predictors, looks)
    return figure


def training(fit: Fit, rows: int | None = None) -> Figure:
    """A fit beside its exact max-margin: boundaries where the data lie in the plane, gap and angle along training.

    `rows`: as it stood after so many logged steps, within the axes of the whole; None: at the end.
    """
    plane, so_far = fit.data.X_train.shape[1] == 2, fit.history.iloc[:rows]
    figure, axes = _panels(3 if plane else 2)
    if plane:
        exact = {} if fit.reference is None else {f"exact l_{fit.p:g} max-margin": fit.reference.w}
        now = {"mirror descent": fit.path[len(so_far) - 1]} if len(so_far) else {}
        draw_boundaries(axes[0], (fit.data.X_train, fit.data.y_train), exact | now)
    for axis, column in zip(axes[-2:], ("gap", "angle_max_margin")):
        draw_curves(axis, {"": so_far}, column)
        if len(so_far) and column in so_far:
            axis.plot(fit.history["epoch"], fit.history[column], alpha=0)  # the axes stay where they are
            axis.plot(so_far["epoch"].iloc[-1], so_far[column].iloc[-1], "o", color="C0")
    last = so_far.iloc[-1] if len(so_far) else {"gap": fit.gap, "margin_lp": fit.margin, "epoch": fit.steps}
    state = fit.status if len(so_far) == len(fit.history) else "training"
    caption = f"certified gap {last['gap']:.2g}, margin {last['margin_lp']:.4g}"
    figure.suptitle(f"{state}: {caption} after {int(last['epoch']):,} steps", fontsize=10)
    return figure


def predictors(weights: Mapping[str, np.ndarray], image: Sequence[int] = (), names: Sequence[str] = ()) -> Figure:
    """Weights on the features, (D,) each: as images of the shape `image`, or the largest as bars, by their names.

    Each is scaled by its largest weight: blue is negative, red positive.
    """
    figure, axes = _panels(len(weights), 2.5 if image else 3.4)
    for axis, (label, w) in zip(axes, weights.items()):
        w = w / max(float(np.abs(w).max(initial=0.0)), 1e-300)
        if image:
            _draw_matrix(axis, w.reshape(image), aspect="equal")
        else:
            largest = np.argsort(-np.abs(w), kind="stable")[:MOST_BARS][::-1]
            colours = ["#b2182b" if value > 0 else "#2166ac" for value in w[largest]]
            axis.barh([names[i] if names else f"x{i + 1}" for i in largest], w[largest], color=colours)
            axis.set_xlim(-1.05, 1.05)
            axis.tick_params(labelsize=7)
        axis.set_title(label, fontsize=9)
    return figure


def layers(kept: Kept) -> Figure:
    """The layers of a cell at its end: their singular values, their entries, and of images what hidden units look at.

    Hidden units are sorted by the size of their weights in W_1. Each panel is scaled by its largest entry.
    """
    import matplotlib.pyplot as plt

    first, *rest = kept.layers
    strongest = np.argsort(-np.linalg.norm(first, axis=1), kind="stable")
    rest[:1] = [second[:, strongest] for second in rest[:1]]
    image = kept.basis.image if kept.basis is not None else ()
    figure = plt.figure(figsize=(2.9 * (1 + len(kept.layers)), 4.6 if image else 3.0), layout="constrained")
    plt.close(figure)
    top, *below = figure.subfigures(1 + bool(image), 1, squeeze=False, height_ratios=[2, 1][: 1 + bool(image)])[:, 0]
    head, *axes = top.subplots(1, 1 + len(kept.layers))
    for number, (axis, layer) in enumerate(zip(axes, (first[strongest], *rest)), 1):
        values = np.linalg.svd(layer, compute_uv=False)
        values = np.maximum(values / values[0], 1e-16)
        head.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, label=f"$W_{number}$")
        _draw_matrix(axis, layer / np.abs(layer).max(), aspect="auto")
        axis.set_title(f"$W_{number}$, {layer.shape[0]} × {layer.shape[1]}", fontsize=9)
    head.set(yscale="log", xlabel="singular value", ylabel="share of the largest")
    head.grid(alpha=0.3)
    head.legend(fontsize="small")
    for row in below:
        row.suptitle("rows of $W_1$ on the pixels, the largest first", fontsize=9)
        units = kept.on_features(first[strongest[:MOST_UNITS]])
        for axis, unit in zip(row.subplots(1, len(units), squeeze=False)[0], units):
            _draw_matrix(axis, unit.reshape(image) / np.abs(unit).max(), aspect="equal")
    return figure


def _draw_matrix(axis: Axes, values: np.ndarray, aspect: Any) -> None:
    axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect=aspect, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
