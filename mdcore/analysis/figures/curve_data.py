"""Curves of a condition over its seeds: mean and range against epochs or against log(1/R)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mdcore.analysis.data.columns import USED
from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.results import Results

AXES = {"epoch": "epochs (full batch)", "log_inverse_loss": "log(1/R) (nats)"}


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


def _points(results: Results, cell: str, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Points with x > 0 (both axes are logarithmic in x), x strictly rising: only steps that set a new x."""
    a, b = results.curves.get(cell, x), results.curves.get(cell, y)
    keep = np.isfinite(a) & np.isfinite(b) & (a > 0)
    a, b = a[keep], b[keep]
    if a.size:
        rising = np.concatenate([[True], a[1:] > np.maximum.accumulate(a)[:-1]])
        a, b = a[rising], b[rising]
    return a, b


def band(results: Results, condition: Condition, x: str, y: str) -> Band:
    """The Band of one condition. Epochs: those that all seeds logged; log(1/R): interpolated on 100 common points."""
    good: list[tuple[np.ndarray, np.ndarray]] = []
    lost: list[tuple[np.ndarray, np.ndarray]] = []
    ends = []
    for cell in condition.cells.values():
        points = _points(results, cell, x, y)
        if not points[0].size:
            continue
        status = results.status[cell]
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
        return "No run came through, so there is neither mean nor band: lines are single runs."
    low, high = min(counts), max(counts)
    many = f"n = {high} seed{'s' * (high != 1)}" if low == high else f"n = {low} to {high} seeds"
    if high > 1:
        return f"Line: mean, band: min–max, over {many}."
    return "One seed: lines are single runs, there is no band."
