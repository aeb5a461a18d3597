"""LaTeX tables (booktabs), one file each, and tables/preview.tex that inputs them all.

A comment at the end of each row names its condition, and one above the rows names the columns of master.csv, so that
every number can be found again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mdcore.analysis.data.columns import metric
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures.panels import split
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.floats import ROWS_PER_FLOAT, floats
from mdcore.analysis.tables.norms import norms_table
from mdcore.analysis.tables.numbers import is_number, tex

HEAD = {
    "angle_max_margin": r"$\ell_p$ max-margin",
    "angle_linear_md": r"\shortstack[r]{linear MD\\equal steps}",
    "angle_linear_md_equal_loss": r"\shortstack[r]{linear MD\\equal loss}",
    "angle_svm": "SVM",
    "angle_logreg": r"\shortstack[r]{logistic\\regression}",
    "margin_ratio": r"$\gamma_p(w)/\gamma_p^\star$ (\%)",
    "gap": r"gap (\%)",
    "angle_bound": r"$\angle(w, \hat u^\star) \le$",
    "test_accuracy": r"test acc.\ (\%)",
    "train_accuracy": r"train acc.\ (\%)",
    "margin_lp": r"$\gamma_p(w)$",
    "margin_l2": r"$\gamma_2(w)$",
    "exact_margin": r"$\gamma_p^\star$",
    "gamma_bound": r"$\|A^\top\lambda\|_q$",
    "norm_balance": "balance",
    "norm_balance_frobenius": "Frobenius",
    "balance_drift": "drift",
    "layer_alignment": "alignment",
    "stable_rank": "stable rank",
    "participation": "particip.",
    "log_inverse_loss": r"$\log(1/R)$",
    "angle_reference_potential": "angle to ref.\\ potential",
    "steps": "steps",
}
SCALE = {"gap": 100.0, "margin_ratio": 100.0, "test_accuracy": 100.0, "train_accuracy": 100.0}  # shown in percent
SPREAD = (
    r"Mean $\pm$ standard deviation over seeds (\texttt{ddof} 1; a single seed has none); the digits follow the "
    r"standard deviation."
)
COUNTS = (
    r"$n$: runs in the statistics / runs of the grid; missing, failed and diverged runs are in no mean. "
    r"$^\dagger$: the margin of some runs is not certified, so that end values are not limits."
)
COLUMN_RULE = (
    r"Bold: the best mean of its block and every mean that differs from it by no more than the larger of "
    r"the two standard deviations, or by less than $10^{-5}$ of it."
)


AMBIGUOUS = (
    r"$^\ddagger$: the $\ell_p$ optimum is not proved to be the only one (it need not be for $p = 1$ and $\infty$); "
    r"the angle is to one optimum, and another may lie elsewhere."
)


@dataclass(frozen=True)
class Table:
    """One table: file name, caption, columns of master.csv, the rule of bold type, which conditions it holds."""

    name: str
    caption: str
    columns: tuple[str, ...]
    bold: str = ""  # "column", "row", "interval" or ""
    keep: Callable[[Condition], bool] = lambda c: True
    intervals: bool = False


TABLES = (
    Table(
        "main",
        "Main results: the final state of every condition. Angles in degrees. "
        + SPREAD
        + " "
        + COLUMN_RULE
        + " "
        + COUNTS,
        ("angle_max_margin", "margin_ratio", "gap", "log_inverse_loss", "test_accuracy"),
        "column",
    ),
    Table(
        "angles",
        "Angles in degrees between the learned predictor and each reference; the angle to linear mirror "
        "descent at equal steps and at equal loss $R$. " + SPREAD + " Bold: the nearest exact reference of the row "
        r"(max-margin, SVM, logistic regression). " + COUNTS,
        ("angle_max_margin", "angle_svm", "angle_logreg", "angle_linear_md", "angle_linear_md_equal_loss"),
        "row",
    ),
    Table(
        "margins",
        r"Margins, their exact optimum $\gamma_p^\star$ and the certified upper bound "
        r"$\|A^\top\lambda\|_q \ge \gamma_p^\star$. A small gap is not a small angle: the last column is a proved "
        r"bound, in degrees, of the angle between $w$ and the only $\ell_p$ optimum $\hat u^\star$ ($180$: nothing is "
        r"proved; --: there is none, or it is not proved to be the only one). Overlapping data have no margin. "
        + SPREAD
        + " "
        + COLUMN_RULE
        + " "
        + COUNTS,
        ("margin_l2", "margin_lp", "exact_margin", "gamma_bound", "margin_ratio", "gap", "angle_bound"),
        "ratio",
    ),
    Table(
        "balance",
        "Balance and alignment of the layers; depth 1 has one layer and is left out. Balance: largest "
        r"over smallest $\sum\varphi^*(Z_l)$; drift: of the conserved quantity, relative. "
        + SPREAD
        + " "
        + COLUMN_RULE
        + " "
        + COUNTS,
        ("norm_balance", "norm_balance_frobenius", "balance_drift", "layer_alignment", "stable_rank", "participation"),
        "column",
        lambda c: c.depth > 1,
    ),
)
_NEAREST = ("angle_max_margin", "angle_svm", "angle_logreg")
_RATIO = ("margin_ratio", "gap")


def bold_in_column(means: list[float], stds: list[float], better: str) -> list[bool]:
    """The best mean, and those that differ from it by at most the larger of the two standard deviations.

    A difference of less than 1e-5 of the best mean does not show in the digits, and is none. Nothing is bold where
    all would be, or where there is nothing to compare.
    """
    known = [i for i, m in enumerate(means) if is_number(m)]
    if len(known) < 2 or not better:
        return [False] * len(means)
    best = min(known, key=lambda i: means[i] if better == "low" else -means[i])
    wide = [s if is_number(s) else 0.0 for s in stds]
    least = 1e-5 * abs(means[best])
    marked = [i in known and abs(means[i] - means[best]) <= max(wide[i], wide[best], least) for i in range(len(means))]
    return [False] * len(means) if sum(marked) == len(known) else marked


def _bold(table: Table, rows: list[dict]) -> list[dict[str, bool]]:
    out = [dict.fromkeys(table.columns, False) for _ in rows]
    if table.bold == "row":
        for marks, row in zip(out, rows, strict=True):
            means = {c: row.get(f"{c}_mean", np.nan) for c in _NEAREST}
            known = [c for c in _NEAREST if is_number(means[c])]
            least = min((means[c] for c in known), default=np.nan)
            marks |= {c: len(known) > 1 and means[c] <= least * (1 + 1e-6) + 1e-9 for c in known}
    elif table.bold:
        for c in table.columns:
            if (table.bold == "ratio" and c not in _RATIO) or c == "log_inverse_loss":
                continue
            marks = bold_in_column(
                [r.get(f"{c}_mean", np.nan) for r in rows], [r.get(f"{c}_std", np.nan) for r in rows], metric(c).better
            )
            for mine, mark in zip(out, marks, strict=True):
                mine[c] = mark
    return out


def condition_cells(c: Condition, row: dict) -> list[str]:
    """First cells of a row: potential, depth, n. A dagger where some run is transient."""
    dagger = r"$^\dagger$" if row["n_transient"] or row["n_quasi_separable"] else ""
    n = f"{row['n_used']}/{row['n']}"
    lost = [
        f"{int(row[f'n_{s}'])} {w}"
        for s, w in (("failed", "failed"), ("diverged", "diverged"), ("missing", "missing"))
        if row[f"n_{s}"]
    ]
    return [
        latex.words(c.words) + dagger,
        str(c.depth),
        n + (f" ({', '.join(lost)})" if lost else ""),
    ]


def marked(cell: str) -> str:
    """The cell with a double dagger: an angle to an optimum that is not proved to be the only one."""
    return cell[:-1] + r"{}^{\ddagger}$" if cell.endswith("$") else cell


def blocks(results: Results, keep: Callable[[Condition], bool], most: int) -> list[tuple[Facet, str, list[Condition]]]:
    """(facet, title, conditions) with at most about `most` rows each."""
    out = []
    for facet in results.facets:
        conditions = [c for c in facet.conditions if keep(c)]
        for i, part in enumerate(split(conditions, most) if conditions else []):
            out.append((facet, facet.title + (" (continued)" if i else ""), part))
    return out


def statistics_table(results: Results, table: Table, by_id: dict[str, dict]) -> str:
    """One of TABLES as LaTeX, or a comment that says why it is absent."""
    shown = [c for c in table.columns if any(is_number(r.get(f"{c}_mean", np.nan)) for r in by_id.values())]
    parts = []
    for _, title, conditions in blocks(results, table.keep, ROWS_PER_FLOAT - 2):
        rows = [by_id[c.id] for c in conditions]
        lines = []
        for c, row, bold in zip(conditions, rows, _bold(table, rows), strict=True):
            values = []
            for column in shown:
                if metric(column).deep and c.depth == 1:
                    values.append("--")
                    continue
                mean, std = (row.get(f"{column}_{s}", np.nan) * SCALE.get(column, 1.0) for s in ("mean", "std"))
                cell = tex(mean, std, bool(bold[column]))
                values.append(marked(cell) if column == "angle_max_margin" and results.ambiguous(c) else cell)
            lines.append(" & ".join([*condition_cells(c, row), *values]) + rf" \\ % {c.id}")
        parts.append((title, lines))
    if not parts or not shown:
        return f"% {table.name}: no condition of this run has such numbers\n"
    head = " & ".join(["potential", "$L$", "$n$", *[HEAD[c] for c in shown]])
    missing = [HEAD[c] for c in table.columns if c not in shown]
    told = "angle_max_margin" in shown and any(results.ambiguous(c) for c in results.conditions if table.keep(c))
    caption = table.caption + (f" {AMBIGUOUS}" if told else "")
    caption += f" Not defined in this run: {', '.join(missing)}." if missing else ""
    return floats(
        parts,
        3 + len(shown),
        head,
        "lrl" + "r" * len(shown),
        caption,
        f"tab:{latex.slug(results.tag)}:{table.name}",
        " ".join(shown),
    )


def write(results: Results, master: pd.DataFrame, summary: pd.DataFrame, output_dir: str | Path) -> list[str]:
    """Write tables/*.tex and preview.tex; returns the names of the tables in reading order."""
    from mdcore.analysis.tables.reference_tables import paired_table, references_table

    place = Path(output_dir) / "tables"
    place.mkdir(parents=True, exist_ok=True)
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    texts = {t.name: statistics_table(results, t, by_id) for t in TABLES}
    texts["references"] = references_table(results, master)
    texts["paired"] = paired_table(results, by_id)
    texts["norms"] = norms_table(results)
    for name, text in texts.items():
        (place / f"{name}.tex").write_text(text, encoding="utf-8")
    (place / "preview.tex").write_text(preview(results, list(texts)), encoding="utf-8")
    return list(texts)


def preview(results: Results, names: list[str]) -> str:
    """A document that inputs every table: compile it in tables/ with pdflatex."""
    title = latex.escape(f"Tables of {results.tag}")
    question = latex.words(results.question or "No question stated.")
    return "\n".join(
        [
            r"\documentclass[10pt]{article}",
            r"\usepackage[utf8]{inputenc}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage[margin=2cm]{geometry}",
            r"\usepackage{amsmath}",
            r"\usepackage{booktabs}",
            r"\usepackage{graphicx}",
            r"\begin{document}",
            rf"\section*{{{title}}}",
            question,
            *[rf"\input{{{n}}}" for n in names],
            r"\end{document}",
            "",
        ]
    )
