"""The notebooks for reading and playing: executed as a reader would, and their controls moved."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import mdcore
from mdcore.library import explore

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
G20 = {"name": "synthetic", "geometry": "gaussian", "dim": 20}
GRID = {
    "question": "Is there something to explore?",
    "fixed": {"step": {"rule": "normalized", "eta": 1000, "anneal": 5}, "epochs": 60, "width": 4},
    "vary": {
        "dataset": [{"name": "synthetic", "geometry": "planted", "dim": 2}, G20],
        "potential": ["quadratic", {"lp": {"p": 3}}],
        "depth": [1, 2],
    },
}


def executed(name: str, monkeypatch, **parameters) -> list:
    """The cells of a notebook as an ordinary kernel has executed them."""
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return notebook.cells


def shown(cells) -> list[dict]:
    return [output.get("data", {}) for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def printed(cells) -> str:
    return "".join(output.get("text", "") for cell in cells if cell.cell_type == "code" for output in cell.outputs)


@pytest.mark.slow
def test_the_tutorial_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    cells = executed("tutorial", monkeypatch, runs_dir=str(tmp_path))
    assert sum("image/png" in data for data in shown(cells)) == 2
    assert "separable" in printed(cells) and "proved by the run itself" in printed(cells)
    assert any("gap" in data.get("text/html", "") for data in shown(cells))
    assert len(mdcore.load_run("tutorial", tmp_path).cells) == 4


@pytest.mark.slow
def test_explore_shows_the_newest_run_and_its_controls_move_the_figures(tmp_path, monkeypatch):
    mdcore.run_grid(GRID, "mine", jobs=1, output_dir=tmp_path)
    cells = executed("explore", monkeypatch, runs_dir=str(tmp_path))
    assert "Is there something to explore? 8 cells, 0 missing." in printed(cells)
    assert sum("image/png" in data for data in shown(cells)) == 3  # what a static page shows
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown(cells)) == 3
    run, _ = explore.newest(str(tmp_path))
    curves = explore.curves(run)
    (axis,) = curves.figure.axes
    assert len(axis.lines) == 4 and axis.get_ylabel() == "certified gap"
    curves.controls["quantity"].value = "margin_ratio"
    assert curves.figure.axes[0].get_ylabel() == "share of the exact margin"
    curves.controls["depth"].value = (2,)
    assert len(curves.figure.axes[0].lines) == 2
    curves.controls["potential"].value = ()
    assert "No cell is left" in curves.figure.data
    boundaries = explore.boundaries(run)
    assert len(boundaries.figure.axes[0].lines) == 4
    boundaries.controls["depth"].value = (1,)
    assert len(boundaries.figure.axes[0].lines) == 2


def test_without_a_run_explore_says_so(tmp_path):
    run, said = explore.newest(str(tmp_path))
    assert run is None and "no complete run" in said and "make demo" in said
    assert explore.curves(run) is None and explore.boundaries(run) is None
    assert explore.show(explore.curves(run), said).data == said


def test_a_cell_is_trained_when_a_control_moves():
    view = explore.live()
    before = view.figure
    assert "certified gap" in before.get_suptitle() and len(before.axes) == 3
    view.controls["p"].value = 3.0
    assert view.figure is not before and view.figure.axes[0].lines[0].get_label() == "exact l_3 max-margin"
    view.controls["data"].value = "20 dimensions"
    assert len(view.figure.axes) == 2
