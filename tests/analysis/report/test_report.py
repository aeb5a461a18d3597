"""The report: its sentences from known numbers, its sections, its files; comparing runs; provenance without places."""

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import fake_run as fake
import nbformat
import numpy as np
import pandas as pd
import pytest

from mdcore import run_compare
from mdcore.analysis import compare, terminal
from mdcore.analysis.data import aggregate
from mdcore.analysis.data.conditions import conditions_of
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection
from mdcore.analysis.figures.study import Options, Study
from mdcore.analysis.report import publishing
from mdcore.analysis.report.document import Code, Section, Table, Text, escape, md
from mdcore.analysis.report.findings import answer, certainty, macros, wording
from mdcore.analysis.report.findings.verdicts import Estimate, Forecast, verdicts
from mdcore.analysis.report.publishing import clean, publish
from mdcore.analysis.report.sections import build
from mdcore.analysis.tables import statistics_tables

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
NASTY = "Is <b>50 %</b> of A_b & C#1 `worse`? <script>alert(1)</script>"


def analysed(place, cells, figures=False, **options):
    """A run with its results: (run directory, output directory, results, master, summary)."""
    run = fake.write_run(place / "20250319_paper", cells, **options)
    results = load(run)
    master, summary = aggregate.write(results, place / "out")
    if not figures:  # the report then says that there are none: it does not draw what a test does not look at
        (place / "out" / "figures").mkdir(exist_ok=True)
        (place / "out" / "figures" / collection.INDEX).write_text('{"figures": [], "absent": []}')
    return run, place / "out", results, master, summary


def executed(sections, file):
    """A notebook that shows the sections, as papermill would leave it."""
    notebook = nbformat.v4.new_notebook(metadata={"papermill": {"start_time": "now", "input_path": "/home/x"}})
    for section in sections:
        output = nbformat.v4.new_output("display_data", section._repr_mimebundle_())
        cell = nbformat.v4.new_code_cell("show(section)", outputs=[output], execution_count=1)
        cell.metadata["papermill"] = {"duration": 1.0}
        notebook.cells.append(cell)
    nbformat.write(notebook, file)
    return file


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    return analysed(place, fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50)


def answer_text(results, master, summary):
    return macros.with_numbers(" ".join(answer.answer(results, verdicts(results, master, summary), master, summary)))


# sentences from numbers


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (Estimate(0.3123, 0.281, 0.349, 3), "0.31° (mean of 3 runs, 95 % interval 0.28° to 0.35°)"),
        (Estimate(2.0, n=1), "2.0° (one run)"),
        (Estimate(), "not measured"),
        (Estimate(0.2, -0.1, 0.5, 3), "0.2° (mean of 3 runs, 95 % interval 0.0° to 0.5°)"),  # no mean is below 0°
        (Estimate(0.02, 0.02, 0.02, 3), "0.020° (identical in all 3 runs)"),
        (Estimate(2e-14, 1e-14, 3e-14, 3), "under 10⁻⁶° (mean of 3 runs)"),
        (Estimate(2e-14, n=1), "under 10⁻⁶° (one run)"),
    ],
)
def test_degrees(e, text):
    assert macros.with_numbers(wording.degrees(e, "Angle", "angle")) == text


@pytest.mark.parametrize(
    ("forecast", "word"),
    [
        (None, "no curve"),
        (Forecast(float("nan"), float("inf"), 1, 1), "too few"),
        (Forecast(0.0, float("inf"), 1, 1), "not falling"),
        (Forecast(0.8, 23456.0, 2.3, 130.0), "about 23,000 steps in all, 2.3 times as many, 2.2 min a run"),
        (Forecast(0.05, 1e12, 1e8, 1e9), "out of reach"),
    ],
)
def test_forecast_sentences(forecast, word):
    assert word in certainty.forecast_sentence(forecast)


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "a", "c"], "a, b and c"),
        (list("abcdefg"), "a, b, c, d and 3 more"),
    ],
)
def test_lists_of_words(items, text):
    assert wording.listed(items) == text


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Does depth change the limit direction of mirror descent on MNIST pairs?", True),
        ("Which direction does each potential choose, and does depth change it?", False),
        ("Do l_1.5, l_2 and l_3 mirror descent end in different directions, with and without depth?", False),
        ("What happens?", False),
    ],
)
def test_the_answer_begins_with_what_is_asked_first(question, first):
    assert answer.depth_is_asked_first(question) is first


def test_the_forecast_extrapolates_the_gap(tmp_path):
    cells = fake.grid_cells([{"lp": {"p": 3.0}}], depths=(1,), seeds=(0,), epochs=100)
    *_, results, master, summary = analysed(tmp_path, cells)
    (v,) = verdicts(results, master, summary)
    t, gap = results.curves.get(cells[0]["cell_id"], "epoch"), results.curves.get(cells[0]["cell_id"], "gap")
    s = -np.log(gap[-1] / gap[-10]) / np.log(t[-1] / t[-10])
    assert v.forecast.exponent == pytest.approx(s, rel=0.05)
    assert v.forecast.steps == pytest.approx(100 * (gap[-1] / 0.01) ** (1 / s), rel=0.3)


# the answer of whole runs


def test_the_answer_speaks_of_depth_limits_and_overlap(pairs):
    _, _, results, master, summary = pairs
    text = answer_text(results, master, summary)
    assert re.match(r"Depth does not change the limit direction in \d+ of 12 deep conditions: ", text)
    assert "reach the exact max-margin direction of the potential's own norm, with every run within 1° of it" in text
    assert "On MNIST 3 vs 5 (PCA 50) the classes overlap, so that there is no margin." in text
    assert re.search(r"mean of 3 runs, 95 % interval [\d.]+° to [\d.]+°", text)
    assert max(map(len, re.split(r"(?<=[a-z)])\. ", text))) < 400  # letters of a sentence


def test_numbers_of_the_depth_sentence_are_those_of_master(pairs):
    _, _, results, master, summary = pairs
    text = answer_text(results, master, summary)
    worst = master.groupby("condition_id")["angle_linear_md_equal_loss"].mean().max()
    angles = [float(v) for v in re.findall(r", by ([\d.]+)°", text)]
    assert any(abs(v - worst) <= 0.01 for v in angles)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"status": "diverged"}, "There is no answer: no run came through (18 diverged)"),
        (
            {"missing": [c["cell_id"] for c in fake.grid_cells()]},
            "There is no answer: no run came through (18 not run)",
        ),
        ({"status": "transient"}, "is open: in any of the 3 deep conditions"),
        ({"overlap": lambda c: True}, "so that there is no margin"),
        (
            {
                "nan_columns": [
                    "angle_max_margin",
                    "angle_svm",
                    "angle_logreg",
                    "angle_linear_md",
                    "angle_linear_md_equal_loss",
                ]
            },
            "remains open",
        ),
    ],
)
def test_hostile_runs_are_answered_honestly(tmp_path, options, words):
    *_, results, master, summary = analysed(tmp_path, fake.grid_cells(), **options)
    assert words in answer_text(results, master, summary)


def test_a_question_of_depth_is_not_answered_where_no_depths_are_compared(tmp_path):
    *_, results, master, summary = analysed(tmp_path / "a", fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)))
    text = answer_text(results, master, summary)
    assert text.startswith("Whether depth changes the limit direction cannot be said: the grid has no depth above 1.")
    assert "The 1 condition on separable data reaches the exact max-margin direction" in text
    *_, results, master, summary = analysed(tmp_path / "b", fake.grid_cells(["quadratic"], depths=(2,)))
    assert "no deep run has a linear companion" in answer_text(results, master, summary)


def test_runs_without_a_common_loss_are_left_out_of_the_comparison_at_equal_loss(tmp_path):
    *_, results, master, summary = analysed(tmp_path, fake.grid_cells(["quadratic", {"lp": {"p": 3.0}}]))
    deep = summary.index[(summary["depth"] == 2) & (summary["potential"] == "lp")]
    summary.loc[deep, ["angle_linear_md_equal_loss_mean", "angle_linear_md_equal_loss_n"]] = [179.0, 2]
    text = answer_text(results, master, summary)
    assert "179" not in text and "Not compared at equal loss: 1 deep condition, in which some runs" in text
    assert "(l3 at L = 2 on Gaussian (d = 20))" in text


def test_an_unfinished_run_is_answered_as_preliminary(tmp_path):
    cells = fake.grid_cells()
    *_, results, master, summary = analysed(tmp_path, cells, missing=[c["cell_id"] for c in cells[::3]])
    assert answer_text(results, master, summary).startswith("Preliminary, with 12 of 18 runs: depth does not change")


def test_quasi_separable_data_are_explained(tmp_path):
    run = fake.write_run(tmp_path / "20250319_paper", fake.grid_cells(["quadratic"], depths=(1,)))
    results = load(run)
    results.final[["separability", "status"]] = "quasi-separable"
    master = aggregate.master_table(results)
    text = answer_text(results, master, aggregate.summary_table(results, master))
    assert "only with margin zero" in text and "No limit direction is determined there" in text


def test_a_diverged_seed_keeps_a_condition_from_being_settled(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1,))
    *_, results, master, summary = analysed(tmp_path, cells, status={cells[0]["cell_id"]: "diverged"})
    (v,) = verdicts(results, master, summary)
    assert not v.converged and not v.reached and v.used == 2


def test_certainty_counts_certificates_and_what_is_lost(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=range(4))
    status = {cells[0]["cell_id"]: "failed", cells[1]["cell_id"]: "transient"}
    *_, results, master, _ = analysed(tmp_path, cells, status=status)
    text = macros.with_numbers(" ".join(certainty.certainty_sentences(results, master)))
    assert "6 of 7 runs on separable data (86 %)" in text and "7 of 7 runs" in text and "1 failed" in text


def test_what_is_said_to_hold_at_most_is_the_largest_of_all_runs(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=range(4))
    *_, results, master, _ = analysed(tmp_path, cells)
    master["exact_margin_gap"] = [3e-9, 2e-12, 4e-8, 5e-10, 6e-11, 1e-9, 7e-13, 8e-10]
    master["gap"] = np.array([0.2, 0.32, 0.04, 0.5, 0.77, 0.1, 0.6, 0.4]) / 100
    text = macros.with_numbers(" ".join(certainty.certainty_sentences(results, master)))
    assert re.search(r"duality gap[^;.]* 4\.0×10⁻⁸", text)
    assert re.search(r"median certified gap[^;]* is 0\.36 %, the largest 0\.77 %", text)


def test_means_that_are_called_the_largest_are(tmp_path):
    """Read back from the raw files: conditions differ, so that the least mean would be seen."""
    run, _, results, master, summary = analysed(tmp_path, fake.grid_cells())
    raw = pd.concat([pd.read_parquet(f) for f in run.glob("stacks/*/final.parquet")])
    text = answer_text(results, master, summary)
    equal_loss = r"[Aa]t equal loss R[^°]*(?:1°[^°]*)?, by ([\d.]+)°"
    means = raw[raw["depth"] == 2].groupby("condition_id")["angle_linear_md_equal_loss"].mean()
    (stated,) = re.findall(equal_loss, text)
    half = 0.51 * 10.0 ** -len(stated.partition(".")[2])
    assert abs(float(stated) - means.max()) <= half and means.max() - means.min() > 2 * half


def test_the_largest_is_taken_among_those_that_are_known():
    depth = SimpleNamespace(depth=2)
    some = [
        SimpleNamespace(e=Estimate(m, m, m, 3), potential=f"n{m:g}", condition=depth, facet="f")
        for m in (2.0, 5.0, float("nan"), 0.5)
    ]
    estimate, where = wording.largest(some, lambda v: v.e)
    assert estimate.mean == 5.0 and where == "n5 at L = 2 on f" and wording.largest(some[2:3], lambda v: v.e) is None


def test_seeds_that_change_nothing_are_said_to(tmp_path):
    *_, results, master, _ = analysed(tmp_path, fake.grid_cells(["quadratic"], depths=(1, 2)))
    assert certainty.identical_conditions(master) == 0
    linear = master["depth"] == 1
    columns = ["log_inverse_loss", "weight_norm", "angle_svm", "angle_logreg"]
    master.loc[linear, columns] = master.loc[linear, columns].iloc[0].to_numpy()
    assert certainty.identical_conditions(master) == 1
    assert "their spread of zero measures no uncertainty" in macros.with_numbers(
        " ".join(certainty.certainty_sentences(results, master))
    )


def test_one_seed_is_said_to_have_no_interval(tmp_path):
    *_, results, master, summary = analysed(tmp_path, fake.grid_cells(seeds=(0,)))
    assert "single seed" in macros.with_numbers(" ".join(certainty.certainty_sentences(results, master)))
    assert "(one run)" in answer_text(results, master, summary)


def test_a_run_without_ends_is_said_to_have_no_interval_at_all(tmp_path):
    *_, results, master, _ = analysed(tmp_path, fake.grid_cells(), status="diverged")
    text = macros.with_numbers(" ".join(certainty.certainty_sentences(results, master)))
    assert "18 diverged" in text and "ntervals" not in text


# sections and files


def test_sections_of_the_report(pairs):
    run, out, *_ = pairs
    report = build(run, out)
    assert list(report) == [
        "answer",
        "certainty",
        "waiting",
        "verdicts",
        "figures",
        "numbers",
        "norms",
        "methods",
        "provenance",
        "reproduce",
    ]
    rows = report["verdicts"].blocks[0].rows
    assert len(rows) == 24
    over = [r for r in rows if r[0] == "MNIST 3 vs 5, PCA 50"]
    assert len(over) == 6 and all(r[5] == "–" and r[6] == "none" for r in over)
    assert all("max-margin" not in r[4] for r in over)
    methods = report["methods"].markdown()
    for word in ("PCA", "Student's t", "ddof 1", "quadratic", "adaptive", "without bias", "10,000 steps"):
        assert word in methods
    assert "make paper GRID=runs_out/20250319_paper/grid.yaml TAG=paper-again" in report["reproduce"].markdown()
    assert "--print-to-pdf=analysis_results/paper/report.pdf" in report["reproduce"].markdown()


def test_angles_to_an_optimum_that_is_not_the_only_one_are_marked_among_the_numbers(tmp_path):
    run, out, *_ = analysed(tmp_path, fake.grid_cells(["quadratic", {"hypentropy": {"beta": 0.1}}]))
    table, below = build(run, out)["numbers"].blocks
    column = table.head.index("angle to the lp max-margin (degrees)")
    bound = table.head.index("certified bound of the angle to the lp max-margin (degrees)")
    for row in table.rows:
        several = row[1].startswith("hypentropy")
        assert [i for i, cell in enumerate(row) if "‡" in cell] == ([column] if several else [])
        assert (row[bound] == "–") == several
    assert "‡: the lp optimum of hypentropy, β = 0.1 is not proved to be the only one" in below.words


def test_no_place_of_this_machine_in_any_result(pairs):
    run, out, *_ = pairs
    publish(executed(build(run, out).values(), out / "report.ipynb"), out)
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".html", ".json", ".csv", ".ipynb", ".tex"):
            text = path.read_text(encoding="utf-8")
            for place in (str(run.parent), "/home/", str(Path.home()) + "/", str(NOTEBOOKS.parent)):
                assert place not in text, f"{path.name} names {place}"


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.ids, self.anchors, self.tags, self.open = [], set(), [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        for key in ("src", "href"):
            if attributes.get(key, "").startswith("#"):
                self.anchors.append(attributes[key][1:])
            elif key in attributes:
                self.links.append(attributes[key])
        self.ids.add(attributes.get("id"))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_one_file_without_network_and_well_formed(pairs):
    run, out, *_ = pairs
    text = publish(executed(build(run, out).values(), out / "report.ipynb"), out)[0].read_text()
    page = _Page()
    page.feed(text)
    assert page.open == [] and all(link.startswith("data:") for link in page.links)
    assert set(page.anchors) <= page.ids and len(set(page.anchors)) >= 10  # in the navigation and at each heading
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    assert 'name="viewport"' in text and "@media print" in text and "show(section)" not in text  # code is hidden


def test_user_text_is_escaped_everywhere(tmp_path):
    cells = fake.grid_cells([{"my_file:A<i>_%": {"a": 1}}, "quadratic"], datasets=[{"dataset": {"name": "x:<u>|d"}}])
    run, out, *_ = analysed(tmp_path, cells, question=NASTY, status={cells[0]["cell_id"]: "failed"})
    html_file, md_file, _ = publish(executed(build(run, out).values(), out / "report.ipynb"), out)
    text = html_file.read_text()
    assert "alert(1)" in text and "<script>alert" not in text and "<b>50" not in text and "<u>" not in text
    markdown = md_file.read_text()
    assert r"\<b\>50 %" in markdown and r"A\_b" in markdown and r"\`worse\`" in markdown


def test_escape_marks_norms_and_md_keeps_letters():
    assert escape("the l2 and lp margin of help2 & l1.5") == (
        "the ℓ<sub>2</sub> and ℓ<sub>p</sub> margin of help2 &amp; ℓ<sub>1.5</sub>"
    )
    assert md("a|b_c*") == r"a\|b\_c\*"
    assert Code("```x```").markdown().startswith("````")


def test_tables_sort_by_numbers_and_nan_has_no_key():
    text = Table(["a"], [["1"], ["2"]], [[0.5], [float("nan")]]).html()
    assert 'data-key="0.5"' in text and 'data-key=""' in text


def test_publish_wants_an_executed_notebook(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "report.ipynb")
    with pytest.raises(ValueError, match="expected it executed"):
        publish(tmp_path / "report.ipynb", tmp_path)


def test_clean_takes_times_and_random_ids_away(tmp_path):
    file = executed([Section("a", "A", [Text("x")])], tmp_path / "n.ipynb")
    one, two = (nbformat.writes(clean(nbformat.read(file, 4))) for _ in range(2))
    assert one == two and "papermill" not in one and "start_time" not in one


def test_the_same_report_twice_but_for_the_date(pairs, tmp_path):
    run, out, *_ = pairs
    texts = []
    for name in ("a", "b"):
        place = tmp_path / name / "out"
        shutil.copytree(out, place)
        paths = publish(executed(build(run, place).values(), place / "report.ipynb"), place)
        texts.append([re.sub(r"\d{4}-\d{2}-\d{2}", "DATE", p.read_text()) for p in paths])
    assert texts[0] == texts[1]


def test_provenance_file(pairs):
    run, out, *_ = pairs
    build(run, out)
    record = json.loads((out / "provenance.json").read_text())
    assert record["training"]["commit"] == "0123abc" and record["cells"] == 72 and record["run"] == "20250319_paper"
    assert re.fullmatch(r"[0-9a-f]{64}", record["sha256"]["master.csv"])


def test_what_is_wrong_with_the_files_is_on_the_report(tmp_path):
    run = fake.write_run(tmp_path / "20250319_paper", fake.grid_cells(), per_stack=6)
    (run / "stacks" / "stack-000" / "history.parquet").write_bytes(b"broken")
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "figures" / collection.INDEX).write_text('{"figures": [], "absent": []}')
    report = build(run, tmp_path / "out")
    assert "stack-000" in report["certainty"].markdown()
    lost = report["waiting"].blocks[-1]
    assert lost.head[4] == "not run" and [row[4] for row in lost.rows] == ["3", "3"]


def test_figures_are_inline_in_html_and_linked_in_markdown(tmp_path):
    run, out, *analysis = analysed(tmp_path, fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)), figures=True)
    collection.write(Study(*analysis, Options(figures=["margins_vs_epochs", "norm_balance_heatmap"])), out)
    report = build(run, out)
    assert report["figures"].html().count("data:image/png;base64,") == len(list((out / "figures").glob("*.png"))) == 1
    for name in re.findall(r"\]\((figures/[^)]+)\)", report["figures"].markdown()):
        assert (out / name).is_file()
    assert "the grid has no depth above 1" in report["figures"].markdown()


# notebooks


@pytest.mark.parametrize("name", ["aggregate", "figures", "report"])
def test_notebooks_are_short_and_clean(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    nbformat.validate(notebook)
    assert 5 <= len(notebook.cells) <= 10
    parameters = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1 and {"input_dir", "output_dir"} <= set(
        re.findall(r"^(\w+) =", parameters[0].source, re.M)
    )
    for cell in notebook.cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
        assert len(cell.source.splitlines()) <= 12 and not re.search(r"^\s*(def|class|for .*:$\n.*\n.*\n)", cell.source)


def test_a_notebook_opened_by_hand_takes_the_newest_run(tmp_path, monkeypatch):
    for name in ("20250101_a", "20250202_b_c"):
        fake.write_run(tmp_path / "runs_out" / name, fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)))
    monkeypatch.setattr(publishing, "repository", lambda: tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run, out = publishing.choose()
    assert run.name == "20250202_b_c" and out.name == "b_c" and out.is_dir() and not list(out.iterdir())
    for _ in range(2):  # the second notebook goes on where the first one wrote
        assert publishing.choose(str(tmp_path / "runs_out" / "20250101_a"), str(tmp_path / "o"))[1] == tmp_path / "o"
        (tmp_path / "o" / "master.csv").touch()
    with pytest.raises(FileExistsError, match="holds files"):
        publishing.choose(str(run), str(tmp_path / "runs_out"))


@pytest.mark.slow
def test_the_three_notebooks_end_to_end(tmp_path):
    from mdcore.run_analysis import main

    run = fake.write_run(tmp_path / "20250319_paper", fake.grid_cells(datasets=[{"dataset": fake.PLANTED}]))
    for name in ("a", "b"):
        assert main(["--input_dir", str(run), "--output_dir", str(tmp_path / name / "paper")]) == 0
    one, two = tmp_path / "a" / "paper", tmp_path / "b" / "paper"
    assert len(pd.read_csv(one / "master.csv")) == 18
    for name in (
        "summary.csv",
        "report.md",
        "report.html",
        "report.ipynb",
        "provenance.json",
        "tables/preview.tex",
        "figures/decision_boundaries.pdf",
        "figures/angles_vs_epochs.png",
    ):
        assert (one / name).stat().st_size > 0
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    dates = re.compile(rb"\d{4}-\d{2}-\d{2}")
    for name in files:
        assert dates.sub(b"", (one / name).read_bytes()) == dates.sub(b"", (two / name).read_bytes()), name
    assert str(tmp_path) not in (one / "report.ipynb").read_text() + (one / "report.html").read_text()


CHROMIUM = next((c for c in ("chromium", "chromium-browser", "google-chrome") if shutil.which(c)), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not opened")
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_opens_the_page_without_complaint(tmp_path, width):
    run, out, *_ = analysed(tmp_path, fake.grid_cells(["quadratic", {"lp": {"p": 3.0}}], seeds=(0, 1)), figures=True)
    page = publish(executed(build(run, out).values(), out / "report.ipynb"), out)[0]
    probe = (
        "<script>addEventListener('load',function(){var h=document.querySelectorAll('#numbers th')[4];h.click();"
        "document.title='wide='+(document.documentElement.scrollWidth-innerWidth)+' sorted='"
        "+h.getAttribute('aria-sort')+' images='+[].every.call(document.images,function(i){return i.naturalWidth>0});"
        "});</script></body>"
    )
    page.write_text(page.read_text().replace("</body>", probe))
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            f"--window-size={width},900",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout).group(1)
    assert title == "wide=0 sorted=ascending images=true" or re.fullmatch(
        r"wide=-\d+ sorted=ascending images=true", title
    ), title
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not printed")
def test_a_browser_prints_the_report_as_pdf(tmp_path):
    run, out, *_ = analysed(tmp_path, fake.grid_cells(["quadratic"], seeds=(0, 1)), figures=True)
    report = build(run, out)
    publish(executed(report.values(), out / "report.ipynb"), out)
    (line,) = [k for k in report["reproduce"].blocks[-1].text.splitlines() if k.startswith("chromium ")]
    options = [k.replace("analysis_results/paper", str(out)) for k in line.split()[1:]]
    command = [CHROMIUM, "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    data = (out / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF") and len(data) > 50_000


# comparing runs


def test_compare_says_what_changed(tmp_path):
    fake.write_run(tmp_path / "20250319_a", fake.grid_cells())
    fake.write_run(tmp_path / "20250319_b", fake.grid_cells(epochs=20000), git="fedcba9")
    section, table = compare.summary(load(tmp_path / "20250319_a"), load(tmp_path / "20250319_b"))
    text = section.markdown()
    assert "epochs is 10000 in a and 20000 in b" in text and "commit: 0123abc in a, fedcba9 in b" in text
    assert len(table) == 6 and (table["gap_mean"] < 0).all() and (table["steps_mean"] == 10000).all()


def test_compare_a_run_with_itself_finds_the_same_numbers(tmp_path):
    run = load(fake.write_run(tmp_path / "20250319_a", fake.grid_cells()))
    changes, different, only_a, only_b = compare.compare(run, run)
    assert all(c.same and c.n == 3 for c in changes) and not (different or only_a or only_b)
    assert "6 of them every run" in compare.summary(run, run)[0].markdown()


def test_compare_pairs_by_seed_and_names_what_is_in_one_only(tmp_path):
    a = load(fake.write_run(tmp_path / "20250319_a", fake.grid_cells(["quadratic", "scaled"], seeds=(0, 1, 2))))
    b = load(
        fake.write_run(tmp_path / "20250319_b", fake.grid_cells(["quadratic", {"lp": {"p": 3.0}}], seeds=(1, 2, 3)))
    )
    changes, _, only_a, only_b = compare.compare(a, b)
    assert [c.n for c in changes] == [2, 2] and all(c.same for c in changes)
    assert {c.label for c in only_a} == {"scaled"} and {c.label for c in only_b} == {"lp3"}
    text = compare.summary(a, b)[0].markdown()
    assert "Seeds only in a: 0." in text and "Seeds only in b: 3." in text


def test_compare_counts_changed_ends(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1,))
    a = load(fake.write_run(tmp_path / "20250319_a", cells))
    b = load(fake.write_run(tmp_path / "20250319_b", cells, status={cells[0]["cell_id"]: "diverged"}))
    (change,) = compare.compare(a, b)[0]
    assert (change.status_a, change.status_b) == ("3 converged", "2 converged, 1 diverged")
    assert change.stats["gap_n"] == 2 and change.stats["gap_mean"] == 0.0


def test_compare_command(tmp_path, capsys):
    for name in ("20250319_a", "20250320_b"):
        fake.write_run(tmp_path / "runs" / name, fake.grid_cells(["quadratic"], depths=(1,)))
    directories = ["--runs_dir", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "out")]
    assert run_compare.main(["--tags", "a", "b", *directories]) == 0
    assert (tmp_path / "out" / "compare_a_b" / "changes.csv").is_file()
    output = capsys.readouterr().out
    assert (
        output.startswith("From a to b\n===========\n\n- 1 conditions are in both; in 1 of them") and "**" not in output
    )
    assert run_compare.main(["--tags", "a", "nowhere", *directories]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_table_fits_the_terminal_and_loses_nothing():
    rows = [["MNIST 0 vs 1", "lp, L = 2", "3", "3 converged → 2 converged", "+0.0031 *", "−0.1"], ["G", "q", *"1abc"]]
    table = Table(["data", "condition", "n", "runs", "certified gap", "angle to linear MD, equal loss"], rows)
    for width in (55, 60, 200):
        parts = terminal.table(table, width)
        assert (len(parts) == 1) == (width == 200) and all(len(line) <= width for p in parts for line in p.splitlines())
        assert all(part.splitlines()[-2].startswith("MNIST 0 vs 1  lp, L = 2") for part in parts)
        assert all(any(cell in part for part in parts) for row in rows for cell in row)
    first, second = parts[0].splitlines()[-2:]
    assert first.rstrip().endswith("−0.1") and len(second) == len(first)  # numbers stand at the right


def test_tables_and_report_do_not_depend_on_the_order_of_the_manifest(tmp_path):
    cells = fake.grid_cells(seeds=(0, 1))
    texts = []
    for name, order in (("a", cells), ("b", cells[::-1])):
        _, out, results, master, summary = analysed(tmp_path / name, order)
        statistics_tables.write(results, master, summary, out)
        texts.append(
            [p.read_text() for p in sorted((out / "tables").glob("*.tex"))] + [(out / "summary.csv").read_text()]
        )
    assert texts[0] == texts[1]


def test_input_of_the_verdicts_is_enough_for_a_run_without_companions(tmp_path):
    *_, results, master, summary = analysed(tmp_path, fake.grid_cells(depths=(2, 3)))
    all_verdicts = verdicts(results, master, summary)
    assert all(v.limit_changed == "" and v.path_changed in ("no", "yes", "open") for v in all_verdicts)
    assert "t equal loss R" in answer_text(results, master, summary)


def test_conditions_are_named_alike_whatever_the_seed():
    cells = [{"cell_id": f"c{s}", "config": fake.config(seed=s)} for s in (3, 1)]
    (condition,) = conditions_of(cells)
    assert list(condition.cells) == [1, 3] and SimpleNamespace(**condition.flat).depth == 1
