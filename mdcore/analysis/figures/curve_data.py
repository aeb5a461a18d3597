"""Curves of a condition over its seeds: mean and range against epochs or against log(1/R)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures.study import Study
from mdcore.store.columns import USED

AXES = {"epoch": "epochs (full batch)", "log_inverse_loss": "log(1/R), in nats"}
EQUAL_LOSS = "angle_linear_md_equal_loss"
WINDOW = 9  # logged epochs of the running median where data overlap


@dataclass
class Band:
    """x, mean, low, high over the seeds that have settled or may settle; `ends`: (x, y, status) of every cell.

    `tails`: the curves of single seeds beyond the part all of them share. `lost`: curves of failed or diverged cells.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int
    tails: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    lost: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    ends: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.x.size or self.tails or self.lost)

    @property
    def values(self) -> list[np.ndarray]:
        """All that is drawn of it."""
        return [self.low, self.high, *(y for _, y in self.tails + self.lost)]

    @property
    def times(self) -> list[np.ndarray]:
        """Where it is drawn."""
        return [self.x, *(x for x, _ in self.tails + self.lost)]


def common_level(study: Study, cell: str) -> np.ndarray:
    """The largest log(1/R) that a deep run and its linear companion have both reached up to each logged epoch.

    It is where angle_linear_md_equal_loss is read; NaN where the grid has no such linear run.
    """
    curves, linear = study.results.curves, study.linear.get(cell)
    deep_level, other = (curves.get(i, "log_inverse_loss") for i in (cell, linear))
    if not other.size:
        return np.full(len(deep_level), np.nan)
    place = np.searchsorted(curves.get(linear, "epoch"), curves.get(cell, "epoch"), side="right") - 1
    reached = [np.fmax.accumulate(level) for level in (deep_level, other)]
    return np.where(place < 0, np.nan, np.fmin(reached[0], reached[1][np.maximum(place, 0)]))


def _points(study: Study, cell: str, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Points with x > 0 (both axes are logarithmic in x), x strictly rising: only steps that set a new x."""
    curves = study.results.curves
    a = common_level(study, cell) if (x, y) == ("log_inverse_loss", EQUAL_LOSS) else curves.get(cell, x)
    b = curves.get(cell, y)
    keep = np.isfinite(a) & np.isfinite(b) & (a > 0)
    a, b = a[keep], b[keep]
    if a.size:
        rising = np.concatenate([[True], a[1:] > np.maximum.accumulate(a)[:-1]])
        a, b = a[rising], b[rising]
    return a, b


def smoothed(values: np.ndarray) -> np.ndarray:
    """Running median over WINDOW logged epochs, fewer at the ends; the last value stays what it is."""
    half = min(WINDOW // 2, (len(values) - 1) // 2)
    if half < 1:
        return values
    padded = np.pad(values, half, mode="reflect")
    out = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    out[-1] = values[-1]
    return out


def oscillates(results: Results, condition: Condition) -> bool:
    """Whether the data of a condition overlap: its predictor circles about the minimiser until its steps are short."""
    return any(results.status[cell] == "overlap" for cell in condition.cells.values())


def band(study: Study, condition: Condition, x: str, y: str) -> Band:
    """The Band of one condition. Epochs: those that all seeds logged; log(1/R): interpolated on 100 common points.

    Curves on overlapping data are smoothed.
    """
    smooth = smoothed if oscillates(study.results, condition) else np.asarray
    good: list[tuple[np.ndarray, np.ndarray]] = []
    lost: list[tuple[np.ndarray, np.ndarray]] = []
    ends = []
    for cell in condition.cells.values():
        points = _points(study, cell, x, y)
        if not points[0].size:
            continue
        points = points[0], smooth(points[1])
        status = study.results.status[cell]
        (good if status in USED else lost).append(points)
        ends.append((float(points[0][-1]), float(points[1][-1]), status))
    nothing = np.empty(0)
    if not good:
        return Band(nothing, nothing, nothing, nothing, 0, [], lost, ends)
    if len(good) == 1:
        a, b = good[0]
        return Band(a, b, b, b, 1, [], lost, ends)
    start, stop = max(a[0] for a, _ in good), min(a[-1] for a, _ in good)
    if x == "epoch":
        grid = np.unique(np.concatenate([a for a, _ in good]))
        grid = grid[(grid >= start) & (grid <= stop)]
    else:
        grid = np.geomspace(start, stop, 100) if stop > start else nothing
        grid = np.clip(grid, start, stop)
    tails = [(a[a >= stop], b[a >= stop]) for a, b in good if (a > stop).any()]
    if not grid.size:
        return Band(nothing, nothing, nothing, nothing, len(good), [*good], lost, ends)
    values = np.array([np.interp(grid, a, b) for a, b in good])
    return Band(grid, values.mean(axis=0), values.min(axis=0), values.max(axis=0), len(good), tails, lost, ends)


def seeds_text(counts: set[int]) -> str:
    """ "n = 3 seeds", "n = 1 to 3 seeds", with what one seed, or none that came through, means for the band."""
    counts = {c for c in counts if c}
    if not counts:
        return "No run came through: lines are single runs."
    low, high = min(counts), max(counts)
    if high > 1:
        return f"Line: mean of n = {f'{low} to ' * (low < high)}{high} seeds; band: minimum to maximum."
    return "Lines are single runs (one seed)."
