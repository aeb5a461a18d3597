"""LaTeX tables: every number is found again in master.csv, rules of bold type, escaping, and that LaTeX takes them."""

import itertools
import re
import shutil
import subprocess
import unicodedata
from decimal import ROUND_CEILING, Context

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
import texlive

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.data.statistics import describe
from mdcore.analysis.tables import latex, layout, statistics_tables
from mdcore.analysis.tables.numbers import aligned, decimals_of, readable
from mdcore.analysis.tables.reference_tables import PAIRED, paired_columns, paired_table, references_table
from mdcore.analysis.tables.statistics_tables import QUANTITIES

NASTY = r"Is 50% of A_b & C#1 {true}? ~^\ $x_1$ <β → ∞> „naïve” 数"


def written(place, cells, **options):
    """Write run and tables under `place`; returns the directory of the results."""
    results = load(fake.write_run(place / "20250319_a_tag-1.x", cells, **options))
    master, summary = aggregate.write(results, place / "out")
    statistics_tables.write(results, master, summary, place / "out")
    return place / "out"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("pairs"), fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50
    )


def rows_of(text):
    """([(cells, what the comment above names)], columns) of a table file."""
    columns = re.search(r"% columns: (.*)", text)
    matches = re.findall(r"^% (.*)\n(.*) \\\\$", text, re.M)
    return columns.group(1).split() if columns else [], [(row.split(" & "), name) for name, row in matches]


def numbers(cell):
    """The numbers of a cell of an S column: mean, and spread where there is one."""
    bare = re.sub(r"\{.*", "", cell)
    return [float(v) for v in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", bare)]


def half_unit(cell):
    """Half a unit of the last digit that a cell shows."""
    mantissa, _, power = re.match(r"[<>]?(-?[\d.]+)(e?)(-?\d*)", cell).groups()
    return 0.501 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))


# What a reader takes a head for, with the factor between the raw number and the one shown: written down here, so that
# a head, a column or a factor that the product has wrong is not wrong here too.
HEADS = {
    r"$\angle(w, u_p)$": ("angle_max_margin", 1),
    r"$\le$": ("angle_bound", 1),
    "SVM": ("angle_svm", 1),
    "logistic": ("angle_logreg", 1),
    r"linear, equal $R$": ("angle_linear_md_equal_loss", 1),
    r"$\gamma_p(w)/\gamma_p^\star$ (\%)": ("margin_ratio", 100),
    r"gap (\%)": ("gap", 100),
    r"test acc.\ (\%)": ("test_accuracy", 100),
    r"$\gamma_2(w)$": ("margin_l2", 1),
    r"$\gamma_p(w)$": ("margin_lp", 1),
    r"$\gamma_p^\star$": ("exact_margin", 1),
    r"$\|A^\top\lambda\|_q$": ("gamma_bound", 1),
    r"$\log(1/R)$": ("log_inverse_loss", 1),
    "balance": ("norm_balance", 1),
    "Frobenius": ("norm_balance_frobenius", 1),
    "drift": ("balance_drift", 1),
    "alignment": ("layer_alignment", 1),
    "stable rank": ("stable_rank", 1),
    "neurons": ("participation", 1),
    r"$\Delta\,\gamma_p/\gamma_p^\star$ (\%)": ("margin_ratio", 100),
    r"$\Delta\angle(w, u_p)$": ("angle_max_margin", 1),
    r"$\Delta\angle$ SVM": ("angle_svm", 1),
    r"$\Delta$ test acc.\ (\%)": ("test_accuracy", 100),
}


def raw_final(out):
    """final.parquet of every stack of the run beside the results `out`, indexed by potential, p, depth, data, seed."""
    files = (out.parent / "20250319_a_tag-1.x" / "stacks").glob("*/final.parquet")
    table = pd.concat([pd.read_parquet(f) for f in files])
    return table.assign(name=table["condition_id"])


def heads(text):
    """The heads of a table's columns as LaTeX prints them."""
    (line,) = set(re.findall(r"\\toprule\n(.*) \\\\\n\\midrule", text))
    return [head.removeprefix("{").removesuffix("}") if head.startswith("{") else head for head in line.split(" & ")]


@pytest.mark.parametrize("name", [t.name for t in statistics_tables.TABLES])
def test_every_number_under_a_head_is_that_of_what_the_head_names_in_the_raw_files(pairs, name):
    final, text = raw_final(pairs), (pairs / "tables" / f"{name}.tex").read_text()
    assert heads(text)[:2] == ["potential", "$L$"]
    ends = "linear, ends"  # the predictors' own angle is in no raw file
    named, checked = [HEADS.get(head) for head in heads(text)[2:]], set()
    assert [h for h in heads(text)[2:] if h not in HEADS] == ([ends] if name == "angles" else [])
    rows = rows_of(text)[1]
    assert len(rows) == {"balance": 12, "compact": 18}.get(name, 24)
    for cells, condition in rows:
        mine = final[final["condition_id"] == condition]
        assert len(mine) == 3 and len(cells) == 2 + len(named) and cells[1] == str(mine["depth"].iloc[0])
        for head, cell in zip(named, cells[2:], strict=True):
            if head is None:
                continue
            values = head[1] * mine[head[0]].to_numpy()
            if cell == "{--}":
                assert np.isnan(values).all() or head[0].startswith("angle_linear")
            elif head[0] == "angle_bound":  # the largest of the runs, never rounded down
                assert -1e-9 <= numbers(cell)[0] - values.max() <= 2 * half_unit(cell)
            elif cell.startswith("<"):
                assert 0 < values.mean() < numbers(cell)[0]
            else:
                mean, *spread = numbers(cell)
                assert abs(mean - values.mean()) <= half_unit(cell) + 1e-9 * abs(mean), (condition, head)
                shown = spread[0] if spread else 0.0
                assert "e" in cell or abs(shown - values.std(ddof=1)) <= half_unit(cell), (condition, head)
            checked.add(head)
    assert checked == set(named) - {None}


def test_every_difference_under_a_head_is_that_of_the_raw_files(pairs):
    final, text = raw_final(pairs), (pairs / "tables" / "paired.tex").read_text()
    keys = ["digits", "pca", "seed"]
    named, kinds = [HEADS[head] for head in heads(text)[3::2]], set()
    for cells, comment in rows_of(text)[1]:
        condition, kind = comment.split()
        mine = final[final["condition_id"] == condition].set_index(keys)
        first = mine.iloc[0]
        if kind == "depth_effect":  # minus linear mirror descent with the same potential
            other = (final["potential"] == first["potential"]) & (final["depth"] == 1)
            other &= final["p"].eq(first["p"]) | (final["p"].isna() & pd.isna(first["p"]))
        elif kind == "potential_effect":  # minus quadratic at the same depth
            other = (final["potential"] == "quadratic") & (final["depth"] == first["depth"])
        else:
            continue
        columns = [c for c, _ in named]
        difference = mine[columns] - final[other].set_index(keys).loc[mine.index, columns]
        kinds.add(kind)
        for (name, factor), cell in zip(named, cells[3::2], strict=True):
            if cell != "{--}":
                assert abs(numbers(cell)[0] - factor * difference[name].mean()) <= half_unit(cell), (comment, name)
    assert kinds == {"depth_effect", "potential_effect"}


def test_every_number_of_the_paired_table_is_found_again_in_master(pairs):
    master, summary = (pd.read_csv(pairs / "master.csv"), pd.read_csv(pairs / "summary.csv").set_index("condition_id"))
    columns, rows = rows_of((pairs / "tables" / "paired.tex").read_text())
    kinds = {name.split()[1] for _, name in rows}
    assert kinds == {"depth_effect", "depth_effect_equal_loss", "potential_effect"} and columns == list(PAIRED)
    for cells, name in rows:
        condition, prefix = name.split()
        mine = master[master["condition_id"] == condition]
        for quantity, mean, interval in zip(columns, cells[3::2], cells[4::2], strict=True):
            factor = QUANTITIES[quantity].factor
            v = mine[f"{prefix}_{quantity}"].dropna() * factor
            if mean == "{--}":
                assert v.empty and interval.strip() == ""
                continue
            ends = [summary.loc[condition, f"{prefix}_{quantity}_ci_{e}"] * factor for e in ("low", "high")]
            low, high = map(float, re.findall(r"-?[\d.]+", interval))
            assert [numbers(mean)[0], low, high] == pytest.approx([v.mean(), *ends], abs=half_unit(mean))
            assert cells[2] == "3" and len(v) == 3
            assert (r"\ast" in mean) == (v.nunique() > 1 and (low > 0 or high < 0))


def reference_cells(rows, synthetic):
    """The cells of the references table that these rows of master.csv, of one data set and one p, must give."""
    margins, p = rows["exact_margin"].dropna(), rows["limit_p"].iloc[0]
    if margins.empty:
        margin = "--"
    elif margins.max() - margins.min() <= 1e-9 * margins.max():
        margin = rf"\num{{{margins.max():#.5g}}}"
    else:  # three significant digits of the spread
        decimals = max(0, 2 - int(np.floor(np.log10(margins.max() - margins.min()))))
        margin = f"${margins.min():.{decimals}f}$ to ${margins.max():.{decimals}f}$"

    def worst(column):
        v = rows[column].max()
        if v < 1e-12:
            return "$< 10^{-12}$"
        return "--" if np.isnan(v) else r"\num{{{:.1f}e{:03d}}}".format(*np_power(v))

    short = {"hard-margin": "hard", "soft-margin": "soft", "unregularised": "plain", "l2": "l2"}
    return [
        r"$\infty$" if np.isinf(p) else f"{p:g}",
        str(rows["seed"].nunique() if synthetic else 1),
        " / ".join(f"{v:g}" for v in sorted(rows["n_train"].unique())),
        " / ".join(f"{v:g}" for v in sorted(rows["dim"].unique())),
        " / ".join(sorted(rows["separability"].unique())),
        margin,
        worst("exact_margin_gap"),
        worst("exact_margin_kkt"),
        {(): "--", (False,): "no", (True,): "yes", (False, True): "yes / no"}[
            tuple(sorted(bool(v) for v in rows["reference_unique"].dropna().unique()))
        ],
        "--"
        if rows["exact_angle_bound"].isna().all()
        else r"\num{{{:.2g}}}".format(float("{}e{}".format(*np_power(rows["exact_angle_bound"].max())))),
        *(" / ".join(sorted({short[v] for v in rows[k]})) for k in ("svm_kind", "logreg_kind")),
    ]


def np_power(v):
    """(mantissa with two digits, exponent of ten) of a number, never rounded down."""
    up = Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(float(v)))
    mantissa, exponent = f"{up:.1e}".split("e")
    return float(mantissa), int(exponent)


REFERENCES = {
    "pairs": (fake.mnist_cells, 12, lambda c: c["digits"] == [3, 5] and c["pca"] == 50),
    "synthetic": (
        lambda: fake.grid_cells(
            [*fake.POTENTIALS, {"cosh": {"beta": 1.0}}],
            datasets=[{"dataset": fake.GAUSSIAN}, {"dataset": {**fake.GAUSSIAN, "n": 90}}],
        ),
        8,
        lambda c: False,
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_cell_of_the_references_table_is_found_again_in_master(tmp_path, name):
    make, many, overlap = REFERENCES[name]
    results = load(fake.write_run(tmp_path / "20250319_x", make(), overlap=overlap))
    master, _ = aggregate.write(results, tmp_path / "out")
    separable = master["separability"] == "separable"
    random = np.random.default_rng(0)  # every cell its own residuals, so that the largest is told from the others
    for column in ("exact_margin_gap", "exact_margin_kkt"):
        master.loc[separable, column] = 10.0 ** random.uniform(-12, -7, separable.sum())
    bound = master["exact_angle_bound"].notna()
    master.loc[bound, "exact_angle_bound"] = random.uniform(0.01, 9, bound.sum()).round(3)
    if name == "synthetic":  # of one exponent some optima are unique and some are not
        master.loc[(master["limit_p"] == 1.5) & (master["seed"] == 1), "reference_unique"] = "False"
    exact = master["limit_p"] == 3.0
    master.loc[exact & separable, "exact_margin_gap"] = -2e-16
    if name == "pairs":  # one data set for all seeds: one exact margin
        master["exact_margin"] = master.groupby(["digits", "pca", "limit_p"])["exact_margin"].transform("first")
    master.to_csv(tmp_path / "master.csv", index=False)
    read = pd.read_csv(tmp_path / "master.csv")
    _, rows = rows_of(references_table(results, master))
    assert len(rows) == many == len({where for _, where in rows})
    for cells, where in rows:
        slug, p = where.split(" p=")
        ids = {c.id for f in results.facets if f.slug == slug for c in f.conditions}
        exponent = np.inf if "infty" in p else float(p)
        mine = read[read["condition_id"].isin(ids) & (read["limit_p"] == exponent)]
        assert len(mine) and cells == reference_cells(mine, name == "synthetic")


CORNERS = ["quadratic", {"lp": {"p": 3.0}}, {"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}]


def test_angles_to_an_optimum_that_is_not_the_only_one_are_marked_wherever_a_table_shows_one(tmp_path):
    place = written(tmp_path, fake.grid_cells(CORNERS))
    master = pd.read_csv(place / "master.csv")
    several = set(master.loc[~master["reference_unique"], "condition_id"])
    assert len(several) == 4  # hypentropy and cosh, two depths
    for name in ("main", "angles", "paired", "margins", "balance"):
        text = (place / "tables" / f"{name}.tex").read_text()
        columns, rows = rows_of(text)
        for cells, where in rows:
            values = cells[3::2] if name == "paired" else cells[2:]
            for column, cell in zip(columns, values, strict=True):
                marked = column == "angle_max_margin" and where.split()[0] in several and cell != "{--}"
                assert (r"\ddagger" in cell) == marked, (name, where, column)
        shows_angle = "angle_max_margin" in columns
        assert (r"$^\ddagger$: the $\ell_p$ max-margin direction is not proved" in text) == shows_angle


def test_nothing_is_marked_where_every_optimum_is_the_only_one(pairs):
    for path in (pairs / "tables").glob("*.tex"):
        assert r"\ddagger" not in path.read_text()


def test_the_bound_of_the_angle_stands_beside_the_gap(tmp_path):
    place = written(tmp_path, fake.grid_cells(CORNERS))
    columns, rows = rows_of((place / "tables" / "margins.tex").read_text())
    assert columns[-2:] == ["gap", "angle_bound"]
    several = {name for _, name in rows if "hypentropy" in name or "cosh" in name}
    assert all((cells[-1] == "{--}") == (name in several) for cells, name in rows) and len(several) == 4


def test_a_run_without_the_newer_columns_has_its_tables_all_the_same(tmp_path):
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells()))
    for column in ("angle_bound", "exact_angle_bound", "flow_time"):
        results.final[column] = np.nan
    results.final["reference_unique"] = ""
    master, summary = aggregate.write(results, tmp_path / "out")
    statistics_tables.write(results, master, summary, tmp_path / "out")
    columns, _ = rows_of((tmp_path / "out" / "tables" / "margins.tex").read_text())
    assert "angle_bound" not in columns
    assert "nan" not in (tmp_path / "out" / "tables" / "references.tex").read_text()


def test_no_margin_of_an_overlapping_condition(pairs):
    over = set(pd.read_csv(pairs / "summary.csv").query("separability == 'overlapping'")["condition_id"])
    assert len(over) == 6
    for name in ("main", "margins"):
        columns, rows = rows_of((pairs / "tables" / f"{name}.tex").read_text())
        for cells, condition in rows:
            if condition in over:
                shown = dict(zip(columns, cells[2:], strict=True))
                assert all(
                    shown[c] == "{--}"
                    for c in ("margin_ratio", "gap", "angle_max_margin", "exact_margin", "margin_l2")
                    if c in shown
                )


def test_transients_carry_a_dagger_and_lost_runs_are_named(tmp_path):
    cells = fake.grid_cells()
    ids = [c["cell_id"] for c in cells if c["config"]["potential"] == "quadratic" and c["config"]["depth"] == 2]
    place = written(tmp_path, cells, status={ids[0]: "diverged", ids[1]: "transient"})
    _, rows = rows_of((place / "tables" / "main.tex").read_text())
    row = next(cells for cells, name in rows if "quadratic_L2" in name)
    assert row[0] == "quadratic" + layout.DAGGER and row[2] == "2/3 (1 diverged)"
    linear = next(cells for cells, name in rows if "quadratic_L1" in name)
    assert linear[0] == "quadratic" and linear[2] == "3"


@pytest.mark.parametrize(
    ("means", "stds", "cells"),
    [
        ([2.11, 0.0991, 0.119], [0.06, 0.006, 0.0], ["2.110 +- 0.060", "0.099 +- 0.006", "0.119"]),
        ([99.888, 99.71], [0.0, 0.0], ["99.9", "99.7"]),  # identical in all seeds: never +- 0.000
        ([7.8, 2e-14, np.nan, 0.0], [np.nan] * 4, ["7.80", "<0.01", "", "0.00"]),
        ([-3.0, -0.001], [0.2, 0.2], ["-3.0 +- 0.2", ">-0.1"]),
        ([2.51e5, 371.0, 1.77e22], [1.0, 1.0, 1.0], ["2.51e5", "3.71e2", "1.77e22"]),
        ([2e-5, 3e-7], [np.nan] * 2, ["2.00e-5", "3.00e-7"]),
        ([12345.6, 2.0], [0.01, 0.01], ["12346", "2"]),  # five digits are enough
        ([np.nan], [np.nan], [""]),
        ([], [], []),
    ],
)
def test_numbers_of_one_column_have_the_same_decimals(means, stds, cells):
    assert aligned(means, stds) == cells


def test_bounds_in_a_column_are_never_rounded_down():
    assert aligned([0.8401, 1.15, 2.123], bounds=True) == ["0.85", "1.15", "2.13"]
    assert aligned([2.511e5, 1.0], bounds=True)[0] == "2.60e5"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("2.110 +- 0.060", "2.110 ± 0.060"),
        ("<0.001", "< 0.001"),
        ("2.51e11", "2.51×10¹¹"),
        ("2.00e-5", "2.00×10⁻⁵"),
        ("3.71e0", "3.71"),
        ("", "–"),
    ],
)
def test_cells_as_people_read_them(cell, text):
    assert readable(cell) == text


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["0.119", "12.14 +- 0.02", ""], "2.3(1)"),
        (["1.0 +- 12.3"], "1.1(3)"),
        (["<0.001{x}", "-1.50"], "<-1.3"),
        (["2.51e11", "3.00e-5"], "1.2e-2"),
        (["5", ""], "1"),
    ],
)
def test_columns_are_as_wide_as_their_numbers(cells, form):
    assert layout.number_format(cells) == form


AST = layout.ASTERISK


@pytest.mark.parametrize(
    ("values", "mean", "interval"),
    [
        ([0.4, 0.5, 0.6], "0.5" + AST, r"$[0.3,\,0.7]$"),
        ([-0.4, -0.5, -0.6], "-0.5" + AST, r"$[-0.7,\,-0.3]$"),
        ([0.0, 0.1, 0.2], "0.1", r"$[-0.1,\,0.3]$"),
        ([0.50, 0.52], "0.51", r"$[0.38,\,0.64]$"),  # too few pairs for a mark
        ([1.0, 1.0, 1.0], "1.00", r"$[1.00,\,1.00]$"),  # all the same to the last bit: no evidence
        ([1.0], "1.00", ""),
        ([np.nan], "", ""),
        ([1e-5, 1.1e-5, 0.9e-5], "0.00", r"$[0.00,\,0.00]$"),
    ],
)
def test_paired_cells(values, mean, interval):
    assert paired_columns([describe(pd.DataFrame({"x": values}))], "x") == ([mean], [interval])
    assert decimals_of([1.0], [0.2]) == 1


def test_a_row_of_the_paired_table_says_how_many_pairs_each_of_its_cells_has(tmp_path):
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells(seeds=range(4))))
    master, _ = aggregate.write(results, tmp_path / "out")
    deep = master.index[(master["potential"] == "quadratic") & (master["depth"] == 2)]
    master.loc[deep[0], "depth_effect_angle_svm"] = np.nan
    by_id = {r["condition_id"]: r for r in aggregate.summary_table(results, master).to_dict("records")}
    _, rows = rows_of(paired_table(results, by_id))
    counts = {name: cells[2] for cells, name in rows}
    assert counts.pop(f"{master.loc[deep[0], 'condition_id']} depth_effect") == "3 to 4"
    assert set(counts.values()) == {"4"}


def test_captions_and_labels_are_there_and_labels_differ(pairs):
    labels = []
    for path in sorted((pairs / "tables").glob("*.tex")):
        text = path.read_text()
        if path.stem != "preview":
            assert (
                text.count(r"\caption{") == text.count(r"\label{") == len(re.findall(r"\\begin\{table\*?\}", text)) >= 1
            )
            assert r"\toprule" in text and r"\bottomrule" in text and r"\hline" not in text
            assert r"\resizebox" not in text and "+- 0.00 " not in text and r"\bold" not in text
            captions = re.findall(r"\\caption\{(.*)\}", text)
            assert all(len(c) < (130 if r"\begin{table}" in text else 330) for c in captions)  # three lines of a column
            labels += re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels) and "tab:a-tag-1-x:main" in labels
    preview = (pairs / "tables" / "preview.tex").read_text()
    names = [t.name for t in statistics_tables.TABLES] + ["references", "paired", "norms"]
    assert re.findall(r"\\input\{(\w+)\}", preview) == names


@pytest.mark.parametrize("name", [t.name for t in statistics_tables.TABLES])
def test_every_symbol_of_a_head_is_explained_below_the_table(pairs, name):
    text = (pairs / "tables" / f"{name}.tex").read_text()
    notes = text[text.rindex(r"\raggedright") :]
    for head in heads(text)[1:]:
        for symbol in re.findall(r"\$.*?\$", head):
            assert symbol.strip("$") in notes, symbol
    for symbol, means in {
        r"\gamma_p(w)": r"\gamma_p(w) = ",
        r"\lambda": r"\lambda \ge 0",
        "Aw": "$A$ has",
        "_q": "1/q",
    }.items():
        assert symbol not in notes or means in notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50% #1", r"a\_b \& 50\% \#1"),
        ("{x}~^\\", r"\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("β ≤ ∞", r"$\beta$ $\le$ $\infty$"),
        ("naïve 数", "naïve {[}U+6570{]}"),
        ("δ ε ϵ θ Δ Α", r"$\delta$ $\varepsilon$ $\epsilon$ $\theta$ $\Delta$ $\mathrm{A}$"),
        ("Łukasz Dvořák, Erdős, Şahin, ą, ﬀ", r"\L{}ukasz Dvo\v{r}ák, Erd\H{o}s, \c{S}ahin, \k{a}, {[}U+FB00{]}"),
        ("e\u0301 o\u0323\u0302 x₂ ℝ \x07 \udcc3", r"é \^{\d{o}} x$_{2}$ $\mathbf{R}$ {[}U+0007{]} {[}U+DCC3{]}"),
    ],
)
def test_escaping(text, expected):
    assert latex.escape(text) == expected


def test_no_two_letters_are_typeset_alike():
    """Latin, Greek, Cyrillic, punctuation, arrows, operators; only quotation marks are meant to look alike."""
    letters = [chr(c) for c in (*range(33, 127), *range(161, 0x530), *range(0x2010, 0x2400)) if chr(c).isprintable()]
    letters = [c for c in letters if unicodedata.normalize("NFC", c) == c and c not in "`'’‘"]
    set_as = {}
    for letter in letters:
        set_as.setdefault(latex.escape(letter), []).append(letter)
    assert {text: alike for text, alike in set_as.items() if len(alike) > 1} == {}
    assert all(all(32 <= ord(c) < 256 for c in text) for text in set_as)
    assert latex.escape("Ϛ") == "{[}U+03DA{]}"  # a Greek letter that TeX has no macro for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lp, p = 1.5", r"$\ell_{p}$, $p = 1.5$"),
        ("the l2 margin, L = 3", r"the $\ell_{2}$ margin, $L = 3$"),
        ("l1.5 max-margin", r"$\ell_{1.5}$ max-margin"),
        ("help, all2 of lpx", "help, all2 of lpx"),
    ],
)
def test_norms_and_formulas(text, expected):
    assert latex.words(text) == expected


HOSTILE = {
    "one cell": (lambda: fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)), {}),
    "one seed": (lambda: fake.grid_cells(seeds=(0,)), {}),
    "all diverged": (fake.grid_cells, {"status": "diverged"}),
    "all failed": (fake.grid_cells, {"status": "failed"}),
    "all overlapping": (fake.grid_cells, {"overlap": lambda c: True}),
    "nothing ran": (fake.grid_cells, {"missing": [c["cell_id"] for c in fake.grid_cells()]}),
    "NaN everywhere": (
        fake.grid_cells,
        {
            "nan_columns": [
                "loss",
                "log_inverse_loss",
                "train_accuracy",
                "test_accuracy",
                "margin_l2",
                "margin_lp",
                "margin_ratio",
                "gap",
                "angle_max_margin",
                "angle_linear_md",
                "angle_linear_md_equal_loss",
                "angle_svm",
                "angle_logreg",
                "norm_balance",
                "layer_alignment",
                "exact_margin",
                "gamma_bound",
                "stable_rank",
                "participation",
            ]
        },
    ),
    "forty conditions": (
        lambda: fake.grid_cells([{"lp": {"p": 1 + k / 8}} for k in range(1, 11)], depths=(1, 2, 3, 4), seeds=(0, 1)),
        {},
    ),
    "nasty names": (
        lambda: fake.grid_cells(
            [{"my_file:A_%&#": {"a": 1}}, {"b_%:C$^~": {"x_1": 0.5}}, "quadratic"],
            datasets=[{"dataset": {"name": "theirs:Data_%&#$"}}],
            seeds=(0, 1),
        ),
        {"question": NASTY, "user_metrics": {"m_%&#": 1.0}},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_grids_leave_tables_without_a_stray_character(tmp_path, name):
    make, options = HOSTILE[name]
    place = written(tmp_path, make(), **options)
    for path in (place / "tables").glob("*.tex"):
        text = path.read_text()
        assert "nan" not in re.sub(r"% .*", "", text).lower().replace("dominan", "") and "None" not in text
        for line in text.splitlines():
            body = re.sub(r"(?<!\\)%.*", "", line)
            assert len(re.findall(r"(?<!\\)\$", body)) % 2 == 0, line
            assert not re.search(r"(?<!\\)#", body), line
        for form, block in re.findall(r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", text, re.S):
            many = len(re.findall(r"\bl\b|S\[", form.replace(r"@{\,}", "")))
            for row in re.findall(r"^(.*?) \\\\$", block, re.M):
                assert len(re.findall(r"(?<!\\)&", row)) == many - 1, row


def test_long_tables_are_cut_into_floats_that_fit_a_page(tmp_path):
    place = written(tmp_path, HOSTILE["forty conditions"][0]())
    text = (place / "tables" / "main.tex").read_text()
    assert text.count(r"\begin{table*}") == 2
    for body in re.findall(r"\\midrule(.*?)\\bottomrule", text, re.S):
        assert body.count(r"\\") <= layout.ROWS_PER_FLOAT


def test_twice_the_same_bytes(pairs, tmp_path):
    again = written(tmp_path, fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50)
    for path in (pairs / "tables").iterdir():
        assert path.read_bytes() == (again / "tables" / path.name).read_bytes()


def compiler():
    """A LaTeX on this machine: the command, or None."""
    if texlive.has("pdflatex"):
        return ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "preview.tex"]
    return ["tectonic", "preview.tex"] if shutil.which("tectonic") else None


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="neither pdflatex with siunitx nor tectonic is here")
@pytest.mark.parametrize("name", ["pairs", *HOSTILE])
def test_a_real_latex_compiles_the_preview(tmp_path, pairs, name):
    if name == "pairs":
        place = shutil.copytree(pairs, tmp_path / "out")
    else:
        make, options = HOSTILE[name]
        place = written(tmp_path, make(), **options)
    assert compiled(place / "tables") == 0.0


def compiled(place):
    """Points by which the widest line of preview.pdf is too wide; fails with LaTeX's words when it does not compile."""
    done = subprocess.run(compiler(), cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (place / "preview.pdf").stat().st_size > 1000
    return max(itertools.chain([0.0], map(float, re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout))))


def test_names_in_one_column_are_brief_and_their_parameters_in_the_note(tmp_path):
    kinds = [*fake.POTENTIALS, {"hypentropy": {"beta": 0.1}}, {"layer_scaled": {"alpha": [1, 4]}}]
    place = written(tmp_path, fake.grid_cells(kinds, depths=(2,)))
    text = (place / "tables" / "compact.tex").read_text()
    names = [cells[0].replace(layout.DAGGER, "") for cells, _ in rows_of(text)[1]]
    assert set(names) == {"quadratic", r"$\ell_{1.5}$", r"$\ell_{3}$", "hypentropy", "layer-scaled"}
    assert r"hypentropy: $\beta$ = 0.1" in text and r"layer-scaled: $\alpha$ = (1, 4)" in text
    assert r"\begin{table}" in text
