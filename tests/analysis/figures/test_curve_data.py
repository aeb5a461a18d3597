"""Curves over seeds, by hand: where they are read, what is smoothed, what is common to all and what is a tail."""

from types import SimpleNamespace

import numpy as np
import pytest

from mdcore.analysis.figures import curve_data
from mdcore.analysis.figures.curve_data import Band, band, common_level, seeds_text, smoothed

NAN, LOSS = np.nan, "log_inverse_loss"


def study_of(curves, linear=(), **status):
    """`curves`: {cell: {column: values}}."""

    class Curves:
        def get(self, cell, column):
            return np.array(curves.get(cell, {}).get(column, []), dtype=float)

    results = SimpleNamespace(curves=Curves(), status=dict.fromkeys([*curves, "absent"], "converged") | status)
    return SimpleNamespace(results=results, linear=dict(linear))


def condition_of(*cells):
    return SimpleNamespace(cells=dict(enumerate(cells)))


def test_a_running_median_takes_four_neighbours_on_each_side_and_keeps_the_end():
    for short in ([], [5.0], [5.0, 1.0]):
        assert list(smoothed(np.array(short))) == short
    assert list(smoothed(np.array([9.0, 1.0, 5.0]))) == [1, 5, 5]
    for width, left in ((4, 0), (5, 5)):
        bump = np.zeros(30)
        bump[10 : 10 + width] = 1
        assert smoothed(bump).sum() == left
    assert list(smoothed(np.array([0.0] * 20 + [7.0]))) == [0.0] * 20 + [7.0]


def test_equal_loss_is_the_smallest_that_both_have_reached():
    deep = {"epoch": [1, 2, 4, 8], LOSS: [1, 2, NAN, 9], "angle_linear_md_equal_loss": [1, 2, 3, 4]}
    line = {"epoch": [2, 4, 16], LOSS: [3, 1, 5]}
    study = study_of({"deep": deep, "line": line}, {"deep": "line"})
    np.testing.assert_array_equal(common_level(study, "deep"), [NAN, 2, 2, 3])
    np.testing.assert_array_equal(common_level(study_of({"deep": deep}), "deep"), [NAN] * 4)
    x, y = curve_data._points(study, "deep", LOSS, "angle_linear_md_equal_loss")
    assert (list(x), list(y)) == ([2, 3], [2, 4])  # a point for each new level


def test_points_rise_and_lie_on_a_logarithmic_axis():
    study = study_of({"a": {LOSS: [-1, 0, 2, 1, 2, 3, 4, NAN, 3.5, 5], "gap": [9, 9, 1, 9, 9, NAN, 2, 3, 9, 4]}})
    x, y = curve_data._points(study, "a", LOSS, "gap")
    assert (list(x), list(y)) == ([2, 4, 5], [1, 2, 4])
    assert not curve_data._points(study, "absent", LOSS, "gap")[0].size


TWO = {"a": {"epoch": [1, 2, 4], "gap": [1, 2, 6]}, "b": {"epoch": [1, 4, 8], "gap": [3, 6, 10]}}


def test_a_band_is_over_the_part_that_all_seeds_share():
    result = band(study_of(TWO), condition_of("a", "b"), "epoch", "gap")
    assert list(result.x) == [1, 2, 4] and result.n == 2
    assert (list(result.mean), list(result.low), list(result.high)) == ([2, 3, 6], [1, 2, 6], [3, 4, 6])
    ((x, y),) = result.tails
    assert (list(x), list(y)) == ([4, 8], [6, 10]) and result.ends == [(4, 6, "converged"), (8, 10, "converged")]
    assert [list(v) for v in result.values] == [[1, 2, 6], [3, 4, 6], [6, 10]]
    assert [list(v) for v in result.times] == [[1, 2, 4], [4, 8]] and not result.lost and not result.empty


def test_a_band_against_the_loss_has_100_points_in_equal_ratios():
    curves = {"a": {LOSS: [1, 4], "gap": [0, 3]}, "b": {LOSS: [0.5, 2, 8], "gap": [5, 2, 8]}}
    result = band(study_of(curves), condition_of("a", "b"), LOSS, "gap")
    assert (result.x[0], result.x[-1], len(result.x)) == (1, 4, 100)
    assert result.x[1:] / result.x[:-1] == pytest.approx(4 ** (1 / 99))
    other = np.interp(result.x, [0.5, 2, 8], [5, 2, 8])
    assert result.mean == pytest.approx((result.x - 1 + other) / 2)
    assert result.low == pytest.approx(np.minimum(result.x - 1, other)) and len(result.tails) == 1


@pytest.mark.parametrize(
    ("x", "one", "other"), [("epoch", [1, 2], [3, 4]), (LOSS, [1, 2], [3, 4]), (LOSS, [1, 2], [2, 4])]
)
def test_seeds_that_share_no_range_are_drawn_singly(x, one, other):
    curves = {"a": {x: one, "gap": [1, 2]}, "b": {x: other, "gap": [3, 4]}}
    result = band(study_of(curves), condition_of("a", "b"), x, "gap")
    assert not result.x.size and result.n == 2 and [list(t) for t, _ in result.tails] == [one, other]


def test_lost_runs_are_in_no_mean():
    study, cells = study_of(TWO, b="diverged"), condition_of("absent", "a", "b")
    result = band(study, cells, "epoch", "gap")
    assert (
        result.n == 1 and list(result.mean) == list(result.low) == list(result.high) == [1, 2, 6] and not result.tails
    )
    assert [list(y) for _, y in result.lost] == [[3, 6, 10]] and result.ends[1] == (8, 10, "diverged")
    result = band(study_of(TWO, a="failed", b="diverged"), cells, "epoch", "gap")
    assert result.n == 0 and not result.x.size and len(result.lost) == len(result.ends) == 2 and not result.empty
    assert band(study, condition_of("absent"), "epoch", "gap").empty
    assert not Band(np.ones(1), *[np.ones(1)] * 3, 1).empty


def test_curves_on_overlapping_data_are_smoothed():
    values = [1.0, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    study = study_of({"a": {"epoch": range(1, 13), "gap": values}}, a="overlap")
    assert curve_data.oscillates(study.results, condition_of("a"))
    assert list(band(study, condition_of("a"), "epoch", "gap").mean) == [1.0] * 11 + [2.0]
    study.results.status["a"] = "transient"
    assert list(band(study, condition_of("a"), "epoch", "gap").mean) == values


def test_one_run_is_its_own_band():
    curve = {LOSS: [1, 3, 4], "gap": [5, 2, 8]}
    result = band(study_of({"a": curve}), condition_of("a"), LOSS, "gap")
    assert list(result.x) == [1, 3, 4] and list(result.mean) == list(result.low) == list(result.high) == [5, 2, 8]


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({3}, "Line: mean of n = 3 seeds; band: minimum to maximum."),
        ({0, 1, 3, 2}, "Line: mean of n = 1 to 3 seeds; band: minimum to maximum."),
        ({2}, "Line: mean of n = 2 seeds; band: minimum to maximum."),
        ({0, 1}, "Lines are single runs (one seed)."),
        ({0}, "No run came through: lines are single runs."),
        (set(), "No run came through: lines are single runs."),
    ],
)
def test_what_a_band_is_over(counts, sentence):
    assert seeds_text(counts) == sentence
