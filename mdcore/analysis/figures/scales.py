"""Axes of curves: logarithmic where decades matter, few ticks, limits that no single spike decides."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator


def value_axis(ax: Axes, values: np.ndarray, log: bool, target: float | None) -> None:
    """Logarithmic where the values span a decade or more; limits that no single spike decides."""
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if log and positive.size and positive.max() / positive.min() >= 10:
        top = max(positive.max(), target or 0)
        low = min(max(positive.min(), top * 1e-6), target or np.inf)
        ax.set_yscale("log")
        ax.set_ylim(low / 1.4, top * 1.6)
        few = top / low < 60  # less than two decades: 10^k alone would label one or two ticks
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if few else LogLocator(numticks=5))
        if few:
            ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        return
    if values.size:
        low, high = values.min(), max(values.max(), target if target is not None else -np.inf)
        if target == 1.0:
            low, high = max(low, -0.35), max(1.0, min(high, 1.05))
        pad = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
        ax.set_ylim(low - pad, high + pad)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.ticklabel_format(axis="y", scilimits=(-3, 4))


def time_axis(ax: Axes, x: np.ndarray) -> None:
    x = x[np.isfinite(x) & (x > 0)]
    if not x.size:
        return
    ax.set_xscale("log" if x.max() / x.min() >= 10 else "linear")
    if ax.get_xscale() == "log":
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
