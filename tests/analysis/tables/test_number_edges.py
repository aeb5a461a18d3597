"""Numbers as text, where one way of writing them ends and another begins."""

import math

import numpy as np
import pytest

from mdcore.analysis.data.statistics import excludes_zero, power_law, steps_to_reach
from mdcore.analysis.tables import numbers


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1e-3,), "0.00100"),
        ((9.99e-4,), "9.99×10⁻⁴"),
        ((99499.0,), "99500"),
        ((99999.0,), "100000"),
        ((1e5,), "1.00×10⁵"),
        ((-1.5e-7,), "−1.50×10⁻⁷"),
        ((0.0,), "0"),
        ((-1e-9, 0.5), "0.0 ± 0.5"),  # no minus zero
        ((0.0, 0.0), "0.00 ± 0.00"),
        ((2.0, 2e-5), "2.00000 ± 0.00002"),  # 1e-5 of the mean still decides
        ((2.0, 1.9e-5), "2.0000 ± 0.0000"),
        ((2.0, 1.9e-12), "2.00 ± 0.00"),  # rounding noise
        ((2.0, 2.1e-12), "2.0000 ± 0.0000"),
        ((3e-7, 2e5), "(0 ± 2)×10⁵"),
        ((12.0, 1.94), "12.0 ± 1.9"),
        ((12.0, 1.96), "12 ± 2"),
        ((12.0, 0.1), "12.00 ± 0.10"),
        ((1.23456, None, "°", 2), "1.2°"),
        ((math.nan,), "–"),
        ((math.inf, 1.0), "–"),
        ((True,), "–"),
        ((1.0, math.nan), "1.00"),
    ],
)
def test_plain_numbers(arguments, expected):
    assert numbers.number_as_text(*arguments) == expected


@pytest.mark.parametrize(
    ("write", "x", "expected"),
    [
        (numbers.percent, 1.01e-6, "1.0×10⁻⁴ %"),
        (numbers.percent, 9.9e-7, "under 0.0001 %"),
        (numbers.percent, 0.0999, "10 %"),
        (numbers.percent, 0.0994, "9.9 %"),
        (numbers.percent, 0.01, "1.0 %"),
        (numbers.percent, 1.234, "123 %"),
        (numbers.percent, math.nan, "–"),
        (numbers.count, 999999, "999,999"),
        (numbers.count, 1e6, "1.0×10⁶"),
        (numbers.count, math.inf, "no finite number of"),
        (numbers.angle, 1e-6, "1.0×10⁻⁶°"),
        (numbers.angle, 0.99e-6, "under 10⁻⁶°"),
        (numbers.angle, 0.0, "under 10⁻⁶°"),
        (numbers.angle, -0.5, "−0.50°"),
        (numbers.angle_at_most, 0.0, "10⁻⁶°"),
        (numbers.angle_at_most, -0.5, "−0.50°"),
        (numbers.angle_at_most, 1e-6, "10⁻⁶°"),
        (numbers.angle_at_most, 1.01e-6, "1.1×10⁻⁶°"),
        (numbers.angle_at_most, 0.931, "0.94°"),
        (numbers.angle_at_most, 90.0, "90°"),
        (numbers.duration, 2 * 86400 - 1, "48 h"),
        (numbers.duration, 2 * 86400, "2 days"),
        (numbers.duration, 99 * 60, "99 min"),
        (numbers.duration, 99.6 * 60, "100 min"),
        (numbers.duration, 9.5 * 86400, "9.5 days"),
        (numbers.duration, 1234 * 86400, "1,234 days"),
        (numbers.duration, 100 * 86400, "100 days"),
        (numbers.duration, 7199, "120 min"),
        (numbers.duration, math.nan, "–"),
        (numbers.written, 0.1, "0.1"),
        (numbers.written, 1e10, "10¹⁰"),
        (numbers.written, 2.5e-7, "2.5×10⁻⁷"),
        (numbers.rounded_up, 31 + 4e-10, 31.0),  # a difference in the ninth digit of a bound is rounding
        (numbers.rounded_up, 31 + 4e-9, 32.0),
    ],
)
def test_ends_of_the_ways_to_write(write, x, expected):
    assert write(x) == expected


@pytest.mark.parametrize(
    ("means", "stds", "cells"),
    [
        ([1e-3], None, ["0.00100"]),
        ([99999.0], None, ["99999"]),
        ([1e5, 0.0], None, ["1.00e5", "0"]),
        ([0.5], None, ["0.500"]),
        ([0.0], None, ["0"]),
        ([1.0], [1e-5], ["1.000"]),  # from 1e-5 on a spread decides
        ([0.5], [6e-6], ["0.500"]),
        ([50.0], [1e-4], ["50.0"]),  # and from 1e-5 of the mean on
        ([123.456], [1e-2], ["123.5"]),  # at most four digits
        ([50.0], [20.0], ["50 +- 20"]),
        ([5.0, 30.0], [0.1, 2.0], ["5.00 +- 0.10", "30.00 +- 2.00"]),
    ],
)
def test_the_decimals_of_a_column(means, stds, cells):
    assert numbers.aligned(means, stds) == cells
    assert numbers.decimals_of([0.0, math.nan], [1.0, 1.0]) == 0 == numbers.decimals_of([], [])


def test_what_is_no_more_than_rounding_raises_no_bound():
    """A millionth of the last digit, here of 0.01."""
    assert numbers.aligned([0.85 + 4e-9, 0.85 + 4e-8, 1.15], bounds=True) == ["0.85", "0.86", "1.15"]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.0, -1.95, 1.95), ("0", "-2", "2")),
        ((0.0, -1.94, 1.94), ("0.0", "-1.9", "1.9")),
        ((12.3456, 12.3206, 12.3706), ("12.35", "12.32", "12.37")),
        ((25.0, 25.0, 25.0), ("25.0", "25.0", "25.0")),
    ],
)
def test_the_decimals_of_an_interval(interval, expected):
    assert numbers.with_interval(*interval) == expected


def test_three_digits_without_a_spread():
    assert numbers.parts(2.0) == ("2.00", None, 0)


@pytest.mark.parametrize(
    ("low", "high", "excluded"),
    [(0.0, 1.0, False), (0.1, 1.0, True), (-1.0, 0.0, False), (-1.0, -0.1, True), (-0.5, 0.5, False)],
)
def test_an_interval_that_ends_at_zero_does_not_tell_a_mean_from_it(low, high, excluded):
    assert excludes_zero({"x_n": 3, "x_min": -2.0, "x_max": 2.0, "x_ci_low": low, "x_ci_high": high}, "x") == excluded


def test_the_slope_of_the_last_decade():
    """Four points of the last factor 10 are enough, the first of them at t_end/10 itself; one t alone is not."""
    t = np.array([1.0, 10.0, 20.0, 50.0, 100.0])
    y = np.array([1e3, 1.0, 2.0**-0.5, 5.0**-0.5, 10.0**-0.5])
    assert power_law(t, y) == pytest.approx(0.5)
    assert math.isnan(power_law(t, np.where(t == 50, -1.0, y)))
    assert math.isnan(power_law(np.full(5, 3.0), y)) and math.isnan(power_law(np.zeros(5), y))
    assert math.isnan(power_law([], []))
    assert power_law(t / 1e3, y) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [0.0, -0.5, math.nan, math.inf])
def test_what_has_no_logarithm_is_in_no_slope(bad):
    t = np.array([10.0, 20.0, 30.0, 50.0, 100.0])
    assert power_law(t, np.where(t == 30, bad, t**-0.5)) == pytest.approx(0.5)
    assert power_law(np.where(t == 30, bad, t), t**-0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.01, 100.0, 0.01, 1.0), 100.0),  # there already
        ((0.01, 100.0, 0.02, 1.0), 200.0),
        ((0.01, 100.0, 0.02, 0.5), 400.0),
        ((0.01, 100.0, 1.0, 0.01), 1e202),
        ((0.01, 100.0, 1.0, 0.006), math.inf),
        ((1e-3, 1.0, 1.0, 0.01), math.inf),  # 1e300
        ((1e-3, 1.0, 1.0, 3 / 299.5), 10**299.5),
        ((1e-3, 1.0, 1.0, 3 / 300.5), math.inf),
        ((0.01, 0.5, 0.02, 1.0), 1.0),
        ((0.01, 100.0, 0.005, 0.0), math.inf),
        ((0.01, 100.0, 0.02, 0.0), math.inf),
        ((0.01, 0.0, 0.02, 1.0), math.inf),
        ((0.01, 100.0, 0.0, 1.0), math.inf),
    ],
)
def test_steps_to_reach_by_hand(arguments, expected):
    assert steps_to_reach(*arguments) == pytest.approx(expected, rel=1e-9)
    assert steps_to_reach(0.01, 5.0, 0.01, 1.0) == 5.0  # to the last bit
