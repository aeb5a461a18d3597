"""Numbers as text, where one way of writing them ends and another begins."""

import math

import numpy as np
import pytest

from mdcore.analysis.data.statistics import power_law, steps_to_reach
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
        (numbers.percent, math.nan, "–"),
        (numbers.count, 999999, "999,999"),
        (numbers.count, 1e6, "1.0×10⁶"),
        (numbers.count, math.inf, "no finite number of"),
        (numbers.angle, 1e-6, "1.0×10⁻⁶°"),
        (numbers.angle, 0.99e-6, "under 10⁻⁶°"),
        (numbers.angle, 0.0, "under 10⁻⁶°"),
        (numbers.angle_at_most, 1e-6, "10⁻⁶°"),
        (numbers.angle_at_most, 1.01e-6, "1.1×10⁻⁶°"),
        (numbers.angle_at_most, 0.931, "0.94°"),
        (numbers.angle_at_most, 90.0, "90°"),
        (numbers.duration, 2 * 86400 - 1, "48 h"),
        (numbers.duration, 2 * 86400, "2 days"),
        (numbers.duration, 99 * 60, "99 min"),
        (numbers.duration, 100 * 86400, "100 days"),
        (numbers.duration, 7199, "120 min"),
        (numbers.duration, math.nan, "–"),
    ],
)
def test_ends_of_the_ways_to_write(write, x, expected):
    assert write(x) == expected


def test_the_slope_of_the_last_decade():
    """Four points of the last factor 10 are enough, the first of them at t_end/10 itself; one t alone is not."""
    t = np.array([1.0, 10.0, 20.0, 50.0, 100.0])
    y = np.array([1e3, 1.0, 2.0**-0.5, 5.0**-0.5, 10.0**-0.5])
    assert power_law(t, y) == pytest.approx(0.5)
    assert math.isnan(power_law(t, np.where(t == 50, -1.0, y)))
    assert math.isnan(power_law(np.full(5, 3.0), y))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.01, 100.0, 0.01, 1.0), 100.0),  # there already
        ((0.01, 100.0, 0.02, 1.0), 200.0),
        ((0.01, 100.0, 0.02, 0.5), 400.0),
        ((0.01, 100.0, 1.0, 0.01), 1e202),
        ((0.01, 100.0, 1.0, 0.006), math.inf),
        ((0.01, 100.0, 0.02, 0.0), math.inf),
        ((0.01, 0.0, 0.02, 1.0), math.inf),
        ((0.01, 100.0, 0.0, 1.0), math.inf),
    ],
)
def test_steps_to_reach_by_hand(arguments, expected):
    assert steps_to_reach(*arguments) == pytest.approx(expected, rel=1e-9)
