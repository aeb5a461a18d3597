"""X and y as anyone brings them, arrays, lists or pandas, made into signed data, or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdcore.problems.datasets import DataError, Dataset

DENSE = "expected a dense array of shape (points, features)"


def read(X: Any, y: Any) -> tuple[Dataset, np.ndarray]:
    """The points as a `Dataset`, all of them training points, and the two labels, sorted: that of −1, that of +1.

    X (n, d) of finite real numbers, y (n,) with two different values of any kind; the larger one is +1. Raises
    ValueError that says what was given and what is expected: other shapes, NaN, one label or three, text among the
    features; and TypeError for a sparse X.
    """
    points, (labels, signs) = features(X), two_labels(y)
    if len(points) != len(signs):
        raise ValueError(f"X has {len(points)} points and y has {len(signs)} labels; expected one label for each point")
    if labels.shape != (2,):
        shown = ", ".join(map(repr, labels[:5].tolist())) + (", …" if len(labels) > 5 else "")
        raise ValueError(f"y has {len(labels)} class{'es' * (len(labels) != 1)}: {shown}; expected exactly 2")
    nothing = np.empty((0, points.shape[1])), np.empty(0)
    try:
        return Dataset("X, y", points, 2.0 * signs - 1.0, *nothing, {}), labels
    except DataError as error:
        raise ValueError(str(error).replace("X_train", "X").replace("y_train", "y")) from None


def load_data(
    dataset: Mapping[str, Any], digits: list[int] | None = None, pca: int | None = None, seed: int = 0
) -> Dataset:
    """The data of a grid's entry: load_data({"name": "mnist"}, digits=[3, 5], pca=50); `.X_train`, `.y_train`, `.A`.

    Missing keys take the defaults of grid files. Raises ValueError for keys or values that a grid would refuse, and for
    data that cannot be had.
    """
    from mdcore.config.errors import GridError
    from mdcore.config.grid import cell_from_config
    from mdcore.training.cell_data import load_data

    rest = {"potential": "quadratic", "step": {"rule": "constant"}, "epochs": 1}  # no matter of the data
    try:
        asked = python_values({"dataset": dataset, "digits": digits, "pca": pca, "seed": seed} | rest)
        return load_data(cell_from_config(asked).config)
    except GridError as error:
        raise ValueError("\n".join(line.removeprefix("configuration: ") for line in error.problems)) from None
    except DataError as error:
        raise ValueError(str(error)) from None


def python_values(value: Any) -> Any:
    """numpy's scalars and arrays, and tuples, as YAML would give them."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: python_values(inner) for key, inner in value.items()}
    return [python_values(inner) for inner in value] if isinstance(value, list | tuple) else value


def features(X: Any) -> np.ndarray:
    """X (n, d) in float64. ValueError or TypeError where it is no dense matrix of finite numbers."""
    if hasattr(X, "toarray") and not hasattr(X, "to_numpy"):
        raise TypeError(f"X is a sparse {type(X).__name__}; {DENSE}: X.toarray()")
    for name, kind in getattr(X, "dtypes", {}).items() if hasattr(X, "columns") else ():
        if kind.kind not in "biuf":  # an array could not name the column
            raise ValueError(f"X: the column {name!r} holds {kind}; expected numbers: encode it or leave it out")
    array = np.asarray(X)
    if np.iscomplexobj(array):
        raise ValueError(f"X has complex numbers. Complex data not supported; {DENSE}, real")
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X is no array of numbers ({error}); {DENSE}") from None
    if array.ndim != 2:
        hint = ". Reshape your data: X.reshape(-1, 1) if it has one feature" if array.ndim == 1 else ""
        raise ValueError(f"X has the shape {array.shape}; {DENSE}{hint}")
    if not array.shape[0] or not array.shape[1]:
        what = "sample(s)" if not array.shape[0] else "feature(s)"
        raise ValueError(f"X has 0 {what} (shape={array.shape}) while a minimum of 1 is required; {DENSE}")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"X has NaN or infinity, first at point {row}, feature {column}; expected finite numbers")
    return array


def two_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """(the different values of y, sorted; for each point the position of its own), however many there are."""
    if y is None:
        raise ValueError("y is None; expected a label for each point")
    labels = np.asarray(y)
    if labels.ndim != 1:
        hint = ": y.ravel()" if labels.ndim == 2 and labels.shape[1] == 1 else ""
        raise ValueError(f"y has the shape {labels.shape}; expected (points,){hint}")
    if labels.dtype.kind in "fc" and not np.isfinite(labels).all():
        raise ValueError("y has NaN or infinity; expected a label for each point")
    try:
        if labels.dtype == object and any(label is None or label != label for label in labels):
            raise ValueError("y has missing values; expected a label for each point")
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"y mixes labels that cannot be sorted ({error}); expected two values of one kind") from None
