"""What is said in and under a panel: why it is empty, what its end points mean."""

from __future__ import annotations

import numpy as np

from mdcore.analysis.columns import metric
from mdcore.analysis.conditions import Condition
from mdcore.analysis.results import Results
from mdcore.analysis.style import BELOW


def why_empty(results: Results, conditions: list[Condition], column: str) -> str:
    statuses = {results.status[c] for condition in conditions for c in condition.cells.values()}
    rows = [results.row.get(c, {}) for condition in conditions for c in condition.cells.values()]
    verdicts = {r.get("separability") for r in rows} - {"", None}
    if metric(column).separable and verdicts and "separable" not in verdicts:
        return f"the data are {' and '.join(sorted(verdicts))}: there is no max-margin"
    if metric(column).deep and all(c.depth == 1 for c in conditions):
        return "no deep network here"
    if statuses <= {"missing"}:
        return "not run yet"
    if statuses <= {"failed", "diverged", "missing"}:
        return "no cell came through: " + ", ".join(sorted(statuses))
    return "not measured here"


def has_numbers(results: Results, conditions: list[Condition], column: str) -> bool:
    cells = [i for c in conditions if not (metric(column).deep and c.depth == 1) for i in c.cells.values()]
    return any(np.isfinite(results.curves.get(i, column)).any() for i in cells)


def end_words(statuses: set[str]) -> str:
    words = []
    if "converged" in statuses:
        tail = " (or data that overlap, where nothing is certified)" if "overlap" in statuses else ""
        words.append("filled end points have converged" + tail)
    elif "overlap" in statuses:
        words.append("filled end points: the data overlap, so no limit is certified")
    if statuses & {"transient", "quasi-separable"}:
        words.append("open end points have not converged and show no limit")
    if statuses & {"failed", "diverged"}:
        words.append("thin lines with a cross failed or diverged and are in no mean")
    if BELOW in statuses:
        words.append("triangles at the foot of a panel: the end lies below its axis")
    text = "; ".join(words)
    return f" {text[0].upper()}{text[1:]}." if text else ""
