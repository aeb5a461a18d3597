"""What changed between two runs, condition by condition: python -m mdcore.run_compare --tags A B

Writes analysis_results/compare_A_B/changes.csv and changes.md and prints the latter. Differences are B minus A, paired
by seed. Conditions are the same when their configurations are, apart from what differs between the two grids as a
whole (another number of steps, say), which is named.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.conditions import Condition, same_value, sortable
from mdcore.analysis.data.results import Results
from mdcore.analysis.data.statistics import FEWEST, describe, excludes_zero
from mdcore.analysis.report.document import Bullets, Section, Table, Text
from mdcore.analysis.tables.numbers import DASH, is_number, number_as_text
from mdcore.config.cell import CONDITION_COLUMNS, PARAM, PARAMETERS
from mdcore.store.columns import STATUSES, USED, metric

# What a condition is about; it is never a setting that two runs may differ in.
_SUBJECT = {*CONDITION_COLUMNS, *PARAMETERS, "potential_label", "dataset_geometry", "dataset_dim"}
SHOWN = (
    "gap",
    "margin_ratio",
    "angle_max_margin",
    "angle_linear_md_equal_loss",
    "angle_svm",
    "angle_logreg",
    "test_accuracy",
    "log_inverse_loss",
    "steps",
)


@dataclass
class Change:
    """One condition in both runs: (cells, same numbers, statuses before and after, statistics of B − A)."""

    name: str
    data: str
    a: Condition
    b: Condition
    n: int
    identical: int
    status_a: str
    status_b: str
    stats: dict[str, float]

    @property
    def same(self) -> bool:
        """Every run that both have has the same numbers to the last bit."""
        return self.identical == self.n


def settings(a: Results, b: Results) -> dict[str, tuple[list, list]]:
    """Columns whose sets of values in the two grids have nothing in common: {column: (values of A, values of B)}."""
    out = {}
    columns = dict.fromkeys(column for r in (a, b) for c in r.conditions for column in c.flat)
    for column in columns if a.conditions and b.conditions else ():
        if column in _SUBJECT or column.startswith(PARAM):
            continue
        one, two = ({same_value(c.flat.get(column)) for c in r.conditions} for r in (a, b))
        if not one & two:
            first, second = (sorted((json.loads(v) for v in s), key=sortable) for s in (one, two))
            out[column] = first, second
    return out


def matched(a: Results, b: Results, different: set[str]) -> list[tuple[Condition, Condition]]:
    """Pairs of the same potential, data and columns, leaving out the columns in `different`.

    Conditions of one run that only those columns tell apart have no partner that could be named.
    """
    different = different | {"potential_label"}

    def key(c: Condition) -> str:
        data = c.family_key if any(k.startswith("dataset_") for k in different) else c.data_key
        return json.dumps(
            [c.potential_key, data, {k: v for k, v in c.flat.items() if k not in different and v is not None}],
            sort_keys=True,
        )

    same_id = {c.id: c for c in b.conditions}
    ours, theirs = (Counter(key(c) for c in r.conditions) for r in (a, b))
    by_key = {key(c): c for c in b.conditions if ours[key(c)] == theirs[key(c)] == 1}
    partners = [(c, same_id.get(c.id) or by_key.get(key(c))) for c in a.conditions]
    return [(c, d) for c, d in partners if d is not None]


def _statuses(rows: pd.DataFrame) -> str:
    counts = rows["status"].value_counts()
    return ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts.get(s, 0)) or "no runs"


def change(c: Condition, d: Condition, rows_a: pd.DataFrame, rows_b: pd.DataFrame, metrics: list[str]) -> Change:
    """The Change of one condition; statistics are over the seeds that came through in both."""
    one, two = rows_a.set_index("seed"), rows_b.set_index("seed")
    seeds = one.index.intersection(two.index)
    x, y = one.loc[seeds], two.loc[seeds]
    numbers = [m for m in metrics if m != "seconds"]
    left, right = x[numbers].to_numpy(float), y[numbers].to_numpy(float)
    same = ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1) & (x["status"] == y["status"]).to_numpy()
    came = (x["status"].isin(USED) & y["status"].isin(USED)).to_numpy()
    with np.errstate(invalid="ignore"):  # an infinite flow time in both runs is no difference
        difference = pd.DataFrame(np.where(left == right, 0.0, right - left)[came], columns=numbers)
    name = f"{c.words}, L = {c.depth}"
    return Change(
        name,
        c.data_words,
        c,
        d,
        len(seeds),
        int(same.sum()),
        _statuses(x),
        _statuses(y),
        describe(difference),
    )


def compare(a: Results, b: Results) -> tuple[list[Change], dict, list[Condition], list[Condition]]:
    """(changes, settings that differ, conditions only in A, conditions only in B)."""
    different = settings(a, b)
    masters = [aggregate.master_table(r) for r in (a, b)]
    groups = [dict(list(m.groupby("condition_id", sort=False))) for m in masters]
    metrics = [m for m in aggregate.metric_columns(a) if m in set(aggregate.metric_columns(b))]
    pairs = matched(a, b, set(different))
    changes = [change(c, d, groups[0][c.id], groups[1][d.id], metrics) for c, d in pairs]
    left, right = {c.id for c, _ in pairs}, {d.id for _, d in pairs}
    return (
        changes,
        different,
        [c for c in a.conditions if c.id not in left],
        [c for c in b.conditions if c.id not in right],
    )


def provenance_changes(a: Results, b: Results) -> list[str]:
    """What differs in commit, packages and machine: "numpy: 2.4.6 in A, 2.5.0 in B"."""

    def flat(record: dict, prefix: str = "") -> dict:
        out: dict[str, Any] = {}
        for k, v in record.items():
            out |= flat(v, f"{prefix}{k}.") if isinstance(v, dict) else {prefix + k: v}
        return out

    one, two = (flat(r.manifest.get("provenance") or {}) for r in (a, b))
    return [
        f"{k}: {one.get(k, 'not recorded')} in {a.tag}, {two.get(k, 'not recorded')} in {b.tag}"
        for k in dict.fromkeys([*one, *two])
        if one.get(k) != two.get(k)
    ]


def table(changes: list[Change]) -> pd.DataFrame:
    """One row per condition: counts, statuses, <metric>_{mean,std,min,max,ci_low,ci_high} of B − A."""
    return pd.DataFrame(
        [
            {
                "condition_a": c.a.id,
                "condition_b": c.b.id,
                "data": c.data,
                "condition": c.name,
                "n_common": c.n,
                "n_identical": c.identical,
                "status_a": c.status_a,
                "status_b": c.status_b,
                **c.stats,
            }
            for c in changes
        ]
    )


def _cell(c: Change, m: str) -> str:
    mean, low, high = (c.stats.get(f"{m}_{s}", float("nan")) for s in ("mean", "ci_low", "ci_high"))
    if not is_number(mean):
        return DASH
    sign = "+" if mean > 0 else ""
    if mean == 0:
        return "0"
    mark = " *" if excludes_zero(c.stats, m) else ""
    return f"{sign}{number_as_text(mean, (high - low) / 2 if is_number(low) else None, digits=2)}{mark}"


def summary(a: Results, b: Results) -> tuple[Section, pd.DataFrame]:
    """The comparison as a section of text and a table."""
    changes, different, only_a, only_b = compare(a, b)
    blocks: list = []
    same = [c for c in changes if c.same]
    statuses = [c for c in changes if c.status_a != c.status_b]
    lines = [
        f"{len(changes)} conditions are in both; in {len(same)} of them every run that both have (same seed) has "
        "the same numbers to the last bit.",
        f"{len(statuses)} changed in how their runs ended." if statuses else "None changed in how its runs ended.",
    ]
    seeds = [{s for c in r.conditions for s in c.cells} for r in (a, b)]
    for tag, more in ((a.tag, seeds[0] - seeds[1]), (b.tag, seeds[1] - seeds[0])):
        if more:
            lines.append(f"Seeds only in {tag}: {', '.join(map(str, sorted(more)))}.")
    lines += [
        f"Set differently: {k} is {', '.join(map(str, v))} in {a.tag} and {', '.join(map(str, w))} in {b.tag}."
        for k, (v, w) in different.items()
    ]
    for tag, rest in ((a.tag, only_a), (b.tag, only_b)):
        if rest:
            lines.append(
                f"Only in {tag}: {', '.join(c.id for c in rest[:8])}"
                + (f" and {len(rest) - 8} more." if len(rest) > 8 else ".")
            )
    blocks.append(Bullets(lines))
    origin = provenance_changes(a, b)
    if origin:
        blocks += [Text("Where the runs come from:"), Bullets(origin)]
    moved = [c for c in changes if not c.same]
    if moved:
        shown = [
            m
            for m in (*SHOWN, *a.user_metrics)
            if any(
                c.stats.get(f"{m}_n", 0) and c.stats[f"{m}_max"] - c.stats[f"{m}_min"] + abs(c.stats[f"{m}_mean"]) > 0
                for c in moved
            )
        ]
        rows = [
            [
                c.data,
                c.name,
                str(c.n),
                c.status_a if c.status_a == c.status_b else f"{c.status_a} → {c.status_b}",
                *[_cell(c, m) for m in shown],
            ]
            for c in moved
        ]
        blocks.append(
            Table(
                ["data", "condition", "n", "runs", *[metric(m).axis for m in shown]],
                rows,
                None,
                f"{b.tag} minus {a.tag}: mean over seeds ± half its 95 % Student's t interval; *: the interval, over "
                f"at least {FEWEST} seeds that differ, does not hold zero. Conditions without a change are left out.",
            )
        )
    return Section("changes", f"From {a.tag} to {b.tag}", blocks, 1), table(changes)
