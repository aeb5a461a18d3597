"""What the tables of a stack say, held against its history, its predictors, its references and its cells.

Checksums tell that a file is as it was sealed, and these checks that it could have been: a table that was edited and
sealed again contradicts what it was computed from. All of it is cheap: no data set but a synthetic one is made again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mdcore.config.cell import PARAM, make_cell
from mdcore.problems import cache
from mdcore.problems.proofs.certificates import conjugate_exponent, norm
from mdcore.problems.proofs.directions import CONVERGED_GAP, angle

TOLERANCE = 1e-9  # relative, of numbers that are computed again from the same predictors in double precision
ANGLE_TOLERANCE = 1e-6  # degrees
ACCURACY = "train_accuracy"

Row = dict[str, Any]
Expected = tuple[str, Any, float]  # a column, what it must be, and the tolerance


def contradiction(
    tables: dict[str, Any], configs: dict[str, Row], status: dict[str, str], references: Path | None
) -> str:
    """The first thing in the tables of a stack that cannot be, in words; "" where there is none.

    tables: final and history (DataFrames) and arrays, {"w": (K, d), "z": (K, d)}, in final's order; configs: the
    configuration of each cell, by id; status: what stack.json says of each; references: where they are kept, or None.
    """
    final, w = tables["final"], tables["arrays"]["w"]
    z = tables["arrays"].get("z", [None] * len(w))
    last = _last_rows(final, tables["history"])
    columns = [final[name].tolist() for name in final.columns]  # pandas takes ten times as long to make records
    rows = [dict(zip(final.columns, values)) for values in zip(*columns, strict=True)]
    for row, before, predictor, certificate in zip(rows, last, w, z, strict=True):
        name = row["cell_id"]
        differences = _differences(row, before, configs.get(name), status.get(name))
        for what, expected, tolerance in (
            *differences,
            *_of_predictor(row, predictor, certificate),
            *_of_data(row, predictor, configs.get(name)),
            *_of_references(row, predictor, references),
        ):
            if not _equal(row.get(what), expected, tolerance):
                return (
                    f"final.parquet: {what} of {name} is {_short(row.get(what))}, and {_short(expected)} by what it "
                    "comes from; it was altered after the training: remove this stack and run the grid again"
                )
    return ""


def _last_rows(final: Any, history: Any) -> list[Row]:
    """The last logged row of every cell of `final`; NaN for a cell without one."""
    names = [name for name in history.columns if name in final.columns and name != "cell_id"]
    end = {cell: number for number, cell in enumerate(history["cell_id"].tolist())}
    values = np.vstack([history[names].to_numpy(float), np.full((1, len(names)), math.nan)])
    return [dict(zip(names, values[end.get(cell, -1)].tolist(), strict=True)) for cell in final["cell_id"]]


def _differences(row: Row, before: Row, config: Row | None, status: str | None) -> Iterator[Expected]:
    """(column, what it must be, tolerance): its history's end, its configuration, its status."""
    yield from ((name, value, 0.0) for name, value in before.items())
    if config is not None:
        cell = make_cell(config)
        flat = cell.flat()
        flat["loss_function"] = flat.pop("loss")
        del flat["potential_label"]  # for people
        for name, value in flat.items():
            if name in row and not (name.startswith(PARAM) and row[name] == json.dumps(value)):
                yield name, value, 0.0
        if str(row.get("condition_id"))[-8:] != cell.condition_id[-8:]:  # the hash
            yield "condition_id", cell.condition_id, 0.0
    if status is not None:
        yield "status", status, 0.0
    yield "status", _status(row), 0.0


def _status(row: Row) -> str:
    """The status by the rules of the theory from the row's own separability, accuracy and gap; as told: not decided."""
    if row["status"] == "diverged":
        return "diverged"
    if row.get("separability") != "separable":
        return "overlap" if row.get("separability") == "overlapping" else "quasi-separable"
    if row[ACCURACY] < 1:
        return "failed"
    return "converged" if row["limit_p"] >= 1 and row["gap"] <= CONVERGED_GAP else "transient"


def _of_predictor(row: Row, w: np.ndarray, z: np.ndarray | None) -> Iterator[Expected]:
    """Norms, and what ties the margins, the certificate's bound and the gap to each other."""
    if not np.isfinite(w).all():
        return
    size, p = norm(w, 2.0), row["limit_p"]
    yield "weight_norm", size, TOLERANCE
    if row.get("separability") != "separable" or not p >= 1 or not size > 0 or math.isnan(row["margin_lp"]):
        return
    yield "margin_lp", row["margin_l2"] * (size / norm(w, p)), TOLERANCE
    if z is not None and np.isfinite(z).all() and row["gap"] < 1:
        yield "gamma_bound", max(row["gamma_bound"], norm(z, conjugate_exponent(p))), TOLERANCE
        if row["gap"] < 1 - row["margin_lp"] / row["gamma_bound"] - TOLERANCE:
            yield "gap", 1 - row["margin_lp"] / row["gamma_bound"], TOLERANCE


def _of_data(row: Row, w: np.ndarray, config: Row | None) -> Iterator[Expected]:
    """Margin and accuracy on the data themselves, where these are made in no time."""
    if config is None or config["dataset"]["name"] != "synthetic" or not np.isfinite(w).all():
        return
    A, digest = _synthetic(json.dumps(config["dataset"], sort_keys=True), config["seed"])
    if digest != row.get("data_sha256") or A.shape[1] != len(w):
        return
    margins = A @ w
    yield ACCURACY, float((margins > 0).mean()), 2.0 / len(A) if np.abs(margins).min() < 1e-12 else 0.0
    if row.get("separability") == "separable" and norm(w, 2.0) > 0:
        yield "margin_l2", margins.min() / norm(w, 2.0), TOLERANCE * norm(A, 2.0)


def _of_references(row: Row, w: np.ndarray, directory: Path | None) -> Iterator[Expected]:
    """Angles to the references and share of the exact margin, by the references that the run keeps."""
    digest = row.get("data_sha256")
    if directory is None or not isinstance(digest, str) or not np.isfinite(w).all() or not w.any():
        return
    separable, p = row.get("separability") == "separable", row["limit_p"]
    max_margin = kept(directory, digest, "max_margin", p=repr(float(p))) if separable and p >= 1 else None
    if max_margin is not None and len(max_margin["w"]) == len(w):
        yield "exact_margin", max_margin["margin"], TOLERANCE
        yield "angle_max_margin", angle(w, max_margin["w"]), ANGLE_TOLERANCE
        yield "margin_ratio", row["margin_lp"] / max_margin["margin"], TOLERANCE
    svm = ("max_margin", {"p": repr(2.0)}) if separable else ("svm", {"C": repr(float(row["svm_C"]))})
    regular = None if row.get("separability") == "overlapping" else float(row["logreg_C"])
    for column, (kind, parameters) in {"angle_svm": svm, "angle_logreg": ("logreg", {"C": repr(regular)})}.items():
        reference = kept(directory, digest, kind, **parameters)
        if reference is not None and len(reference["w"]) == len(w):
            yield column, angle(w, reference["w"]), ANGLE_TOLERANCE


@lru_cache(maxsize=64)
def kept(directory: Path, fingerprint: str, kind: str, **parameters: str) -> Row | None:
    """The record of a reference that the run keeps; None where none is whole."""
    return cache.read(directory / cache.key_name(fingerprint, kind, parameters))


@lru_cache(maxsize=64)
def _synthetic(dataset: str, seed: int) -> tuple[np.ndarray, str]:
    from mdcore.problems.datasets import load_dataset

    data = load_dataset(json.loads(dataset), None, None, seed)
    return data.A, data.fingerprint


def _equal(value: Any, expected: Any, tolerance: float) -> bool:
    """Empty and NaN are one; numbers agree to `tolerance`, relative to 1 or to their size."""
    empty = [x is None or x != x for x in (value, expected)]
    if any(empty):
        return all(empty)
    numbers = [isinstance(x, (int, float, np.number)) and not isinstance(x, bool) for x in (value, expected)]
    if not all(numbers) or value == expected or math.isinf(value) or math.isinf(expected):
        return bool(value == expected)
    return bool(abs(value - expected) <= tolerance * max(1.0, abs(expected)))


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)[:60]
