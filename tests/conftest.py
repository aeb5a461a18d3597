"""Shared by the tests of the grid: cells, committed stacks and a training notebook that take no time."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nbformat
import pytest

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

GRID_TEXT = """\
question: Does it run?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}
  step: {rule: adaptive}
  epochs: 100
vary:
  potential: [quadratic, {lp: {p: 3}}]
  depth: [1, 2]
  seed: [0, 1]
"""  # 8 cells in 2 stacks: a seed is a dataset of its own


@dataclass(frozen=True)
class FakeCell:
    """What the runner needs of a cell."""

    cell_id: str
    config: dict = field(hash=False)
    data_key: str = "data"
    dataset_label: str = "fake"
    condition_id: str = "condition"


def fake_cells(count: int, data_key: str = "data", **changes) -> list[FakeCell]:
    """Cells of one dataset that differ in their seed."""
    base = {
        "dataset": {"name": "synthetic", "dim": 2, "n": 4},
        "potential": "quadratic",
        "depth": 1,
        "epochs": 100,
    }
    return [FakeCell(f"cell_s{s}", base | changes | {"seed": s}, data_key) for s in range(count)]


@pytest.fixture(scope="session")
def fake_notebook(tmp_path_factory) -> Path:
    """train_cell.ipynb's shape around tests/fake_training.py."""
    parameters = nbformat.v4.new_code_cell("request = None\noutput = None", metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from fake_training import train_request\nfrom mdcore.store.runs import write_results\n"
        "write_results(output, train_request(request))"
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[parameters, body], metadata={"kernelspec": kernel})
    path = tmp_path_factory.mktemp("notebook") / "train_cell.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def grid_file(tmp_path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID_TEXT)
    return path


@pytest.fixture
def grid_command(monkeypatch, fake_notebook, grid_file, tmp_path, capsys):
    """run_grid in this process, on `grid_file`, with the fake training: call(*flags) -> status, out, err."""
    from mdcore import run_grid
    from mdcore.runner import attempt

    monkeypatch.setattr(attempt, "TRAIN_NOTEBOOK", fake_notebook)
    out = tmp_path / "runs"

    def call(*flags: str, config=grid_file, tag="t"):
        capsys.readouterr()
        argv = ["--config", str(config), "--tag", tag, "--output_dir", str(out), "--jobs", "2", *flags]
        status = run_grid.main(argv)
        told = capsys.readouterr()
        return SimpleNamespace(status=status, out=told.out, err=told.err)

    call.runs = out
    return call
