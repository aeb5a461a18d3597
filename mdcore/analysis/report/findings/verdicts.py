"""The verdict on each condition: where it went, how sure that is, and whether depth changed it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.directions import End, decide, differ, end_of, is_unique, over_runs
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.data.results import Results
from mdcore.analysis.data.statistics import power_law, steps_to_reach
from mdcore.problems.proofs.directions import CONVERGED_GAP
from mdcore.store.columns import USED

_STATISTICS = ("mean", "ci_low", "ci_high", "min", "max")


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
    """When the certified gap would reach CONVERGED_GAP if it keeps falling as over the last decade of steps."""

    exponent: float
    steps: float
    factor: float
    seconds: float


@dataclass
class Verdict:
    """All that is said of one condition.

    ends: one for each run that ended. angle: to the exact direction that theory predicts, the own max-margin or on
    overlapping data the logistic minimiser, as measured. unique: whether that direction is proved to be the only one,
    in every run. linear_ends, equal_loss: the angle to linear mirror descent between the end predictors, and at equal
    loss. limit_pairs, path_pairs: for each pair of runs, did depth change the limit, are the paths apart.
    """

    condition: Condition
    facet: str
    potential: str
    separability: str
    n: int
    counts: dict[str, int]
    ends: list[End]
    gap: Estimate
    ratio: Estimate
    angle: Estimate
    unique: bool
    limit_p: float
    linear_ends: Estimate = field(default_factory=Estimate)
    equal_loss: Estimate = field(default_factory=Estimate)
    limit_pairs: list[str] = field(default_factory=list)
    path_pairs: list[str] = field(default_factory=list)
    linear: str = ""
    forecast: Forecast | None = None
    messages: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.potential}, L = {self.condition.depth}"

    @property
    def used(self) -> int:
        return sum(self.counts.get(s, 0) for s in USED)

    @property
    def ran(self) -> int:
        """Cells that have ended somehow; the others are missing."""
        return self.n - self.counts.get("missing", 0)

    @property
    def converged(self) -> bool:
        """The margin of every run is certified; none failed or diverged. It says nothing about the direction."""
        return self.ran > 0 and self.counts.get("converged", 0) == self.ran

    @property
    def overlap(self) -> bool:
        return self.separability == "overlapping"

    @property
    def bound(self) -> float:
        """Degrees: every run lies this near its exact direction; 180 where one of them proves nothing."""
        return max((e.bound for e in self.ends), default=180.0)

    @property
    def reached(self) -> bool:
        """Every run lies within SAME of one and the same exact direction, by its bound."""
        return bool(self.ends) and all(e.reached for e in self.ends) and len({e.reference for e in self.ends}) == 1

    @property
    def why(self) -> str:
        """Why the direction is not determined; "" where it is reached or the bound alone is too wide."""
        reasons = Counter(e.why for e in self.ends if e.why)
        whole = len(self.ends)
        return "; ".join(r if k == whole else f"{k} of {whole} runs: {r}" for r, k in reasons.items())

    @property
    def limit_changed(self) -> str:
        """Did depth change the limit: "no", "yes", "open"; "" without a linear companion in the grid."""
        return over_runs(self.limit_pairs) if self.linear else ""

    @property
    def path_changed(self) -> str:
        """Are deep and linear predictors apart at equal loss: "no", "yes", "open"; "" at depth 1."""
        return over_runs(self.path_pairs) if self.condition.depth > 1 else ""


def estimate(row: dict, column: str) -> Estimate:
    """The Estimate of one column out of a row of summary.csv."""
    n = row.get(f"{column}_n")
    mean, low, high, least, most = (float(row.get(f"{column}_{s}", np.nan)) for s in _STATISTICS)
    return Estimate(mean, low, high, int(n) if n == n and n is not None else 0, least, most)


def forecast(results: Results, condition: Condition) -> Forecast | None:
    """Slowest seed's forecast: gap ~ t^{-s} over the last decade of steps, g = CONVERGED_GAP at t (gap/g)^{1/s}."""
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
        steps = steps_to_reach(CONVERGED_GAP, t[-1], gap[-1], s)
        seconds = float(results.row[cell].get("seconds", np.nan))
        new = Forecast(s, steps, steps / t[-1], seconds * steps / t[-1])
        if slowest is None or not new.steps <= slowest.steps:
            slowest = new
    return slowest


def answers(c: Condition, other: Condition, ends: dict[str, End], angles: dict[str, float]) -> list[str]:
    """`decide` for every run of `c` and the run of `other` with the same seed, where both ended somehow.

    ends: by cell_id, only of runs that ended; angles: between the end predictors, by the cell_id of `c`.
    """
    pairs = [(cell, other.cells.get(seed)) for seed, cell in c.cells.items()]
    return [decide(angles[i], ends[i], ends[j]) for i, j in pairs if i in ends and j in ends]


def verdict(results: Results, facet: Facet, c: Condition, row: dict, rows: list[dict]) -> Verdict:
    """The Verdict of condition `c` but for its pairs: `row` is its line of summary.csv, `rows` those of master.csv."""
    came = [r for r in rows if r["status"] in USED]
    overlap = row["separability"] == "overlapping"
    exact = overlap and {r["logreg_kind"] for r in came} == {"unregularised"}
    angle = "angle_logreg" if exact else "angle_max_margin"  # the latter is empty on overlapping data
    limits = {float(r["limit_p"]) for r in came}
    return Verdict(
        c,
        facet.title,
        c.words,
        str(row["separability"]),
        len(rows),
        dict(Counter(r["status"] for r in rows)),
        list(known_ends(rows).values()),
        estimate(row, "gap"),
        estimate(row, "margin_ratio"),
        estimate(row, angle),
        bool(came) and all(map(is_unique, came)),
        limits.pop() if len(limits) == 1 else float("nan"),
        forecast=forecast(results, c),
        messages=sorted({r["message"] for r in rows if isinstance(r["message"], str) and r["message"]}),
    )


def known_ends(rows: list[dict]) -> dict[str, End]:
    """The End of every run that ended somehow, by cell_id; rows of master.csv."""
    return {r["cell_id"]: end_of(r) for r in rows if r["status"] != "missing"}


def angles_of(master: pd.DataFrame, column: str) -> dict[str, float]:
    """A column of angles by cell_id; NaN where it is absent."""
    values = master[column] if column in master else np.full(len(master), np.nan)
    return dict(zip(master["cell_id"], np.asarray(values, dtype=float), strict=True))


def verdicts(results: Results, master: pd.DataFrame, summary: pd.DataFrame) -> list[Verdict]:
    """One Verdict per condition and facet, in reading order."""
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    rows = master.to_dict("records")
    groups: dict[str, list[dict]] = {}
    for r in rows:
        groups.setdefault(r["condition_id"], []).append(r)
    ends, apart = known_ends(rows), angles_of(master, "angle_linear_md_ends")
    all_verdicts = []
    for facet in results.facets:
        for c in facet.conditions:
            v = verdict(results, facet, c, by_id[c.id], groups[c.id])
            if c.depth > 1:
                v.equal_loss = estimate(by_id[c.id], "angle_linear_md_equal_loss")
                used = [r for r in groups[c.id] if r["status"] in USED]
                v.path_pairs = [differ(float(r["angle_linear_md_equal_loss"])) for r in used]
                if (linear := facet.linear(c)) is not None:
                    v.linear, v.linear_ends = linear.id, estimate(by_id[c.id], "angle_linear_md_ends")
                    v.limit_pairs = answers(c, linear, ends, apart)
            all_verdicts.append(v)
    return all_verdicts
