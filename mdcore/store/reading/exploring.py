"""What a stack has kept for exploring, read back for one cell and held against its other results."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mdcore.problems.datasets import Basis
from mdcore.store.commits import EXPLORING

ROUNDING = 1e-5  # of a product of layers and of a norm, in float32


@dataclass(frozen=True)
class Kept:
    """What a run keeps of a cell.

    epochs (T,), path (T, d) : logged epochs and the predictors there; the last one is the cell's predictor.
    layers : W_1 … W_L at the last, each (out, in); () where they were too large.
    basis : how the d coordinates were made of the features of the data; None where they are the features.
    """

    epochs: np.ndarray
    path: np.ndarray = field(repr=False)
    layers: tuple[np.ndarray, ...] = field(repr=False)
    basis: Basis | None = field(repr=False)

    def on_features(self, w: np.ndarray) -> np.ndarray:
        """Predictors (…, d), or rows of W_1, as weights on the features of the data: pixels, columns. (…, D)"""
        return np.asarray(w) if self.basis is None else self.basis.on_features(w)


def read_kept(stack: Path, cell_id: str, w: np.ndarray, norms: dict[float, float]) -> Kept:
    """What the directory `stack` keeps of a cell with the predictor w (d,) and the norms ‖w‖_2 of its history by epoch.

    Raises ValueError where nothing is kept, or what is kept is damaged or contradicts them.
    """
    file = stack / EXPLORING
    if not file.is_file():
        raise ValueError(f"{stack.name} keeps nothing for exploring: its grid says keep: false, or it is an older run")
    try:
        arrays = _arrays(file, file.stat().st_mtime_ns)
        position = arrays["cell_id"].tolist().index(cell_id)
        mine = arrays["cell"] == position
        epochs, path = arrays["epoch"][mine], arrays["w"][mine]
        kept = Kept(epochs, path, _layers(arrays, position), _basis(arrays))
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{stack.name}/{EXPLORING} cannot be read ({error}); run the grid again") from None
    if wrong := _contradiction(kept, w, norms):
        altered = f"{stack.name}/{EXPLORING}: {wrong} of {cell_id} contradicts the other results; it was altered"
        raise ValueError(f"{altered}: remove this stack and run the grid again")
    return kept


@lru_cache(maxsize=4)
def _arrays(file: Path, _written: int) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _layers(arrays: dict[str, Any], position: int) -> tuple[np.ndarray, ...]:
    shapes = arrays["layer_shape"]
    ends = np.cumsum(shapes[:, 1] * shapes[:, 2])
    if len(arrays["layers"]) != (ends[-1] if len(ends) else 0):
        raise ValueError("layers and layer_shape do not fit")
    return tuple(
        arrays["layers"][end - rows * columns : end].reshape(rows, columns)
        for end, (of, rows, columns) in zip(ends, shapes, strict=True)
        if of == position
    )


def _basis(arrays: dict[str, Any]) -> Basis | None:
    if "axes" not in arrays:
        return None
    names, image = tuple(arrays["names"].tolist()), tuple(arrays["image"].tolist())
    return Basis(arrays["mean"], arrays["axes"], arrays["scale"], names, image)


def _contradiction(kept: Kept, w: np.ndarray, norms: dict[float, float]) -> str:
    """What of a cell cannot be, "" where all can."""
    if len(norms) and not (len(kept.path) and np.array_equal(kept.path[-1], w, equal_nan=True)):
        return "the last predictor"
    logged = [norms.get(float(epoch), np.nan) for epoch in kept.epochs]
    if not np.allclose(np.linalg.norm(kept.path, axis=1), logged, rtol=ROUNDING, atol=0.0):
        return "a predictor"
    if kept.layers:
        sizes, product = 1.0, np.eye(len(w))
        for layer in kept.layers:
            sizes, product = sizes * float(np.linalg.norm(layer)), layer @ product
        if not np.allclose(product[0], w, rtol=0.0, atol=ROUNDING * sizes):
            return "the product of the layers"
    return "" if kept.basis is None or kept.basis.fits(len(w)) else "the basis"
