"""What is said in and under a panel: why it is empty, what its end points mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mdcore.analysis.data.columns import metric
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.report.findings.wording import listed


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


def unique_words(results: Results, conditions: list[Condition], columns: Iterable[str]) -> str:
    """The sentence of a caption on optima that are not proved to be the only one; "" where there are none."""
    names = ambiguous_labels(results, conditions, columns)
    if not names:
        return ""
    return (
        f" {NOT_UNIQUE}: the lp optimum of {listed(list(names.values()))} is not proved to be the only one; the "
        "angle is to one optimum, and another may lie elsewhere."
    )


R_WORDS = (
    " R: the mean loss over the training points, so that log(1/R) = 1e10 means R = exp(−1e10), far below the smallest "
    "number of floating-point arithmetic; losses are computed as logarithms."
)
EQUAL_LOSS_WORDS = (
    " Angles at equal loss are read, and drawn, at the largest log(1/R) that the deep run and the linear one have both "
    "reached."
)
LINEAR_WORDS = " Linear MD: mirror descent at depth L = 1 with the same data, potential, step rule and seed."


def has_numbers(results: Results, conditions: list[Condition], column: str) -> bool:
    cells = [i for c in conditions if not (metric(column).deep and c.depth == 1) for i in c.cells.values()]
    return any(np.isfinite(results.curves.get(i, column)).any() for i in cells)


def end_words(statuses: set[str], points: str = "end points") -> str:
    """The sentence of a caption on what filled, open and crossed points mean; "" where there are none."""
    words = []
    if "converged" in statuses:
        tail = ", or data that overlap, where nothing is certified" if "overlap" in statuses else ""
        words.append(f"filled {points}: margin certified (gap at most 1 %){tail}")
    elif "overlap" in statuses:
        words.append(f"filled {points}: the data overlap, so no limit is certified")
    if statuses & {"transient", "quasi-separable"}:
        words.append(f"open {points}: margin not certified, so no limit is shown")
    if statuses & {"failed", "diverged"}:
        words.append("thin lines with a cross failed or diverged and are in no mean")
    text = "; ".join(words)
    return f" {text[0].upper()}{text[1:]}." if text else ""
