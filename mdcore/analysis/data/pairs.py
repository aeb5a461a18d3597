"""Paired differences between cells that share a seed: deep minus linear, potential minus reference potential.

Pairs are made within a facet: the same data, loss, step rule and seed. They are columns of master.csv, one number a
cell, so that their statistics over seeds are the statistics of every other column.
"""

from __future__ import annotations

import numpy as np

from mdcore.analysis.data.results import Results
from mdcore.problems.proofs.directions import angle
from mdcore.store.columns import EFFECT_METRICS, USED


def _trace(results: Results, cell_id: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, y): running maximum of log(1/R), strictly rising, with the column at the point where it was reached."""
    x, y = results.curves.get(cell_id, "log_inverse_loss"), results.curves.get(cell_id, column)
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if not x.size:
        return x, y
    new = np.concatenate([[True], x[1:] > np.maximum.accumulate(x)[:-1]])
    return x[new], y[new]


def _at_level(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """y where x, strictly rising from x[0] ≤ level, reaches `level`, linear between logged epochs.

    NaN where the path leaps over the level from R ≥ 1 (x ≤ 0), misclassified points, as in
    `training.measures.equal_loss_angles`.
    """
    after = min(int(np.searchsorted(x, level)), len(x) - 1)
    if x[after] > level and x[after - 1] <= 0:
        return float("nan")
    return float(np.interp(level, x, y))


def at_equal_loss(results: Results, cell: str, other: str, column: str) -> float:
    """column(cell) − column(other) at the largest log(1/R) both have reached, linear between logged epochs.

    NaN where one of them starts beyond the other's end or leaps over the level from misclassified points, or the
    column is undefined.
    """
    (x, y), (u, v) = _trace(results, cell, column), _trace(results, other, column)
    if not x.size or not u.size:
        return float("nan")
    level = min(x[-1], u[-1])
    if level < max(x[0], u[0]):
        return float("nan")
    return _at_level(x, y, level) - _at_level(u, v, level)


def _difference(results: Results, cell: str, other: str, column: str) -> float:
    return float(results.row[cell][column]) - float(results.row[other][column])


def _direction_angle(results: Results, cell: str, other: str) -> float:
    """Angle in degrees between two learned predictors; NaN where one is absent."""
    u, v = results.predictors.get(cell), results.predictors.get(other)
    return float("nan") if u is None or v is None or u.shape != v.shape else angle(u, v)


def pairings(results: Results):
    """Yield (kind, condition, other): kind "depth" (other: its linear one) or "potential" (other: the reference)."""
    seen = set()
    for facet in results.facets:
        for c in facet.conditions:
            linear = facet.linear(c) if c.depth > 1 else None
            reference = facet.reference(c.depth)
            for kind, other in (("depth", linear), ("potential", reference)):
                if other is not None and other.id != c.id and (kind, c.id) not in seen:
                    seen.add((kind, c.id))
                    yield kind, c, other


def effects(results: Results) -> dict[str, dict[str, float]]:
    """cell_id -> paired columns, for every pair of cells that share a seed and both have results."""
    out: dict[str, dict[str, float]] = {}
    for kind, condition, other in pairings(results):
        for seed, cell in condition.cells.items():
            partner = other.cells.get(seed)
            if partner is None or results.status[cell] not in USED or results.status[partner] not in USED:
                continue
            row = out.setdefault(cell, {})
            prefix = "depth_effect" if kind == "depth" else "potential_effect"
            row |= {f"{prefix}_{m}": _difference(results, cell, partner, m) for m in EFFECT_METRICS}
            if kind == "depth":
                row |= {
                    f"depth_effect_equal_loss_{m}": at_equal_loss(results, cell, partner, m) for m in EFFECT_METRICS
                }
                # between the predictors that each ended with, also where one stopped many steps before the other
                row["angle_linear_md_ends"] = _direction_angle(results, cell, partner)
            else:
                row["angle_reference_potential"] = _direction_angle(results, cell, partner)
    return out
