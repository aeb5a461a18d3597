"""Figures of fits: curves along training, and decision boundaries in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdcore.library.fitting import Fit

PANELS = {
    "gap": "certified gap",
    "angle_max_margin": "angle to max-margin (degrees)",
    "log_inverse_loss": "log(1 / loss)",
}


def curves(fits: Mapping[str, Fit]) -> Figure:
    """Certified gap, and angle to the exact max-margin of each one's own norm, against the steps; a line a fit.

    Where there is no margin, the loss alone. The names are the legend.
    """
    import matplotlib.pyplot as plt

    known = [name for name in PANELS if any(name in f.history and f.history[name].notna().any() for f in fits.values())]
    names = known[:2] if "gap" in known else ["log_inverse_loss"]
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 2.8), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names):
        for label, each in fits.items():
            if name in each.history:
                axis.plot(each.history["epoch"], each.history[name], label=label)
        axis.set(
            xscale="log", yscale="linear" if name == "log_inverse_loss" else "log", xlabel="step", ylabel=PANELS[name]
        )
        axis.grid(alpha=0.3)
    if any(fits):
        axes[0][0].legend(fontsize="small")
    plt.close(figure)
    return figure


def boundaries(X: np.ndarray, y: np.ndarray, predictors: Mapping[str, np.ndarray]) -> Figure:
    """Points of the plane by class, and the line ⟨w, x⟩ = 0 of every predictor, with its direction. X (n, 2)."""
    import matplotlib.pyplot as plt

    X, y = np.asarray(X, dtype=float), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X has the shape {X.shape}; expected (points, 2): boundaries are drawn in the plane")
    figure, axis = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
    for label, marker in zip(np.unique(y), "ox"):
        axis.scatter(*X[y == label].T, marker=marker, s=18, alpha=0.6, color="0.4", label=f"class {label}")
    reach = float(np.abs(X).max()) * 1.1
    for number, (label, w) in enumerate(predictors.items()):
        along = np.array([-w[1], w[0]]) / np.hypot(*w) * 3 * reach
        axis.plot(*zip(-along, along), color=f"C{number}", label=label)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x₁", ylabel="x₂")
    axis.set_aspect("equal")
    axis.legend(fontsize="small")
    plt.close(figure)
    return figure
