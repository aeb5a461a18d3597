"""A claim: what a theorem says, what was measured, and whether the two agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COLUMNS = ("claim", "source", "setting", "expected", "tolerance", "measured", "verdict")
PASS, FAIL = "pass", "fail"


@dataclass(frozen=True)
class Series:
    """One curve or set of points of a figure; `kind` is "data" or "prediction"."""

    label: str
    x: Sequence[Any] | np.ndarray
    y: Sequence[float] | np.ndarray
    kind: str = "data"


@dataclass(frozen=True)
class ClaimFigure:
    """Prediction drawn against data. An x of words makes the axis a list of names."""

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_scale: str = "linear"
    y_scale: str = "linear"


@dataclass
class Measurement:
    """What a claim's function found: words, whether the claim holds, and the figure of it."""

    measured: str
    holds: bool
    figure: ClaimFigure


@dataclass(frozen=True)
class Claim:
    """A claim and the function that measures it; `ours` marks what was found here and has no other source."""

    name: str
    source: str
    setting: str
    expected: str
    tolerance: str
    measure: Callable
    ours: bool = False

    def judge(self, evidence) -> JudgedClaim:
        """The verdict on `evidence`. Whatever goes wrong while measuring is a claim that failed, with the reason."""
        try:
            outcome = self.measure(evidence)
        except Exception as error:
            return JudgedClaim(self, f"not measured: {type(error).__name__}: {error}", FAIL, None)
        return JudgedClaim(self, outcome.measured, PASS if bool(outcome.holds) else FAIL, outcome.figure)


@dataclass
class JudgedClaim:
    """A judged claim: a row of claims.csv."""

    claim: Claim
    measured: str
    verdict: str
    figure: ClaimFigure | None

    def row(self) -> dict[str, str]:
        """The row of claims.csv."""
        c = self.claim
        source = f"{c.source} (ours)" if c.ours else c.source
        return dict(
            zip(COLUMNS, (c.name, source, c.setting, c.expected, c.tolerance, self.measured, self.verdict), strict=True)
        )


@dataclass
class Register:
    """The claims in the order in which they were added."""

    claims: list[Claim] = field(default_factory=list)

    def add(self, name, source, setting, expected, tolerance, /, *, ours=False, **fixed) -> Callable:
        """Decorator: `function(evidence, **fixed) -> Measurement` becomes a claim. May stand several times."""

        def take(function):
            self.claims.append(
                Claim(name, source, setting, expected, tolerance, lambda evidence: function(evidence, **fixed), ours)
            )
            return function

        return take


def is_quick(evidence) -> bool:
    """True for evidence of the quick suite, and for none: what needs no run is then measured quickly."""
    return getattr(evidence, "quick", True)


def at_most(values: Iterable[float], bound: float) -> bool:
    """True where there are values, all of them numbers, all ≤ bound."""
    values = np.asarray(list(values), dtype=float)
    return bool(len(values) and (values <= bound).all())  # NaN is not ≤ anything


def within(values: Iterable[float], expected: float, tolerance: float) -> bool:
    """True where there are values, all within `tolerance` of `expected`."""
    return at_most([abs(value - expected) for value in values], tolerance)


def largest(values: Iterable[float]) -> float:
    """The largest value; NaN where one of them is NaN or there are none."""
    values = np.asarray(list(values), dtype=float)
    return float(values.max()) if len(values) else math.nan


def prediction(label: str, y: float | Sequence[float], x: Sequence[Any] | np.ndarray) -> Series:
    """A prediction: a value for each x, or one number, drawn over all x."""
    return Series(label, x, np.broadcast_to(y, len(x)), "prediction")


def curves(x: Sequence[Any] | np.ndarray, measured: dict[str, Any], predicted: dict[str, Any]) -> tuple[Series, ...]:
    """Measured values {label: y} and predictions over the same x, numbers or names."""
    data = [Series(label, x, y) for label, y in measured.items()]
    return (*data, *(prediction(label, y, x) for label, y in predicted.items()))


def bars(names: Sequence[str], values: Sequence[float], y_label: str, predicted: dict[str, Any], scale="linear"):
    """ClaimFigure of one value a name, with predictions {label: y}."""
    return ClaimFigure("", y_label, curves(names, {"measured": values}, predicted), y_scale=scale)
