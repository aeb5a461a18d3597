"""Sections of the report from verdicts and results by hand: whole rows, keys and sentences."""

import json
from types import SimpleNamespace

import fake_run as fake
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.data.directions import MAX_MARGIN, MINIMISER, NO, OPEN, YES
from mdcore.analysis.figures import collection
from mdcore.analysis.report import sections, verdict_sections
from mdcore.analysis.report.document import Bullets, Code, Figure, Folded, Section, Table, Text
from mdcore.analysis.report.findings import certainty
from mdcore.analysis.report.findings.verdicts import Estimate, Forecast
from mdcore.analysis.tables.statistics_tables import FEWER
from tests.support.made_verdicts import verdict

NAN = float("nan")


def test_what_has_not_converged():
    late = Forecast(0.5, 4e4, 4.0, NAN)
    verdicts = [
        verdict(counts={"transient": 2, "converged": 1}, gap=Estimate(0.02, n=3, max=0.031), forecast=late),
        verdict("lp", used=1, n=4, counts={"converged": 1, "failed": 2, "missing": 1}, messages=["no", "no", "why"]),
    ]
    _, waiting, _, lost = verdict_sections.waiting_section([*verdicts, verdicts[0]]).blocks
    assert waiting.rows == [
        ["quadratic, L = 1", "Gaussian, d = 20", "2 of 3", "2.0 %", "3.1 %", certainty.forecast_sentence(late)]
    ]
    assert waiting.keys == [["quadratic, L = 1", "Gaussian, d = 20", 2.0, 0.02, 0.031, 4e4]]
    assert lost.rows == [["lp, L = 1", "Gaussian, d = 20", "2", "0", "1", "no and why"]]
    (words,) = verdict_sections.waiting_section([verdict(), verdict("lp", separability="overlapping")]).blocks
    assert words.words.startswith("Nothing: the margin of every run")
    (words,) = verdict_sections.waiting_section([verdict(separability="overlapping")]).blocks
    assert words.words.startswith("No run failed or diverged.")


@pytest.mark.parametrize(
    ("messages", "why"), [([], "–"), (["a", "b", "c"], "a, b and c"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_why_runs_have_no_usable_end(messages, why):
    (_, lost) = verdict_sections.waiting_section([verdict(used=2, messages=messages), verdict("lp")]).blocks
    assert lost.rows == [["quadratic, L = 1", "Gaussian, d = 20", "0", "0", "0", why]]


def test_gaps_of_waiting_runs_are_rounded_up_and_sort_last_without_a_forecast():
    one = verdict(counts={"transient": 3}, gap=Estimate(0.02, n=3, max=0.0311))
    _, waiting = verdict_sections.waiting_section([one]).blocks
    assert waiting.rows[0][2:] == ["3 of 3", "2.0 %", "3.2 %", certainty.forecast_sentence(None)]
    assert waiting.keys[0][2:5] == [3.0, 0.02, 0.0311] and np.isnan(waiting.keys[0][5])


def end(bound=0.5, reference=(MAX_MARGIN, 2.0), certified=True, known=True):
    return SimpleNamespace(reference=reference, certified=certified, known=known, bound=bound)


@pytest.mark.parametrize(
    ("more", "direction", "bound"),
    [
        ({}, "l2 max-margin (hard-margin SVM)", "0.500"),
        (
            {"ends": [end(0.2), end(0.71), end(0.3, known=False)]},
            "l2 max-margin (hard-margin SVM)",
            "0.710 in 2 of 3 runs",
        ),
        (
            {"ends": [end(0.4, (MINIMISER,), False)], "separability": "overlapping", "bound": 0.4},
            "logistic minimiser, measured to within 0.40°",
            "none",
        ),
        ({"used": 0, "ends": []}, "no usable run", "none"),
        (
            {"reached": False},
            "not determined: the bound is wider than 1°; l2 max-margin at up to 0.41°, as measured",
            "0.500",
        ),
        (
            {"reached": False, "why": "so", "unique": False, "limit_p": 1.0},
            "not determined: so; one l1 max-margin at up to 0.41°, as measured",
            "0.500",
        ),
        ({"reached": False, "why": "so", "angle": Estimate()}, "not determined: so", "0.500"),
    ],
)
def test_which_direction_and_how_sure(more, direction, bound):
    table = verdict_sections.verdict_section([verdict(**more)]).blocks[0]
    assert (table.rows[0][4], table.rows[0][6]) == (direction, bound)


@pytest.mark.parametrize(
    ("more", "limit", "path"),
    [
        ({"depth": 1}, "–", "–"),
        ({"linear": ""}, "no linear runs in the grid", "no common loss"),
        ({"limit_changed": NO, "limit_pairs": [NO] * 3}, "same", "no common loss"),
        (
            {"limit_changed": OPEN, "limit_pairs": [NO, YES, OPEN]},
            "open (different in 1 of 3 pairs, same in 1 of 3 pairs)",
            None,
        ),
        ({"limit_changed": OPEN, "limit_pairs": [OPEN]}, "open", None),
        (
            {"limit_changed": YES, "equal_loss": Estimate(3.0, 2.9, 3.1, 3), "path_changed": YES},
            "different",
            "3.00 ± 0.10",
        ),
        (
            {
                "limit_changed": YES,
                "equal_loss": Estimate(3.0, 2.5, 3.5, 3),
                "path_changed": OPEN,
                "path_pairs": [YES, NO],
            },
            "different",
            "3.0 ± 0.5; over 1° in 1 of 2 runs",
        ),
    ],
)
def test_did_depth_change_limit_and_path(more, limit, path):
    table = verdict_sections.verdict_section([verdict(**{"depth": 2} | more)]).blocks[0]
    assert table.rows[0][8] == limit and (path is None or table.rows[0][9] == path)


def test_rows_and_keys_of_the_verdicts():
    """Gaps and bounds are never rounded down; what has no bound sorts as nothing, whatever was measured."""
    deep = verdict(
        depth=2, counts={"converged": 2, "transient": 1, "failed": 0}, gap=Estimate(0.02, n=3, max=0.0200001),
        ends=[end(0.2), end(0.50001), end(0.3)], bound=0.50001, linear_ends=Estimate(2.0, 1.0, 3.0, 3),
        equal_loss=Estimate(4.0, 3.0, 5.0, 3), limit_changed=NO, limit_pairs=[NO] * 3, path_changed=YES,
    )  # fmt: skip
    over = verdict("lp", facet="x", separability="overlapping", ends=[end(0.4, (MINIMISER,), False)], bound=0.4)
    over.gap = Estimate()
    table, rules = verdict_sections.verdict_section([deep, over]).blocks
    target = "l2 max-margin (hard-margin SVM)"
    assert table.rows == [
        ["Gaussian, d = 20", "quadratic", "2", "2 converged, 1 transient", target, "2.01", "0.501", "2.0 ± 1.0",
         "same", "4.0 ± 1.0"],
        ["x", "lp", "1", "3 converged", "logistic minimiser, measured to within 0.40°", "–", "none", "–", "–", "–"],
    ]  # fmt: skip
    first, second = table.keys
    assert first == [*table.rows[0][:2], 2.0, *table.rows[0][3:5], pytest.approx(2.00001), 0.50001, 2.0, "same", 4.0]
    assert second[:5] == ["x", "lp", 1.0, *table.rows[1][3:5]] and second[8] == "–"
    assert np.isnan([second[i] for i in (5, 6, 7, 9)]).all() and len(rules.items) == 3
    assert verdict_sections.verdict_section([]).blocks == [Text("The run has no conditions.")]


@pytest.mark.parametrize(("many", "more"), [(0, ""), (1, ""), (30, ""), (31, "and 1 more.")])
def test_problems_with_the_files(many, more):
    results = SimpleNamespace(problems=[f"problem {i}" for i in range(many)])
    blocks = sections.certainty_section(results, ["Sure."] if many else []).blocks
    if not many:
        assert [b.words for b in blocks] == ["Nothing came through, so there is nothing to be sure of."]
        return
    assert blocks[1].words == f"{many} problem{'s' * (many > 1)} with the files of this run:"
    assert len(blocks[2].items) == min(many, 30) and [b.words for b in blocks[3:]] == [more] * bool(more)


def test_a_record_as_rows():
    record = {"a": 1, "b": {"c": {"d": 2, "e": 3}, "f": [1, 2], "g": {"h": {"i": 4}}}, "j": {"k": 5}}
    assert sections.record_rows(record) == [
        ["a", "1"], ["b.c", "d 2, e 3"], ["b.f", "1, 2"], ["b.g.h", "i 4"], ["j.k", "5"]]  # fmt: skip


def test_figures_have_numbers_and_albums_their_pages(tmp_path):
    figure = {"caption": "C.", "alt": "A", "notes": ["n"]}
    album = {"section": "Loss & angle", "name": "x_more", "captions": ["c"], "first": 3}
    index = {
        "figures": [figure | {"name": n, "section": s} for n, s in (("a", "One"), ("b", "Two"), ("c", "One"))],
        "albums": [album, album | {"first": 4, "captions": ["d", "e"]}],
        "absent": [{"name": "z", "reason": "no data"}],
    }
    a, b, c = (Figure(tmp_path / "figures" / f"{name}.png", "C.", "A", i) for name, i in (("a", 1), ("b", 3), ("c", 2)))
    ending = "in figures/x_more.pdf, with these captions"
    assert sections.figures_section(tmp_path, index) == Section(
        "figures",
        "Figures",
        [
            Section("figures-notes", "How to read them", [Bullets(["n"])], 3),
            Section("figures-one", "One", [], 3), a, c,
            Section("figures-two", "Two", [], 3), b,
            Section("figures-loss-angle", "Loss & angle", [], 3),
            Folded(f"Page 3 is {ending}", [Bullets(["c"])]),
            Folded(f"Pages 4 to 5 are {ending}", [Bullets(["d", "e"])]),
            Section("figures-absent", "Not drawn", [Bullets(["z: no data."])], 3),
        ],
    )  # fmt: skip
    nothing = sections.figures_section(tmp_path, {"figures": [], "absent": []}).blocks
    assert nothing == [Text("No figure could be drawn.")]


def results_of(**more):
    conditions = [
        SimpleNamespace(id="a", words="quadratic", depth=1, cells={0: "", 1: ""}, data_key="G", potential_key="q"),
        SimpleNamespace(id="b", words="cosh", depth=2, cells={0: "", 1: ""}, data_key="G", potential_key="c"),
    ]
    facets = [SimpleNamespace(title="Gaussian", conditions=conditions)]
    base = {"question": "Why?", "mixed": "", "user_metrics": [], "cells": [0] * 4, "problems": []}
    base |= {"conditions": conditions, "facets": facets, "ambiguous": lambda c: c.id == "b"}
    return SimpleNamespace(**base | more)


@pytest.mark.parametrize(
    ("more", "sentences", "first", "rest"),
    [
        ({}, ["So.", "And.", "Or."], [Text("Question. Why?")], [Bullets(["And.", "Or."])]),
        ({"mixed": "Two commits."}, ["So.", "And."], [Text("Two commits.", True), Text("Question. Why?")],
         [Bullets(["And."])]),
        ({"question": ""}, ["So."], [Text("Question. The grid states no question.")], []),
    ],
)  # fmt: skip
def test_the_answer_leads_and_the_rest_follows(more, sentences, first, rest):
    size = Text("4 runs: 2 conditions on 1 data set, 2 seeds each.")
    made = sections.answer_section(results_of(**more), sentences)
    assert made == Section("answer", "Answer", [*first, Text("So.", lead=True), *rest, size])


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("margin_ratio", "share of the exact margin (%)"),
        ("gap", "certified gap (%)"),
        ("angle_svm", "angle to the SVM (degrees)"),
        ("train_accuracy", "train accuracy ↑"),
        ("gap_of_mine", "gap of mine"),
    ],
)
def test_titles_of_the_columns_of_numbers(name, title):
    assert sections.shown_axis(name) == title


def test_the_numbers_of_every_condition():
    """A column without a number is left out; ‡ and § stand at their cells; keys sort by what is shown."""
    base = {"depth": 1, "n": 2, "n_used": 2, "n_failed": 0, "n_diverged": 0, "n_missing": 0}
    some = {"angle_max_margin": (2.0, 0.5, 2.5), "angle_bound": (3.0, 1.0, 3.456), "gap": (NAN, NAN, NAN)}
    some |= {"norm_balance": (1.5, 0.1, 1.6), "margin_ratio": (0.5, 0.1, 0.6)}
    stats = {f"{m}_{k}": v for m, of in some.items() for k, v in zip(("mean", "std", "max"), of, strict=True)}
    stats |= {f"{m}_n": 2 for m in some}
    first = base | stats | {"condition_id": "a", "margin_ratio_n": 1}
    second = base | stats | {"condition_id": "b", "depth": 2, "n_used": 1, "n_failed": 1}
    made = sections.numbers_section(results_of(), pd.DataFrame([second, first]))
    table, below = made.blocks
    shown = ["angle_max_margin", "margin_ratio", "angle_bound", "norm_balance"]
    assert table.head == ["data", "potential", "L", "n", *map(sections.shown_axis, shown)]
    assert table.rows == [
        ["Gaussian", "quadratic", "1", "2", "2.0 ± 0.5", "50 ± 10 §", "3.46", "–"],
        ["Gaussian", "cosh", "2", "1/2 (1 failed)", "2.0 ± 0.5 ‡", "50 ± 10", "3.46", "1.50 ± 0.10"],
    ]
    assert table.keys == [
        ["Gaussian", "quadratic", 1.0, 2.0, 2.0, 0.5, 3.456, pytest.approx(NAN, nan_ok=True)],
        ["Gaussian", "cosh", 2.0, 1.0, 2.0, 0.5, 3.456, 1.5],
    ]
    assert table.caption == (
        "Mean ± standard deviation over n seeds. L is the depth, p the potential's own; the bound of the angle is the "
        f"largest over seeds. {FEWER}"
    )
    assert below.words.startswith("‡: the lp optimum of cosh is") and "summary.csv" in below.words
    none = pd.DataFrame([first | {"angle_max_margin_n": 0}, second | {"angle_max_margin_n": 0}])
    unmarked = sections.numbers_section(results_of(), none).blocks[0]
    assert not any("‡" in cell for row in unmarked.rows for cell in row)
    whole = sections.numbers_section(results_of(ambiguous=lambda c: False), pd.DataFrame([first, second])[[*first]])
    assert whole.blocks[1].words.startswith("All metrics are in summary.csv")
    equal = pd.DataFrame([first | {"margin_ratio_n": 2}, second])
    assert sections.numbers_section(results_of(), equal).blocks[0].caption.endswith("is the largest over seeds.")


@pytest.mark.parametrize("drawn", [True, False])
def test_figures_that_are_there_are_not_drawn_again(tmp_path, monkeypatch, drawn):
    run, out = fake.write_run(tmp_path / "20250319_small", fake.grid_cells(["quadratic"], (1,), (0,))), tmp_path / "out"
    index = {"figures": [], "absent": [{"name": "z", "reason": "as said"}]}
    asked = []
    monkeypatch.setattr(collection, "write", lambda *of: asked.append(of) or index)
    if drawn:
        (out / "figures").mkdir(parents=True)
        (out / "figures" / collection.INDEX).write_text(json.dumps(index))
    report = sections.build(run, out)
    assert bool(asked) != drawn and report["figures"] == sections.figures_section(out, index)
    assert [type(b) for b in report["provenance"].blocks] == [Text, Table, Folded]
    (shown,) = report["provenance"].blocks[2].blocks
    assert shown.language == "yaml" and shown.text.startswith("fixed: {}")
    assert report["reproduce"].blocks[1] == Code(report["reproduce"].blocks[1].text, "sh")
    assert all(s.level == 2 and s.key == key for key, s in report.items())


@pytest.mark.parametrize(("inches", "wide"), [(3.25, False), (6.75, True)])
def test_a_figure_of_two_columns_takes_the_width_of_the_page(tmp_path, inches, wide):
    plt.figure(figsize=(inches, 1)).savefig(tmp_path / "a.png", dpi=300)
    plt.close()
    assert ('class="wide"' in Figure(tmp_path / "a.png", "C.", "A").html()) == wide
