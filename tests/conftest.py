"""Shared by the tests of the grid: cells, committed stacks and a training notebook that take no time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "GRID", "TAG", "JOBS", "SET", "ONLY", "ARGS"):
    os.environ.pop(name, None)  # `make test` hands them on, and a make that a test starts would follow them

import nbformat
import pytest
from fake_grids import GRID_TEXT, ROOT, SUPPORT
from fake_stacks import committed_run
from fake_training import LIGHT_KERNELS

from mdcore.config.grid import load_grid
from mdcore.runner.kernels.servers import Kernels


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What stacks have cost in tests is not told to the plans of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def fake_notebook(tmp_path_factory) -> Path:
    """train_cell.ipynb's shape around tests/fake_training.py."""
    parameters = nbformat.v4.new_code_cell("request = None\noutput = None", metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell(
        f"import sys\nsys.path.insert(0, {str(SUPPORT)!r})\n"
        "from fake_training import train_request\nfrom mdcore.store.results import write_results\n"
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
def light_kernels(monkeypatch):
    """Servers of kernels that import what the fake training needs, in a fifth of the time."""
    monkeypatch.setattr(Kernels.__init__, "__defaults__", (LIGHT_KERNELS,))


@pytest.fixture(scope="module")
def light():
    """Kernels that have imported nothing but themselves."""
    with Kernels(("ipykernel.kernelapp",)) as kernels:
        yield kernels


@pytest.fixture
def grid_command(monkeypatch, light_kernels, fake_notebook, grid_file, tmp_path, capsys):
    """run_grid in this process, on `grid_file`, with the fake training: call(*flags) -> status, out, err."""
    from mdcore import run_grid
    from mdcore.runner import execution

    monkeypatch.setattr(execution, "TRAIN_NOTEBOOK", fake_notebook)
    out = tmp_path / "runs"

    def call(*flags: str, config=grid_file, tag="t"):
        capsys.readouterr()
        argv = ["--config", str(config), "--tag", tag, "--output_dir", str(out), "--jobs", "2", *flags]
        status = run_grid.main(argv)
        printed = capsys.readouterr()
        return SimpleNamespace(status=status, out=printed.out, err=printed.err)

    call.runs = out
    return call


@pytest.fixture(scope="session")
def committed_stacks(tmp_path_factory) -> SimpleNamespace:
    """A run of GRID_TEXT with its head and two committed stacks: .path, .ids, .grid. Not to be changed: see `run`."""
    place = tmp_path_factory.mktemp("committed")
    (place / "grid.yaml").write_text(GRID_TEXT)
    grid = load_grid(place / "grid.yaml")
    path = committed_run(place / "runs", grid, {"one": range(4), "two": range(4, 8)})
    return SimpleNamespace(path=path, ids=[cell.cell_id for cell in grid.cells], grid=grid)


@pytest.fixture
def run(tmp_path, grid_file, committed_stacks) -> SimpleNamespace:
    """The same of the test's own, in runs/ beside `grid_file`."""
    path = shutil.copytree(committed_stacks.path, tmp_path / "runs" / committed_stacks.path.name)
    return SimpleNamespace(path=path, ids=committed_stacks.ids, grid=committed_stacks.grid)


@pytest.fixture
def process(tmp_path, fake_notebook, grid_file):
    """Start run_grid as a process of its own: call(*flags) -> Popen; whatever is left is ended."""
    started = []

    def call(*flags, **environment):
        words = [fake_notebook, "--config", grid_file.name, "--tag", "t", "--output_dir", "runs", "--jobs", "2"]
        env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        argv = [sys.executable, SUPPORT / "drive_grid.py", *words, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(argv, cwd=tmp_path, env=env, start_new_session=True, **pipes))
        return started[-1]

    call.place, call.runs = tmp_path, tmp_path / "runs"
    call.runs.mkdir()
    yield call
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()
