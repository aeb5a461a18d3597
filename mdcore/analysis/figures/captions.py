"""What is said in a panel that is empty, and in the notes that hold for several figures: marks, lines, symbols.

A caption says what a figure shows; a note, which the report prints once for all figures, how to read it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.findings.wording import listed
from mdcore.store.columns import metric


def why_empty(results: Results, conditions: list[Condition], column: str) -> str:
    statuses = {results.status[c] for condition in conditions for c in condition.cells.values()}
    rows = [results.row.get(c, {}) for condition in conditions for c in condition.cells.values()]
    verdicts = {str(r["separability"]) for r in rows if r.get("separability")}
    if metric(column).separable and verdicts and "separable" not in verdicts:
        return f"the data are {' and '.join(sorted(verdicts))}: there is no max-margin"
    if metric(column).deep and all(c.depth == 1 for c in conditions):
        return "no deep network here"
    if statuses <= {"missing"}:
        return "not run yet"
    if statuses <= {"failed", "diverged", "missing"}:
        return "no cell came through: " + ", ".join(sorted(statuses))
    return "not measured here"


NOT_UNIQUE = "‡"


def ambiguous_labels(results: Results, conditions: list[Condition], columns: Iterable[str]) -> dict[str, str]:
    """{potential key: words} of the potentials whose l_p optimum is not proved to be the only one, where angles to it
    are among the columns shown."""
    if "angle_max_margin" not in columns:
        return {}
    return {c.potential_key: c.words for c in conditions if results.ambiguous(c)}


def unique_notes(results: Results, conditions: list[Condition], columns: Iterable[str]) -> list[str]:
    """On optima that are not proved to be the only one."""
    names = ambiguous_labels(results, conditions, columns)
    if not names:
        return []
    return [
        f"{NOT_UNIQUE}: the lp optimum of {listed(list(names.values()))} is not proved to be the only one; the angle "
        "is to one optimum, and another may lie elsewhere."
    ]


R_NOTE = (
    "R is the mean loss over the training points. Losses are kept as logarithms: log(1/R) = 1e10 means R = exp(−1e10), "
    "far below the smallest floating-point number."
)
EQUAL_LOSS_NOTE = (
    "At equal loss, both predictors are read, and drawn, at the largest log(1/R) that the deep and the linear run have "
    "both reached."
)
LINEAR_NOTE = "Linear MD is mirror descent at depth L = 1 with the same data, potential, step rule and seed."
GAP_NOTE = (
    "The certified gap bounds, without a solver, the share of the largest possible margin that may still be missing."
)


def has_numbers(results: Results, conditions: list[Condition], column: str) -> bool:
    cells = [i for c in conditions if not (metric(column).deep and c.depth == 1) for i in c.cells.values()]
    return any(np.isfinite(results.curves.get(i, column)).any() for i in cells)


_ENDS = (
    ({"converged"}, "Filled points: the margin is certified, to a gap of at most 1 %."),
    ({"overlap"}, "Filled points on overlapping data: a run has ended; there is no margin to certify."),
    ({"transient", "quasi-separable"}, "Open points: the margin is not certified, so that the end is no limit."),
    ({"failed", "diverged"}, "Thin lines that end in a cross: the run failed or diverged, and is in no mean."),
)


def end_notes(statuses: set[str]) -> list[str]:
    """On what filled, open and crossed points mean, of those that are there."""
    return [words for some, words in _ENDS if some & statuses]
