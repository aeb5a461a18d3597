"""What a stack keeps for looking at it later: predictors along training, final layers, and the basis of the data.

    epoch, cell (R,), w (R, d)          rows of the history with their predictors; `cell` is a position in cell_id
    layers (S,), layer_shape (N, 3)     W_1 … W_L of cell after cell, flat; (position in cell_id, rows, columns) of each
    mean, axes, scale, names, image     of `problems.datasets.Basis`, where the coordinates are not the features

Its size is bounded: w by MOST_PATHS, the layers by the observer's MOST_LAYERS, each for a stack.
"""

from __future__ import annotations

import numpy as np

from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.models import layer_shapes
from mdcore.problems.datasets import Basis

MOST_PATHS = 16_000_000  # bytes of w; above, only every second, third, … logged epoch is kept


def kept(count: int, trainer: StackTrainer, basis: Basis | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """(arrays, what was left out in words) of the first `count` cells of a trained stack."""
    observer, notes = trainer.observer, []
    rows = [int(last) + 1 for last in observer.last[:count]]
    size = 8 * sum(rows) * observer.predictors.shape[2]
    every = max(1, -(-size // MOST_PATHS))
    if every > 1:
        notes.append(f"of {sum(rows)} logged predictors ({_mb(size)}) one in {every} is kept for exploring")
    chosen = [(cell, row) for cell, n in enumerate(rows) for row in range((n - 1) % every, n, every)]  # the last always
    of, at = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    arrays = {
        "cell": of,
        "epoch": np.array(trainer.plan.log_epochs, dtype=np.int64)[at],
        "w": observer.predictors.numpy()[of, at],
    }
    if not observer.keeps_layers:
        notes.append(f"the layers ({_mb(observer.layer_bytes)}) are too large to be kept for exploring")
    there = [cell for cell in range(count) if cell in observer.layers]
    d = observer.predictors.shape[2]
    shapes = [
        (cell, *shape)
        for cell in there
        for shape in layer_shapes(trainer.cells[cell].depth, trainer.cells[cell].width, d)
    ]
    flat = [observer.layers[cell].numpy() for cell in there]
    arrays["layers"] = np.concatenate(flat) if flat else np.empty(0)
    arrays["layer_shape"] = np.array(shapes, dtype=np.int64).reshape(-1, 3)
    if basis is not None:
        arrays |= {"mean": basis.mean, "axes": basis.axes, "scale": basis.scale}
        arrays |= {"names": np.array(basis.names, dtype=str), "image": np.array(basis.image, dtype=np.int64)}
    return arrays, notes


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
