"""A metric of the user's own: called with copies, held to one real number, tried before a stack is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from mdcore.training.failures import one_line

NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


class MetricError(Exception):
    """A metric raises, or returns something that is no number; the text names the metric and says what."""


def value(name: str, metric: Callable, w: np.ndarray, data) -> float:
    """metric(w, data) as a float, NaN allowed. MetricError otherwise; `w` itself is never handed out."""
    try:
        got = metric(w.copy(), data)
    except (Exception, SystemExit) as error:
        raise MetricError(f"the metric {name} raised {one_line(error)}") from error
    if hasattr(got, "item") and getattr(got, "shape", None) == ():  # an array or a tensor of one number
        got = got.item()
    if not isinstance(got, NUMBERS):
        shape = f" of shape {tuple(got.shape)}" if hasattr(got, "shape") else ""
        raise MetricError(f"the metric {name} returned {type(got).__name__}{shape}; expected one real number")
    return float(got)


def try_all(metrics: Mapping[str, Callable], data) -> None:
    """Call each metric on the first step of gradient descent from 0, the mean of y_n x_n. MetricError."""
    for name, metric in metrics.items():
        value(name, metric, data.A.mean(axis=0), data)


def value_or_nan(name: str, metric: Callable, notes: list[str], w: np.ndarray, data) -> float:
    """`value`; NaN with a note where the metric fails on this predictor, which by then has been trained."""
    try:
        return value(name, metric, w, data)
    except MetricError as error:
        note = f"{error}; NaN stands there"
        if note not in notes:
            notes.append(note)
        return math.nan
