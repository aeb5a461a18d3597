"""From files and points to training and test sets: read at rest, split, thinned, reduced, scaled.

What is fitted is fitted on the training points alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdcore.math.parameters import nearest
from mdcore.problems.datasets import Basis, DataError
from mdcore.problems.sources import BY_SEED

SPLIT_SEED = 20250319  # of the stratified test split; changing it changes every number of MNIST and of files
SUBSAMPLE_SEED = 20250320
ZERO_STD = 1e-10  # a coordinate whose std is below this share of the largest is constant up to rounding
SCALED = "mean 0, population std 1, of the training split"


def read_at_rest(path: str | Path) -> bytes:
    """The content of a file, read once. Raises DataError where it cannot be, or was written to meanwhile."""
    path = Path(path).resolve()
    try:
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            raw = file.read()
        after = os.stat(path)
    except FileNotFoundError:
        there = os.listdir(path.parent) if path.parent.is_dir() else []
        raise DataError(
            f"dataset.path: {path} does not exist; expected a file; relative paths start at the grid file's directory"
            + nearest(path.name, there)
        ) from None
    except OSError as error:
        raise DataError(f"dataset.path: {path} cannot be read ({error.strerror}); expected a file") from None
    same = all(getattr(before, k) == getattr(after, k) for k in ("st_ino", "st_size", "st_mtime_ns"))
    if not same or len(raw) != before.st_size:
        raise DataError(f"dataset.path: {path} changed while it was read; run again when it has been written")
    return raw


def divide(classes: np.ndarray, dataset: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and test points, in order; `classes` (n,) holds two whole numbers ≥ 0.

    round(test_fraction·count) points of each class are test points, drawn from (SPLIT_SEED, class), and from the seed
    too with split: by_seed, whose seed 0 is the fixed split. The draw of a class depends on that class alone.
    Raises DataError where a class is left with no training point.
    """
    fraction, by_seed = float(dataset.get("test_fraction", 0.2)), dataset.get("split") == BY_SEED
    if not 0 <= fraction < 1:
        raise DataError(f"dataset.test_fraction: got {fraction}; expected 0 (all points train) or a share below 1")
    stream = [seed] if by_seed else []
    tests = [np.empty(0, np.int64)]
    for kind, members in _members(classes, np.arange(len(classes))).items():
        held = round(fraction * len(members))
        if held == len(members):
            raise DataError(
                f"dataset.test_fraction: got {fraction}, which leaves no training point of a class of {held}; "
                "expected a smaller fraction"
            )
        tests.append(np.random.default_rng([SPLIT_SEED, kind, *stream]).permutation(members)[:held])
    test = np.sort(np.concatenate(tests))
    return subsample(np.setdiff1d(np.arange(len(classes)), test), classes, dataset.get("subsample"), seed), test


def subsample(train: np.ndarray, classes: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """`count` of the training points (None: all), in order: of each class its share, rounded, at least one.

    Drawn from (SUBSAMPLE_SEED, class, seed); a smaller subsample of a seed is part of a larger one where the shares
    round alike. Raises DataError for more points than there are.
    """
    if count is None:
        return train
    if not 2 <= count <= len(train):
        raise DataError(f"dataset.subsample: got {count}; expected 2 to {len(train):,}, the points that could train")
    members = _members(classes, train)
    exact = {kind: count * len(some) / len(train) for kind, some in members.items()}
    sizes = {kind: max(1, int(share)) for kind, share in exact.items()}
    for kind in sorted(exact, key=lambda kind: sizes[kind] - exact[kind])[: max(0, count - sum(sizes.values()))]:
        sizes[kind] += 1
    largest = max(sizes, key=sizes.__getitem__)
    sizes[largest] -= sum(sizes.values()) - count
    draws = [
        np.random.default_rng([SUBSAMPLE_SEED, kind, seed]).permutation(some)[: sizes[kind]]
        for kind, some in members.items()
    ]
    return np.sort(np.concatenate(draws))


def _members(classes: np.ndarray, of: np.ndarray) -> dict[int, np.ndarray]:
    return {int(kind): of[classes[of] == kind] for kind in np.unique(classes[of])}


def standardise(X_train: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, Basis]:
    """(X_train, X_test, basis): the coordinates that vary in training, scaled."""
    std = X_train.std(axis=0)
    varies = std > ZERO_STD * std.max(initial=0.0)
    if not varies.any():
        raise DataError(f"all {X_train.shape[1]} features are constant in training; expected one that varies")
    mean = X_train.mean(axis=0)
    X_train, X_test, std = _scaled(X_train[:, varies], X_test[:, varies])
    return X_train, X_test, Basis(mean, np.flatnonzero(varies), std)


def _scaled(X_train: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every coordinate to mean 0 and population std 1 in training; the std."""
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    return (X_train - mean) / std, (X_test - mean) / std, std


def principal_components(
    X_train: np.ndarray, X_test: np.ndarray, pca: int
) -> tuple[np.ndarray, np.ndarray, Basis, dict]:
    """The first `pca` principal components of X_train, scaled; a record. Raises DataError beyond its rank."""
    from sklearn.decomposition import PCA  # here: the import takes a second that others need not pay

    if pca > min(X_train.shape):
        raise DataError(
            f"pca: got {pca}; the training split is {X_train.shape[0]} × {X_train.shape[1]}, expected "
            f"at most {min(X_train.shape) - 1}"
        )
    fit = PCA(n_components=pca, svd_solver="full").fit(X_train)
    # Beyond the rank a component is rounding noise, and standardising would blow it up to size 1.
    rank = int((fit.singular_values_ > ZERO_STD * fit.singular_values_[0]).sum())
    if rank < pca:
        raise DataError(f"pca: got {pca}; the centred training split has rank {rank}, expected at most that")
    strongest = np.abs(fit.components_).argmax(axis=1)
    signs = np.sign(fit.components_[np.arange(pca), strongest])  # the largest loading is positive
    reduced = (signs * fit.transform(X) if len(X) else np.empty((0, pca)) for X in (X_train, X_test))
    X_train, X_test, std = _scaled(*reduced)
    record = {
        "svd_solver": "full",
        "component_signs": "largest loading positive",
        "explained_variance": float(fit.explained_variance_ratio_.sum()),
    }
    return X_train, X_test, Basis(fit.mean_, signs[:, None] * fit.components_, std), record
