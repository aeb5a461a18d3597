"""Shared by the tests of the grid: cells without a grid file, a training notebook that takes no time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nbformat
import pytest

TESTS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class FakeCell:
    """What the runner needs of a cell."""

    cell_id: str
    config: dict = field(hash=False)
    data_key: str = "data"
    dataset_label: str = "fake"
    condition_id: str = "condition"

    def flat(self) -> dict:
        return {"seed": self.config["seed"]}


def fake_config(seed: int = 0, potential="quadratic", **changes) -> dict:
    config = {
        "dataset": {"name": "synthetic", "geometry": "gaussian", "dim": 2, "n": 4},
        "digits": None, "pca": None, "potential": potential, "depth": 1, "width": None,
        "init": {"scale": 0.0}, "loss": "logistic", "step": {"rule": "adaptive", "eta": 1.0}, "epochs": 100,
        "stop": None, "log_points": 10, "seed": seed, "svm_C": 1.0, "logreg_C": 1.0, "dtype": "float64",
    }  # fmt: skip
    return config | changes


def fake_cells(count: int, **changes) -> list[FakeCell]:
    return [FakeCell(f"cell_s{seed}", fake_config(seed, **changes)) for seed in range(count)]


@pytest.fixture(scope="session")
def fake_notebook(tmp_path_factory) -> Path:
    """train_cell.ipynb's shape around tests/fake_training.py."""
    parameters = nbformat.v4.new_code_cell("request = None\noutput = None", metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from fake_training import train_request\nfrom mdcore.grid.store import write_results\n"
        "write_results(output, train_request(request))"
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[parameters, body], metadata={"kernelspec": kernel})
    path = tmp_path_factory.mktemp("notebook") / "train_cell.ipynb"
    nbformat.write(notebook, path)
    return path
