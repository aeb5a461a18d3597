"""Tables of statistics over seeds: a row per condition, numbers of one column with the same decimals.

A comment above each row names its condition, so that every number can be found again in summary.csv.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.tables import latex
from mdcore.analysis.tables.layout import DAGGER, DOUBLE, PREAMBLE, SECTION, Column, Float, tables
from mdcore.analysis.tables.norms import norms_table
from mdcore.analysis.tables.numbers import aligned, how_to_read, is_number
from mdcore.store.columns import metric


@dataclass(frozen=True)
class Quantity:
    """A column of master.csv in LaTeX tables: head, definition for the note, factor, whether the largest is shown."""

    head: str
    means: str = ""
    factor: float = 1.0
    bound: bool = False


_ANGLE = "angle in degrees between the final predictor $w$ and"
QUANTITIES = {
    "angle_max_margin": Quantity(
        r"$\angle(w, u_p)$", rf"{_ANGLE} $u_p$, the $\ell_p$ max-margin direction of the potential's own $p$"
    ),
    "angle_bound": Quantity(r"$\le$", r"certified bound of $\angle(w, u_p)$, the largest over seeds", bound=True),
    "gap": Quantity(
        r"gap (\%)",
        r"certified gap $1 - \gamma_p(w)/\|A^\top\lambda\|_q$, the share of the largest margin that may be missing",
        100,
    ),
    "margin_ratio": Quantity(
        r"$\gamma_p(w)/\gamma_p^\star$ (\%)",
        r"share of the largest possible margin $\gamma_p^\star$",
        100,
    ),
    "angle_linear_md_equal_loss": Quantity(
        r"linear, equal $R$",
        rf"{_ANGLE} that of the depth-1 run, both at the smallest mean loss $R$ that both have reached",
    ),
    "angle_linear_md_ends": Quantity(r"linear, ends", rf"{_ANGLE} the final predictor of the depth-1 run"),
    "angle_svm": Quantity("SVM", rf"{_ANGLE} the support vector machine"),
    "angle_logreg": Quantity("logistic", rf"{_ANGLE} logistic regression"),
    "test_accuracy": Quantity(r"test acc.\ (\%)", "", 100),
    "margin_lp": Quantity(r"$\gamma_p(w)$"),
    "margin_l2": Quantity(r"$\gamma_2(w)$", r"the margin with $\|w\|_2$"),
    "exact_margin": Quantity(r"$\gamma_p^\star$", r"the largest possible $\gamma_p$, from a solver"),
    "gamma_bound": Quantity(
        r"$\|A^\top\lambda\|_q$",
        r"certified upper bound of $\gamma_p^\star$",
    ),
    "log_inverse_loss": Quantity(
        r"$\log(1/R)$", r"$R$ is the mean loss over the training points, so that $10^5$ stands for $R = e^{-100000}$"
    ),
    "norm_balance": Quantity(
        "balance",
        r"largest over smallest value among the layers of $\sum\varphi^*(Z)$, the conjugate potential summed over the "
        r"dual weights $Z$ of a layer",
    ),
    "norm_balance_frobenius": Quantity("Frobenius", "the same ratio of the layers' Frobenius norms"),
    "balance_drift": Quantity("drift", "largest relative change of the quantity that the mirror flow conserves"),
    "layer_alignment": Quantity("alignment", "mean inner product of the top singular vectors of adjacent layers"),
    "stable_rank": Quantity("stable rank", r"$\|W\|_F^2/\|W\|_2^2$, mean over the layers"),
    "participation": Quantity("neurons", "participation ratio of the hidden neurons"),
}
ARROWS = {"low": r"$\downarrow$", "high": r"$\uparrow$"}
LONGEST_NAME = 14  # letters of a potential's name that a table in one column has room for
FEWER = "§: of fewer runs, as it is defined in no more; summary.csv has their number."
TRANSIENT = r"$^\dagger$: the margin of some runs is not certified, so that their end values are not limits."
ARROW_NOTE = r"$\uparrow$, $\downarrow$: larger or smaller values are better."
AMBIGUOUS = r"$^\ddagger$: the $\ell_p$ max-margin direction is not proved to be unique; the angle is to the one found."
# Defined in the note of every table in which they occur.
SYMBOLS = {
    (r"\gamma_p(w)",): r"$\gamma_p(w) = \min_n (Aw)_n/\|w\|_p$ is the margin.",
    ("(Aw)", r"A^\top"): r"$A$ has the rows $y_n x_n$.",
    (r"\lambda",): r"$\lambda \ge 0$ are weights of the training points that sum to 1, and $1/p + 1/q = 1$.",
}


@dataclass(frozen=True)
class TableSpec:
    """One table: file name, caption, columns of master.csv, which conditions it holds, one or both columns wide."""

    name: str
    caption: str
    columns: tuple[str, ...]
    keep: Callable[[Condition], bool] = lambda c: True
    wide: bool = True


TABLES = (
    TableSpec(
        "compact",
        r"Final angle to the $\ell_p$ max-margin direction, and certified gap, on separable data.",
        ("angle_max_margin", "angle_bound", "gap"),
        wide=False,
    ),
    TableSpec(
        "main",
        "Final state of every condition.",
        ("angle_max_margin", "angle_bound", "margin_ratio", "gap", "log_inverse_loss", "test_accuracy"),
    ),
    TableSpec(
        "angles",
        "Angles in degrees between the final predictor and the exact directions, and to linear mirror descent.",
        ("angle_max_margin", "angle_svm", "angle_logreg", "angle_linear_md_ends", "angle_linear_md_equal_loss"),
    ),
    TableSpec(
        "margins",
        "Margins, the exact largest margin and its certified upper bound.",
        ("margin_l2", "margin_lp", "exact_margin", "gamma_bound", "margin_ratio", "gap", "angle_bound"),
    ),
    TableSpec(
        "balance",
        "Balance and alignment of the layers of the deep networks.",
        ("norm_balance", "norm_balance_frobenius", "balance_drift", "layer_alignment", "stable_rank", "participation"),
        lambda c: c.depth > 1,
    ),
)


def quantity(name: str) -> Quantity:
    """The Quantity of a column; of a metric of the user's own its label and unit, with an arrow to better values."""
    column = metric(name)
    return QUANTITIES.get(name) or Quantity(f"{latex.words(column.axis)} {ARROWS.get(column.better, '')}".strip())


def potential_name(c: Condition) -> str:
    """The potential as LaTeX: one l_p potential by its norm."""
    return latex.words(latex.short_norm(c.words))


def brief_names(conditions: list[Condition]) -> tuple[dict[str, str], list[str]]:
    """({potential's words: a name without parameters, where that tells them apart}, the parameters left out)."""
    words = {latex.short_norm(c.words): c.words for c in conditions}
    kinds = [w.partition(", ")[0] for w in words]
    brief = {words[w]: kind if kinds.count(kind) == 1 else w for w, kind in zip(words, kinds, strict=True)}
    return brief, [w.replace(", ", ": ", 1) for w in words if brief[words[w]] != w]


def counts(row: dict) -> str:
    """ "3", "2/3 (1 diverged)": the runs in the statistics, of those of the grid, and the others."""
    lost = [f"{int(row[f'n_{s}'])} {s}" for s in ("failed", "diverged", "missing") if row[f"n_{s}"]]
    whole = str(row["n"]) if row["n_used"] == row["n"] else f"{row['n_used']}/{row['n']}"
    return whole + (f" ({', '.join(lost)})" if lost else "")


def seeds_note(rows: list[dict]) -> tuple[bool, str]:
    """(whether the rows need a column with their counts, the runs in words)."""
    words = {counts(row) for row in rows}
    if len(words) == 1 and (n := words.pop()).isdigit():
        return False, f"${n}$ seed{'s' * (n != '1')}"
    return True, r"the $n$ seeds that came through, of those of the grid"


def numbers_of(rows: list[dict], name: str, show: list[bool] | None = None) -> list[str]:
    """The cells of column `name` of master.csv as siunitx reads them: means over seeds, bounds the largest."""
    what = quantity(name)
    show = show or [not (metric(name).deep and row["depth"] == 1) for row in rows]

    def values(statistic: str) -> list[float]:
        return [
            what.factor * float(row.get(f"{name}_{statistic}", np.nan)) if shown else float("nan")
            for row, shown in zip(rows, show, strict=True)
        ]

    return aligned(values("max"), bounds=True) if what.bound else aligned(values("mean"), values("std"))


def columns_of(rows: list[dict], names: list[str], over: str) -> tuple[dict, dict, str]:
    """(cells by name, which of them are of fewer runs than their rows, what the others are: a sentence).

    Fewer: a metric that is not defined in all runs. over: the runs in words.
    """
    cells = {name: numbers_of(rows, name) for name in names}
    fewer = {
        name: [
            bool(c) and row.get(f"{name}_n", row["n_used"]) < row["n_used"] for row, c in zip(rows, some, strict=True)
        ]
        for name, some in cells.items()
    }
    mean_cells = [
        c for name in names if not quantity(name).bound for c, f in zip(cells[name], fewer[name], strict=True) if not f
    ]
    return cells, fewer, how_to_read([row["n_used"] for row in rows], mean_cells, over)


def definitions(shown: list[str]) -> list[str]:
    """What the heads of these columns mean, and every symbol in that, in sentences."""
    quantities = [quantity(name) for name in shown]
    words = [q.head.replace(r" (\%)", "") + f": {q.means}." for q in quantities if q.means]
    text = " ".join([*(q.head for q in quantities), *words])
    for symbols, means in SYMBOLS.items():
        if any(symbol in text for symbol in symbols):
            words, text = [*words, means], text + means
    return words


def statistics_table(results: Results, table: TableSpec, by_id: dict[str, dict]) -> str:
    """One of TABLES as LaTeX, or a comment that says why it is absent."""
    shown = [m for m in table.columns if any(is_number(r.get(f"{m}_mean", np.nan)) for r in by_id.values())]
    members = [(f, c) for f in results.facets for c in f.conditions if table.keep(c)]
    without: list[str] = []
    if not table.wide:  # a column has no room for blocks without a number
        some = {f.title for f, c in members if any(is_number(by_id[c.id].get(f"{m}_mean")) for m in shown)}
        without = list(dict.fromkeys(f.title for f, _ in members if f.title not in some))
        members = [(f, c) for f, c in members if f.title in some]
    if not members or not shown:
        return f"% {table.name}: no condition of this run has such numbers\n"
    conditions = [c for _, c in members]
    rows = [by_id[c.id] for c in conditions]
    counted, seeds = seeds_note(rows)
    transient = [bool(r["n_transient"] or r["n_quasi_separable"]) for r in rows]
    brief, parameters = ({}, []) if table.wide else brief_names(conditions)
    wide = table.wide or max(map(len, brief.values())) > LONGEST_NAME
    names = [latex.words(brief[c.words]) if brief else potential_name(c) for c in conditions]
    names = [name + (DAGGER if t else "") for name, t in zip(names, transient, strict=True)]
    columns = [Column("potential", names, False), Column("$L$", [str(c.depth) for c in conditions], False)]
    columns += [Column("$n$", list(map(counts, rows)), False)] if counted else []
    ambiguous = [results.ambiguous(c) for c in conditions] if "angle_max_margin" in shown else []
    numbers, fewer, read = columns_of(rows, shown, seeds)
    for name in shown:
        cells = [c + SECTION * f for c, f in zip(numbers[name], fewer[name], strict=True)]
        if name == "angle_max_margin":
            cells = [c + DOUBLE if c and a else c for c, a in zip(cells, ambiguous, strict=True)]
        columns.append(Column(quantity(name).head, cells))
    notes = [f"{read} $L$: depth.".replace("±", r"$\pm$"), *definitions(shown)]
    notes += [latex.words("; ".join(parameters)) + "."] if parameters else []
    notes += [TRANSIENT] if any(transient) else []
    notes += [latex.words(FEWER)] if any(map(any, fewer.values())) else []
    notes += [ARROW_NOTE] if any(a in column.head for a in ARROWS.values() for column in columns) else []
    notes += [AMBIGUOUS] if ambiguous and any(ambiguous) else []
    notes += [f"Without a margin, and left out: {latex.words('; '.join(without))}."] if without else []
    missing = [quantity(m).head for m in table.columns if m not in shown]
    notes += [f"Not defined in this run: {', '.join(missing)}."] if missing else []
    label = f"tab:{latex.slug(results.tag)}:{table.name}"
    around = Float(table.caption, " ".join(notes), label, wide)
    head = f"% columns: {' '.join(shown)}\n"
    return head + tables(columns, [c.id for c in conditions], [f.title for f, _ in members], around)


def write(results: Results, master: pd.DataFrame, summary: pd.DataFrame, output_dir: str | Path) -> list[str]:
    """Write tables/*.tex and preview.tex; returns the names of the tables in reading order."""
    from mdcore.analysis.tables.reference_tables import paired_table, references_table

    place = Path(output_dir) / "tables"
    place.mkdir(parents=True, exist_ok=True)
    by_id = {r["condition_id"]: r for r in summary.to_dict("records")}
    texts = {t.name: statistics_table(results, t, by_id) for t in TABLES}
    if user_metrics := tuple(results.user_metrics):
        texts["own"] = statistics_table(results, TableSpec("own", "Metrics of the user's own.", user_metrics), by_id)
    texts["references"] = references_table(results, master)
    texts["paired"] = paired_table(results, by_id)
    texts["norms"] = norms_table(results)
    for old in place.glob("*.tex"):
        old.unlink()
    for name, text in texts.items():
        (place / f"{name}.tex").write_text(text, encoding="utf-8")
    (place / "preview.tex").write_text(preview(results, list(texts)), encoding="utf-8")
    return list(texts)


def preview(results: Results, names: list[str]) -> str:
    """A two-column document that inputs every table: compile it in tables/ with pdflatex."""
    question = latex.words(results.question or "No question stated.")
    return "\n".join(
        [
            r"\documentclass[10pt,twocolumn]{article}",
            PREAMBLE,
            r"\usepackage[letterpaper,textwidth=6.75in,textheight=9in,columnsep=0.25in]{geometry}",
            r"\begin{document}",
            rf"\section*{{{latex.escape(f'Tables of {results.tag}')}}}",
            question,
            *[rf"\input{{{n}}}" for n in names],
            r"\end{document}",
            "",
        ]
    )
