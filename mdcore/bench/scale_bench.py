"""The harness at scale: exact references of large data, a grid and an analysis of 10,000 cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mdcore.bench.goals import Bench
from mdcore.bench.timing import wall_seconds
from mdcore.bench.workloads import gaussian
from mdcore.problems.references import solve_references
from mdcore.store.fingerprint import SOURCE_ROOT
from mdcore.store.locations import shipped
from mdcore.store.provenance import ONE_THREAD

GRID = """\
question: How long does a large grid take to look at?
fixed:
  dataset: {{name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}}
  epochs: 100
  step: {{rule: adaptive}}
vary:
  potential: [quadratic, {{lp: {{p: 1.5}}}}, {{lp: {{p: 3}}}}, {{lp: {{p: 1.2}}}}, {{lp: {{p: 6}}}}]
  depth: [1, 2, 3, 4]
  seed: [{seeds}]
"""
# Each script runs between these in a process of its own, which prints {"seconds", "cpu", "megabytes"} of it as JSON.
FIRST = """
import json, sys, time
start = time.monotonic()
"""
LAST = """
with open("/proc/self/status", encoding="utf-8") as status:
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"seconds": time.monotonic() - start, "cpu": time.process_time(), "megabytes": peak}))
"""
EXPAND = """
from mdcore.store.commits import committed
from mdcore.store.fingerprint import code_parts
from mdcore.runner.plan import make_plan
from mdcore.config.grid import load_grid
grid = load_grid(sys.argv[1])
plan = make_plan(grid.cells, grid.cells, committed(sys.argv[2]), code_parts())
assert not plan.stacks, f"{plan.to_run} cells are not done"
"""
GENERATE = """
from pathlib import Path
sys.path.insert(0, "tests/support")
import fake_run
from mdcore.config.grid import load_grid
cells = [{"cell_id": cell.cell_id, "config": cell.config} for cell in load_grid(sys.argv[1]).cells]
fake_run.write_run(Path(sys.argv[2]), cells)
"""
# A command in this process, its kernels in others: the largest of them counts.
COMMAND = """
import importlib, resource
command = importlib.import_module(sys.argv[1])
status = command.main(sys.argv[2:])
assert not status, f"{sys.argv[1]} ended with status {status}"
kernels = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"kernels": kernels}))
"""
LARGE = """
import torch
from mdcore.bench.workloads import POTENTIALS, gaussian, stack
from mdcore.math.engine.plans import StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.step_rules import StepRule
data = gaussian(int(sys.argv[1]), 784, 80.0)
plan = StackPlan(StepRule("normalized", 1.0), 6, (1, 2, 6), stop_gap=1e-3)
trainer = StackTrainer(torch.tensor(data.A), stack(POTENTIALS, (1, 2), 50, 18), plan)
while not trainer.done:
    trainer.advance()
"""


def script(source: str, *arguments: Path | str) -> dict:
    """Run a script in a process of its own, from the clone's directory; what it prints of itself."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST + source + LAST, *map(str, arguments)],
        capture_output=True, encoding="utf-8", cwd=SOURCE_ROOT,
        env=os.environ | ONE_THREAD | {"MPLBACKEND": "Agg"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"a script of the benchmark failed: {done.stderr[-2000:]}")
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {key: value for one in records for key, value in one.items()}


def measure_references(bench: Bench) -> None:
    """Seconds of each exact l_p max-margin direction, and of all references together."""
    n, d = (1_500, 50) if bench.quick else (12_000, 200)
    data, seconds = gaussian(n, d, 5.0), []
    for p in (1.5, 2.0, 3.0):
        start = wall_seconds()
        references = solve_references(data, [p], 1.0, 1.0, None)
        seconds.append(wall_seconds() - start)
        reference = references.max_margin.get(p)
        outcome = f"{reference.solver}, gap {reference.gap:.1e}" if reference else references.separability
        bench.notes.append(f"references with l{p:g} max-margin, n = {n:,}, d = {d}: {seconds[-1]:.1f} s; {outcome}")
    bound = "Separability, one l_p max-margin direction, SVM and logistic regression together; for p = 1.5, 2, 3."
    bench.find("reference", seconds, bound, quick="n = 1,500, d = 50")


def measure_scale(bench: Bench, seeds: int) -> None:
    """A grid of 20·seeds cells: expanded and found done; analysed."""
    quick_form = f"{20 * seeds} cells"
    with tempfile.TemporaryDirectory(prefix="mdcore-bench-") as place:
        grid, run = Path(place, "large.yaml"), Path(place, "20250319_large")
        grid.write_text(GRID.format(seeds=", ".join(map(str, range(seeds)))), encoding="utf-8")
        script(GENERATE, grid, run)
        expanded = script(EXPAND, grid, run)
        bench.find(
            "grid_seconds", [expanded["seconds"]], f"Imports included; {expanded['cpu']:.1f} s of CPU.", quick_form
        )
        bench.find("grid_memory", [expanded["megabytes"]], quick=quick_form)
        if bench.quick:  # figures take as long for few cells as for many
            return
        output = Path(place, "analysis")
        analysis = script(COMMAND, "mdcore.run_analysis", "--input_dir", run, "--output_dir", output)
        bench.find("analysis_seconds", [analysis["seconds"]], "The whole command: tables, figures, report.")
        bench.find("analysis_memory", [max(analysis["kernels"], analysis["megabytes"])], "The largest process.")


def measure_memory(bench: Bench) -> None:
    """Peak memory of a run of mnist_pairs and of its analysis, of their kernels, and of training on large data."""
    few = ["--only", "digits=3v5,seed=0,pca=50"] if bench.quick else ["--set", "epochs=3000"]
    with tempfile.TemporaryDirectory(prefix="mdcore-bench-") as place:
        grid, tag = shipped("grids") / "mnist_pairs.yaml", ["--tag", "memory"]
        run = script(COMMAND, "mdcore.run_grid", "--config", grid, *tag, "--output_dir", place, *few)
        bench.find("runner_memory", [run["megabytes"]], quick="6 cells")
        bench.find(
            "kernel_memory", [run["kernels"]], "The largest: data, references, 6 cells trained.", quick="6 cells"
        )
        output = Path(place, "analysis")
        analysis = script(COMMAND, "mdcore.run_analysis", "--runs_dir", place, *tag, "--output_dir", output)
        bench.find("analysing_memory", [max(analysis["kernels"], analysis["megabytes"])], quick="6 cells")
    n = 6_000 if bench.quick else 60_000
    large = script(LARGE, str(n))
    bound = f"The points are {n * 784 * 8 / 1e6:.0f} MB; held as drawn, as y x, and by the trainer."
    bench.find("large_memory", [large["megabytes"]], bound, quick=f"n = {n:,}")
