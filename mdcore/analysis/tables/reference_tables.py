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
from mdcore.analysis.tables.floats import ROWS_PER_FLOAT, floats
from mdcore.analysis.tables.numbers import is_number, rounded_up, tex, with_interval
from mdcore.analysis.tables.statistics_tables import AMBIGUOUS, marked

PAIRED = {"margin_ratio": 100.0, "angle_max_margin": 1.0, "angle_svm": 1.0, "test_accuracy": 100.0}
_SHORT = {
    "margin_ratio": r"$\Delta\,\gamma_p/\gamma_p^\star$ (\%)",
    "angle_max_margin": r"$\Delta\angle$ max-margin",
    "angle_svm": r"$\Delta\angle$ SVM",
    "angle_logreg": r"$\Delta\angle$ logreg",
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
        return tex(high, digits=5)
    decimals = max(0, 2 - math.floor(math.log10(high - low)))
    return f"${low:.{decimals}f}$ to ${high:.{decimals}f}$"


def _residual(x: float) -> str:
    """A relative residual, never rounded down; below 1e-12, where it is rounding and may be negative, only that."""
    return r"$< 10^{-12}$" if is_number(x) and x < 1e-12 else tex(rounded_up(x), digits=2)


def references_table(results: Results, master: pd.DataFrame) -> str:
    """Exact references of each data set and exponent p: γ_p*, its duality gap and KKT residual, verdict, baselines."""
    parts, seen = [], set()
    rows_of = dict(list(master.groupby("condition_id", sort=False)))
    for facet in results.facets:
        rows = pd.concat([rows_of[c.id] for c in facet.conditions])
        rows = rows[rows["separability"].astype(str) != ""]
        lines = []
        for p, group in rows.groupby("limit_p", dropna=False):
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
            data_sets = group["seed"].nunique() if facet.conditions[0].flat["dataset"] == "synthetic" else 1
            cells = [
                name,
                str(data_sets),
                sizes,
                dims,
                latex.escape(verdicts),
                _range(group["exact_margin"].to_numpy(float)),
                *map(_residual, worst),
                unique,
                tex(rounded_up(off), digits=2),
                *map(latex.escape, kinds),
            ]
            lines.append(" & ".join(cells) + rf" \\ % {facet.slug} p={name.strip('$')}")
        if lines:
            parts.append((facet.title, lines))
    if not parts:
        return "% references: no cell of this run has left its references\n"
    caption = (
        r"Exact references, all without bias: the separability verdict of a linear program, the exact "
        r"$\ell_p$ margin $\gamma_p^\star = \max_w \min_n (Aw)_n/\|w\|_p$ (range over data sets where seeds draw "
        r"several), the largest relative duality gap and KKT residual of its solution, whether the optimum is proved "
        r"to be the only one, a proved bound, in degrees, of the angle between the solution and that optimum, and "
        r"which SVM (hard or soft margin) and which logistic regression (plain or l2-regularised) the angles refer to. "
        r"Overlapping data have no margin."
    )
    head = r"$p$ & sets & $n$ & $d$ & verdict & $\gamma_p^\star$ & gap & KKT & unique & $\angle \le$ & SVM & logreg"
    return floats(
        parts,
        12,
        head,
        "rrrrlrrrlrll",
        caption,
        f"tab:{latex.slug(results.tag)}:references",
        "limit_p seed n_train dim separability exact_margin exact_margin_gap exact_margin_kkt reference_unique "
        "exact_angle_bound svm_kind logreg_kind",
    )


def paired_cell(row: dict, column: str, scale: float = 1.0) -> str:
    """Mean difference with its 95 % interval; bold where the interval, also as printed, tells it from zero."""
    mean, low, high = (row.get(f"{column}_{s}", np.nan) * scale for s in ("mean", "ci_low", "ci_high"))
    if not is_number(mean):
        return "--"
    if not is_number(low):
        return f"${with_interval(mean, mean, mean)[0]}$"
    m, a, b = with_interval(mean, low, high)
    body = rf"{m}\;[{a},\,{b}]"
    bold = excludes_zero(row, column) and (float(a) > 0 or float(b) < 0)
    return rf"$\boldsymbol{{{body}}}$" if bold else f"${body}$"


def _pairs_count(row: dict, prefix: str, columns: list[str]) -> str:
    """The number of pairs behind the cells of a row: "3", or "2 to 3" where the columns differ in it."""
    n = sorted({int(row.get(f"{prefix}_{m}_n", 0) or 0) for m in columns} - {0})
    return "" if not n else str(n[0]) if len(n) == 1 else f"{n[0]} to {n[-1]}"


def _chunks(parts: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    size = ROWS_PER_FLOAT - 2
    return [
        (title + (" (continued)" if i else ""), lines[i : i + size])
        for title, lines in parts.items()
        for i in range(0, len(lines), size)
    ]


def _pair_title(facet: Facet, c: Condition, prefix: str) -> str:
    if prefix == "potential_effect":
        other = facet.reference(c.depth)
        return f"{facet.title}: potential minus {other.words}, equal steps"
    return f"{facet.title}: deep minus linear, equal {'loss' if prefix.endswith('loss') else 'steps'}"


def paired_table(results: Results, by_id: dict[str, dict]) -> str:
    """Deep minus linear at equal steps and at equal loss; each potential minus the reference potential."""
    kinds = ("depth_effect", "depth_effect_equal_loss", "potential_effect")
    shown = [m for m in PAIRED if any(is_number(r.get(f"{k}_{m}_mean", np.nan)) for r in by_id.values() for k in kinds)]
    parts: dict[str, list[str]] = {}
    ambiguous = False
    for prefix in kinds:
        for facet in results.facets:
            for c in facet.conditions:
                row = by_id[c.id]
                n = _pairs_count(row, prefix, shown)
                if not n or (prefix != "potential_effect" and c.depth == 1):
                    continue
                cells = [latex.words(c.words), str(c.depth), n]
                other = facet.linear(c) if prefix != "potential_effect" else facet.reference(c.depth)
                mark = results.ambiguous(c) or (other is not None and results.ambiguous(other))
                ambiguous |= mark and "angle_max_margin" in shown
                for m in shown:
                    cell = paired_cell(row, f"{prefix}_{m}", PAIRED[m])
                    cells.append(marked(cell) if mark and m == "angle_max_margin" else cell)
                line = " & ".join(cells) + rf" \\ % {c.id} {prefix}"
                parts.setdefault(_pair_title(facet, c, prefix), []).append(line)
    if not parts:
        return "% paired: no two conditions of this run share a seed and differ in depth or potential only\n"
    caption = (
        r"Paired differences between runs that share data and seed: mean over the $n$ pairs and its 95\,\% "
        r"Student's $t$ interval (one pair has none; pairs that are all the same to the last bit have one of width "
        r"zero, which is no evidence). Equal loss: both at the smallest $R$ that both have reached. Angles in "
        rf"degrees. Bold: the interval, as printed, does not contain zero; never for fewer than {FEWEST} pairs or "
        r"pairs that are all the same." + (f" {AMBIGUOUS}" if ambiguous else "")
    )
    head = " & ".join(["potential", "$L$", "$n$", *[_SHORT[m] for m in shown]])
    return floats(
        _chunks(parts),
        3 + len(shown),
        head,
        "lrr" + "r" * len(shown),
        caption,
        f"tab:{latex.slug(results.tag)}:paired",
        " ".join(shown),
    )
