"""The tables of a stack: what the trainer logged, compared with the references and with linear mirror descent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdcore.config.cell import METRIC, PARAM
from mdcore.math.metrics import angle, p_norm, unit
from mdcore.problems.proofs import directions, exact

ANGLE_ROUNDING = 1e-11  # degrees: `metrics.angle` of two vectors errs by less, for up to a million coordinates

MAX_MARGIN_COLUMNS = ("angle_max_margin", "angle_bound", "margin_ratio")


def tables(cells, companions, trainer, data, references, extra: Mapping[str, Callable]):
    """(history, final, w): one row a cell and logged epoch; one row a cell; the last predictors (K, d).

    `extra` are metrics of the user's own, each called with (w, data) for a predictor w (d,) in float64.
    """
    plans, observer, epochs = trainer.cells, trainer.observer, trainer.plan.log_epochs
    histories, finals, predictors = [], [], []
    for position, cell in enumerate(cells):
        path = observer.predictors[position]
        columns = {name: values[position].numpy() for name, values in observer.values.items()}
        verify_last_gap(observer, position, columns, data.A)
        columns |= against_references(path, columns, plans[position].limit_p, references)
        columns |= against_linear(observer, position, companions.get(position))
        rows = int(observer.last[position]) + 1
        table = pd.DataFrame({"epoch": epochs, **{name: np.asarray(v) for name, v in columns.items()}}).iloc[:rows]
        w = path[rows - 1].numpy() if rows else np.full(path.shape[1], math.nan)
        for name, metric in extra.items():
            table[METRIC + name] = [metric(path[row].numpy(), data) for row in range(rows)]
        table.insert(0, "cell_id", cell.cell_id)
        diverged_at = observer.diverged_at.get(position)
        outcome = (*status_of(table, diverged_at, plans[position], references), diverged_at)
        histories.append(table)
        finals.append(final_row(cell, table, outcome, plans[position], references, data))
        predictors.append(w)
    history = pd.concat(histories, ignore_index=True).astype({"epoch": "float64"})
    return history, typed_parameters(pd.DataFrame(finals)), np.array(predictors)


def typed_parameters(final: pd.DataFrame) -> pd.DataFrame:
    """Columns param.* of one type each, as a file needs: numbers where all are, else JSON text."""
    for column in [name for name in final if name.startswith(PARAM)]:
        values = [None if value is None or value != value else value for value in final[column]]
        kinds = {type(value) for value in values} - {type(None)}
        exact = all(abs(value) < 2**53 for value in values if isinstance(value, (int, float)))
        if not exact or not (len(kinds) <= 1 or kinds <= {int, float}):
            values = [None if value is None else json.dumps(value) for value in values]
        final[column] = pd.Series(values, index=final.index)
    return final


def verify_last_gap(observer, position: int, columns: dict, A: np.ndarray) -> None:
    """The last logged gap of a cell once more, from w, A and the kept z = A^Tλ alone, in exact arithmetic.

    It is raised where the one of the training does not stand; both round outwards, so that does not happen.
    """
    row, certificates = int(observer.last[position]), observer.certificates
    p = certificates.ps[position] if certificates is not None else None
    if p is None or row < 0 or not columns["gap"][row] < 1:
        return
    lower = exact.margin_lower_bound(A, observer.predictors[position, row].numpy(), p)
    upper = exact.bound_of_sum(certificates.z[position].numpy(), p, float(certificates.rounding[position]), A)
    columns["gap"][row] = max(columns["gap"][row], exact.gap_between(lower, upper))


def angle_bound(path: Tensor, gap: np.ndarray, reference) -> np.ndarray:
    """Proven bound in degrees on the angle between predictors (T, d) and the unique optimum, (T,); 180: nothing proven.

    The smaller of what the certified gap says (`directions.angle_from_gap`) and, by the triangle inequality, of the
    angle to the exact reference plus the reference's own bound. NaN where the optimum is not proved unique.
    """
    if not reference.unique:
        return np.full(len(path), math.nan)
    w = path.numpy()
    p, size = reference.p, p_norm(path, 2.0) / p_norm(path, reference.p)
    by_gap = directions.angle_from_gap(gap, p, size.numpy(), w.shape[1])
    by_reference = degrees(path, reference.w) * directions.ROUNDING + ANGLE_ROUNDING + reference.angle_bound
    bound = np.minimum(np.minimum(by_gap, by_reference), directions.NOTHING)
    return np.where(np.isfinite(w).all(axis=1), bound, math.nan)


def against_references(path: Tensor, columns: dict, limit_p: float | None, references) -> dict[str, np.ndarray]:
    """Angles (degrees) of predictors (T, d) to the references, and γ_p(w)/γ_p*; NaN where there is none."""
    reference = references.max_margin.get(limit_p)
    nothing = dict.fromkeys(MAX_MARGIN_COLUMNS, np.full(len(path), math.nan))
    of_margin = nothing if reference is None else against_max_margin(path, columns, reference)
    svm, logreg = degrees(path, references.svm.w), degrees(path, references.logreg.w)
    return {**of_margin, "angle_svm": svm, "angle_logreg": logreg}


def against_max_margin(path: Tensor, columns: dict, reference) -> dict[str, np.ndarray]:
    """Angle (degrees) of predictors (T, d) to the exact l_p max-margin, its proven bound, and γ_p(w)/γ_p*."""
    values = (
        degrees(path, reference.w),
        angle_bound(path, columns["gap"], reference),
        columns["margin_lp"] / reference.margin,
    )
    return dict(zip(MAX_MARGIN_COLUMNS, values, strict=True))


def degrees(path: Tensor, w: np.ndarray | Tensor) -> np.ndarray:
    """angle(path_t, w) for every row of path (T, d)."""
    return angle(path, torch.as_tensor(w, dtype=torch.float64)).numpy()


def against_linear(observer, deep: int, linear: int | None) -> dict[str, np.ndarray]:
    """Angle (degrees) to linear mirror descent at equal steps, and at equal log(1/R)."""
    if linear is None:
        zero = np.where(np.isfinite(observer.values["loss"][deep].numpy()), 0.0, math.nan)
        return {"angle_linear_md": zero, "angle_linear_md_equal_loss": zero}
    paths = observer.predictors[deep], observer.predictors[linear]
    levels = [observer.values["log_inverse_loss"][position].numpy() for position in (deep, linear)]
    return {
        "angle_linear_md": angle(*paths).numpy(),
        "angle_linear_md_equal_loss": equal_loss_angles(paths[0], levels[0], paths[1], levels[1]),
    }


def equal_loss_angles(deep: Tensor, deep_level, linear: Tensor, linear_level) -> np.ndarray:
    """Angle (T,) between two paths at the largest log(1/R) that both have reached up to each logged epoch.

    A path is read where it first reaches the level, its predictor interpolated linearly in log(1/R) between the
    logged epochs on both sides: log(1/R) is close to the smallest margin, which is concave in w, so that the point
    read has reached the level too; a mean of directions may have not. NaN until both paths reach a common level from
    below, and where a path leads from R ≥ 1, misclassified points, past the level within one interval: it was at no
    point between that could be named.
    """
    reached = [np.maximum.accumulate(np.nan_to_num(level, nan=-np.inf)) for level in (deep_level, linear_level)]
    level = np.minimum(*reached)
    sides = [_direction_at(path, top, level) for path, top in ((deep, reached[0]), (linear, reached[1]))]
    return angle(*sides).numpy()


def _direction_at(path: Tensor, reached: np.ndarray, level: np.ndarray) -> Tensor:
    after = np.clip(np.searchsorted(reached, level, side="left"), 0, len(reached) - 1)
    before = np.maximum(after - 1, 0)
    low, high = reached[before], reached[after]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (level - low) / (high - low), 1.0)
    share = np.where(level >= high, 1.0, share)
    # a level below the first logged one, or leapt over from misclassified points: nothing to compare there
    unknown = ~np.isfinite(level) | (level < reached[0]) | ((level < high) & ~(low > 0))
    share = np.where(unknown, math.nan, share)
    weight = torch.as_tensor(share).unsqueeze(1)
    low_w, high_w = path[before], path[after]
    size = torch.maximum(low_w.abs().amax(1), high_w.abs().amax(1)).clamp(min=1e-300).unsqueeze(1)
    between = (1 - weight) * (low_w / size) + weight * (high_w / size)
    return torch.where(weight >= 1.0, unit(high_w), unit(between))


def status_of(table: pd.DataFrame, diverged_at: int | None, plan, references) -> tuple[str, str]:
    """(status, message) of a trained cell by these rules: diverged, overlap, quasi-separable, failed,
    converged (certified gap ≤ 1 %) or transient."""
    if diverged_at is not None:
        return ("diverged", f"first non-finite value at epoch {diverged_at}; take a smaller step or another rule")
    if references.separability == "overlapping":
        return "overlap", ""
    if references.separability != "separable":
        return ("quasi-separable", "some points lie on every separating hyperplane: no margin, the weights still grow")
    last = table.iloc[-1]
    if last["train_accuracy"] < 1:
        return (
            "failed",
            f"training accuracy {last['train_accuracy']:.4f} < 1 at the end; train longer or take other steps",
        )
    if plan.limit_p is None:
        return "transient", "no certificate: the potential names no limit_p"
    return ("converged", "") if last["gap"] <= directions.CONVERGED_GAP else ("transient", "")


def final_row(cell, table: pd.DataFrame, outcome, plan, references, data) -> dict:
    """The row of final.parquet: last logged row, configuration, status, and what is known of the data set.

    outcome: status, message, and the epoch of the first value that is not finite, or None.
    """
    status, message, diverged_at = outcome
    nothing = dict.fromkeys(table.columns, math.nan) | {"cell_id": cell.cell_id}  # it diverged before it was logged
    last = table.iloc[-1].to_dict() if len(table) else nothing
    reference = references.max_margin.get(plan.limit_p)
    configuration = cell.flat()
    configuration["loss_function"] = configuration.pop("loss")  # `loss` is the risk reached, as in the history
    return {
        **last,
        **configuration,
        "condition_id": cell.condition_id,
        "status": status,
        "message": message,
        "separability": references.separability,
        "separability_value": float(references.separability_value),
        "limit_p": math.nan if plan.limit_p is None else plan.limit_p,
        "exact_margin": reference.margin if reference else math.nan,
        "exact_margin_gap": reference.gap if reference else math.nan,
        "exact_margin_kkt": reference.kkt if reference else math.nan,
        "exact_angle_bound": reference.angle_bound if reference else math.nan,
        "reference_unique": bool(reference.unique) if reference else None,
        "svm_kind": references.svm.kind,
        "logreg_kind": references.logreg.kind,
        "data_sha256": data.fingerprint,
        "n_train": len(data.X_train),
        "n_test": len(data.X_test),
        "dim": data.X_train.shape[1],
        "steps": int(last["epoch"]) if diverged_at is None else diverged_at,
        "preprocessing": json.dumps({"label": data.label, **data.preprocessing}, sort_keys=True),
    }
