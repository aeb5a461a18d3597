"""master.csv (a row per cell), summary.csv (a row per condition), conditions/*.json (enough to run one again)."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.pairs import effects, pairings
from mdcore.analysis.data.results import Results
from mdcore.analysis.data.statistics import describe_values
from mdcore.config.cell import is_user_defined
from mdcore.config.yaml_lines import dump
from mdcore.store.columns import BASE, FINAL_NUMBERS, HISTORY, PAIRED, STATUSES, USED

_WORDS = ["separability", "reference_unique", "svm_kind", "logreg_kind", "message"]
_DATA = ["separability", "reference_unique", "n_train", "n_test", "dim", "svm_kind", "logreg_kind"]
_TAIL = ["limit_p", *_DATA, "message"]


def condition_columns(results: Results, flat: dict) -> dict:
    """Base and varied columns of a condition. The loss function is `loss_function`: `loss` is the risk reached."""
    return {("loss_function" if k == "loss" else k): flat.get(k) for k in [*BASE, *results.varied]}


def metric_columns(results: Results) -> list[str]:
    """Every column that gets statistics: the final metrics, metrics of the user's own, paired differences."""
    return [*HISTORY, *FINAL_NUMBERS, *results.user_metrics, *PAIRED]


def master_table(results: Results) -> pd.DataFrame:
    """One row per cell of the manifest, in reading order: also cells that are missing, failed or diverged."""
    paired, rows = effects(results), []
    numbers = [*HISTORY, *FINAL_NUMBERS, *results.user_metrics]
    for c in results.conditions:
        for seed, cell in c.cells.items():
            final_row = results.row.get(cell, {})
            row: dict[str, Any] = {"cell_id": cell, "condition_id": c.id}
            row |= condition_columns(results, c.flat)
            row |= {"seed": seed, "status": results.status[cell]}
            row |= {k: final_row.get(k, np.nan) for k in numbers}
            row |= {k: paired.get(cell, {}).get(k, np.nan) for k in PAIRED}
            row |= {k: final_row.get(k, "" if k in _WORDS else np.nan) for k in _TAIL}
            rows.append(row)
    varied = ["loss_function" if k == "loss" else k for k in results.varied]
    columns = ["cell_id", "condition_id", *BASE, *varied, "seed", "status", *numbers, *PAIRED, *_TAIL]
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise ValueError(f"master.csv: columns that occur twice: {', '.join(twice)}")
    return pd.DataFrame(rows, columns=columns)


def summary_table(results: Results, master: pd.DataFrame) -> pd.DataFrame:
    """One row per condition: counts by status, then <metric>_{n,mean,std,min,max,ci_low,ci_high}.

    Statistics are over the cells whose status is in USED; `n` counts every cell of the condition, `n_used` those.
    """
    metrics, rows = metric_columns(results), []
    values = master[metrics].to_numpy(dtype=float)
    status, verdict = (np.array(master[c].tolist(), dtype=object) for c in ("status", "separability"))
    where = master.groupby("condition_id", sort=False).indices
    for c in results.conditions:
        mine = where[c.id]
        used = mine[np.isin(status[mine], USED)]
        row = {"condition_id": c.id} | condition_columns(results, c.flat)
        row |= {"n": len(mine), "n_used": len(used)}
        row |= {f"n_{s.replace('-', '_')}": int((status[mine] == s).sum()) for s in STATUSES}
        row["separability"] = " / ".join(sorted({s for s in verdict[mine] if s}))
        rows.append(row | describe_values(values[used], metrics))
    table = pd.DataFrame(rows)
    counts = [f"{m}_n" for m in metrics]
    return table.astype(dict.fromkeys(counts, int)) if len(table) else table


def _clean(value):
    """JSON has no NaN and no numpy: NaN, inf and None become null."""
    if isinstance(value, dict):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def grid_snippet(condition: Condition, question: str = "") -> dict:
    """A grid that runs this condition again, all its seeds: what load_grid reads."""
    keep = {k: v for k, v in condition.config.items() if v is not None}
    if not is_user_defined(keep["dataset"]["name"]):  # null is a value of a user's own parameter, not the default
        keep["dataset"] = {k: v for k, v in keep["dataset"].items() if v is not None}
    return {
        "question": question or f"What does {condition.id} do?",
        "fixed": keep,
        "vary": {"seed": list(condition.cells)},
    }


def condition_record(results: Results, c: Condition, rows: list[dict], stats: dict, others: list) -> dict:
    """What conditions/<id>.json holds: configuration, cells, statistics, pairs, provenance, a grid to run it again.

    rows: the lines of master.csv of this condition; stats: its line of summary.csv; others: its pairs.
    """
    metrics = metric_columns(results)
    nested = {
        m: {s: stats.get(f"{m}_{s}") for s in ("n", "mean", "std", "min", "max", "ci_low", "ci_high")} for m in metrics
    }
    snippet = grid_snippet(c, results.question)
    statuses = [r["status"] for r in rows]
    preprocessing = next((results.row[i].get("preprocessing") for i in c.cells.values() if i in results.row), "")
    with contextlib.suppress(ValueError):  # not JSON: kept as the words it is
        preprocessing = json.loads(preprocessing) if preprocessing else None
    cells = [
        {
            "cell_id": r["cell_id"],
            "seed": r["seed"],
            "status": r["status"],
            "message": r["message"],
            "metrics": {m: r[m] for m in metrics},
        }
        for r in rows
    ]
    return _clean(
        {
            "condition_id": c.id,
            "run": results.name,
            "configuration": c.config,
            "columns": c.flat,
            "data": {k: _of_all(rows, k) for k in _DATA} | {"preprocessing": preprocessing},
            "counts": {s: statuses.count(s) for s in STATUSES} | {"n": len(rows)},
            "statistics": {m: v for m, v in nested.items() if v["n"]},
            "statistics_over": f"cells with status {', '.join(USED)}; std with ddof 1; 95 % Student's t of the mean",
            "pairs": [
                {
                    "kind": kind,
                    "with": other.id,
                    "columns": "depth_effect*, angle_linear_md_ends"
                    if kind == "depth"
                    else "potential_effect*, angle_reference_potential",
                }
                for kind, other in others
            ],
            "cells": cells,
            "provenance": results.manifest.get("provenance", {}),
            "grid": snippet,
            "grid_yaml": dump(snippet),
        }
    )


def _of_all(rows: list[dict], column: str) -> Any:
    """The value that all rows share which have one; a list where seeds drew data that differ in it."""
    values = list(dict.fromkeys(row[column] for row in rows if pd.notna(row[column]) and row[column] != ""))
    return values if len(values) > 1 else next(iter(values), None)


def safe_name(name: str) -> str:
    """A file name for any id: letters, digits, dot, plus, minus and underscore."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", name)[:150]


def write(results: Results, output_dir: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write master.csv, summary.csv and conditions/*.json; returns (master, summary)."""
    output_dir = Path(output_dir)
    (output_dir / "conditions").mkdir(parents=True, exist_ok=True)
    master = master_table(results)
    summary = summary_table(results, master)
    master.to_csv(output_dir / "master.csv", index=False, lineterminator="\n")
    summary.to_csv(output_dir / "summary.csv", index=False, lineterminator="\n")
    others: dict[str, list] = {}
    for kind, c, other in pairings(results):
        others.setdefault(c.id, []).append((kind, other))
    stats = {r["condition_id"]: r for r in summary.to_dict("records")}
    names = [safe_name(c.id) for c in results.conditions]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"conditions/: two conditions have the file name {min(twice)}; analyse them in two runs")
    rows: dict[str, list[dict]] = {}
    for row in master.to_dict("records"):
        rows.setdefault(row["condition_id"], []).append(row)
    for c in results.conditions:
        record = condition_record(results, c, rows[c.id], stats[c.id], others.get(c.id, []))
        path = output_dir / "conditions" / f"{safe_name(c.id)}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return master, summary


def _same_numbers(results: Results, master: pd.DataFrame) -> bool:
    """Whether the table holds the numbers the run holds now: a run may have been trained again since."""
    columns = ["log_inverse_loss", "weight_norm", "angle_svm"]
    absent = dict.fromkeys(columns, np.nan)
    now = np.array([[results.row.get(i, absent)[k] for k in columns] for i in master["cell_id"]], dtype=float)
    return np.array_equal(now, master[columns].to_numpy(dtype=float), equal_nan=True)


def read_or_write(results: Results, output_dir: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(master, summary) as written before for these cells and results; computed and written where they do not fit."""
    output_dir = Path(output_dir)
    try:
        words = dict.fromkeys(["cell_id", "condition_id", "status", *_WORDS], str)
        master = pd.read_csv(output_dir / "master.csv", dtype=words, keep_default_na=False, na_values=[""])
        summary = pd.read_csv(output_dir / "summary.csv", dtype={"condition_id": str, "separability": str})
    except (OSError, ValueError):
        return write(results, output_dir)
    metrics = metric_columns(results)
    good = (
        list(master.get("cell_id", [])) == [i for c in results.conditions for i in c.cells.values()]
        and list(summary.get("condition_id", [])) == [c.id for c in results.conditions]
        and set(metrics) <= set(master)
        and list(master["status"]) == [results.status[i] for i in master["cell_id"]]
        and _same_numbers(results, master)
    )
    if not good:
        return write(results, output_dir)
    for table in (master, summary):
        for column in set(_WORDS) & set(table):
            table[column] = table[column].fillna("")
    return master, summary
