"""A figure per claim: prediction (dashed, grey) drawn against data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mdcore.analysis.figures import style
from mdcore.analysis.figures.axes import ticks_without_mathtext
from mdcore.verification.claim import ClaimFigure, Series

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288")
MARKERS = "osD^vPX"
DASHES = ((0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.3, 1.2, 1.3)))
MOST_POINTS = 12  # data with more points a series are drawn as a line
LEAST = 1e-17  # what is smaller, 0 too, is drawn here on a log axis


def stem(claim: str) -> str:
    """File name of a claim's figure."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", claim).strip("_").lower()


def draw(claimed: ClaimFigure) -> Figure:
    """A claim's figure, in the style of the reports."""
    style.use()
    fig, ax = plt.subplots(figsize=(2 * style.COLUMN, 2.6), layout="constrained")
    ax.set_xscale(claimed.x_scale)
    ax.set_yscale(claimed.y_scale)
    ticks_without_mathtext(ax)
    count = {"data": 0, "prediction": 0}
    for series in claimed.series:
        y = np.asarray(series.y, float)
        if len(y):
            y = np.maximum(y, LEAST) if claimed.y_scale == "log" else y
            ax.plot(list(series.x), y, label=series.label, **_look(series, count[series.kind]))
            count[series.kind] += 1
    names = {x for series in claimed.series for x in series.x if isinstance(x, str)}
    if len(names) > 4:
        plt.setp(ax.get_xticklabels(), rotation=40, ha="right")
    ax.set_xlabel(claimed.x_label)
    ax.set_ylabel(claimed.y_label)
    if any(count.values()):
        fig.legend(loc="outside right upper")
    return fig


def _look(series: Series, number: int) -> dict:
    if series.kind == "prediction":
        return {"color": "0.3", "linestyle": DASHES[number % len(DASHES)], "zorder": 1, "marker": "_"}
    colour = COLOURS[number % len(COLOURS)]
    if len(series.x) > MOST_POINTS and not isinstance(next(iter(series.x)), str):
        return {"color": colour, "linewidth": 1.0, "zorder": 2}
    marker = MARKERS[number % len(MARKERS)]
    return {"color": colour, "linestyle": "", "marker": marker, "markersize": 3.6, "zorder": 3, "alpha": 0.85}


def save(figure: ClaimFigure, claim: str, directory: Path) -> Path:
    """Write <claim>.png and .pdf under `directory`; returns the place of the PNG."""
    style.save(draw(figure), directory / stem(claim))
    return directory / f"{stem(claim)}.png"
