"""Sentences and sections of the report from verdicts by hand: where one way of saying it ends and another begins."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.data.directions import MAX_MARGIN, MINIMISER, NO, OPEN, YES
from mdcore.analysis.report import sections, verdict_sections
from mdcore.analysis.report.document import Figure, Section, Table
from mdcore.analysis.report.findings import certainty, wording
from mdcore.analysis.report.findings.macros import macros, number_as_latex, plain_text, with_macros
from mdcore.analysis.report.findings.verdicts import Estimate, Forecast
from tests.support.made_verdicts import verdict

NAN, INF = math.nan, math.inf
TO = "the gap falls like the number of steps to the power −"


@pytest.mark.parametrize(
    ("forecast", "said"),
    [
        (Forecast(0.02, 1e5, 10.0, 1.0), "not falling"),
        (Forecast(0.021, 1e5, 10.0, NAN), TO + "0.02: about 100,000 steps in all, 10.0 times as many"),
        (Forecast(0.5, INF, 10.0, 1.0), "not falling"),
        (Forecast(0.5, 1e5, 10.1, 3.0), TO + "0.50: about 100,000 steps in all, 10 times as many, 3 s a run"),
        (Forecast(0.5, 1e8, 1e4, NAN), TO + "0.50: about 1.0×10⁸ steps in all, 10,000 times as many"),
        (Forecast(0.5, 12345, 123.4, NAN), TO + "0.50: about 12,000 steps in all, 120 times as many"),
        (Forecast(0.5, 1e8, 1e4 + 0.5, NAN), TO + "0.50: about 10,000 times as many steps, which is out of reach"),
        (Forecast(0.5, 1e8, 11234, NAN), TO + "0.50: about 11,000 times as many steps, which is out of reach"),
    ],
)
def test_where_forecasts_end(forecast, said):
    told = certainty.forecast_sentence(forecast)
    assert told.startswith(said) if said.startswith(TO) and "reach" in said else (said == told or said in told[:22])


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (Estimate(9e-7, 8e-7, 9.9e-7, 2), "under 10⁻⁶° (mean of 2 runs)"),
        (Estimate(1e-6, 1e-6, 1e-6, 2), "1.0×10⁻⁶° (identical in all 2 runs)"),
        (Estimate(1.0, 1.0, 1.0 + 0.9e-9, 3), "1.0° (identical in all 3 runs)"),
        (Estimate(1.0, 1.0, 1.0 + 1e-8, 3), "1.000° (mean of 3 runs, 95 % interval 1.000° to 1.000°)"),
        (Estimate(0.05, 0.049997, 0.050003, 3), "0.05000° (mean of 3 runs, 95 % interval 0.05000° to 0.05000°)"),
        (Estimate(50.0, 49.9999, 50.0001, 3), "50.00° (mean of 3 runs, 95 % interval 50.00° to 50.00°)"),
        (Estimate(0.0, 0.0, 2e-6, 3), "0.0000000° (mean of 3 runs, 95 % interval 0.0000000° to 0.0000020°)"),
    ],
)
def test_degrees_at_the_edges(e, text):
    assert plain_text(wording.degrees(e, "A", "angle")) == text


def test_what_a_sentence_speaks_of():
    assert (wording.plural(1, "run"), wording.plural(1234, "run"), wording.plural(2, "is", "are")) == (
        "1 run",
        "1,234 runs",
        "2 are",
    )
    assert wording.listed(list("abcde")) == "a, b, c, d and e" and wording.listed(list("abcd"), 2) == "a, b and 2 more"
    some = [verdict(p, d) for p in ("lp, p = 3", "quadratic") for d in (2, 10)]
    assert wording.scope(some) == "l3 and quadratic at L = 2 and 10 on Gaussian (d = 20)"
    many = [verdict("quadratic", i + 1, f"data {i}") for i in range(5)]
    assert wording.scope(many[:3]) == "; ".join(f"quadratic at L = {i + 1} on data {i}" for i in range(3))
    assert wording.scope(many[:4], many) == "all but quadratic at L = 5 on data 4"
    assert wording.scope(many[:4], many[:4]) == wording.named(many[:4])  # all of them
    assert wording.scope(many[:3], many).startswith("quadratic at L = 1")  # short as it is
    more = [verdict("quadratic", i + 1, f"more {i}") for i in range(4)]
    assert wording.scope(many, many + more) == wording.named(many)  # the others are no shorter
    assert wording.scope(many, many + more[:3]).startswith("all but ")
    same = [verdict("quadratic", i + 1, "other") for i in range(4)]
    assert wording.scope(many[:4], many[:4] + same) == wording.named(many[:4])  # as many as are meant
    assert wording.scope(many[:4], many[:4] + same[:3]) == "all but quadratic at L = 1, 2 and 3 on other"
    assert wording.scope(many[:4]) == wording.named(many[:4]) and wording.named(many[:4]).count(";") == 3
    assert wording.named(many).endswith("; and 2 more") and wording.named(many).count(" at L = ") == 3
    assert (
        wording.data_listed(["MNIST 0 vs 1, PCA 50", "MNIST 0 vs 1, PCA 200", "x"])
        == "MNIST 0 vs 1 (PCA 50 and PCA 200) and x"
    )
    assert wording.potential_of(verdict("my, a = 1, b = 2")) == "my with a = 1, b = 2"
    assert len(wording.distinct([some[0], some[0], some[1]])) == 2 and (wording.is_or_are(1), wording.is_or_are(2)) == (
        "is",
        "are",
    )


def test_numbers_become_macros():
    said = [wording.counted(1, "Runs", "run") + " and " + wording.in_degrees("0.31°", "Angle", "the angle")]
    assert macros(said) == {"Runs": ("1", "number of runs"), "Angle": ("0.31", "the angle, degrees")}
    assert plain_text(said[0]) == "1 run and 0.31°" and with_macros(said[0]).startswith(
        r"\mdcoreRuns{} run and \mdcoreAngle{}"
    )
    assert [number_as_latex(t) for t in ("10⁵", "−3×10¹²", "1,234", "3 of 4 runs", "a_b")] == [
        r"\ensuremath{10^{5}}", r"\ensuremath{-3\times 10^{12}}", r"\ensuremath{1{,}234}",
        r"\ensuremath{3} of \ensuremath{4} runs", r"a\_b"]  # fmt: skip


def master_of(**columns):
    """Four runs of two conditions, converged on separable data unless told otherwise."""
    base = {
        "condition_id": ["a", "a", "b", "b"], "status": ["converged"] * 4, "separability": ["separable"] * 4,
        "gap": [0.001, 0.002, 0.004, 0.009],
        "margin_lp": [1.0] * 4, "exact_margin": [1.0] * 4, "gamma_bound": [1.0] * 4,
        "exact_margin_gap": [1e-9] * 4, "log_inverse_loss": [1.0, 2, 3, 3], "weight_norm": [1.0, 2, 3, 3],
        "angle_svm": [1.0, 2, 3, 3], "angle_logreg": [1.0, 2, NAN, NAN],
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def certain(master, seeds=(2, 2)):
    results = SimpleNamespace(conditions=[SimpleNamespace(cells=dict.fromkeys(range(k))) for k in seeds])
    return [plain_text(s) for s in certainty.certainty_sentences(results, master)]


def test_how_sure_it_is():
    first, solver, interval, same = certain(master_of())
    assert first.startswith("4 of 4 runs on separable data (100 %) carry a certificate")
    assert "at most 1.0 % of the largest" in first and first.endswith(
        "The median certified gap of these runs is 0.30 %, the largest 0.90 %."
    )
    assert "bound in 4 of 4 runs. The relative duality gap of this solver is at most 1.0×10⁻⁹." in solver
    assert "mean over 2 seeds" in interval and same.startswith("In 1 condition the runs of all seeds agree")
    edge = {"margin_lp": [1 + 0.9e-6, 1 + 1.1e-6, 1, 1], "gamma_bound": [1, 1, 1 - 0.9e-6, 1 - 1.1e-6]}
    first, solver, interval = certain(
        master_of(status=["converged", "transient", "failed", "missing"], **edge), (1, 3)
    )[:3]
    assert (
        first.startswith("1 of 2 runs")
        and "(50 %)" in first
        and "of the others, which are still in transit, is 0.20 %" in first
    )
    assert "bound in 1 of 2 runs" in solver and "mean over 1 to 3 seeds" in interval
    last = certain(master_of(status=["converged", "diverged", "failed", "missing"]))[-1]
    assert last.startswith("Of 4 runs of the grid 1 failed, 1 diverged and 1 were not run;")
    (only,) = certain(
        master_of(status=["overlap"] * 4, separability=["overlapping"] * 4, weight_norm=[1.0, 2, 3, NAN]), (1, 1)
    )
    assert only.startswith("Every condition has a single seed")
    one = certain(master_of(status=["converged"] + ["failed"] * 3))
    assert "1 of 1 run on separable data (100 %) carries a" in one[0] and not any("all seeds" in s for s in one)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ([NAN] * 4, ", from which nothing is known of the directions it found."),
        ([0.1, 0.31, 0.2, NAN], ", which puts its directions within 0.31° of the exact ones."),
        (
            [0.1, 180.0, 180.0, 89.9],
            ", which puts its directions within 90° of the exact ones and leaves them open in 2 runs.",
        ),
        ([180.0, 180.0, NAN, 180.0], " and leaves them open in 3 runs."),
    ],
)
def test_what_the_solvers_gap_says_of_its_directions(bounds, said):
    assert certain(master_of(exact_angle_bound=bounds))[1].endswith("1.0×10⁻⁹" + said)


def test_where_a_certificate_brackets_the_exact_margin():
    """To a relative 1e-6; the margin may not be above the exact one, nor that above the bound."""
    rows = np.array([[1, 1 + 0.9e-6, 1], [1, 1 + 1.1e-6, 1], [1 + 0.9e-6, 1, 1], [2, 1, 3]])
    columns = dict(zip(("margin_lp", "exact_margin", "gamma_bound"), rows.T))
    assert "bound in 2 of 4 runs" in certain(master_of(**columns))[1]


def test_a_gap_below_zero_is_rounding():
    assert "at most 0." in certain(master_of(exact_margin_gap=[-2e-16] * 4))[1]


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("transient", "all runs are transient"),
        ("1 of 3 runs: transient; 2 of 3 runs: diverged", "some runs are transient; some runs diverged"),
        ("2 of 3 runs: no bound; failed", "no bound in some runs; all runs failed"),
        ("the potential names no limit", "the potential names no limit"),
    ],
)
def test_the_reason_of_a_verdict_ends_a_sentence(why, reason):
    assert certainty._reason(why) == reason


def test_what_bounds_is_rounded_up():
    master = master_of(gap=[0.001, 0.002, 0.003, 0.00701], exact_margin_gap=[1e-9, 8.51e-9, NAN, 0.0])
    first, solver = certain(master)[:2]
    assert first.endswith("the largest 0.71 %.") and "at most 8.6×10⁻⁹." in solver
    (waiting,) = verdict_sections.waiting_section(
        [verdict(counts={"transient": 3}, gap=Estimate(0.02, n=3, max=0.0311), forecast=Forecast(0.5, 4e4, 4.0, NAN))]
    ).blocks[1:]
    assert waiting.rows[0][3:5] == ["2.0 %", "3.2 %"]


def test_what_is_known_of_the_limits():
    found = [verdict(p, d) for p, d in (("lp", 1), ("cosh", 1), ("mine:P", 1), ("lp", 2), ("scaled", 3))]
    (said,) = certainty.theory_sentences(found)
    assert said.endswith(
        "at depth 1, a theorem for small enough steps (Sun et al. 2022) for lp, a theorem for the mirror flow "
        "(Pesme et al. 2024) for cosh and what is observed here for mine:P; at depth 2 and more, derived for this "
        "project and checked numerically for lp and a numerical observation for scaled."
    )
    shallow, deep = ([verdict(separability="overlapping", depth=d)] for d in (1, 2))
    assert certainty.theory_sentences(shallow)[0].endswith("(Ji & Telgarsky 2019).")
    assert certainty.theory_sentences(shallow + deep)[0].endswith("at depth 2 and more.")
    open_ = [
        verdict("a", reached=False, bound=3.0),
        verdict("b", reached=False, why="2 of 3 runs: no bound; x"),
        verdict("c", separability="overlapping", reached=False),
        verdict("d", used=0, reached=False),
    ]
    said = [
        plain_text(s)
        for s in certainty.direction_sentences([verdict("e", bound=0.411), verdict("f", bound=0.2), *open_])
    ]
    assert "all runs of 2 of 4 conditions on separable data, the widest bound being 0.42°." in said[0]
    assert [s.partition(": ")[2] for s in said[1:4]] == [
        "the bound is wider than 1°.", "no bound in some runs; x.", "the angle is not within 1°."]  # fmt: skip
    assert "0 of 1 condition on separable data." in plain_text(certainty.direction_sentences(open_[:1])[0])


def test_what_has_not_converged():
    late = Forecast(0.5, 4e4, 4.0, NAN)
    found = [
        verdict(counts={"transient": 2, "converged": 1}, gap=Estimate(0.02, n=3, max=0.031), forecast=late),
        verdict("lp", used=1, n=4, counts={"converged": 1, "failed": 2, "missing": 1}, messages=["no", "no", "why"]),
    ]
    _, waiting, _, lost = verdict_sections.waiting_section([*found, found[0]]).blocks
    assert waiting.rows == [
        ["quadratic, L = 1", "Gaussian, d = 20", "2 of 3", "2.0 %", "3.1 %", certainty.forecast_sentence(late)]
    ]
    assert waiting.keys == [["quadratic, L = 1", "Gaussian, d = 20", 2.0, 0.02, 0.031, 4e4]]
    assert lost.rows == [["lp, L = 1", "Gaussian, d = 20", "2", "0", "1", "no and why"]]
    (words,) = verdict_sections.waiting_section([verdict()]).blocks
    assert words.words.startswith("Nothing: the margin of every run")
    (words,) = verdict_sections.waiting_section([verdict(separability="overlapping")]).blocks
    assert words.words.startswith("No run failed or diverged.")


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


def test_the_keys_that_sort_the_verdicts():
    one = verdict(linear_ends=Estimate(2.0, 1.0, 3.0, 3), counts={"converged": 2, "transient": 1, "failed": 0})
    table, _ = verdict_sections.verdict_section([one]).blocks
    assert table.rows[0][:4] == ["Gaussian, d = 20", "quadratic", "1", "2 converged, 1 transient"]
    assert table.rows[0][5] == "0.200" and table.rows[0][7] == "2.0 ± 1.0"
    assert table.keys[0][2] == 1.0 and table.keys[0][5:8] == [pytest.approx(0.2), 0.5, 2.0]
    assert (
        np.isnan(table.keys[0][9])
        and verdict_sections.verdict_section([]).blocks[0].words == "The run has no conditions."
    )


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
    figure = {"section": "One", "caption": "C.", "alt": "A", "notes": []}
    album = {"section": "Two", "name": "x_more", "captions": ["c"], "first": 3}
    index = {
        "figures": [figure | {"name": n, "section": s} for n, s in (("a", "One"), ("b", "Two"), ("c", "One"))],
        "albums": [album, album | {"first": 4, "captions": ["d", "e"]}],
        "absent": [{"name": "z", "reason": "no data"}],
    }
    blocks = sections.figures_section(tmp_path, index).blocks
    shown = [(b.path.stem, b.number) for b in blocks if hasattr(b, "path")]
    assert shown == [("a", 1), ("c", 2), ("b", 3)]
    folded = [b.title for b in blocks if type(b).__name__ == "Folded"]
    assert [f.split(" in ")[0] for f in folded] == ["Page 3 is", "Pages 4 to 5 are"]
    assert [b.title for b in blocks if isinstance(b, Section)] == ["One", "Two", "Not drawn"]
    nothing = sections.figures_section(tmp_path, {"figures": [], "absent": []}).blocks
    assert [b.words for b in nothing] == ["No figure could be drawn."] and not isinstance(nothing[0], Table)


@pytest.mark.parametrize(("inches", "wide"), [(3.25, False), (6.75, True)])
def test_a_figure_of_two_columns_takes_the_width_of_the_page(tmp_path, inches, wide):
    plt.figure(figsize=(inches, 1)).savefig(tmp_path / "a.png", dpi=300)
    plt.close()
    assert ('class="wide"' in Figure(tmp_path / "a.png", "C.", "A").html()) == wide
