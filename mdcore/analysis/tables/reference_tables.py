"""The tables that are not statistics of one condition: exact references, and paired differences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.data.results import Results
from mdcore.analysis.data.statistics import FEWEST, excludes_zero
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.layout import ASTERISK, DOUBLE, Column, Float, tables
from mdcore.analysis.tables.numbers import decimals_of, is_number, rounded_up
from mdcore.analysis.tables.statistics_tables import AMBIGUOUS, QUANTITIES, definitions, potential_name
from mdcore.problems.sources import SOURCES

PAIRED = ("margin_ratio", "angle_max_margin", "angle_svm", "test_accuracy")
_SHORT = {
    "margin_ratio": r"$\Delta\,\gamma_p/\gamma_p^\star$ (\%)",
    "angle_max_margin": r"$\Delta\angle(w, u_p)$",
    "angle_svm": r"$\Delta\angle$ SVM",
    "test_accuracy": r"$\Delta$ test acc.\ (\%)",
}
_UNIQUE = {"True": "yes", "False": "no"}
_KINDS = {"hard-margin": "hard", "soft-margin": "soft", "unregularised": "plain"}


def _range(values: np.ndarray) -> str:
    """One value, or the range over data sets: "0.741 to 0.802"."""
    values = values[np.isfinite(values)]
    if not values.size:
        return "--"
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * abs(high):
        return rf"\num{{{high:#.5g}}}"
    decimals = max(0, 2 - math.floor(math.log10(high - low)))
    return f"${low:.{decimals}f}$ to ${high:.{decimals}f}$"


def _residual(x: float) -> str:
    """A relative residual, never rounded down; below 1e-12, where it is rounding and may be negative, only that."""
    return "--" if not is_number(x) else r"$< 10^{-12}$" if x < 1e-12 else rf"\num{{{rounded_up(x):.1e}}}"


def references_table(results: Results, master: pd.DataFrame) -> str:
    """Exact references of each data set and exponent p: γ_p*, its duality gap and KKT residual, verdict, baselines."""
    lines, rows, titles, seen = [], [], [], set()
    rows_of = dict(list(master.groupby("condition_id", sort=False)))
    for facet in results.facets:
        cells_of = pd.concat([rows_of[c.id] for c in facet.conditions])
        cells_of = cells_of[cells_of["separability"].astype(str) != ""]
        data = facet.conditions[0].config["dataset"]
        drawn = data["name"] in SOURCES and SOURCES[data["name"]].seeded(data)
        for p, group in cells_of.groupby("limit_p", dropna=False):
            key = (facet.conditions[0].data_key, p, *(sorted(group["exact_margin"].dropna().round(12).unique())))
            if key in seen:
                continue
            seen.add(key)
            verdicts = " / ".join(sorted(set(group["separability"])))
            sizes = " / ".join(f"{v:g}" for v in sorted(group["n_train"].dropna().unique()))
            dims = " / ".join(f"{v:g}" for v in sorted(group["dim"].dropna().unique()))
            kinds = [
                " / ".join(sorted({_KINDS.get(v, str(v)) for v in group[k] if v})) for k in ("svm_kind", "logreg_kind")
            ]
            worst = [float(group[k].max()) for k in ("exact_margin_gap", "exact_margin_kkt")]
            off = float(group["exact_angle_bound"].max())
            unique = " / ".join(_UNIQUE[v] for v in ("True", "False") if v in set(group["reference_unique"])) or "--"
            name = "--" if p != p else r"$\infty$" if p == np.inf else f"{p:g}"
            data_sets = group["seed"].nunique() if drawn else 1
            cells = [
                str(data_sets),
                sizes,
                dims,
                latex.escape(verdicts),
                _range(group["exact_margin"].to_numpy(float)),
                *map(_residual, worst),
                unique,
                rf"\num{{{rounded_up(off):.2g}}}" if is_number(off) else "--",
                *map(latex.escape, kinds),
            ]
            lines.append([name, *cells])
            rows.append(f"{facet.slug} p={name.strip('$')}")
            titles.append(facet.title)
    if not lines:
        return "% references: no cell of this run has left its references\n"
    notes = (
        r"sets: data sets, one for each seed where seeds draw them; $n$, $d$: training points, dimensions. "
        r"$\gamma_p^\star = \max_w \min_n (Aw)_n/\|w\|_p$, where $A$ has the rows $y_n x_n$ (range over the sets); "
        r"gap, KKT: largest relative duality gap and residual of the optimality conditions of its solution; unique: "
        r"whether it is proved to be the only one; $\angle\le$: proved bound, in degrees, of the angle between the "
        r"solution and that optimum. SVM: hard or soft margin; logistic: without (plain) or with l2 regularisation."
    )
    heads = ["$p$", "sets", "$n$", "$d$", "data", r"$\gamma_p^\star$", "gap", "KKT", "unique", r"$\angle\le$"]
    heads += ["SVM", "logistic"]
    columns = [Column(h, list(cells), False) for h, cells in zip(heads, zip(*lines, strict=True), strict=True)]
    label = f"tab:{latex.slug(results.tag)}:references"
    return tables(columns, rows, titles, Float("Exact references, all without bias.", notes, label))


def _pairs_count(row: dict, prefix: str, columns: list[str]) -> str:
    """The number of pairs behind the cells of a row: "3", or "2 to 3" where the columns differ in it."""
    n = sorted({int(row.get(f"{prefix}_{m}_n", 0) or 0) for m in columns} - {0})
    return "" if not n else str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"


def _pair_title(facet: Facet, c: Condition, prefix: str) -> str:
    if prefix == "potential_effect" and (other := facet.reference(c.depth)):
        return f"{facet.title}: potential minus {other.words}, equal steps"
    return f"{facet.title}: deep minus linear, equal {'loss' if prefix.endswith('loss') else 'steps'}"


def paired_columns(stats: list[dict], column: str, factor: float = 1.0) -> tuple[list[str], list[str]]:
    """(means, 95 % intervals) of a paired difference, all with the same decimals; rows: {stat: value} of `describe`.

    A mean carries an asterisk where the interval, also as printed, tells it from zero.
    """
    values = [[factor * row.get(f"{column}_{s}", np.nan) for s in ("mean", "ci_low", "ci_high")] for row in stats]
    needed = decimals_of([m for m, *_ in values], [(high - low) / 2 for _, low, high in values])
    decimals = 2 if needed is None else min(needed, 2)  # degrees and percent: no third one matters
    means, intervals = [], []
    for row, value in zip(stats, values, strict=True):
        m, low, high = (f"{round(v, decimals) + 0.0:.{decimals}f}" if is_number(v) else "" for v in value)
        away = bool(low) and excludes_zero(row, column) and (float(low) > 0 or float(high) < 0)
        means.append(m + ASTERISK * away)
        intervals.append(f"$[{low},\\,{high}]$" if low else "")
    return means, intervals


def paired_table(results: Results, by_id: dict[str, dict]) -> str:
    """Deep minus linear at equal steps and at equal loss; each potential minus the reference potential."""
    kinds = ("depth_effect", "depth_effect_equal_loss", "potential_effect")
    shown = [m for m in PAIRED if any(is_number(r.get(f"{k}_{m}_mean", np.nan)) for r in by_id.values() for k in kinds)]
    stubs, stats, rows, titles, ambiguous = [], [], [], [], []
    for prefix in kinds:
        for facet in results.facets:
            for c in facet.conditions:
                n = _pairs_count(by_id[c.id], prefix, shown)
                if not n or (prefix != "potential_effect" and c.depth == 1):
                    continue
                stubs.append([potential_name(c), str(c.depth), n])
                stats.append({k.removeprefix(f"{prefix}_"): v for k, v in by_id[c.id].items() if k.startswith(prefix)})
                other = facet.linear(c) if prefix != "potential_effect" else facet.reference(c.depth)
                ambiguous.append(results.ambiguous(c) or (other is not None and results.ambiguous(other)))
                rows.append(f"{c.id} {prefix}")
                titles.append(_pair_title(facet, c, prefix))
    if not stubs:
        return "% paired: no two conditions of this run share a seed and differ in depth or potential only\n"
    heads = ("potential", "$L$", "$n$")
    columns = [Column(h, list(cells), False) for h, cells in zip(heads, zip(*stubs, strict=True), strict=True)]
    for m in shown:
        means, intervals = paired_columns(stats, m, QUANTITIES[m].factor)
        if m == "angle_max_margin":
            means = [c + DOUBLE if c and a else c for c, a in zip(means, ambiguous, strict=True)]
        columns += [Column(_SHORT[m], means), Column("", intervals, False)]
    notes = [
        r"Mean over the $n$ pairs, and its 95\,\% Student's $t$ interval in brackets; one pair has none, and "
        r"identical pairs have one of width zero, which is no evidence. Equal loss: both at the smallest mean loss "
        r"$R$ that both have reached. Angles in degrees. $L$: depth. $^\ast$: the interval, as printed, does not "
        rf"contain zero; never for fewer than {FEWEST} pairs or identical ones.",
        *definitions([m for m in shown if m not in ("angle_svm",)]),
    ]
    notes += [AMBIGUOUS] if any(ambiguous) and "angle_max_margin" in shown else []
    label = f"tab:{latex.slug(results.tag)}:paired"
    around = Float("Paired differences between runs that share data and seed.", " ".join(notes), label)
    return f"% columns: {' '.join(shown)}\n" + tables(columns, rows, titles, around)
