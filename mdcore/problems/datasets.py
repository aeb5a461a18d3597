"""Data sets: what a configuration names, as arrays, with a record of how they came about."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdcore.problems.sources import SOURCES

SMALLEST, LARGEST = 1e-160, 1e153  # ‖X‖_F: beyond them squares overflow, or vanish where references are solved
LONGEST_RECORD = 100_000  # characters of `preprocessing` as JSON: each cell keeps it


class DataError(Exception):
    """Data cannot be had or made as asked; the message says what was given, what is expected, what to do."""


@dataclass(frozen=True)
class Basis:
    """How the coordinates x (d,) that train were made of features f (D,): x = axes (f − mean) / scale.

    mean (D,), of the training points; axes (d, D), the principal components, or (d,), the numbers of the features that
    were kept; scale (d,). names : of the D features, or (); image : (rows, columns) where features are pixels, or ().
    """

    mean: np.ndarray
    axes: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...] = ()
    image: tuple[int, ...] = ()

    def on_features(self, w: np.ndarray) -> np.ndarray:
        """Weights u on the features: ⟨w, x⟩ = ⟨u, f − mean⟩. w (…, d), u (…, D)."""
        w = np.asarray(w, dtype=np.float64) / self.scale
        if self.axes.ndim == 2:
            return w @ self.axes
        weights = np.zeros((*w.shape[:-1], len(self.mean)))
        weights[..., self.axes] = w
        return weights

    def fits(self, dim: int) -> bool:
        """Whether it is a basis of `dim` coordinates, of arrays whose shapes and numbers fit each other."""
        D = len(self.mean)
        arrays = self.mean.shape == (D,) and self.scale.shape == (dim,) and bool((self.scale > 0).all())
        kept = self.axes.shape == (dim,) and self.axes.dtype.kind == "i"
        axes = self.axes.shape == (dim, D) or (kept and bool(((self.axes >= 0) & (self.axes < D)).all()))
        return arrays and axes and len(self.names) in (0, D) and (not self.image or math.prod(self.image) == D)


@dataclass(frozen=True)
class Dataset:
    """Training points X_train (n, d) float64 C-contiguous, labels y_train (n,) in {−1, +1}; test the same.

    The arrays are read-only copies of what was given: nobody who still holds the originals can change them.
    X_test is (0, d) where every point trains. `preprocessing` records how the data came about (JSON-able);
    `planted` is {"support": a_0} for planted geometry, else None: then ψ_p(a_0) is the l_p max-margin
    direction. `basis` leads from the coordinates back to the features; None: they are the features.
    """

    label: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    preprocessing: dict
    planted: dict | None = None
    basis: Basis | None = None

    def __post_init__(self):
        """Coerce to contiguous float64 and a record that JSON holds. DataError: shapes that do not fit, labels not ±1
        or only one of them, NaN, inf, no features, zeros only, numbers whose squares overflow or vanish, a record
        of other things."""
        for name in ("X_train", "y_train", "X_test", "y_test"):
            array = _floats(self.label, name, getattr(self, name))
            if not np.isfinite(array).all():
                raise DataError(f"{self.label}: {name} has entries that are NaN or infinite; expected numbers")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "planted", copy.deepcopy(self.planted))
        for X, y, part in ((self.X_train, self.y_train, "train"), (self.X_test, self.y_test, "test")):
            if X.ndim != 2 or y.shape != X.shape[:1] or X.shape[1:] != self.X_train.shape[1:]:
                raise DataError(
                    f"{self.label}: X_{part} {X.shape} and y_{part} {y.shape} do not fit; "
                    "expected (points, coordinates) and (points,), as many coordinates in both parts"
                )
            if not np.isin(y, (-1.0, 1.0)).all():
                raise DataError(f"{self.label}: y_{part} has labels other than -1 and +1: {np.unique(y)[:5].tolist()}")
        if not len(self.y_train):
            raise DataError(f"{self.label}: no training points")
        if not self.X_train.shape[1]:
            raise DataError(f"{self.label}: X_train has no features; expected at least one coordinate")
        if len(np.unique(self.y_train)) < 2:
            raise DataError(f"{self.label}: y_train has only the label {self.y_train[0]:+g}; expected both -1 and +1")
        self._check_size()
        if self.basis is not None and not self.basis.fits(self.X_train.shape[1]):
            raise DataError(f"{self.label}: basis does not fit {self.X_train.shape[1]} coordinates; see datasets.Basis")
        object.__setattr__(self, "preprocessing", _record(self.label, self.preprocessing))

    def _check_size(self) -> None:
        """DataError unless ‖X‖_F and its square can be computed with."""
        for name in ("X_train", "X_test"):
            X = getattr(self, name)
            largest = max(float(X.max(initial=0.0)), -float(X.min(initial=0.0)))
            squares = (float(np.square(rows / largest).sum()) for rows in in_parts(X)) if largest else ()
            size = largest * math.sqrt(sum(squares))
            if name == "X_train" and not size:
                raise DataError(f"{self.label}: X_train is zero everywhere; expected features that differ from 0")
            if size > LARGEST or (name == "X_train" and size < SMALLEST):
                raise DataError(
                    f"{self.label}: {name} has the norm {size:.1e}; expected {SMALLEST:g} to {LARGEST:g}. Multiply the "
                    "data by a constant: their limit directions stay the same"
                )

    @cached_property
    def A(self) -> np.ndarray:
        """Rows y_n x_n (n, d), read-only: Aw are the margins of w."""
        rows = self.y_train[:, None] * self.X_train
        rows.flags.writeable = False
        return rows

    @cached_property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, of the shapes and bytes of the four arrays: equal iff the numbers are."""
        digest = hashlib.sha256()
        for array in (self.X_train, self.y_train, self.X_test, self.y_test):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


PART = 2 * 10**7  # numbers, 160 MB


def in_parts(X: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of large data some at a time: what is computed of them on the way is then not as large as they are."""
    step = max(1, PART // max(1, X.shape[1]))
    return (X[start : start + step] for start in range(0, max(1, len(X)), step))


def _floats(label: str, name: str, array) -> np.ndarray:
    try:
        if np.iscomplexobj(array):
            raise TypeError("complex numbers")
        return np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{label}: {name} is no array of real numbers ({error})") from None


def _record(label: str, record: dict) -> dict:
    """The record as JSON gives it back: numpy's numbers and arrays become plain, what is not finite becomes words."""
    if not isinstance(record, dict):
        raise DataError(f"{label}: preprocessing is a {type(record).__name__}; expected a dict that JSON can hold")
    try:
        converted = {str(key): _json_value(value) for key, value in record.items()}
        length = len(json.dumps(converted))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{label}: preprocessing cannot be written as JSON: {error}") from None
    if length > LONGEST_RECORD:
        raise DataError(f"{label}: preprocessing is {length:,} characters long; expected at most {LONGEST_RECORD:,}")
    return converted


def _json_value(value):
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def load_dataset(dataset: dict, digits: list | None = None, pca: int | None = None, seed: int = 0) -> Dataset:
    """The data set that a canonical configuration names; what it may hold is declared in problems/sources.py.

    dataset : {"name": "synthetic", "geometry", …}, {"name": "mnist", "source", …}, {"name": "file", "path", "label", …}
        or {"name": "sklearn", "set", …}
    digits : [a, b], MNIST only; a is +1, b is −1
    pca : number of principal components; None: standardised pixels, constant pixels dropped (MNIST only)
    seed : of synthetic data, of a split that is drawn by seed, and of a subsample

    Raises DataError: unknown name, value out of range, files that cannot be had, more components than the
    data has.
    """
    name = dataset.get("name")
    source = SOURCES.get(name) if isinstance(name, str) else None
    if source is None:
        names = ", ".join(map(repr, SOURCES))
        raise DataError(f"dataset.name: got {name!r}; expected one of {names}, or my_file:my_function for one's own")
    if not source.images and (digits is not None or pca is not None):
        raise DataError(f"dataset {name}: digits {digits} and pca {pca} were given; both belong to mnist only")
    return source.load(dataset, digits, pca, seed)
