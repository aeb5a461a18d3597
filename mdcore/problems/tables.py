"""Labelled tables: a CSV, Parquet or NPZ file of one's own, and the sets that scikit-learn ships."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdcore.math.parameters import nearest
from mdcore.problems import preparing
from mdcore.problems.datasets import Basis, DataError, Dataset
from mdcore.problems.preparing import read_at_rest
from mdcore.problems.sources import Sklearn

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 6  # names in a message
SEPARATORS = ",;\t"


def digest(path: str) -> dict[str, str]:
    """{name of the file: sha256 of its content}. Raises DataError."""
    return {Path(path).name: hashlib.sha256(read_at_rest(path)).hexdigest()}


def file_data(dataset: dict, seed: int) -> Dataset:
    """The rows of a file, those with the greater of its two labels +1; split, thinned, scaled.

    Raises DataError: no such file or column, labels of one class or of more than two, values that are missing or no
    numbers, an NPZ with pickles or with arrays that do not fit, a file that changes while it is read.
    """
    place = Path(dataset["path"]).resolve()
    raw = read_at_rest(place)
    table, label = _table(raw, place), dataset["label"]
    wanted = dataset.get("features") or [name for name in table.columns if name != label]
    chosen = [column for name in wanted for column in _columns_of(name, table)]
    for key, names in (("label", [label]), ("features", chosen)):
        for name in names:
            if name not in table.columns:
                has = _some([each for each in table.columns if each != label])
                wrong = f"{place} has no column {name!r}; it has {has}{nearest(name, table.columns)}"
                raise DataError(f"dataset.{key}: {wrong}")
    if not chosen:
        raise DataError(f"dataset.features: {place} has no column but the label; expected features")
    X = np.column_stack([_numbers(table[name], place) for name in chosen])
    low, high, is_high = _classes(table[label], place)
    record = {
        "source": f"{place.name}, {len(table):,} rows",
        "labels": f"{high} is +1, {low} is -1",
        "files": {place.name: hashlib.sha256(raw).hexdigest()},
    }
    return _prepared(place.stem, X, is_high, dataset, seed, record | {"features": list(chosen)})


def sklearn_data(dataset: dict, seed: int) -> Dataset:
    """A set of scikit-learn; the first of the two classes that are named is +1, without names the later one."""
    from sklearn import datasets as shipped

    bunch = getattr(shipped, f"load_{dataset['set']}")()
    names = Sklearn.sets[dataset["set"]][0]
    plus, minus = dataset.get("classes") or names[::-1]
    kinds = [names.index(plus), names.index(minus)]
    mine = np.isin(bunch.target, kinds)
    X, is_plus = bunch.data[mine], bunch.target[mine] == kinds[0]
    record = {
        "source": f"scikit-learn's {dataset['set']}, {len(X):,} points",
        "labels": f"{plus} is +1, {minus} is -1",
        "features": [str(name) for name in bunch.feature_names],
        "image": bunch.images.shape[1:] if "images" in bunch else (),
    }
    return _prepared(dataset["set"], X, is_plus, dataset, seed, record)


def _prepared(label: str, X: np.ndarray, plus: np.ndarray, dataset: dict, seed: int, record: dict) -> Dataset:
    train, test = preparing.divide(plus.astype(np.int64), dataset, seed)
    X_train, X_test = X[train], X[test]
    names, image = record.pop("features"), record.pop("image", ())
    if dataset.get("standardize", True):
        X_train, X_test, basis = preparing.standardise(X_train, X_test)
        record["standardisation"] = preparing.SCALED
        if dropped := [names[number] for number in np.setdiff1d(np.arange(len(names)), basis.axes)]:
            record["dropped_constant"] = dropped[:100]
    else:
        basis = Basis(np.zeros(len(names)), np.arange(len(names)), np.ones(len(names)))
        record["standardisation"] = "none"
    y = np.where(plus, 1.0, -1.0)
    record |= {"n_train": len(train), "n_test": len(test)}
    basis = replace(basis, names=tuple(names), image=tuple(image))
    return Dataset(label, X_train, y[train], X_test, y[test], record, basis=basis)


# ---------------------------------------------------------------- files


@lru_cache(maxsize=1)
def _table(raw: bytes, place: Path) -> pd.DataFrame:
    """The table in the content of a file; kept for the next seed."""
    readers = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
    if place.suffix.lower() not in readers:
        raise DataError(f"dataset.path: {place} is none of {', '.join(readers)}; expected a file with such a name")
    try:
        table = readers[place.suffix.lower()](raw, place)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"dataset.path: {place} is no readable {place.suffix[1:].upper()} file: {reason}") from None
    table.columns = [str(name) for name in table.columns]
    twice = sorted({name for name in table.columns if list(table.columns).count(name) > 1})
    if twice:
        raise DataError(f"dataset.path: {place} has several columns {_some(twice)}; expected different names")
    if not len(table):
        raise DataError(f"dataset.path: {place} has no rows; expected points")
    return table


def _csv(raw: bytes, place: Path) -> pd.DataFrame:
    import pandas as pd

    header = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace")
    separator = max(SEPARATORS, key=header.count)
    return pd.read_csv(io.BytesIO(raw), sep=separator, encoding="utf-8-sig")


def _parquet(raw: bytes, place: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(io.BytesIO(raw))


def _npz(raw: bytes, place: Path) -> pd.DataFrame:
    """Arrays (n,) are columns; the columns of an array X (n, k) are X[0], …"""
    import pandas as pd

    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise zipfile.BadZipFile("it is no archive")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        raise DataError(
            f"dataset.path: {place} holds pickled objects, which may run code when they are read; expected plain "
            "arrays: save numbers and text with a dtype of their own, not dtype=object"
        ) from None
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if not arrays or any(a.ndim not in (1, 2) for a in arrays.values()) or len({len(a) for a in arrays.values()}) > 1:
        raise DataError(
            f"dataset.path: {place} has arrays that do not fit: {shapes or 'none'}; expected (n,) or (n, k), one n"
        )
    columns: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        one = array.ndim == 1 or array.shape[1] == 1
        columns |= {name: array.ravel()} if one else {f"{name}[{k}]": array[:, k] for k in range(array.shape[1])}
    return pd.DataFrame(columns)


def _columns_of(name: str, table: pd.DataFrame) -> list[str]:
    """The column of that name, or the columns of an NPZ's array of that name."""
    inside = [column for column in table.columns if column.startswith(f"{name}[")]
    return [name] if name in table.columns or not inside else inside


def _some(names: list) -> str:
    more = f", … ({len(names)} in all)" if len(names) > MOST_SHOWN else ""
    return ", ".join(map(str, names[:MOST_SHOWN])) + more


def _numbers(column: pd.Series, place: Path) -> np.ndarray:
    """The column as float64; DataError unless every value is a finite number."""
    from pandas.api import types

    about = f"dataset.features: {place}, column {column.name!r}"
    if not (types.is_numeric_dtype(column) or types.is_bool_dtype(column)) or types.is_complex_dtype(column):
        text = next((value for value in column if isinstance(value, str)), column.iloc[0])
        raise DataError(
            f"{about} holds {str(text)[:40]!r} (dtype {column.dtype}); expected numbers: encode it, or leave it out "
            "with features: [the others]"
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{about} has {len(bad)} values that are missing (NaN) or infinite, the first in row {bad[0] + 1}; "
            "expected numbers: fill or drop those rows"
        )
    return values


def _classes(column: pd.Series, place: Path) -> tuple[str, str, np.ndarray]:
    """(lesser, greater) of the two labels in words, and where the greater is."""
    about = f"dataset.label: {place}, column {column.name!r}"
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0]) + 1
        raise DataError(f"{about} has {int(column.isna().sum())} missing values (NaN), the first in row {row}; "
                        "expected a label in every row")  # fmt: skip
    labels = list(column.unique())
    if len(labels) != 2:
        words = {1: "one class"}.get(len(labels), f"{len(labels)} classes")
        raise DataError(f"{about} has {words}: {_some(labels)}; expected two: keep the rows of two classes")
    try:
        low, high = sorted(labels)
    except TypeError:
        low, high = sorted(labels, key=str)
    return _word(low), _word(high), (column == high).to_numpy()


def _word(value) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:g}" if isinstance(value, float) else str(value)
