"""Statistics over seeds: mean, std, range, interval of the mean. Nothing here knows what the numbers mean.

A column with one value has a mean and a range but no std and no interval (NaN): one seed says nothing about spread.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtrit

STATS = ("n", "mean", "std", "min", "max", "ci_low", "ci_high")
CONFIDENCE = 0.95
FEWEST = 3  # values from which a table marks an interval that does not hold zero


def mean_interval(values: np.ndarray) -> np.ndarray:
    """95 % interval of the mean along the last axis, x̄ ± t_{n−1} s/√n (Student 1908): values (k, n) -> (k, 2).

    It holds its level exactly, at every n ≥ 2, where the values are normal and independent; for skewed values it is
    approximate (`make verify` measures both). It is not clipped: the interval of a mean angle may begin below 0°.
    NaN when n < 2. Values that are all the same have no spread, and an interval of width zero: see `all_the_same`.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    mean, std = _mean_and_std(values)
    n = values.shape[1]
    half = stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * std / np.sqrt(n)
    return np.column_stack([mean - half, mean + half])


def _mean_and_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, std with ddof 1) of the rows of values (k, n), each row in its own scale: 1e-300 has a spread too.

    The mean lies within the row's range, and equal values have a std of exactly 0, whatever the rounding.
    """
    low, high = values.min(axis=1), values.max(axis=1)
    scale = np.maximum(np.abs(low), np.abs(high))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = values / scale[:, None]
    mean = np.clip(scaled.mean(axis=1) * scale, low, high)
    if values.shape[1] < 2:
        return mean, np.full(len(values), np.nan)
    return mean, np.where(low == high, 0.0, scaled.std(axis=1, ddof=1) * scale)


def all_the_same(row: dict, column: str) -> bool:
    """Whether two values or more of `column`, described in `row`, agree to the last bit.

    Then nothing in them depended on the seed, and std and interval are zero: that is no evidence of a small
    uncertainty, as one run says as much.
    """
    return row.get(f"{column}_n", 0) > 1 and row.get(f"{column}_min") == row.get(f"{column}_max")


def excludes_zero(row: dict, column: str) -> bool:
    """Whether the interval of `column`, described in `row`, tells the mean from zero: over FEWEST values or more that
    are not all the same."""
    low, high = row.get(f"{column}_ci_low", np.nan), row.get(f"{column}_ci_high", np.nan)
    return row.get(f"{column}_n", 0) >= FEWEST and not all_the_same(row, column) and (low > 0 or high < 0)


def describe(table: pd.DataFrame) -> dict[str, float]:
    """`<column>_<stat>` for every column of `table` (rows: seeds), stat in STATS; std has ddof 1.

    Values that are not finite are left out of the statistics and show in `<column>_n`.
    """
    return describe_values(table.to_numpy(dtype=float), list(table.columns))


def describe_values(values: np.ndarray, columns: list[str]) -> dict[str, float]:
    """`describe` of an array (seeds, columns)."""
    values = np.asarray(values, dtype=float).T  # (k, n)
    finite = np.isfinite(values)
    stats = np.full((len(columns), len(STATS)), np.nan)
    stats[:, 0] = 0
    for pattern in np.unique(finite[finite.any(axis=1)], axis=0):
        rows = np.flatnonzero((finite == pattern).all(axis=1))
        some = values[rows][:, pattern]
        stats[rows, 0] = some.shape[1]
        stats[rows, 1], stats[rows, 2] = _mean_and_std(some)
        stats[rows, 3], stats[rows, 4] = some.min(axis=1), some.max(axis=1)
        stats[rows, 5:] = mean_interval(some)
    return {
        f"{column}_{stat}": value
        for column, row in zip(columns, stats.tolist(), strict=True)
        for stat, value in zip(STATS, row, strict=True)
    }


def power_law(t: np.ndarray, y: np.ndarray, span: float = 10.0) -> float:
    """Exponent s of y ~ t^{-s}, by least squares in log-log over the last factor `span` of t; NaN under 4 points."""
    t, y = np.asarray(t, float), np.asarray(y, float)
    keep = np.isfinite(t) & np.isfinite(y) & (t > 0) & (y > 0)
    t, y = t[keep], y[keep]
    late = t >= t.max(initial=-np.inf) / span
    if late.sum() < 4:
        return float("nan")
    x = np.log(t[late])
    if np.ptp(x) == 0:
        return float("nan")
    return float(-np.polyfit(x, np.log(y[late]), 1)[0])


def steps_to_reach(target: float, t_end: float, y_end: float, exponent: float) -> float:
    """t at which y_end (t/t_end)^{-s} falls to `target`: t_end (y_end/target)^{1/s}; inf when s is not positive."""
    if not (np.isfinite(exponent) and exponent > 0 and y_end > 0 and t_end > 0):
        return float("inf")
    if y_end <= target:
        return float(t_end)
    power = np.log10(t_end) + np.log10(y_end / target) / exponent
    return float(10**power) if power < 300 else float("inf")
