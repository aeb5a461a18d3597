"""The paper: a two-column document that LaTeX takes as it is; and a second reader who recomputes its numbers."""

import random
import re
import shutil
import subprocess

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
import texlive

from mdcore import run_paper
from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection
from mdcore.analysis.figures.study import Options, Study
from mdcore.analysis.report import paper
from mdcore.analysis.report.sections import build
from mdcore.analysis.tables import statistics_tables


def overlap(config):
    return config["digits"] == [3, 5] and config["pca"] == 50


def analysed(place, cells, figures, **options):
    """A run with its tables, report sections and paper: (run directory, results' directory, sections)."""
    run = fake.write_run(place / "20250319_first", cells, **options)
    results, out = load(run), place / "first"
    master, summary = aggregate.write(results, out)
    statistics_tables.write(results, master, summary, out)
    if figures:
        collection.write(Study(results, master, summary, Options(figures=figures)), out)
    else:
        (out / "figures").mkdir()
        (out / "figures" / collection.INDEX).write_text('{"figures": [], "absent": []}')
    return run, out, build(run, out)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return analysed(tmp_path_factory.mktemp("paper"), fake.mnist_cells(), [], overlap=overlap)


@pytest.mark.slow
@pytest.mark.skipif(
    not texlive.has("latexmk", "pdffonts", "pdftotext"),
    reason="latexmk, siunitx or poppler is not here",
)
def test_latex_takes_figures_tables_and_macros_as_they_are(tmp_path):
    cells = fake.mnist_cells()[:36]  # 0 vs 1
    _, out, _ = analysed(tmp_path, cells, ["final_angles", "angles_vs_epochs", "margins_vs_epochs"])
    source = (out / "paper" / "paper.tex").read_text()
    assert source.count(r"\includegraphics{") == 3 and source.count(r"\input{../tables/") == 3
    assert len(set(re.findall(r"\\mdcore\w+", source))) >= 10 and r"\resizebox" not in source
    pdf = paper.build(out)
    log = pdf.with_suffix(".log").read_text(errors="replace")
    assert "Overfull" not in log and "undefined" not in log and "Missing character" not in log
    fonts = subprocess.run(["pdffonts", pdf], capture_output=True, text=True, check=True).stdout
    sizes = [int(k) for k in re.findall(r"\+(?:LM|CM|SF|EC)[A-Za-z]+?(\d+)", fonts)]
    assert sizes and min(sizes) >= 7 and "Type 3" not in fonts
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
    assert "??" not in text and "[U+" not in text and "References" in text


def test_without_latex_one_line_says_what_to_do(pairs, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run_paper.main(["--tag", "first", "--output_dir", str(pairs[1])]) == 2
    message = capsys.readouterr().err
    assert "neither latexmk nor tectonic is installed" in message and message.count("\n") == 1
    assert run_paper.main(["--tag", "first", "--output_dir", str(pairs[1].parent)]) == 2
    assert "analyse the run first: make analysis TAG=" in capsys.readouterr().err


def test_what_latex_refuses_is_told_with_its_words(pairs, monkeypatch, tmp_path):
    out = shutil.copytree(pairs[1], tmp_path / "first")
    (tmp_path / "latexmk").write_text(
        "#!/bin/sh\nprintf '! Undefined control sequence.\\nl.3 \\\\oops\\n' >paper.log\nexit 12\n"
    )
    (tmp_path / "latexmk").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(paper.NotCompiled, match=r"latexmk failed on .*Undefined control sequence"):
        paper.build(out)


def test_every_source_that_is_cited_has_its_entry(pairs):
    source, entries = ((pairs[1] / "paper" / name).read_text() for name in ("paper.tex", "references.bib"))
    keys = set(re.findall(r"@\w+\{(\w+),", entries))
    cited = set(re.findall(r"\\cite[pt]\{(\w+)\}", source))
    assert {"sun2022", "soudry2018", "lyu2020", "ji2019nonseparable", "ji2019align"} <= cited <= keys
    assert not re.search(r"(et al\.|Telgarsky|Lyu \\& Li|Student) \d{4}", source.partition(r"\begin{table")[0])
    for entry in entries.split("@")[1:]:
        assert all(f"{key} = {{" in entry for key in ("author", "title", "year")) and entry.count("{") == entry.count(
            "}"
        )
    assert set(paper.SOURCES) >= {"Pesme et al. 2024", "Nacson et al. 2019"}


# the second reader: 30 numbers drawn from tables, report and macros, from master.csv and history.parquet


def last_rows(run):
    """The last row of every cell's history, by cell_id."""
    history = pd.concat(pd.read_parquet(f) for f in sorted(run.glob("stacks/*/history.parquet")))
    return history.sort_values("epoch").groupby("cell_id").last()


def close(text, value):
    """Whether the number, as printed, is the value to half a unit of its last digit."""
    text = text.replace("−", "-").replace("{,}", "").replace(",", "")
    mantissa, _, power = text.partition("e")
    half = 0.501 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return abs(float(text) - value) <= half + 1e-9 * abs(value)


HEADS = {
    "angle to the SVM (degrees)": ("angle_svm", 1),
    "angle to logistic regression (degrees)": ("angle_logreg", 1),
    "share of the exact margin (%)": ("margin_ratio", 100),
    "certified gap (%)": ("gap", 100),
    "test accuracy (%)": ("test_accuracy", 100),
}
COLUMNS = {"gap": 100, "margin_ratio": 100, "angle_svm": 1, "angle_logreg": 1, "margin_l2": 1, "margin_lp": 1}


def from_tables(out, last, master):
    for name in ("main", "angles", "margins"):
        text = (out / "tables" / f"{name}.tex").read_text()
        columns = re.search(r"% columns: (.*)", text).group(1).split()
        for condition, row in re.findall(r"^% (.*)\n(.*) \\\\$", text, re.M):
            ids = master.loc[master["condition_id"] == condition, "cell_id"]
            for column, cell in zip(columns, row.split(" & ")[2:], strict=True):
                if column in COLUMNS and cell != "{--}":
                    yield (
                        f"{name} {condition} {column}",
                        cell.split()[0],
                        COLUMNS[column] * last.loc[ids, column].mean(),
                    )


def from_report(sections, last, master):
    table = sections["numbers"].blocks[0]
    data = dict(zip(master["condition_id"], master["cell_id"], strict=True))
    conditions = list(dict.fromkeys(master["condition_id"]))
    assert len(table.rows) == len(conditions) == len(data)
    for condition, row in zip(conditions, table.rows, strict=True):  # both in reading order
        ids = master.loc[master["condition_id"] == condition, "cell_id"]
        assert row[2] == str(master.set_index("condition_id").loc[condition, "depth"].iloc[0])
        for head, cell in zip(table.head, row, strict=True):
            if head in HEADS and cell != "–":
                column, factor = HEADS[head]
                yield f"report {condition} {column}", cell.split(" ± ")[0], factor * last.loc[ids, column].mean()


def from_macros(out, last, master):
    text = (out / "results.tex").read_text()
    macros = dict(re.findall(r"\\newcommand\{\\mdcore(\w+)\}\{\\ensuremath\{(.*)\}\}", text))
    certified = master[
        (master["separability"] == "separable") & (last.loc[master["cell_id"], "gap"].to_numpy() <= 0.01)
    ]
    separable = master[master["separability"] == "separable"]
    gaps = last.loc[certified["cell_id"], "gap"]
    means = master.groupby("condition_id")[["angle_linear_md_equal_loss", "angle_reference_potential"]].mean()
    reached = certified.groupby("condition_id").filter(lambda g: len(g) == 3 and (g["angle_bound"] <= 1).all())
    deep = means.index.isin(master.loc[master["depth"] == 2, "condition_id"])
    expected = {
        "DeepConditions": master.loc[master["depth"] == 2, "condition_id"].nunique(),
        "SeparableConditions": separable["condition_id"].nunique(),
        "OverlapConditions": master.loc[master["separability"] == "overlapping", "condition_id"].nunique(),
        "SeparableRuns": len(separable),
        "CertifiedRuns": len(certified),
        "GapMedian": 100 * np.median(gaps),
        "DirectionProved": reached["condition_id"].nunique(),
        "EqualLossAngle": means.loc[deep, "angle_linear_md_equal_loss"].max(),
        "PotentialsAngle": means["angle_reference_potential"].max(),
        "Seeds": master.groupby("condition_id").size().max(),
    }
    return [(name, macros[name], value) for name, value in expected.items()]


def test_thirty_numbers_are_recomputed_by_a_second_reader(pairs):
    run, out, sections = pairs
    last, master = last_rows(run), pd.read_csv(out / "master.csv")
    draw = random.Random(20250319)
    numbers = draw.sample(list(from_tables(out, last, master)), 10)
    numbers += draw.sample(list(from_report(sections, last, master)), 10) + from_macros(out, last, master)
    assert len(numbers) == 30
    for name, text, value in numbers:
        if text.startswith("<"):
            assert 0 < value < float(text.lstrip("< ")), name
        else:
            assert close(text, value), (name, text, value)
