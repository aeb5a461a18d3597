"""What a chaos run ended with: held against the run in peace, and written down."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from processes import assert_same_results, rows_of

from mdcore.store.commits import committed
from mdcore.store.runs import read_run

ROUNDING = 1e-6  # relative, where a stack had to be split: other neighbours, other order of sums


def compare(reference: Path, run_dir: Path, off: list[str]) -> dict:
    """{cells, identical, split, largest}: cells equal to the bit, cells of split stacks and how far these are."""
    (peace_dir,) = (p for p in reference.iterdir() if p.is_dir())
    peace, chaos = read_run(peace_dir), read_run(run_dir)
    off += [f"after the end: {problem}" for problem in chaos.problems]
    ids = [cell["cell_id"] for cell in peace.cells]
    if ids != [cell["cell_id"] for cell in chaos.cells] or ids != list(chaos.final["cell_id"]):
        off.append(f"{len(chaos.final)} cells are done of {len(ids)}")
        return {"cells": len(chaos.final), "identical": 0, "split": 0, "largest": float("nan")}
    whole, then = committed(peace_dir).newest, committed(run_dir).newest
    identical = split = 0
    largest = 0.0
    for cell in ids:
        if whole[cell].cells == then[cell].cells:
            try:
                assert_same_results(peace, chaos, cell)
                identical += 1
            except AssertionError as error:
                off.append(f"{cell} is not equal to the bit: {' '.join(str(error).split())[:300]}")
            continue
        split += 1
        far = max(map(_distance, _numbers(peace, cell), _numbers(chaos, cell)))
        largest = max(largest, far)
        if not far <= ROUNDING:
            off.append(f"{cell}, of a split stack, is off by {far:.1e}")
    return {"cells": len(ids), "identical": identical, "split": split, "largest": largest}


def _numbers(run, cell: str) -> list:
    """Everything a cell left: its row, its history, its predictor."""
    return [rows_of(run, "final", cell), rows_of(run, "history", cell), run.predictors[cell]]


def _distance(a, b) -> float:
    """Largest difference over 1 + the size, over all numbers; inf where text or shapes differ."""
    if not isinstance(a, np.ndarray):
        if a.shape != b.shape or not a.select_dtypes(exclude="number").equals(b.select_dtypes(exclude="number")):
            return float("inf")
        a, b = (frame.select_dtypes("number").to_numpy(dtype=float) for frame in (a, b))
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    differs = (a != b) & ~np.isnan(a)  # infinities of one sign are equal
    return float(np.max(np.abs(a - b)[differs] / (1 + np.abs(a[differs])), initial=0.0)) if differs.any() else 0.0


def write_report(output: Path, options, done: list[dict], ledger, equal: dict, off: list[str], seconds: float) -> str:
    """chaos.csv, a row a fault, and chaos.md; returns the verdict."""
    output.mkdir(parents=True, exist_ok=True)
    columns = ["fault", "second", "kind", "what", "finished"]
    pd.DataFrame(done, columns=columns).to_csv(output / "chaos.csv", index=False)
    left = sum(what.startswith("left over") for what in off)
    verdict = [
        f"{'FAILED' if off else 'passed'}: {len(done)} faults (seed {options.seed}) in {seconds:.0f} s.",
        f"{equal['cells']} cells done: {equal['identical']} equal to the bit to the run in peace, {equal['split']} of "
        f"split stacks, off by at most {equal['largest']:.1e}.",
        f"{len(ledger.lost)} finished cells lost, {len(ledger.accepted)} damaged results accepted, "
        f"{left} processes left.",
        *[f"off: {what}" for what in off],
    ]
    kinds = Counter(row["kind"] for row in done)
    lines = ["# A grid under faults", "", *[f"- {line}" for line in verdict], "", "| kind | times |", "|---|---|"]
    lines += [f"| {kind} | {times} |" for kind, times in sorted(kinds.items())]
    lines += ["", "| # | second | finished | what was done |", "|---|---|---|---|"]
    lines += [f"| {r['fault']} | {r['second']} | {r['finished']} | {r['what'].replace('|', '/')} |" for r in done]
    (output / "chaos.md").write_text("\n".join(lines) + "\n")
    return "\n".join(verdict)
