"""The axes of the figures, by hand: where they begin and end, where their ticks stand, what is said of them."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from mdcore.analysis.figures import axes
from mdcore.analysis.figures.axes import Scale, scale

INF, NAN = math.inf, math.nan
GAP = Scale(True, 1e-7, within=(1e-3, 1.0), line=0.01)


@pytest.mark.parametrize(
    ("on", "values", "ends"),
    [
        (GAP, [], (1e-3, 1)),
        (GAP, [NAN, INF, -INF], (1e-3, 1)),
        (GAP, [5e-5, 0.3], (1e-5, 1)),
        (GAP, [1e-5], (1e-5, 1)),
        (GAP, [1e-9, 20], (1e-7, 100)),
        (Scale(True, 0.0), [], (1, 10)),
        (Scale(True, 0.0), [3], (1, 10)),
        (Scale(True, 0.0), [10], (10, 100)),  # a decade at least
        (Scale(True, -INF), [-1, 0, 5, 70], (1, 100)),
        (Scale(True, 0.0, line=0.01), [0.5], (0.01, 1)),
        (scale("angle_svm"), [200.0], (0.1, 180)),
        (scale("angle_svm"), [1e-9], (0.01, 10)),
        (Scale(False, 0.0, within=(0.0, 1.0)), [0.5], (-0.04, 1.04)),
        (Scale(False, 0.0, within=(0.0, 1.0), line=2.0), [-9, 1.5], (-0.08, 2.08)),
        (Scale(False, -INF, 4.0), [-1, 3, 99], (-1.2, 4.2)),
        (Scale(False, -INF), [3, 3], (2.85, 3.15)),
        (Scale(False, -INF), [-3, -3], (-3.15, -2.85)),
        (Scale(False, -INF), [0], (-0.05, 0.05)),
        (Scale(False, -INF), [], (-0.04, 1.04)),
    ],
)
def test_ends_of_an_axis(on, values, ends):
    assert on.limits(np.array(values, dtype=float)) == pytest.approx(ends, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "on"),
    [
        (None, Scale(False, -INF)),
        ([], Scale(False, -INF)),
        ([NAN, INF], Scale(False, -INF)),
        ([1, 100], Scale(True, -INF)),
        ([1, 99], Scale(False, -INF)),
        ([0, 100], Scale(False, -INF)),
        ([-1, 100], Scale(False, -INF)),
        ([100, 101.1], Scale(False, -INF)),
        ([100, 100.5], Scale(False, -INF, within=(95, 105.525))),
        ([-100, -99.5], Scale(False, -INF, within=(-105, -94.525))),
    ],
)
def test_the_axis_of_a_metric_of_ones_own(values, on):
    axis = scale("metric.mine:own", None if values is None else np.array(values, dtype=float))
    assert (axis.log, axis.floor, axis.ceiling, axis.line, axis.unit) == (on.log, -INF, INF, None, "")
    assert axis.within == pytest.approx(on.within, nan_ok=True)


ENDS = {  # column: logarithmic, floor, ceiling, what is always shown, line across
    "angle_max_margin": (True, 0.01, 180, 0.1, 10, 1),
    "gap": (True, 1e-7, INF, 1e-3, 1, 0.01),
    "margin_ratio": (False, 0, INF, 0, 1, 1),
    "margin_l2": (False, 0, INF, 0, 0.1, None),
    "margin_lp": (False, 0, INF, 0, 0.1, None),
    "layer_alignment": (False, 0, 1, 0, 1, None),
    "stable_rank": (False, 1, INF, 1, 1.5, None),
    "participation": (False, 0, INF, 0, 2, None),
    "balance_drift": (True, 1e-6, INF, 1e-3, 1, None),
    "norm_balance": (True, 1, INF, 1, 10, None),
    "norm_balance_frobenius": (True, 1, INF, 1, 10, None),
    "epoch": (True, 1, INF, 1, 10, None),
    "log_inverse_loss": (True, 0.1, INF, 1, 10, None),
}


@pytest.mark.parametrize("column", ENDS)
def test_axes_of_the_columns(column):
    on = scale(column)
    assert (on.log, on.floor, on.ceiling, *on.within, on.line) == ENDS[column]
    assert on.unit == ("°" if column.startswith("angle") else "")


def test_values_beyond_an_axis_are_told_and_drawn_at_its_rim():
    on = Scale(True, 0.01, 180.0)
    assert list(on.clip(np.array([0.001, 5.0, 200.0]))) == [0.01, 5.0, 180.0]
    for values, beyond in (
        ([0.01, 180.0, NAN], False),
        ([0.009], True),
        ([181.0], True),
        ([0.01 - 1e-10, 180.0 + 1e-10], False),
        ([INF], False),
        ([], False),
    ):
        assert on.clips(np.array(values)) is beyond


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.001, "0.001"), (9e-4, "9e−4"), (99999.0, "99999"), (1e5, "1e5"), (1e12, "1e12"), (1e-12, "1e−12"),
     (-2.0, "−2"), (-1e-7, "−1e−7"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333"), (0.5, "0.5"), (100.0, "100")],
)  # fmt: skip
def test_numbers_at_ticks(value, text):
    assert axes.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1"), (10.0, "10"), (100.0, "1e2"), (0.1, "1e−1"), (1e-7, "1e−7"), (1e5, "1e5")],
)
def test_powers_of_ten_at_ticks(value, text):
    assert axes.number(value, True) == text


@pytest.mark.parametrize(
    ("limits", "most", "ticks", "hundredth"),
    [
        ((1e-7, 1.0), 5, [1e-6, 1e-4, 1e-2, 1], "1e−2°"),
        ((1e-4, 1.0), 5, [1e-4, 1e-3, 1e-2, 1e-1, 1], "1e−2°"),
        ((1e-3, 1.0), 5, [1e-3, 1e-2, 1e-1, 1], "0.01°"),
        ((1.0, 1e4), 5, [1, 10, 100, 1e3, 1e4], "0.01°"),
        ((1.0, 1e5), 6, [1, 10, 100, 1e3, 1e4, 1e5], "1e−2°"),
        ((1.0, 10.0), 5, [1, 10], "0.01°"),
        ((0.1, 180.0), 5, [0.1, 1, 10, 100], "0.01°"),
        ((1e-4, 1.0), 3, [1e-4, 1e-2, 1], "1e−2°"),
        ((1.0, 100.0), 1, [1, 100], "0.01°"),
        ((1e-9, 1.0), 5, [1e-9, 1e-6, 1e-3, 1], "1e−2°"),
        ((2.0, 30.0), 5, [10], "0.01°"),
    ],
)
@pytest.mark.parametrize("side", ["x", "y"])
def test_ticks_of_a_logarithmic_axis_are_powers_of_ten_written_alike(limits, most, ticks, hundredth, side):
    ax = Figure().subplots()
    axis = getattr(ax, f"{side}axis")
    axes.set_axis(axis, Scale(True, 0.0, unit="°"), limits, most)
    assert (axis.get_scale(), getattr(ax, f"{'yx'[side == 'y']}axis").get_scale()) == ("log", "linear")
    assert list(axis.get_major_locator()()) == pytest.approx(ticks) and list(axis.get_minorticklocs()) == []
    room = (limits[1] / limits[0]) ** 0.04
    assert getattr(ax, f"get_{side}lim")() == pytest.approx((limits[0] / room, limits[1] * room))
    assert axis.get_major_formatter()(0.01, 0) == hundredth


def test_ticks_of_a_linear_axis():
    ax = Figure().subplots()
    axes.set_axis(ax.yaxis, Scale(False, 0.0), (0.0, 1.0))
    assert (ax.get_yscale(), ax.get_ylim()) == ("linear", (0.0, 1.0))
    assert list(ax.get_yticks()) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    axes.set_axis(ax.yaxis, Scale(False, 0.0), (0.0, 1.0), 3)
    assert list(ax.get_yticks()) == pytest.approx([0, 0.5, 1])


def test_lines_across_and_plain_ticks():
    ax = Figure().subplots()
    axes.line_across(ax, Scale(True, 0.0))
    assert not ax.lines
    for vertical in (False, True):
        axes.line_across(ax, GAP, vertical)
        assert list(ax.lines[-1].get_xdata() if vertical else ax.lines[-1].get_ydata()) == [0.01, 0.01]
    ax.set_xscale("log")
    axes.ticks_without_mathtext(ax)
    assert ax.xaxis.get_major_formatter()(1e-7, 0) == "1e−7" and "$" not in ax.yaxis.get_major_formatter()(0.5, 0)


def test_what_a_caption_says_of_lines_and_of_values_beyond():
    assert axes.line_notes(["stable_rank"]) == [] == axes.clip_notes([])
    degree, percent, exact = axes._LINES.values()
    assert axes.line_notes(["angle_svm", "angle_logreg"]) == [degree] and "1°" in degree
    assert axes.line_notes(["gap", "margin_ratio"]) == [percent, exact] and "1 %" in percent and "exact" in exact
    assert axes.clip_notes(["gap", "angle_svm", "angle_logreg", "gap"]) == [
        "Values of the certified gap below 1e−7 are drawn at 1e−7.", "Angles below 0.01° are drawn at 0.01°."
    ]  # fmt: skip
