"""Runs of small grids, trained in this process and committed as the command does, for tests that need true numbers."""

from __future__ import annotations

from pathlib import Path

from fake_stacks import leave_results

from mdcore.analysis.data.results import Results, load
from mdcore.config.grid import load_grid
from mdcore.runner.execution import RunSettings, write_request
from mdcore.runner.stacks import compose
from mdcore.store.commits import Origin, commit_stack
from mdcore.store.fingerprint import code_parts
from mdcore.store.runs import Run, write_head
from mdcore.training.stack import train_request

STEPS = """
fixed:
  step: {rule: normalized, eta: 10, anneal: 4}
  epochs: 500
  width: 5
"""


def write(folder: Path, grid: str, **files: str) -> Path:
    """The grid file `grid.yaml` in `folder`, beside it the plug-ins `files`: stem -> source."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, source in files.items():
        (folder / f"{stem}.py").write_text(source, encoding="utf-8")
    (folder / "grid.yaml").write_text(grid, encoding="utf-8")
    return folder / "grid.yaml"


def train(grid_file: Path, run_dir: Path, monkeypatch) -> Results:
    """The grid's run, trained and read back by the analysis."""
    grid = load_grid(grid_file)
    parts = code_parts(grid.plugin_files)
    (run_dir / "stacks").mkdir(parents=True)
    write_head(Run(run_dir, new=True), grid, {"commit": None, "packages": {}})
    for serial, stack in enumerate(compose(grid.cells)):
        settings = RunSettings(parts, "cpu", grid.plugin_dir, grid.data_dir, grid.keep)
        place = write_request(run_dir, stack, settings)
        monkeypatch.chdir(run_dir)
        output = place / "out-test"
        notes = leave_results(output, train_request(place / "request.json"))
        commit_stack(run_dir, stack.name, output, stack.cell_ids, notes, Origin(parts, serial))
    return load(run_dir)
