"""Axes that mean something: what each quantity is drawn on, from which floor, with which line across.

Logarithmic axes begin and end at powers of ten, so that their ticks do. Values beyond an axis are drawn at its rim, and
the caption says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatter, MaxNLocator, NullLocator

from mdcore.analysis.data.directions import SAME
from mdcore.problems.proofs.directions import CONVERGED_GAP
from mdcore.store.columns import metric


@dataclass(frozen=True)
class Scale:
    """The axis of one quantity. Values below `floor` or above `ceiling` are drawn there.

    within: a range that is always shown, so that no axis is zoomed into rounding errors. line: drawn across. unit: put
    after the numbers at ticks.
    """

    log: bool
    floor: float
    ceiling: float = math.inf
    within: tuple[float, float] = (math.nan, math.nan)
    line: float | None = None
    unit: str = ""

    def clip(self, values: np.ndarray) -> np.ndarray:
        """The values where they are drawn."""
        return np.clip(values, self.floor, self.ceiling)

    def clips(self, values: np.ndarray) -> bool:
        """Whether some value lies beyond the axis."""
        v = values[np.isfinite(values)]
        return bool(((v < self.floor - 1e-9) | (v > self.ceiling + 1e-9)).any())  # what is more than rounding

    def limits(self, values: np.ndarray) -> tuple[float, float]:
        """The ends of the axis for these values: powers of ten where it is logarithmic."""
        v = np.append(
            self.clip(values[np.isfinite(values)]), [w for w in (*self.within, self.line) if w is not None and w == w]
        )
        if not self.log:
            low, high = (v.min(), v.max()) if v.size else (0.0, 1.0)
            pad = 0.04 * (high - low) or 0.05 * (abs(high) or 1.0)
            return float(low - pad), float(high + pad)
        v = v[v > 0]
        low, high = (v.min(), v.max()) if v.size else (1.0, 10.0)
        low, high = 10.0 ** math.floor(math.log10(low) + 1e-9), 10.0 ** math.ceil(math.log10(high) - 1e-9)
        return low, min(max(high, 10 * low), self.ceiling)


ANGLE = Scale(True, 0.01, 180.0, (0.1, 10.0), SAME, "°")
SCALES = {
    "gap": Scale(True, 1e-7, within=(1e-3, 1.0), line=CONVERGED_GAP),
    "margin_ratio": Scale(False, 0.0, within=(0.0, 1.0), line=1.0),
    "margin_l2": Scale(False, 0.0, within=(0.0, 0.1)),
    "margin_lp": Scale(False, 0.0, within=(0.0, 0.1)),
    "layer_alignment": Scale(False, 0.0, 1.0, (0.0, 1.0)),
    "stable_rank": Scale(False, 1.0, within=(1.0, 1.5)),
    "participation": Scale(False, 0.0, within=(0.0, 2.0)),
    "balance_drift": Scale(True, 1e-6, within=(1e-3, 1.0)),
    "norm_balance": Scale(True, 1.0, within=(1.0, 10.0)),
    "norm_balance_frobenius": Scale(True, 1.0, within=(1.0, 10.0)),
    "epoch": Scale(True, 1.0, within=(1.0, 10.0)),
    "log_inverse_loss": Scale(True, 0.1, within=(1.0, 10.0)),
}


def scale(column: str, values: np.ndarray | None = None) -> Scale:
    """The scale of a column; of a metric of the user's own, logarithmic where its values span two decades or more."""
    if column in SCALES:
        return SCALES[column]
    if metric(column).unit == "degrees":
        return ANGLE
    v = np.empty(0) if values is None else values[np.isfinite(values)]
    decades = bool(v.size and v.min() > 0 and v.max() >= 100 * v.min())
    if decades or not v.size or v.max() - v.min() > 0.01 * np.abs(v).max():
        return Scale(decades, -math.inf)
    return Scale(False, -math.inf, within=(v.min() - 0.05 * abs(v.min()), v.max() + 0.05 * abs(v.max())))


def number(value: float, power: bool = False) -> str:
    """A number at a tick: "0.01", "100", "1e-6", "1e12"; `power`: "1e-2" and "1e2", too, but 1 and 10 as they are."""
    if value == 0 or ((value in (1, 10) or not power) and 1e-3 <= abs(value) < 1e5):
        return f"{value:g}".replace("-", "−")
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


def ticks_without_mathtext(ax: Axes) -> None:
    """Numbers without mathtext at the ticks of logarithmic axes."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
            axis.set_minor_formatter(LogFormatter())


def set_axis(axis: Axis, on: Scale, limits: tuple[float, float], most: int = 5) -> None:
    """Limits and about `most` ticks of a set of panels' shared axis: powers of ten on a logarithmic one, at multiples
    of one exponent, and all written alike."""
    ax: Axes = axis.axes
    x = axis is ax.xaxis
    (ax.set_xscale if x else ax.set_yscale)("log" if on.log else "linear")
    room = (limits[1] / limits[0]) ** 0.04 if on.log else 1.0  # for marks at the rim
    (ax.set_xlim if x else ax.set_ylim)(limits[0] / room, limits[1] * room)
    if on.log:
        first, last = math.ceil(math.log10(limits[0]) - 1e-9), math.floor(math.log10(limits[1]) + 1e-9)
        step = max(1, math.ceil((last - first) / max(1, most - 1)))
        exponents = [k for k in range(first, last + 1) if k % step == 0]
        axis.set_major_locator(FixedLocator([10.0**k for k in exponents]))
    else:
        axis.set_major_locator(MaxNLocator(most - 1, steps=[1, 2, 2.5, 5, 10]))
    axis.set_minor_locator(NullLocator())
    powers = on.log and (exponents[0] < -3 or exponents[-1] > 4)
    axis.set_major_formatter(FuncFormatter(lambda v, _: number(v, powers) + on.unit))


def line_across(ax: Axes, on: Scale, vertical: bool = False) -> None:
    """The line at 1°, at a gap of 1 %, at the exact margin."""
    if on.line is not None:
        (ax.axvline if vertical else ax.axhline)(on.line, color="0.3", linewidth=0.7, dashes=(2, 1.5), zorder=1.2)


_LINES = {
    "°": "Dashed line at 1°: directions nearer than this count as the same.",
    "gap": "Dashed line at a gap of 1 %: a margin with a smaller gap counts as certified.",
    "margin_ratio": "Dashed line at a share of 1: the exact largest margin.",
}


def line_notes(columns: Iterable[str]) -> list[str]:
    """What the lines across are."""
    return list(dict.fromkeys(_LINES[k] for c in columns if (k := scale(c).unit or c) in _LINES))


def clip_notes(clipped: Iterable[str]) -> list[str]:
    """On values beyond the axes of these columns."""
    notes = []
    for column in clipped:
        on = scale(column)
        name, floor = "Angles" if on.unit else f"Values of the {metric(column).title}", number(on.floor) + on.unit
        notes.append(f"{name} below {floor} are drawn at {floor}.")
    return list(dict.fromkeys(notes))
