"""The claim on the intervals of every table: they hold the true mean as often as their name says."""

from __future__ import annotations

import math

import numpy as np

from mdcore.analysis.data.statistics import describe_values
from mdcore.verification.claim import ClaimFigure, Measurement, Register, Series, is_quick, prediction, within

CLAIMS = Register()
SEEDS = (3, 5, 10)
SAMPLES = 100_000  # of n seeds each; QUICK: a tenth
FAMILIES = {"normal": np.random.Generator.standard_normal, "exponential": np.random.Generator.standard_exponential}
MEANS = {"normal": 0.0, "exponential": 1.0}


def coverage(family: str, n: int, samples: int) -> float:
    """Share of `samples` draws of n values of the family whose 95 % interval holds the family's mean."""
    values = FAMILIES[family](np.random.default_rng([n, samples]), (n, samples))
    statistics = describe_values(values, [str(k) for k in range(samples)])
    low, high = (np.array([statistics[f"{k}_ci_{end}"] for k in range(samples)]) for end in ("low", "high"))
    return float(np.mean((low <= MEANS[family]) & (MEANS[family] <= high)))


@CLAIMS.add(
    "95 % intervals hold their level",
    "Student 1908",
    f"n = {', '.join(map(str, SEEDS))} seeds, normal values, {SAMPLES:,} samples (QUICK: a tenth)",
    "the interval of the mean holds the true mean in 95 % of the samples; exponential values, for information",
    "4 standard errors of the simulation: ±0.3 % (QUICK: ±0.9 %)",
)
def level_of_the_interval(evidence) -> Measurement:
    samples = SAMPLES // 10 if is_quick(evidence) else SAMPLES
    by_family = {family: [coverage(family, n, samples) for n in SEEDS] for family in FAMILIES}
    error = math.sqrt(0.95 * 0.05 / samples)
    series = [Series(family, SEEDS, [100 * x for x in shares]) for family, shares in by_family.items()]
    figure = ClaimFigure("seeds n", "coverage (%)", (*series, prediction("expected", 95.0, SEEDS)))
    summary = "; ".join(f"{family} {'/'.join(f'{x:.2%}' for x in shares)}" for family, shares in by_family.items())
    return Measurement(summary.replace("%", " %"), within(by_family["normal"], 0.95, 4 * error), figure)
