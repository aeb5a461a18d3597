"""Sentences of the report from verdicts by hand: where one way of saying it ends and another begins."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mdcore.analysis.report.findings import certainty, wording
from mdcore.analysis.report.findings.macros import (
    macros,
    number_as_latex,
    results_tex,
    with_macros,
    with_numbers,
)
from mdcore.analysis.report.findings.verdicts import Estimate, Forecast
from tests.support.made_verdicts import verdict

NAN, INF = math.nan, math.inf
TO = "the gap falls like the number of steps to the power −"


@pytest.mark.parametrize(
    ("forecast", "expected"),
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
def test_where_forecasts_end(forecast, expected):
    sentence = certainty.forecast_sentence(forecast)
    assert (
        sentence.startswith(expected)
        if expected.startswith(TO) and "reach" in expected
        else (expected == sentence or expected in sentence[:22])
    )


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (Estimate(9e-7, 8e-7, 9.9e-7, 2), "under 10⁻⁶° (mean of 2 runs)"),
        (Estimate(1e-6, 1e-6, 1e-6, 2), "1.0×10⁻⁶° (identical in all 2 runs)"),
        (Estimate(1.0, 1.0, 1.0 + 0.9e-9, 3), "1.0° (identical in all 3 runs)"),
        (Estimate(1.0, 1.0, 1.0 + 1e-8, 3), "1.000° (mean of 3 runs, 95 % interval 1.000° to 1.000°)"),
        (Estimate(0.05, 0.049997, 0.050003, 3), "0.05000° (mean of 3 runs, 95 % interval 0.05000° to 0.05000°)"),
        (Estimate(50.0, 50.0, 50.0 + 1e-8, 3), "50° (identical in all 3 runs)"),  # to 1e-9 of the mean
        (Estimate(120.0, 119.999, 120.001, 3), "120.00° (mean of 3 runs, 95 % interval 120.00° to 120.00°)"),
        (
            Estimate(9.99999e-7, 9.99998e-7, 1.000001e-6, 2),
            "0.000001000° (mean of 2 runs, 95 % interval 0.000001000° to 0.000001000°)",
        ),
        (Estimate(n=3), "not measured"),
        (Estimate(50.0, 49.9999, 50.0001, 3), "50.00° (mean of 3 runs, 95 % interval 50.00° to 50.00°)"),
        (Estimate(0.0, 0.0, 2e-6, 3), "0.0000000° (mean of 3 runs, 95 % interval 0.0000000° to 0.0000020°)"),
    ],
)
def test_degrees_at_the_edges(e, text):
    assert with_numbers(wording.degrees(e, "A", "angle")) == text


def test_an_angle_is_stated_with_its_interval_and_its_runs():
    assert macros([wording.degrees(Estimate(2.0, 1.0, 3.0, 4), "A", "angle")]) == {
        "A": ("2.0", "angle, degrees"),
        "ARuns": ("4", "runs behind the angle"),
        "ALow": ("1.0", "95 % interval of the angle, degrees"),
        "AHigh": ("3.0", "95 % interval of the angle, degrees"),
    }


@pytest.mark.parametrize(("many", "shown"), [(9, 9), (10, 8)])
def test_more_than_nine_are_not_all_named(many, shown):
    """Eight are named, and a ninth where it is the last: potentials, depths, data, and what tells data apart."""

    def some(name):
        names = [name(i) for i in range(many)]
        return wording.listed(names, shown if many > 9 else many)

    assert ("more" in some(str)) == (many > 9)
    verdicts = [verdict(f"P{i}", 2, "x") for i in range(many)]
    assert wording.scope(verdicts) == some("P{}".format) + " at L = 2 on x"
    assert wording.scope([verdict("P", i, "x") for i in range(many)]) == f"P at L = {some(str)} on x"
    assert wording.data_listed(map("d{}".format, range(many))) == some("d{}".format)
    assert wording.data_listed(map("d, {}".format, range(many))) == f"d ({some(str)})"


def test_what_a_sentence_speaks_of():
    assert (wording.plural(1, "run"), wording.plural(1234, "run"), wording.plural(2, "is", "are")) == (
        "1 run",
        "1,234 runs",
        "2 are",
    )
    assert wording.listed(list("aab"), 1) == "a and b" and wording.listed(list("abc"), 1) == "a and 2 more"
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
    sentences = [wording.counted(1, "Runs", "run") + " and " + wording.in_degrees("0.31°", "Angle", "the angle")]
    assert macros(sentences) == {"Runs": ("1", "number of runs"), "Angle": ("0.31", "the angle, degrees")}
    assert with_numbers(sentences[0]) == "1 run and 0.31°"
    assert with_macros(sentences[0]) == r"\mdcoreRuns{} run and \mdcoreAngle{}$^\circ$"
    assert results_tex([*sentences, *sentences], "paper") == (
        "% Numbers of the run paper: \\input this file and cite them; another run gives them new values.\n"
        "\\newcommand{\\mdcoreRuns}{\\ensuremath{1}} % 1: number of runs\n"
        "\\newcommand{\\mdcoreAngle}{\\ensuremath{0.31}} % 0.31: the angle, degrees\n"
    )
    assert macros([wording.counted(2, "Runs", "run", "as told")]) == {"Runs": ("2", "as told")}
    assert [number_as_latex(t) for t in ("10⁵", "−3×10¹²", "1,234", "3 of 4 runs", "a_b", "3x")] == [
        r"\ensuremath{10^{5}}", r"\ensuremath{-3\times 10^{12}}", r"\ensuremath{1{,}234}",
        r"\ensuremath{3} of \ensuremath{4} runs", r"a\_b", "3x"]  # fmt: skip


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
    return [with_numbers(s) for s in certainty.certainty_sentences(results, master)]


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
    ("bounds", "ending"),
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
def test_what_the_solvers_gap_says_of_its_directions(bounds, ending):
    assert certain(master_of(exact_angle_bound=bounds))[1].endswith("1.0×10⁻⁹" + ending)


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


def test_what_is_known_of_the_limits():
    verdicts = [verdict(p, d) for p, d in (("lp", 1), ("cosh", 1), ("mine:P", 1), ("lp", 2), ("scaled", 3))]
    (sentence,) = certainty.theory_sentences(verdicts)
    assert sentence.endswith(
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
    sentences = [
        with_numbers(s)
        for s in certainty.direction_sentences([verdict("e", bound=0.411), verdict("f", bound=0.2), *open_])
    ]
    assert "all runs of 2 of 4 conditions on separable data, the widest bound being 0.42°." in sentences[0]
    assert [s.partition(": ")[2] for s in sentences[1:4]] == [
        "the bound is wider than 1°.", "no bound in some runs; x.", "the angle is not within 1°."]  # fmt: skip
    assert "0 of 1 condition on separable data." in with_numbers(certainty.direction_sentences(open_[:1])[0])
