"""The verdict on each condition: where it went, how sure that is, and whether depth changed it at equal loss."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdcore.analysis.columns import USED
from mdcore.analysis.conditions import Condition, pretty_potential
from mdcore.analysis.facets import Facet
from mdcore.analysis.results import Results
from mdcore.analysis.statistics import power_law, steps_to_reach

SAME = 1.0  # degrees: directions nearer than this count as the same
GAP = 0.01  # certified gap at which a cell counts as converged (THEORY.md)
_REFERENCES = ("angle_max_margin", "angle_svm", "angle_logreg")


@dataclass
class Estimate:
    """Mean over n seeds with its 95 % interval; NaN interval for one seed."""

    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    min: float = float("nan")
    max: float = float("nan")

    @property
    def known(self) -> bool:
        return self.n > 0 and np.isfinite(self.mean)


@dataclass
class Forecast:
    """When the certified gap would reach GAP if it goes on falling as over the last decade of steps; an estimate."""

    exponent: float
    steps: float
    factor: float
    seconds: float


@dataclass
class Verdict:
    """All that is said of one condition."""

    condition: Condition
    facet: str
    name: str
    separability: str
    n: int
    counts: dict[str, int]
    gap: Estimate
    ratio: Estimate
    angles: dict[str, Estimate]
    depth_equal_steps: Estimate
    depth_equal_loss: Estimate
    linear: str = ""
    limit_changed: str = ""  # "no", "yes", "open"; "" without a linear companion in the grid
    forecast: Forecast | None = None
    messages: list[str] = field(default_factory=list)
    reference_names: dict[str, str] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return sum(self.counts.get(s, 0) for s in USED)

    @property
    def ran(self) -> int:
        """Cells that have ended somehow; the others are missing."""
        return self.n - self.counts.get("missing", 0)

    @property
    def converged(self) -> bool:
        """Every cell that ran has a certified gap of at most GAP, and none failed or diverged."""
        return self.ran > 0 and self.counts.get("converged", 0) == self.ran

    @property
    def overlap(self) -> bool:
        return self.separability == "overlapping"

    @property
    def nearest(self) -> tuple[str, Estimate] | None:
        """(column, angle) of the nearest reference; the max-margin first among references that are one and the same."""
        known = [(k, e) for k, e in self.angles.items() if e.known]
        if not known:
            return None
        best = min(e.mean for _, e in known)
        return next((k, e) for k, e in known if e.mean <= best * (1 + 1e-6) + 1e-9)

    @property
    def settled(self) -> bool:
        """Every run is certified; on overlapping data, where there is no certificate, every run came through."""
        return self.converged or (self.overlap and self.counts.get("overlap", 0) == self.ran > 0)

    @property
    def reached(self) -> bool:
        """Settled, and every run at the nearest reference: within SAME, or certified and clearly at its max-margin.

        Clearly: at most half as far from it as from any other reference. The certificate bounds the margin that is
        missing, and a gap of 1 % may still be some degrees where the norm is flat (p > 2).
        """
        near = self.nearest
        if near is None or not self.settled:
            return False
        names = self.reference_names
        one = {"l2 max-margin", "hard-margin SVM"}  # two names of one direction
        same = {k for k in self.angles if {names.get(k), names.get(near[0])} == one}
        others = [e.min for k, e in self.angles.items() if k != near[0] and k not in same and e.known]
        clearly = near[0] == "angle_max_margin" and all(2.0 * near[1].max <= other for other in others)
        return near[1].max <= SAME or (self.converged and clearly)

    @property
    def depth_changed(self) -> str:
        """ "no", "yes", "open" by where the interval of the angle to linear MD at equal loss lies; "" at depth 1."""
        return changed(self.depth_equal_loss) if self.condition.depth > 1 else ""


def changed(angle: Estimate, threshold: float = SAME) -> str:
    """ "no": the 95 % interval (one seed: the value) lies below `threshold` degrees; "yes": above; else "open"."""
    if not angle.known:
        return "open"
    low, high = (angle.low, angle.high) if np.isfinite(angle.low) else (angle.mean, angle.mean)
    return "no" if high <= threshold else "yes" if low > threshold else "open"


def limit_changed(deep: Verdict, linear: Verdict) -> str:
    """ "no": both reached the same exact reference; "yes": both have settled, at most one reached it and the end points
    differ by more than SAME, or they reached different ones; else "open"."""
    if deep.reached and linear.reached:
        return "no" if deep.nearest[0] == linear.nearest[0] else "yes"
    apart = changed(deep.depth_equal_steps) == "yes"
    if deep.settled and linear.settled and deep.reached != linear.reached and apart and not deep.overlap:
        return "yes"
    return "open"


def estimate(row: dict, column: str) -> Estimate:
    """The Estimate of one column out of a row of summary.csv."""
    n = row.get(f"{column}_n")
    return Estimate(
        *(float(row.get(f"{column}_{s}", np.nan)) for s in ("mean", "ci_low", "ci_high")),
        int(n) if n == n and n is not None else 0,
        *(float(row.get(f"{column}_{s}", np.nan)) for s in ("min", "max")),
    )


def forecast(results: Results, condition: Condition) -> Forecast | None:
    """Slowest seed's forecast: gap ~ t^{-s} fitted over the last decade of steps, GAP reached at t (gap/GAP)^{1/s}."""
    slowest = None
    for cell in condition.cells.values():
        if results.status[cell] != "transient":
            continue
        t, gap = results.curves.get(cell, "epoch"), results.curves.get(cell, "gap")
        keep = np.isfinite(t) & np.isfinite(gap) & (t > 0)
        if not keep.any():
            continue
        t, gap = t[keep], gap[keep]
        s = power_law(t, gap)
        steps = steps_to_reach(GAP, t[-1], gap[-1], s)
        seconds = float(results.row[cell].get("seconds", np.nan))
        new = Forecast(s, steps, steps / t[-1], seconds * steps / t[-1])
        if slowest is None or not new.steps <= slowest.steps:
            slowest = new
    return slowest


def _reference_names(rows: pd.DataFrame) -> dict[str, str]:
    first = rows.iloc[0] if len(rows) else {}
    p = first.get("limit_p", np.nan)
    lp = "l∞" if p == np.inf else f"l{p:g}" if p == p else "lp"
    svm, logreg = str(first.get("svm_kind", "") or ""), str(first.get("logreg_kind", "") or "")
    kinds = {"l2": "l2-regularised logistic regression", "unregularised": "logistic minimiser"}
    return {
        "angle_max_margin": f"{lp} max-margin",
        "angle_svm": f"{svm} SVM".strip(),
        "angle_logreg": kinds.get(logreg, "logistic regression"),
    }


def verdict(results: Results, facet: Facet, c: Condition, row: dict, rows: pd.DataFrame) -> Verdict:
    """The Verdict of condition `c`: `row` is its line of summary.csv, `rows` its lines of master.csv."""
    linear = facet.linear(c) if c.depth > 1 else None
    counts = rows["status"].value_counts().to_dict()
    used = rows[rows["status"].isin(USED)]
    messages = sorted({m for m in rows["message"] if isinstance(m, str) and m})
    return Verdict(
        c,
        facet.title,
        f"{pretty_potential(c.label, c.flat)}, L = {c.depth}",
        str(row["separability"]),
        len(rows),
        counts,
        estimate(row, "gap"),
        estimate(row, "margin_ratio"),
        {k: estimate(row, k) for k in _REFERENCES},
        estimate(row, "angle_linear_md") if c.depth > 1 else Estimate(),
        estimate(row, "angle_linear_md_equal_loss") if c.depth > 1 else Estimate(),
        linear.id if linear else "",
        "",
        forecast(results, c),
        messages,
        _reference_names(used),
    )


def verdicts(results: Results, master: pd.DataFrame, summary: pd.DataFrame) -> list[Verdict]:
    """One Verdict per condition and facet, in reading order."""
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    groups = dict(list(master.groupby("condition_id", sort=False)))
    found = [verdict(results, f, c, by_id[c.id], groups[c.id]) for f in results.facets for c in f.conditions]
    known = {v.condition.id: v for v in found}
    for v in found:
        if v.linear:
            v.limit_changed = limit_changed(v, known[v.linear])
    return found
