"""What notebooks/train_cell.ipynb needs beside the training: an example, and a look at the curves."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

EXAMPLE = """\
question: What does one cell look like?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1.0}
  potential: {lp: {p: 1.5}}
  depth: 2
  width: 10
  step: {rule: normalized, eta: 1.0, decay: 1.0}
  epochs: 2000
vary:
  seed: [0]
"""


def example_request() -> tuple[str, str]:
    """(request, output) of one small cell in a temporary directory: the notebook's defaults."""
    from mdcore.config.grid import load_grid

    place = Path(tempfile.mkdtemp(prefix="train_cell-"))
    (place / "example.yaml").write_text(EXAMPLE, encoding="utf-8")
    cells = load_grid(place / "example.yaml").cells
    request = {"cells": [cell.config for cell in cells], "references_dir": str(place / "references"), "device": "cpu"}
    (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
    return str(place / "request.json"), str(place / "results")


def curves(history):
    """A small picture: angle to max-margin (degrees) and margin ratio against the epochs, a line a cell.

    A note where it cannot be drawn: the results are written by then, and a picture is no reason to lose them.
    """
    import matplotlib
    from IPython.display import Image

    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # whatever a matplotlibrc of the user's says
            return Image(_picture(history))
    except Exception as error:
        return f"The curves could not be drawn ({type(error).__name__}: {error}). The results are not concerned."


def _picture(history) -> bytes:
    """The curves as PNG, drawn once with fixed margins: pyplot and a notebook's backend take twice as long."""
    from matplotlib.figure import Figure

    panels = {"angle_max_margin": "angle to max-margin (degrees)", "margin_ratio": "margin / exact margin"}
    if history["angle_max_margin"].isna().all():  # overlapping data have no margin to speak of
        panels = {"angle_logreg": "angle to the MLE (degrees)", "log_inverse_loss": "log(1 / loss)"}
    named = 1 <= history["cell_id"].nunique() <= 4
    figure = Figure(figsize=(8, 3.2 if named else 2.8), dpi=70)
    place = {"left": 0.1, "right": 0.98, "bottom": 0.3 if named else 0.18, "top": 0.96, "wspace": 0.24}
    axes = figure.subplots(1, 2, gridspec_kw=place)
    for axis, (column, label) in zip(axes, panels.items(), strict=True):
        for cell_id, rows in history.groupby("cell_id", sort=False):
            axis.plot(rows["epoch"].clip(lower=1), rows[column], lw=1, label=cell_id)
        axis.set(xscale="log", xlabel="epoch", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    if "margin_ratio" in panels:  # what is far below 0, a point misclassified, is of no interest
        axes[1].set_ylim(-0.1, 1.05)
    if named:
        figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, ncols=2, loc="lower center", frameon=False)
    png = io.BytesIO()
    figure.savefig(png)
    return png.getvalue()
