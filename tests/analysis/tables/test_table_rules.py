"""The rules of the LaTeX tables, by hand: pages, counts of runs, names, marks, residuals, and notes."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.data import statistics
from mdcore.analysis.tables import layout, numbers, reference_tables, statistics_tables
from mdcore.analysis.tables.statistics_tables import TableSpec

AROUND = layout.Float("Caption.", "Notes.", "tab:x", wide=False)


@pytest.mark.parametrize(
    ("blocks", "pages"),
    [
        ([34], [[34]]),
        ([35], [[35]]),
        ([36], [[34], [2]]),
        ([17, 18], [[17, 18]]),  # the heading of the last block does not count
        ([17, 19], [[17], [19]]),
        ([10, 10, 14], [[10, 10, 14]]),
        ([10, 10, 15], [[10, 10], [15]]),
        ([70, 1], [[34], [34], [2, 1]]),
        ([34, 10, 10, 15], [[34], [10, 10], [15]]),
    ],
)
def test_floats_hold_about_36_rows_and_headings(blocks, pages):
    titles = [f"block {i}" for i, size in enumerate(blocks) for _ in range(size)]
    rows = [f"row {i}" for i in range(len(titles))]
    columns = [
        layout.Column("name", [f"n{i}" for i in range(len(rows))], False),
        layout.Column("x", ["1.5"] * len(rows)),
    ]
    text = layout.tables(columns, rows, titles, AROUND)
    floats = text.split(r"\begin{table}")[1:]
    row_counts = [[len(re.findall("% row", part)) for part in one.split(r"\makebox")[1:]] for one in floats]
    assert row_counts == pages and re.findall(r"% row (\d+)\nn(\d+) & 1.5", text) == [
        (str(i), str(i)) for i in range(len(rows))
    ]
    several = len(pages) > 1
    parts = [f"Caption. (Part {i + 1} of {len(pages)}.)" if several else "Caption." for i in range(len(pages))]
    assert re.findall(r"\\caption\{(.*)\}", text) == parts
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:x", *[f"tab:x:{i + 2}" for i in range(len(pages) - 1)]]
    spaces = [one.count(r"\addlinespace") for one in floats]
    assert spaces == [len(part) - 1 for part in pages] and text.count(
        "begin{tabular}{@{}l S[table-format=1.1]@{}}"
    ) == len(pages)
    assert re.findall(r"\\toprule\n(.*) \\\\\n", text) == ["name & {x}"] * len(pages)
    assert "table*" not in text and "table*" in layout.tables(columns, rows, titles, layout.Float("c", "n", "l"))


def row(**more):
    base = dict.fromkeys(("n_failed", "n_diverged", "n_missing", "n_transient", "n_quasi_separable"), 0)
    return base | {"n": 3, "n_used": 3, "depth": 1} | more


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(), row()], (False, "$3$ seeds")),
        ([row(n=1, n_used=1)], (False, "$1$ seed")),
        ([row(), row(n=2, n_used=2)], (True, r"the $n$ seeds that came through, of those of the grid")),
        ([row(n_used=2, n_failed=1)], (True, r"the $n$ seeds that came through, of those of the grid")),
    ],
)
def test_how_many_seeds(rows, expected):
    assert statistics_tables.seeds_note(rows) == expected


def test_counts_of_runs():
    assert [statistics_tables.counts(r) for r in (
        row(), row(n_used=2, n_failed=1), row(n_used=0, n_diverged=2, n_missing=1), row(n_transient=1),
    )] == ["3", "2/3 (1 failed)", "0/3 (2 diverged, 1 missing)", "3"]  # fmt: skip


def test_brief_names_leave_out_what_is_not_needed():
    words = [
        "quadratic",
        "lp, p = 1.5",
        "lp, p = 3",
        "hypentropy, β = 0.1",
        "cosh, β = 1",
        "cosh, β = 2",
        "scaled, a = 1, b = 2",
    ]
    brief, left_out = statistics_tables.brief_names([SimpleNamespace(words=w) for w in words])
    assert list(brief.values()) == ["quadratic", "l1.5", "l3", "hypentropy", "cosh, β = 1", "cosh, β = 2", "scaled"]
    assert list(brief) == words and left_out == ["hypentropy: β = 0.1", "scaled: a = 1, b = 2"]


def study_of(*conditions, ambiguous=(), titles=("data",)):
    """Results of conditions (words, depth), each in the facets of `titles`."""
    some = [SimpleNamespace(id=f"c{i}", words=w, depth=d) for i, (w, d) in enumerate(conditions)]
    facets = [SimpleNamespace(title=t, conditions=some[i :: len(titles)]) for i, t in enumerate(titles)]
    return SimpleNamespace(facets=facets, ambiguous=lambda c: c.id in ambiguous, tag="t")


def shown(table, results, **rows):
    text = statistics_tables.statistics_table(results, table, rows)
    cells = [line.split(" & ") for line in re.findall(r"^% c\d\n(.*) \\\\$", text, re.M)]
    return text, cells, text.partition("raggedright")[2]


NUMBERS = TableSpec("x", "Caption.", ("angle_max_margin", "angle_bound", "gap", "test_accuracy"))


def test_cells_marks_and_notes_of_a_table():
    results = study_of(("quadratic", 1), ("lp, p = 3", 2), ("scaled", 2), ambiguous=("c1",))
    one = {"angle_max_margin_mean": 2.34, "angle_max_margin_std": 0.31, "gap_mean": 0.0123, "gap_std": 0.001}
    rows = {
        "c0": row(**one, angle_bound_mean=1.0, angle_bound_max=3.21),
        "c1": row(**one, depth=2, n_transient=1, angle_bound_mean=1.0, angle_bound_max=4.5),
        "c2": row(depth=2, n_quasi_separable=1),
    }
    text, cells, notes = shown(NUMBERS, results, **rows)
    dagger, double = layout.DAGGER, layout.DOUBLE
    assert cells == [
        ["quadratic", "1", "2.3 +- 0.3", "3.21", "1.23 +- 0.10"],
        [r"$\ell_{3}$" + dagger, "2", "2.3 +- 0.3" + double, "4.50", "1.23 +- 0.10"],
        ["scaled" + dagger, "2", "{--}", "{--}", "{--}"],
    ]
    assert text.startswith("% columns: angle_max_margin angle_bound gap\n") and r"\begin{table*}" in text
    assert "over $3$ seeds" in notes and statistics_tables.TRANSIENT in notes and statistics_tables.AMBIGUOUS in notes
    assert r"Not defined in this run: test acc.\ (\%)." in notes and statistics_tables.ARROW_NOTE not in notes
    assert "Without a margin" not in notes
    rows["c1"] |= {"n_transient": 0, "n_used": 2, "n_failed": 1}
    rows["c2"] |= {"n_quasi_separable": 0}
    assert r"\begin{tabular}{@{}l l S[" in text
    text, cells, notes = shown(NUMBERS, results, **rows)
    assert r"\begin{tabular}{@{}l l l S[" in text
    assert [c[2] for c in cells] == ["3", "2/3 (1 failed)", "3"] and statistics_tables.TRANSIENT not in notes
    _, cells, notes = shown(replace(NUMBERS, columns=("gap",), keep=lambda c: c.depth > 1), results, **rows)
    assert len(cells) == 2 and statistics_tables.AMBIGUOUS not in notes and "Not defined" not in notes
    none = statistics_tables.statistics_table(results, replace(NUMBERS, columns=("test_accuracy",)), rows)
    assert none == "% x: no condition of this run has such numbers\n"


@pytest.mark.parametrize(
    ("runs", "cells", "sentence"),
    [
        ([3, 3], ["1.0 +- 0.1", "", "2.0 +- 0.1"], "Mean ± standard deviation over 3 seeds."),
        (
            [3, 3],
            ["1.0 +- 0.1", "2.0"],
            "Mean ± standard deviation over 3 seeds; without ±: identical in all seeds to the digits shown.",
        ),
        (
            [3, 1],
            ["1.0 +- 0.1", "2.0"],
            "Mean ± standard deviation over 3 seeds; without ±: identical in all seeds to the digits shown, or a "
            "single run.",
        ),
        (
            [3, 3],
            ["1.0 +- 0.1", "2.0e5"],
            "Mean ± standard deviation over 3 seeds; powers of ten: the mean alone.",
        ),
        ([3, 3], ["2.0e5", "1.1e12"], "Mean over 3 seeds; powers of ten: the mean alone."),
        ([2, 0], ["2.0", ""], "Mean over 3 seeds."),
        ([1, 0], ["2.0", ""], "Single runs, one a condition."),
    ],
)
def test_what_the_numbers_of_a_table_are(runs, cells, sentence):
    assert numbers.how_to_read(runs, cells, "3 seeds") == sentence


def test_a_number_of_fewer_runs_is_marked_and_never_called_identical():
    """As where only some deep runs share a loss with their linear companions."""
    table = replace(NUMBERS, columns=("angle_max_margin", "angle_linear_md_equal_loss"))
    rows = {
        f"c{i}": row(
            depth=2, angle_max_margin_mean=2.34, angle_max_margin_std=0.31, angle_max_margin_n=3,
            angle_linear_md_equal_loss_mean=9.46, angle_linear_md_equal_loss_n=n,
            angle_linear_md_equal_loss_std=0.3 if n > 1 else math.nan,
        )
        for i, n in enumerate((1, 2, 3))
    }  # fmt: skip
    _, cells, notes = shown(table, study_of(("quadratic", 2), ("lp, p = 3", 2), ("scaled", 2)), **rows)
    mark = layout.SECTION
    assert [c[3] for c in cells] == ["9.5" + mark, "9.5 +- 0.3" + mark, "9.5 +- 0.3"]
    assert "of fewer runs" in notes and "identical" not in notes
    rows["c0"]["n_used"] = rows["c0"]["angle_max_margin_n"] = 1
    rows["c1"]["angle_linear_md_equal_loss_n"] = 3
    _, cells, notes = shown(table, study_of(("quadratic", 2), ("lp, p = 3", 2)), **rows)
    assert [c[4] for c in cells] == ["9.5", "9.5 +- 0.3"] and "or a single run" in notes and "fewer" not in notes


def test_a_table_of_one_column():
    narrow = replace(NUMBERS, columns=("gap",), wide=False)
    rows = {"c0": row(gap_mean=0.5), "c1": row()}
    results = study_of(("hypentropy, β = 0.1", 1), ("quadratic", 1), titles=("data", "other data"))
    text, cells, notes = shown(narrow, results, **rows)
    assert [c[0] for c in cells] == ["hypentropy"] and "Without a margin, and left out: other data." in notes
    assert r"hypentropy: $\beta$ = 0.1." in notes and r"\begin{table}" in text
    for length, wide in ((14, False), (15, True)):
        text, _, _ = shown(narrow, study_of(("x" * length, 1)), c0=row(gap_mean=0.5))
        assert (r"\begin{table*}" in text) == wide


def test_cells_that_a_linear_run_does_not_have():
    rows = [
        row(angle_svm_mean=1.0, angle_linear_md_mean=2.0),
        row(depth=2, angle_svm_mean=1.0, angle_linear_md_mean=2.0),
    ]
    assert [statistics_tables.numbers_of(rows, m) for m in ("angle_svm", "angle_linear_md")] == [
        ["1.00"] * 2,
        ["", "2.00"],
    ]
    assert statistics_tables.numbers_of(rows, "angle_linear_md", [True, False]) == ["2.00", ""]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "--"),
        ([np.nan, np.inf], "--"),
        ([0.5, np.nan], r"\num{0.50000}"),
        ([1.0, 1.0 + 0.9e-9], r"\num{1.0000}"),
        ([0.741, 0.802], "$0.7410$ to $0.8020$"),
        ([1.0, 11.0], "$1.0$ to $11.0$"),
        ([1.0, 500.0], "$1$ to $500$"),
        ([-2.0, -2.0], r"\num{-2.0000}"),
        ([0.0], r"\num{0.0000}"),
        ([100.0, 100.0 + 5e-8], r"\num{100.00}"),
        ([1.0, 5000.0], "$1$ to $5000$"),
    ],
)
def test_ranges(values, text):
    assert reference_tables._range(np.array(values)) == text


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.nan, "--"),
        (-1e-16, "$< 10^{-12}$"),
        (0.99e-12, "$< 10^{-12}$"),
        (1e-12, r"\num{1.0e-12}"),
        (1.21e-9, r"\num{1.3e-09}"),
    ],
)
def test_residuals(x, text):
    assert reference_tables._residual(x) == text


def test_the_number_of_pairs():
    count = reference_tables._pairs_count
    assert count({"d_a_n": 3, "d_b_n": 3}, "d", ["a", "b"]) == "3" and count({}, "d", ["a"]) == ""
    assert count({"d_a_n": 3, "d_b_n": 1.0, "d_c_n": 0, "d_e_n": np.int64(2)}, "d", list("abcef")) == "1 to 3"


def test_paired_cells_have_at_most_two_decimals_and_an_asterisk_where_the_printed_interval_has_no_zero(monkeypatch):
    def stats(mean, low, high):
        return {"x_mean": mean, "x_ci_low": low, "x_ci_high": high}

    monkeypatch.setattr(reference_tables, "excludes_zero", lambda row, _: row["x_ci_low"] * row["x_ci_high"] > 0)
    rows = [stats(0.02, 0.001, 0.039), stats(0.5, 0.4811, 0.5189), stats(-0.2, -0.3, -0.1), stats(0.1, -0.1, 0.3)]
    means, intervals = reference_tables.paired_columns(rows, "x")
    star = layout.ASTERISK
    assert means == ["0.02", "0.50" + star, "-0.20" + star, "0.10"]
    assert intervals == [r"$[0.00,\,0.04]$", r"$[0.48,\,0.52]$", r"$[-0.30,\,-0.10]$", r"$[-0.10,\,0.30]$"]
    assert reference_tables.paired_columns([stats(-1e-9, np.nan, np.nan)], "x") == (["0.00"], [""])
    assert reference_tables.paired_columns([stats(3.0, 1.0, 5.0)], "x", 100.0) == (["300" + star], [r"$[100,\,500]$"])
    assert statistics.FEWEST == 3


def test_the_titles_of_the_pairs():
    facet = SimpleNamespace(title="data", reference=lambda depth: SimpleNamespace(words=f"the one at {depth}"))
    titles = [
        reference_tables._pair_title(facet, SimpleNamespace(depth=2), kind)
        for kind in ("depth_effect", "depth_effect_equal_loss", "potential_effect")
    ]
    assert titles == [
        "data: deep minus linear, equal steps",
        "data: deep minus linear, equal loss",
        "data: potential minus the one at 2, equal steps",
    ]


def test_rows_of_the_paired_table():
    """Deep runs at equal steps and equal loss, then potentials; marks where either optimum is not the only one."""
    line, deep, other = (SimpleNamespace(id=f"c{i}", words=f"p{i}", depth=d) for i, d in ((0, 1), (1, 2), (2, 2)))
    facet = SimpleNamespace(
        title="data",
        conditions=[line, deep, other],
        linear=lambda c: line if c is deep else None,
        reference=lambda depth: {1: line, 2: deep}[depth],
    )
    ends = {"n": 3, "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6, "min": 0.4, "max": 0.6, "std": 0.1}
    rows = {
        c.id: {
            f"{kind}_{m}_{k}": v
            for kind in kinds
            for m in ("angle_max_margin", "margin_ratio")
            for k, v in ends.items()
        }
        for c, kinds in (
            (line, ["depth_effect"]),  # never shown: it has no linear companion
            (deep, ["depth_effect", "depth_effect_equal_loss"]),
            (other, ["potential_effect"]),
        )
    }
    results = SimpleNamespace(facets=[facet], ambiguous=lambda c: c is line, tag="t")
    text = reference_tables.paired_table(results, rows)
    named_rows = re.findall(r"^% (c\d \w+)\n(.*) \\\\$", text, re.M)
    assert [name for name, _ in named_rows] == ["c1 depth_effect", "c1 depth_effect_equal_loss", "c2 potential_effect"]
    cells = [row.split(" & ") for _, row in named_rows]
    star, double, interval = layout.ASTERISK, layout.DOUBLE, r"$[0.40,\,0.60]$"
    assert text.startswith("% columns: margin_ratio angle_max_margin\n")
    for i, row in enumerate(cells):
        angle = "0.50" + star + double * (i < 2)  # the linear partner's optimum is not the only one
        assert row == [f"p{1 + (i > 1)}", "2", "3", "50" + star, r"$[40,\,60]$", angle, interval]
    assert statistics_tables.AMBIGUOUS in text and "at least" not in text
    nobody = SimpleNamespace(**vars(results) | {"ambiguous": lambda c: False})
    assert statistics_tables.AMBIGUOUS not in reference_tables.paired_table(nobody, rows)
    assert reference_tables.paired_table(results, {i: {} for i in rows}).startswith("% paired: no two")


def test_references_are_shown_once_for_all_facets_of_one_data_set():
    """Two widths, say; an exponent that only the second facet has is not lost, nor are runs without an exponent."""
    data = {"data_key": "k", "config": {"dataset": {"name": "mnist"}}}
    facets = [
        SimpleNamespace(title=t, slug=t, conditions=[SimpleNamespace(id=i, **data) for i in ids])
        for t, ids in (("one", "ab"), ("two", "cd"))
    ]
    kinds = {"separability": "separable", "svm_kind": "", "logreg_kind": "", "reference_unique": "True"}
    sizes = {"seed": 0, "n_train": 10, "dim": 2, "exact_margin": 0.5, "exact_margin_gap": 1e-9}
    ids, p = ["a", "b", "c", "d"], [2.0, np.nan, 2.0, 3.0]
    master = pd.DataFrame({"condition_id": ids, "limit_p": p} | kinds | sizes).assign(
        exact_margin_kkt=1e-9, exact_angle_bound=np.nan
    )
    text = reference_tables.references_table(SimpleNamespace(facets=facets, tag="t"), master)
    assert re.findall(r"^% (\w+ p=\S+)$", text, re.M) == ["one p=2", "one p=--", "two p=3"]


def test_what_is_written_takes_the_place_of_what_was(tmp_path):
    nothing = SimpleNamespace(facets=[], conditions=[], user_metrics=[], tag="t")
    place = tmp_path / "results" / "t"
    for question, line in (("Why & how?", r"Why \& how?"), ("", "No question stated.")):
        nothing.question = question
        names = statistics_tables.write(nothing, pd.DataFrame({"condition_id": []}), pd.DataFrame(), place)
        assert {file.stem for file in (place / "tables").iterdir()} == {*names, "preview"}
        assert line in (place / "tables" / "preview.tex").read_text().splitlines()
        (place / "tables" / "old.tex").touch()
