"""Statistics over seeds: mean, std, range, bootstrap interval. Nothing here knows what the numbers mean.

A column with one value has a mean and a range but no std and no interval (NaN): one seed says nothing about spread.
"""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

STATS = ("n", "mean", "std", "min", "max", "ci_low", "ci_high")
RESAMPLES = 2000
CONFIDENCE = 0.95


def generator(name: str) -> np.random.Generator:
    """The random stream that belongs to `name`: the same name gives the same numbers, on any machine, in any order."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little"))


def bootstrap_interval(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """95 % bootstrap interval of the mean along the last axis: BCa (Efron 1987), percentile where BCa is degenerate.

    values: (k, n), finite. Returns (k, 2), low and high; NaN when n < 2. The k rows are resampled together: the
    units are the seeds. Identical values have an interval of width zero.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    k, n = values.shape
    if n < 2:
        return np.full((k, 2), np.nan)
    out = np.column_stack([values[:, 0], values[:, 0]])
    spread = np.ptp(values, axis=1) > 0
    if not spread.any():
        return out
    some = values[spread]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        bca = bootstrap(
            (some,),
            np.mean,
            n_resamples=RESAMPLES,
            axis=-1,
            vectorized=True,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=rng,
        )
    interval = np.column_stack([bca.confidence_interval.low, bca.confidence_interval.high])
    bad = ~np.isfinite(interval).all(axis=1)
    if bad.any():
        tail = 50 * (1 - CONFIDENCE)
        interval[bad] = np.percentile(bca.bootstrap_distribution[bad], [tail, 100 - tail], axis=-1).T
    # rounding must not take the interval out of the range
    out[spread] = np.clip(interval, some.min(axis=1)[:, None], some.max(axis=1)[:, None])
    return out


def describe(table: pd.DataFrame, name: str) -> dict[str, float]:
    """`<column>_<stat>` for every column of `table` (rows: seeds), stat in STATS; std has ddof 1.

    Values that are not finite are left out of the statistics and show in `<column>_n`. `name` seeds the bootstrap:
    the interval of a condition does not depend on which other conditions there are.
    """
    return describe_values(table.to_numpy(dtype=float), list(table.columns), name)


def describe_values(values: np.ndarray, columns: list[str], name: str) -> dict[str, float]:
    """`describe` of an array (seeds, columns)."""
    values = np.asarray(values, dtype=float).T  # (k, n)
    finite = np.isfinite(values)
    stats = np.full((len(columns), len(STATS)), np.nan)
    stats[:, 0] = 0
    patterns, which = np.unique(finite, axis=0, return_inverse=True) if finite.size else (finite, [])
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        rows = np.flatnonzero(np.ravel(which) == number)
        some = values[rows][:, pattern]
        n = some.shape[1]
        low, high = some.min(axis=1), some.max(axis=1)
        stats[rows, 0] = n
        stats[rows, 1] = np.clip(some.mean(axis=1), low, high)  # rounding must not leave the range
        stats[rows, 2] = some.std(axis=1, ddof=1) if n > 1 else np.nan
        stats[rows, 3], stats[rows, 4] = low, high
        if n > 1:
            stats[rows, 5:] = bootstrap_interval(some, generator(f"{name}|{pattern.tobytes().hex()}"))
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
    late = t >= (t.max() / span if t.size else 0)
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
