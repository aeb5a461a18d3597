"""Statistics over seeds: checked against definitions, by hand-computed cases and by properties."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from mdcore.analysis.compare import change
from mdcore.analysis.data.statistics import (
    all_the_same,
    describe,
    excludes_zero,
    mean_interval,
    power_law,
    steps_to_reach,
)
from mdcore.analysis.tables import numbers

finite = st.floats(-1e6, 1e6, allow_nan=False)


def test_describe_by_hand():
    got = describe(pd.DataFrame({"x": [1.0, 2.0, 6.0]}))
    assert got["x_n"] == 3 and got["x_mean"] == 3.0 and got["x_min"] == 1.0 and got["x_max"] == 6.0
    assert got["x_std"] == pytest.approx(math.sqrt(7.0))  # ((−2)² + (−1)² + 3²)/(3 − 1)


def test_one_seed_has_a_mean_and_no_spread():
    got = describe(pd.DataFrame({"x": [2.5]}))
    assert (got["x_n"], got["x_mean"], got["x_min"], got["x_max"]) == (1, 2.5, 2.5, 2.5)
    assert all(math.isnan(got[f"x_{s}"]) for s in ("std", "ci_low", "ci_high"))


def test_values_that_are_not_finite_are_left_out_and_counted():
    table = pd.DataFrame({"x": [1.0, np.nan, 3.0, np.inf], "y": [np.nan] * 4, "z": [1.0, 2.0, 3.0, 4.0]})
    got = describe(table)
    assert (got["x_n"], got["x_mean"]) == (2, 2.0)
    assert got["y_n"] == 0 and math.isnan(got["y_mean"])
    assert (got["z_n"], got["z_mean"]) == (4, 2.5)


def test_no_rows_at_all():
    got = describe(pd.DataFrame({"x": np.empty(0)}))
    assert got["x_n"] == 0 and math.isnan(got["x_mean"])


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_the_interval_is_students(n):
    values = np.random.default_rng(n).standard_normal((4, n)) * 3 + 1
    for row, (low, high) in zip(values, mean_interval(values), strict=True):
        test = ttest_1samp(row, 0.0).confidence_interval(0.95)
        assert (low, high) == pytest.approx((test.low, test.high), rel=1e-12)
        # by its definition: the means that a two-sided t test at 5 % does not reject
        assert ttest_1samp(row, low).pvalue == pytest.approx(0.05) == ttest_1samp(row, high).pvalue


def test_the_interval_by_the_table_of_student():
    got = describe(pd.DataFrame({"x": [1.0, 2.0, 6.0]}))
    half = 4.302653 * math.sqrt(7.0 / 3)  # t for 2 degrees of freedom at 97.5 %
    assert (got["x_ci_low"], got["x_ci_high"]) == pytest.approx((3 - half, 3 + half), rel=1e-6)


def test_the_interval_belongs_to_its_values_alone():
    table = pd.DataFrame({"x": [1.0, 2.0, 4.0, 8.0]})
    more = describe(table.assign(other=[4.0, np.nan, 2.0, 1.0]))
    assert {k: v for k, v in more.items() if k.startswith("x_")} == describe(table)


@given(st.lists(finite, min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_mean_is_in_the_middle_of_the_interval_and_within_the_range(values):
    got = describe(pd.DataFrame({"x": values}))
    low, high, slack = got["x_ci_low"], got["x_ci_high"], 1e-9 * max(1.0, max(map(abs, values)))
    assert low <= got["x_mean"] <= high
    assert (low + high) / 2 == pytest.approx(got["x_mean"], abs=slack)
    assert min(values) <= got["x_mean"] <= max(values)


@pytest.mark.parametrize("scale", [1e-308, 1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_a_spread_is_seen_in_any_scale(scale):
    """The risk falls below 1e-300: squares of what it differs by are no doubles."""
    got = describe(pd.DataFrame({"x": np.array([1.0, 2.0, 6.0]) * scale}))
    assert got["x_std"] == pytest.approx(math.sqrt(7.0) * scale, rel=1e-6, abs=0)
    assert got["x_ci_low"] < got["x_min"] < got["x_max"] < got["x_ci_high"]


@pytest.mark.parametrize("value", [2.0, 0.1, 1 / 3, -1e-300, 0.0, 7e12])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_values_have_an_interval_of_width_zero_and_are_known_as_such(value, n):
    got = describe(pd.DataFrame({"x": [value] * n, "y": [value] * (n - 1) + [value + 1e-3 * (abs(value) + 1)]}))
    assert [got[f"x_{s}"] for s in ("mean", "std", "ci_low", "ci_high")] == [value, 0.0, value, value]
    assert all_the_same(got, "x") and not all_the_same(got, "y")
    assert not excludes_zero(got, "x")


def test_one_value_is_not_called_the_same():
    assert not all_the_same(describe(pd.DataFrame({"x": [2.5]})), "x")
    assert not all_the_same({}, "x") and not excludes_zero({}, "x")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.1, 1.2], True),
        ([-1.0, -1.1, -1.2], True),
        ([1.0, 1.000001], False),  # two values
        ([1.0, 1.0, 1.0], False),  # the same to the last bit
        ([0.1, 1.1, 1.2], False),
        ([1.0, 1.1, np.nan], False),
        ([np.nan] * 3, False),
    ],
)
def test_when_an_interval_tells_a_mean_from_zero(values, expected):
    assert excludes_zero(describe(pd.DataFrame({"x": values})), "x") == expected


@pytest.mark.parametrize("exponent", [0.3, 0.8, 1.5])
def test_power_law_is_found_again_and_forecast_hits(exponent):
    t = np.geomspace(1, 1e4, 80)
    gap = 3.0 * t**-exponent
    s = power_law(t, gap)
    assert s == pytest.approx(exponent, rel=1e-9)
    target = gap[-1] / 30
    assert 3.0 * steps_to_reach(target, t[-1], gap[-1], s) ** -exponent == pytest.approx(target, rel=1e-6)
    assert steps_to_reach(2 * gap[-1], t[-1], gap[-1], s) == t[-1]


def test_power_law_looks_at_the_last_decade_only():
    t = np.geomspace(1, 1e4, 80)
    gap = np.where(t < 1e3, 1.0, (t / 1e3) ** -0.5)
    assert power_law(t, gap) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    "t, y", [([], []), ([1, 2], [1, 1]), ([1, 2, 3, 4], [np.nan] * 4), ([5, 5, 5, 5], [1, 2, 3, 4])]
)
def test_power_law_of_too_little_is_nan(t, y):
    assert math.isnan(power_law(np.array(t, float), np.array(y, float)))


def test_a_power_law_needs_four_points():
    t = np.array([1.0, 2.0, 4.0, 8.0])
    assert power_law(t, 1 / t) == pytest.approx(1.0)
    assert math.isnan(power_law(t[:3], 1 / t[:3]))


@pytest.mark.parametrize("exponent", [0.0, -0.4, float("nan")])
def test_a_gap_that_does_not_fall_never_reaches(exponent):
    assert steps_to_reach(0.01, 1e4, 0.05, exponent) == math.inf


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (12.3456, 0.0432, "12.35 ± 0.04"),
        (12.3456, 0.0123, "12.346 ± 0.012"),
        (12.3456, 0.018, "12.346 ± 0.018"),
        (12.3456, 1.95, "12 ± 2"),
        (1234.5, 210.0, "1200 ± 200"),
        (0.5, 0.096, "0.50 ± 0.10"),
        (1234.5, 56.7, "1230 ± 60"),
        (3.14e-5, 2.2e-6, "(3.1 ± 0.2)×10⁻⁵"),
        (2.0, None, "2.00"),
        (0.012345, None, "0.0123"),
        (-0.004, 0.02, "0.00 ± 0.02"),
        (float("nan"), 1.0, "–"),
        (0.25, 0.0, "0.250 ± 0.000"),
        (0.0, 0.0, "0.00 ± 0.00"),
        (1.0, 1e-17, "1.00 ± 0.00"),
        (8.485375, 1.7e-6, "8.4854 ± 0.0000"),
        (0.0, None, "0"),
        (1e7, None, "1.00×10⁷"),
    ],
)
def test_digits_follow_the_uncertainty(mean, spread, expected):
    assert numbers.number_as_text(mean, spread) == expected


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e3))
@settings(max_examples=200, deadline=None)
def test_printed_mean_is_within_the_printed_digit_of_the_spread(mean, spread):
    m, s, e = numbers.parts(mean, spread)
    last = 0.501 * 10.0 ** (e - len(s.partition(".")[2]))  # half a unit of the last digit printed
    if spread >= 1e-5 * abs(mean):
        assert abs(float(m) * 10.0**e - mean) <= 0.51 * spread  # one digit of the spread or less is lost
        assert abs(float(s) * 10.0**e / spread - 1) <= 0.34
    else:
        assert abs(float(s) * 10.0**e - spread) <= last and abs(float(m) * 10.0**e - mean) <= last


@pytest.mark.parametrize(
    ("write", "x", "expected"),
    [
        (numbers.percent, 0.0031, "0.31 %"),
        (numbers.percent, 0.0996, "10 %"),
        (numbers.percent, 0.1, "10 %"),
        (numbers.percent, -0.01, "−1.0 %"),
        (numbers.percent, -0.5, "−50 %"),
        (numbers.percent, 0.0, "0 %"),
        (numbers.percent, 5e-7, "under 0.0001 %"),
        (numbers.percent, math.nan, "–"),
        (numbers.count, 12345, "12,345"),
        (numbers.count, 1e6, "1.0×10⁶"),
        (numbers.count, 3.42e7, "3.4×10⁷"),
        (numbers.count, math.inf, "no finite number of"),
        (numbers.angle, 0.314, "0.31°"),
        (numbers.angle, 5e-7, "under 10⁻⁶°"),
        (numbers.angle, 1e-6, "1.0×10⁻⁶°"),
        (numbers.angle_at_most, 0.931, "0.94°"),
        (numbers.angle_at_most, 5e-7, "10⁻⁶°"),
        (numbers.angle_at_most, math.nan, "–"),
    ],
)
def test_numbers_in_sentences(write, x, expected):
    assert write(x) == expected


@pytest.mark.parametrize(
    ("mean", "half", "expected"),
    [
        (12.3456, 0.045, ("12.35", "12.30", "12.39")),
        (12.3456, 0.018, ("12.346", "12.328", "12.364")),
        (1234.5, 180.0, ("1230", "1050", "1410")),
        (0.5, 1e-5, ("0.500", "0.500", "0.500")),
        (2.5, 0.0, ("2.50", "2.50", "2.50")),
        (0.0, 0.0, ("0", "0", "0")),
    ],
)
def test_the_digits_of_an_interval_follow_its_half_width(mean, half, expected):
    assert numbers.with_interval(mean, mean - half, mean + half) == expected


def test_an_estimate_has_the_digits_asked_for():
    assert numbers.count(1234, digits=2) == "1,200"
    assert numbers.rounded_up(0.0) == 0.0 and numbers.rounded_up(-1.23) == -1.23


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "under 1 s"),
        (1, "1 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (150, "2.5 min"),
        (7200, "2 h"),
        (86400 * 8, "8 days"),
        (86400 * 100, "100 days"),
        (math.nan, "–"),
    ],
)
def test_durations(seconds, expected):
    assert numbers.duration(seconds) == expected


@given(st.floats(1e-15, 1e5))
@settings(max_examples=200, deadline=None)
def test_a_bound_is_rounded_up_to_two_digits(x):
    up = numbers.rounded_up(x)
    assert x * (1 - 1e-8) <= up <= 1.1 * x * (1 + 1e-12)
    assert float(f"{up:.1e}") == pytest.approx(up, rel=1e-12)


def test_what_is_infinite_in_both_runs_is_no_difference():
    """Flow times beyond 1e308 are inf: two equal runs compare as equal, without a warning, and one finite end shows."""
    one = pd.DataFrame({"seed": [0, 1], "status": "converged", "flow_time": [np.inf, np.inf], "gap": [0.25, np.nan]})
    condition = SimpleNamespace(words="quadratic", depth=1, data_words="Planted, d = 2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        equal = change(condition, condition, one, one.copy(), ["flow_time", "gap"])
        apart = change(condition, condition, one, one.assign(gap=[0.5, 0.5]), ["flow_time", "gap"])
    assert equal.same and not apart.same
    assert equal.stats["flow_time_mean"] == 0 == equal.stats["gap_mean"]
    assert apart.stats["flow_time_mean"] == 0 and apart.stats["gap_mean"] == 0.25
