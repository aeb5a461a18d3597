"""Whole commands: a grid from the shell, with references, notebooks, kernels and files, by the wall clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mdcore.bench.baseline import train_by_hand
from mdcore.bench.goals import Bench
from mdcore.bench.timing import wall_seconds
from mdcore.config.grid import cell_from_config
from mdcore.store.fingerprint import SOURCE_ROOT
from mdcore.store.locations import shipped
from mdcore.training.cell_data import load_data
from mdcore.training.stack import plan_cells, stack_plan

QUICK = ["--set", "epochs=200", "--only", "digits=3v5,seed=0"]
PRODUCT = (
    "import sys, time, torch\n"
    "torch.set_num_threads(1)\n"
    "a = torch.rand(768, 768, dtype=torch.float64)\n"
    "a @ a; print(flush=True); sys.stdin.readline(); t = time.monotonic()\n"
    "for _ in range(60): a @ a\n"
    "print(time.monotonic() - t)"
)


@dataclass
class GridRun:
    """A grid that was run by its command: wall seconds, CPU seconds of all its processes, its stacks and cells."""

    wall: float
    cpu: float
    stacks: list[dict]
    cells: list[dict]
    steps: dict[str, int]

    def seconds(self, *parts: str) -> float:
        """Seconds of all stacks in some of their parts: references, training, tables."""
        return sum(stack["seconds"][part] for stack in self.stacks for part in parts)

    @property
    def working(self) -> float:
        """Seconds of all stacks in all of these."""
        return self.seconds("references", "training", "tables")


def run_grid(output_dir: Path, tag: str, jobs: int, arguments: list[str]) -> GridRun:
    """`make grid GRID=mnist_pairs` without make; RuntimeError with the end of its output when it fails."""
    command = [sys.executable, "-m", "mdcore.run_grid", "--config", str(shipped("grids") / "mnist_pairs.yaml")]
    command += ["--tag", tag, "--jobs", str(jobs), "--output_dir", str(output_dir), *arguments]
    before, start = os.times(), wall_seconds()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=SOURCE_ROOT)
    wall, after = wall_seconds() - start, os.times()
    if done.returncode:
        raise RuntimeError(f"run_grid ended with status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    (place,) = output_dir.glob(f"*_{tag}")
    tables = [pd.read_parquet(file, columns=["cell_id", "steps"]) for file in place.glob("stacks/*/final.parquet")]
    final = pd.concat(tables)
    steps = dict(zip(final["cell_id"], final["steps"].astype(int), strict=True))
    cells = json.loads((place / "manifest.json").read_bytes())["cells"]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    stacks = [json.loads(file.read_bytes()) for file in sorted(place.glob("stacks/*/stack.json"))]
    return GridRun(wall, cpu, stacks, [cell for cell in cells if cell["cell_id"] in steps], steps)


def baseline_seconds(run: GridRun, hand_steps: int) -> float:
    """Wall seconds that the baseline would take for the cells and steps of `run`.

    Each kind of cell (all but the seed) is run for a few steps, and the rest is extrapolated: a step costs the same
    early and late. Exact references, metrics and files are not in it: the baseline makes none.
    """
    kinds: dict[str, list[dict]] = {}
    for cell in run.cells:
        kinds.setdefault(json.dumps(cell["config"] | {"seed": None}, sort_keys=True), []).append(cell)
    total = 0.0
    for alike in kinds.values():
        config = alike[0]["config"]
        data = load_data(config)
        (plan, *_), _ = plan_cells([cell_from_config(config)])
        rule = stack_plan(config, True, "cpu").step
        X, y = torch.from_numpy(data.X_train), torch.from_numpy(data.y_train)
        a_step = train_by_hand(X, y, plan, rule, hand_steps, wall_seconds)[1]
        total += a_step * sum(run.steps[cell["cell_id"]] for cell in alike)
    return total


def two_at_once() -> float:
    """How many times the work of one process two get done at once: what the machine leaves to a second worker."""
    spent: list[float] = []
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    for count in (1, 2):
        workers = [subprocess.Popen([sys.executable, "-c", PRODUCT], encoding="utf-8", **pipes) for _ in range(count)]
        outputs, inputs = zip(*((worker.stdout, worker.stdin) for worker in workers), strict=True)
        for output in filter(None, outputs):
            output.readline()
        for start in filter(None, inputs):
            start.write("\n")
            start.flush()
        spent.append(max(float(worker.communicate()[0]) for worker in workers))
    return 2.0 * spent[0] / spent[1]


def measure_commands(bench: Bench, repeats: int) -> None:
    """The grid with two workers and with one by turns, the baseline after each; quick: with two only."""
    arguments = QUICK if bench.quick else []
    hand_steps = 20 if bench.quick else 100
    quick_form = "12 cells, 200 epochs"
    orders = [(2,)] if bench.quick else [(2, 1), (1, 2)]
    ratios, overheads, workers, left, bases, counts = [], [], [], [], [], []
    walls: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="mdcore-bench-") as place:
        for turn in range(repeats):
            runs, base = {}, {}
            for jobs in orders[turn % len(orders)]:
                left.append(two_at_once())
                runs[jobs] = run_grid(Path(place), f"bench-{turn}-{jobs}", jobs, arguments)
                base[jobs] = baseline_seconds(runs[jobs], hand_steps)
                walls[jobs].append(runs[jobs].wall)
            both = np.mean(list(base.values()))
            bases.append(both)
            ratios.append(both / runs[2].wall)
            alone = runs.get(1, runs[2])
            overheads.append(1.0 - alone.working / (alone.wall * (1 if 1 in runs else 2)))
            workers.append(alone.wall / runs[2].wall)
            counts.append(sum(runs[2].steps.values()))
    steps, title = np.array(counts, dtype=float), "whole command, mnist_pairs"
    bench.row(title, "baseline, extrapolated", bases / steps, np.ones(len(bases)), clock="wall")
    for jobs in sorted(runs):
        seconds = np.array(walls[jobs]) / steps
        bench.row(title, f"grid, {jobs} worker{'s' * (jobs > 1)}", seconds, bases / steps / seconds, clock="wall")
    bound = (
        f"{len(runs[2].cells)} cells, {steps[-1]:,.0f} cell-steps: {runs[2].wall:.0f} s with two workers, "
        f"{alone.wall:.0f} s with {min(runs)} ({alone.seconds('training'):.0f} s training, "
        f"{alone.seconds('references'):.0f} s references and data; "
        f"{alone.cpu:.0f} s of CPU in all); the baseline would take {bases[-1]:.0f} s on one thread."
    )
    bench.find("command", ratios, bound, quick_form)
    formula = f"Workers: {min(runs)}; 1 − (references + training + tables)/(workers · wall)."
    bench.find("overhead", overheads, formula, quick_form)
    if not bench.quick:
        bench.find("workers", workers, two_workers_bound(runs[1], runs[2], float(np.median(left))))


def two_workers_bound(one: GridRun, two: GridRun, left: float) -> str:
    """Where two workers lose: the machine, the start that both wait for, the end of the longer queue."""
    return (
        f"Two processes that only multiply matrices did ×{left:.2f} the work of one at that time. References, "
        f"training and tables took {one.working:.1f} s with one worker and {two.working:.1f} s with two, "
        f"{two.working / (2 * two.wall):.0%} of both workers' time. The rest is the start, imports for which both "
        f"wait, and the end of the longer queue: {len(two.stacks)} stacks, whose length nobody knows before their "
        "cells stop."
    )
