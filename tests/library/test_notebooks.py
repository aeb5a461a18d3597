"""The notebooks for reading and playing: executed as a reader would, and their controls moved."""

from __future__ import annotations

from pathlib import Path

import browser
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import mdcore
from mdcore.library import explore

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
GRID = {
    "question": "Is there something to explore?",
    "fixed": {
        "step": {"rule": "normalized", "eta": 1000, "anneal": 5},
        "epochs": 60,
        "width": 4,
        "digits": [3, 5],
        "pca": 10,
    },
    "vary": {
        "dataset": [{"name": "mnist"}, {"name": "synthetic", "geometry": "planted", "dim": 2}],
        "potential": ["quadratic", {"lp": {"p": 3}}],
        "depth": [1, 2],
    },
    "only_if": {"digits": {"dataset": "mnist"}, "pca": {"dataset": "mnist"}},
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


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A directory with one run: images of MNIST, and points in the plane."""
    place = tmp_path_factory.mktemp("runs")
    mdcore.run_grid(GRID, "mine", jobs=1, output_dir=place)
    return place


@pytest.mark.slow
def test_explore_shows_the_newest_run_and_its_controls_move_the_figures(runs, monkeypatch):
    cells = executed("explore", monkeypatch, runs_dir=str(runs))
    assert "Is there something to explore? 8 cells, 0 missing." in printed(cells)
    assert sum("image/png" in data for data in shown(cells)) == 5  # what a static page shows
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown(cells)) == 5
    run, _ = explore.newest(str(runs))
    curves = explore.curves(run)
    assert curves.controls["quantity"].value == "angle_linear_md"  # MNIST 3 vs 5 overlaps here: there is no gap
    curves.controls["quantity"].value = "gap"
    assert "certified gap of MNIST 3 vs 5, PCA 10 is not known" in curves.figure.data
    curves.controls["data"].value = "Planted, d = 2"
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
    predictors, cell_id = explore.predictors(run), next(iter(run.configs))
    for step, w in zip((60, 1), run.kept(cell_id).path[[-1, 0]]):
        predictors.controls["step"].value = step
        assert len(predictors.figure.axes) == 4 and predictors.figure.axes[0].get_title().endswith(f"step {step}")
        image = run.kept(cell_id).on_features(w).reshape(28, 28)
        np.testing.assert_allclose(predictors.figure.axes[0].images[0].get_array(), image / abs(image).max())
    predictors.controls["data"].value = "Planted, d = 2"  # no images: bars
    assert [len(axis.patches) for axis in predictors.figure.axes] == [2] * 4
    layers = explore.layers(run)
    panels = [axis for axis in layers.figure.subfigs[0].axes if axis.images]
    assert [axis.images[0].get_array().shape for axis in panels] == [(4, 10), (1, 4)]
    assert len(layers.figure.subfigs[1].axes) == 4  # hidden units as images


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium on this machine: the notebook is not driven")
def test_in_a_browser_the_controls_of_explore_are_moved_and_the_figures_follow(runs, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / "explore.ipynb", as_version=4)
    notebook.cells[1].source += f"\nruns_dir = {str(runs)!r}"
    nbformat.write(notebook, tmp_path / "explore.ipynb")
    with browser.lab(tmp_path, "explore.ipynb") as address, browser.Page(tmp_path, height=3000) as page:
        page.ask("Page.navigate", url=address)
        page.wait("document.querySelectorAll('.jp-CodeCell').length == 7 && !!window.jupyterapp")
        page.wait("!!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')")
        page.value("jupyterapp.commands.execute('notebook:run-all-cells'), 0")
        cells = [f"document.querySelectorAll('.jp-CodeCell')[{number}]" for number in range(7)]
        curves, boundaries, predictors, layers, live = cells[2:]
        image = "{}.querySelector('.jp-OutputArea-output img')".format
        for cell in cells[2:]:
            page.wait(f"{image(cell)}?.naturalWidth > 100", 240)
        control = "[...{}.querySelectorAll('.widget-inline-hbox')].find(e => e.innerText.startsWith('{}'))".format

        def after(cell, act, *given):
            """The width of the image that follows what was done."""
            page.value(f"window.before = {image(cell)}.src, 0")
            act(*given)
            page.wait(f"{image(cell)}?.src != window.before && {image(cell)}?.naturalWidth > 100")
            return page.value(f"{image(cell)}.naturalWidth")

        deep = f"{control(predictors, 'depth')}.querySelectorAll('option')[1]"
        four = page.value(f"{image(predictors)}.naturalWidth")
        assert after(predictors, page.click, deep) < 0.6 * four  # of four images two are left
        handle = f"{control(predictors, 'step')}.querySelector('.noUi-handle')"
        page.click(handle)
        after(predictors, page.key, "Home")
        assert page.value(f"{control(predictors, 'step')}.querySelector('.widget-readout').innerText") == "1"
        for cell, name in ((curves, "quantity"), (layers, "cell"), (live, "step")):
            after(cell, page.choose_next, f"{control(cell, name)}.querySelector('select')")
        option = f"{control(boundaries, 'potential')}.querySelectorAll('option')[0]"
        after(boundaries, page.click, option)
        page.click(option, modifiers=browser.CTRL)  # nothing is chosen any more
        page.wait(f"{boundaries}.innerText.includes('No cell is left: choose a value in each of the lists.')")
        page.value(
            f"window.seen = new Set(); new MutationObserver(() => window.seen.add({image(live)}?.src))"
            f".observe({live}, {{childList: true, subtree: true}}), 0"
        )
        page.click(f"{control(live, 'p')}.querySelector('.noUi-base')", across=0.7)
        page.wait("window.seen.size > 3")  # the training is watched
        assert float(page.value(f"{control(live, 'p')}.querySelector('.widget-readout').innerText")) > 3
        page.screenshot(tmp_path / "explore.png")


def test_without_a_run_explore_says_so(tmp_path):
    run, message = explore.newest(str(tmp_path))
    assert run is None and "no complete run" in message and "make demo" in message
    assert {view(run) for view in (explore.curves, explore.boundaries, explore.predictors, explore.layers)} == {None}
    assert explore.show(explore.curves(run), message).data == message


@pytest.mark.slow
def test_a_cell_is_trained_when_a_control_moves():
    view = explore.live()
    before = view.figure
    assert "certified gap" in before.get_suptitle() and len(before.axes) == 3
    view.controls["p"].value = 3.0
    assert view.figure is not before and view.figure.axes[0].lines[0].get_label() == "exact l_3 max-margin"
    view.controls["data"].value = "20 dimensions"
    assert len(view.figure.axes) == 2
