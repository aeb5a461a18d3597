"""A two-dimensional data set and the exact references of a cell, read back from what the run keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.config.cell import located


@dataclass
class PlanarData:
    """A two-dimensional data set with its exact directions. `max_margin` maps p -> w (2,); empty if not separable."""

    X: np.ndarray
    y: np.ndarray
    separability: str
    max_margin: dict[float, np.ndarray]
    svm: np.ndarray
    svm_name: str
    logreg: np.ndarray
    logreg_name: str
    support: np.ndarray | None


def planar_data(results: Results, condition: Condition, seed: int, ps: set[float]) -> PlanarData:
    """Data and references of one seed of a condition, the references from the run's own directory.

    Raises ValueError when the data set is not one the framework can load again (one of the user's own).
    """
    from mdcore.problems.datasets import DataError, load_dataset
    from mdcore.problems.references import solve_references

    config = condition.config
    if ":" in str(config["dataset"].get("name")):
        raise ValueError("the points of a data set of the user's own are not kept with the run")
    located_config = located(config, results.data_dir)
    try:
        data = load_dataset(located_config["dataset"], config.get("digits"), config.get("pca"), seed)
    except DataError as error:
        raise ValueError(f"the data cannot be read any more: {error}") from None
    trained = results.row.get(condition.cells.get(seed, ""), {}).get("data_sha256")
    if trained and trained != data.fingerprint:
        raise ValueError("the data set has another content now than the one that was trained on")
    kept = results.references_dir if results.references_dir and results.references_dir.is_dir() else None
    references = solve_references(data, ps, config.get("svm_C", 1.0), config.get("logreg_C", 1.0), kept)
    planted = data.planted or {}
    support = planted.get("support")
    return PlanarData(
        data.X_train,
        data.y_train,
        references.separability,
        {p: m.w for p, m in references.max_margin.items()},
        references.svm.w,
        baseline_name("SVM", references.svm.kind, references.svm.C),
        references.logreg.w,
        baseline_name("logistic regression", references.logreg.kind, references.logreg.C),
        None if support is None else np.asarray(support, float),
    )


def baseline_name(what: str, kind: str, C: float | None) -> str:
    """ "SVM, hard margin", "logistic regression, l2 with C = 1": which baseline it is, in words."""
    words = {"hard-margin": "hard margin", "soft-margin": "soft margin", "l2": "l2", "unregularised": "unregularised"}
    return f"{what}, {words.get(kind, kind)}" + (f" with C = {C:g}" if C is not None else "")
