"""What the report claims of directions: reached, unchanged, apart; from runs whose numbers are set by hand."""

import re

import fake_run as fake
import numpy as np
import pytest

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.report.findings import answer, certainty, wording
from mdcore.analysis.report.findings.macros import with_numbers
from mdcore.analysis.report.findings.verdicts import verdicts
from mdcore.analysis.report.verdict_sections import verdict_section
from mdcore.analysis.tables.numbers import angle_at_most, percent

DEEP, REACHED, BOUND, ENDS, LIMIT = "_L2_", 4, 6, 7, 8  # deep cells; columns of the table of verdicts


def spoilt(place, cells, changes=None, where=lambda row: True, **options):
    """(results, master, summary) of a run whose final rows have `changes` where `where` holds."""
    results = load(fake.write_run(place / "20250319_paper", cells, **options))
    rows = [bool(where(r)) for r in results.final.to_dict("records")]
    for column, value in (changes or {}).items():
        results.final.loc[rows, column] = value
    master = aggregate.master_table(results)
    return results, master, aggregate.summary_table(results, master)


def answer_text(results, master, summary):
    return with_numbers(" ".join(answer.answer(results, verdicts(results, master, summary), master, summary)))


def column(run, number):
    return [row[number] for row in verdict_section(verdicts(*run)).blocks[0].rows]


def known(run):
    return with_numbers(" ".join(certainty.direction_sentences(verdicts(*run))))


def shallow(*potentials):
    return fake.grid_cells(list(potentials) or ["quadratic"], depths=(1,))


# the direction that a condition has reached


def test_a_regularised_baseline_is_never_the_direction_reached(tmp_path):
    """0.93° from l2-regularised logistic regression, and certified: named are the max-margin and its bound."""
    near = {"angle_logreg": 0.93, "angle_svm": 3.0, "angle_max_margin": 3.0, "angle_bound": 6.0}
    run = spoilt(tmp_path, shallow(), near)
    assert column(run, REACHED) == [
        "not determined: the bound is wider than 1°; l2 max-margin at up to 3.0°, as measured"
    ]
    words = " ".join(column(run, REACHED)) + answer_text(*run) + known(run)
    assert "regularised" not in words and "SVM" not in words and "0.93" not in words


def test_what_is_no_minimiser_is_no_limit_on_overlapping_data(tmp_path):
    run = spoilt(tmp_path, shallow(), {"logreg_kind": "l2", "angle_logreg": 0.1}, overlap=lambda c: True)
    assert column(run, REACHED) == ["not determined: no exact minimiser to compare with"]


def test_the_minimiser_must_be_the_only_one(tmp_path):
    run = spoilt(tmp_path, shallow(), {"reference_unique": "False", "angle_logreg": 0.1}, overlap=lambda c: True)
    assert column(run, REACHED)[0].startswith("not determined: the logistic minimiser is not known to be unique")
    assert "the minimiser is not known to be the only one" in answer_text(*run)


def test_on_overlapping_data_it_is_said_to_be_measured(tmp_path):
    run = spoilt(tmp_path, fake.grid_cells(["quadratic"]), {"angle_logreg": 0.1}, overlap=lambda c: True)
    assert column(run, REACHED) == ["logistic minimiser, measured to within 0.10°"] * 2
    assert column(run, BOUND) == ["none"] * 2
    text = answer_text(*run)
    assert "of the same exact direction, the logistic minimiser, as measured, without a certificate" in text
    assert "In 2 of 2 conditions there, every run ends within 1° of the logistic minimiser, as measured" in text


def test_a_condition_with_one_run_away_has_not_reached_it(tmp_path):
    """Two runs are there and one is 13.8° away: not reached, whatever the mean or the other runs say."""
    cells = shallow()
    far = {"angle_max_margin": 13.8, "angle_bound": 14.0}
    run = spoilt(tmp_path, cells, far, lambda r: r["cell_id"] == cells[1]["cell_id"])
    (v,) = verdicts(*run)
    assert v.converged and not v.reached and v.bound == 14.0
    assert "not determined" in column(run, REACHED)[0] and column(run, BOUND) == ["14.0"]
    assert "It is not proved in the 1 condition on separable data" in answer_text(*run)


def test_a_measured_angle_is_no_bound(tmp_path):
    """An angle of 0.2° to the solver's direction, which may itself be 18° off at large p."""
    run = spoilt(tmp_path, shallow(), {"angle_max_margin": 0.2, "angle_bound": 18.2, "exact_angle_bound": 18.0})
    assert not verdicts(*run)[0].reached and "not determined" in column(run, REACHED)[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"angle_bound": 180.0}, "the certificate says nothing of the direction"),
        ({"angle_bound": np.nan}, "the certificate says nothing of the direction"),
        ({"reference_unique": "False"}, "the l2 optimum is not known to be unique"),
        ({"reference_unique": ""}, "the l2 optimum is not known to be unique"),
        ({"limit_p": np.nan}, "the potential names no limit"),
        ({"status": "transient"}, "transient"),
        ({"status": "failed"}, "failed"),
        ({"status": "diverged"}, "diverged"),
    ],
)
def test_one_run_that_proves_nothing_leaves_the_condition_open(tmp_path, changes, why):
    cells = fake.grid_cells(["quadratic"])
    one = next(c["cell_id"] for c in cells if c["config"]["depth"] == 2)
    run = spoilt(tmp_path, cells, changes, lambda r: r["cell_id"] == one)
    linear, deep = verdicts(*run)
    assert linear.reached and not deep.reached and deep.limit_changed == "open"
    assert column(run, REACHED)[1].startswith(f"not determined: 1 of 3 runs: {why}")
    assert column(run, LIMIT)[1] == "open (same in 2 of 3 pairs)"
    assert answer_text(*run).startswith("Whether depth changes the limit direction is open")
    some = {"transient": "some runs are transient", "failed": "some runs failed", "diverged": "some runs diverged"}
    reason = some.get(why, f"{why} in some runs")
    sentence = f"The direction is not determined for quadratic at L = 2 on Gaussian (d = 20): {reason}."
    assert sentence in known(run)


def test_not_unique_optima_are_told_wherever_an_angle_to_one_is(tmp_path):
    run = spoilt(tmp_path, fake.grid_cells([{"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}]))
    assert re.search(
        r"the l1 and l∞ max-margin direction is not known to be unique.*to the optimum that the solver found",
        answer_text(*run),
    )
    for words in column(run, REACHED):
        assert re.match(r"not determined: the l[1∞] optimum is not known to be unique; one l[1∞] max-margin at", words)
    assert column(run, BOUND) == ["none"] * 4
    assert known(run).count("not known to be unique") == 2


# depth


def test_a_deep_run_beside_a_certified_linear_one_is_open(tmp_path):
    """Planted data: linear runs are certified, deep ones are 9° away and on their way; "depth changes" was said."""
    away = {"status": "transient", "gap": 0.2, "angle_max_margin": 9.0, "angle_bound": 40.0, "angle_linear_md": 9.0}
    run = spoilt(tmp_path, fake.grid_cells(["quadratic"]), away, lambda r: DEEP in r["cell_id"])
    assert answer_text(*run).startswith("Whether depth changes the limit direction is open")
    assert [v.limit_changed for v in verdicts(*run)] == ["", "open"]


@pytest.mark.parametrize(("bound", "answer"), [(3.0, "yes"), (30.0, "open")])
def test_depth_that_changes_the_limit_is_said_to(tmp_path, bound, answer):
    """Deep runs certified at the optimum of another norm, 20° away: changed where the bounds do not overlap."""
    other = {"limit_p": 3.0, "angle_bound": bound}
    run = spoilt(tmp_path, fake.grid_cells(["quadratic"]), other, lambda r: DEEP in r["cell_id"])
    run[1]["angle_linear_md_ends"] = 20.0
    assert verdicts(*run)[1].limit_changed == answer
    head = "Depth changes the limit direction in the 1 deep condition: in every run, the limits of deep and linear"
    assert answer_text(*run).startswith(head) == (answer == "yes")
    assert ("more than 1° apart (quadratic at depth L = 2 on Gaussian (d = 20))" in answer_text(*run)) == (
        answer == "yes"
    )


def test_certificates_that_contradict_each_other_leave_it_open(tmp_path):
    """Both at the same optimum within 0.1°, by their bounds, and 20° apart: one of the bounds is false."""
    run = spoilt(tmp_path, fake.grid_cells(["quadratic"]), {"angle_bound": 0.1})
    run[1]["angle_linear_md_ends"] = 20.0
    assert verdicts(*run)[1].limit_changed == "open"


def test_end_points_are_compared_by_the_predictors_at_the_end(tmp_path):
    """The angle at equal steps is another number where one run stopped early, and is not what is said."""
    run = spoilt(tmp_path, fake.grid_cells(["quadratic"], seeds=(0,)))
    results, master, _ = run
    linear, deep = master["cell_id"]
    u, v = results.predictors[linear], results.predictors[deep]
    ends = np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
    row = master.set_index("cell_id").loc[deep]
    assert row["angle_linear_md_ends"] == pytest.approx(ends, abs=1e-5)
    assert abs(row["angle_linear_md"] - ends) > 0.3 * ends
    assert column(run, ENDS) == ["–", f"{ends:.3g}"]
    assert f"on Gaussian (d = 20), by {ends:.2g}° (one run)" in answer_text(*run)


def test_two_answers_on_depth_are_not_a_contradiction(tmp_path):
    run = spoilt(
        tmp_path,
        fake.grid_cells(["quadratic"]),
        {"angle_linear_md_equal_loss": 7.0},
        lambda r: DEEP in r["cell_id"],
    )
    first, *rest = map(with_numbers, answer.answer(run[0], verdicts(*run), *run[1:]))
    assert first.startswith("Depth does not change the limit direction in the 1 deep condition: ")
    (way,) = [s for s in rest if "at equal loss R" in s]
    assert way.startswith("The path to the limit does depend on depth") and "the paths and not the limits" in way


def test_a_headline_names_what_it_was_seen_on(tmp_path):
    cells = fake.grid_cells(["quadratic", {"lp": {"p": 1.5}}], depths=(1, 2, 3))
    text = answer_text(*spoilt(tmp_path, cells))
    assert text.startswith("Depth does not change the limit direction in any of the 4 deep conditions: ")
    assert "These are quadratic and l1.5 at depth L = 2 and 3 on Gaussian (d = 20). " in text
    assert text.count("depth L = ") == 1 and text.index("depth L = ") < text.index("at L = ")  # said once, first


def test_conditions_that_are_no_full_grid_are_named_by_their_groups(tmp_path):
    cells = fake.grid_cells(["quadratic", "scaled"], depths=(1, 2, 3))
    cells += fake.grid_cells([{"layer_scaled": {"alpha": [1, 4]}}], depths=(2,))
    assert wording.scope(verdicts(*spoilt(tmp_path, cells))) == (
        "quadratic and scaled at L = 1, 2 and 3 on Gaussian (d = 20); layer-scaled with α = (1, 4) at L = 2 on "
        "Gaussian (d = 20)"
    )


@pytest.mark.parametrize(
    ("titles", "words"),
    [
        (["Planted, d = 2"], "Planted (d = 2)"),
        (["MNIST 0 vs 1, PCA 50", "XOR", "MNIST 0 vs 1, PCA 200"], "MNIST 0 vs 1 (PCA 50 and PCA 200) and XOR"),
    ],
)
def test_data_that_begin_alike_are_named_together(titles, words):
    assert wording.data_listed(titles) == words


def test_only_what_is_derived_is_said_to_be(tmp_path):
    cells = fake.grid_cells(["quadratic", "scaled", {"hypentropy": {"beta": 0.1}}, ["quadratic", {"lp": {"p": 3.0}}]])
    deep = [c for c in cells if c["config"]["depth"] == 2]
    text = " ".join(certainty.theory_sentences(verdicts(*spoilt(tmp_path, deep))))
    assert "derived for this project and checked numerically for quadratic, a numerical observation for hyp" in text
    assert "what is observed here for quadratic+lp" in text


# potentials


def test_limits_of_potentials_are_compared_by_their_bounds(tmp_path):
    run = spoilt(tmp_path, fake.grid_cells(), {"status": "transient"}, lambda r: r["limit_p"] == 3)
    _, master, summary = run
    assert (master.loc[master["p"] == 1.5, "angle_bound"] < 1).all()
    assert (master["angle_reference_potential"].dropna() > 20).all()
    text = answer_text(*run)
    assert (
        "Different potentials end in different directions: in 2 of 4 comparisons with quadratic, on the same data and "
        "at the same depth, the limits are proved in every run to be more than 1° apart: l1.5 at L = 1 and 2 on "
        "Gaussian (d = 20). 2 are open" in text
    )
    (far,) = re.findall(r"The end points are farthest apart for .*: (\d+)° \(.*\) from quadratic", text)
    assert far == f"{summary['angle_reference_potential_mean'].max():.0f}"


def test_potentials_of_one_norm_are_said_to_have_one_limit(tmp_path):
    text = answer_text(*spoilt(tmp_path, shallow("quadratic", "scaled")))
    assert "Different potentials end in the same direction, within 1°, in the 1 comparison with quadratic" in text


def test_potentials_without_bounds_are_open(tmp_path):
    text = answer_text(*spoilt(tmp_path, shallow(*fake.POTENTIALS), nan_columns=["angle_bound"]))
    assert "Whether different potentials end in different directions is open: in none of 2" in text


# how sure


@pytest.mark.parametrize(
    ("bound", "words"),
    [(0.931, "0.94°"), (0.93, "0.93°"), (13.01, "14°"), (3.01e-5, "3.1×10⁻⁵°"), (0, "10⁻⁶°"), (1e-6, "10⁻⁶°")],
)
def test_a_bound_is_never_rounded_down(bound, words):
    assert angle_at_most(bound) == words


def test_what_a_limit_rests_on_is_stated_as_it_is(tmp_path):
    cells = fake.grid_cells(["quadratic"]) + fake.grid_cells(["quadratic"], dataset={**fake.GAUSSIAN, "n": 9})
    all_verdicts = verdicts(*spoilt(tmp_path, cells, overlap=lambda c: c["dataset"]["n"] == 9))
    text = " ".join(certainty.theory_sentences(all_verdicts))
    assert "a theorem for small enough steps (Sun et al. 2022) for quadratic; at depth 2 and more, derived for" in text
    assert "a theorem at depth 1 (Ji & Telgarsky 2019) and a numerical observation at depth 2 and more" in text
    assert "depth 2" not in " ".join(certainty.theory_sentences([v for v in all_verdicts if v.condition.depth == 1]))


def test_exact_margins_are_said_to_be_as_exact_as_was_reached(tmp_path):
    run = spoilt(tmp_path, shallow(), {"exact_margin_gap": 4.4e-6, "exact_angle_bound": 0.3})
    text = with_numbers(" ".join(certainty.certainty_sentences(run[0], run[1])))
    assert "The relative duality gap of this solver is at most 4.4×10⁻⁶" in text
    assert "within 0.30° of the exact ones" in text


def test_medians_are_of_one_status(tmp_path):
    cells = shallow()
    changes = {"status": "transient", "gap": 0.3}
    run = spoilt(tmp_path, cells, changes, lambda r: r["cell_id"] == cells[0]["cell_id"])
    gaps = run[1]["gap"].drop(run[1].index[run[1]["status"] == "transient"])
    text = with_numbers(" ".join(certainty.certainty_sentences(run[0], run[1])))
    assert "2 of 3 runs on separable data (67 %)" in text
    assert f"the largest {percent(float(gaps.max()))}. The median certified gap of the others, which are s" in text
    assert "is 30 %, the largest 30 %." in text and "it concerns the margin, not the direction" in text
