"""Grids from Python: run, read back, analysed; what is wrong with a request is one clear error."""

from __future__ import annotations

import numpy as np
import pytest
from fake_run import GAUSSIAN

import mdcore
from mdcore.config.grid import GridError
from mdcore.store.runs import RunError

GRID = {
    "question": "Does it run?",
    "fixed": {"dataset": GAUSSIAN, "step": {"rule": "adaptive"}, "epochs": 100},
    "vary": {"potential": ["quadratic", {"lp": {"p": 3}}], "depth": [1, 2], "seed": [0]},
}


@pytest.fixture
def here(tmp_path, monkeypatch, fake_notebook, light_kernels):
    """A working directory of its own, where the training takes no time."""
    from mdcore.runner import execution

    monkeypatch.setattr(execution, "TRAIN_NOTEBOOK", fake_notebook)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_grid_as_a_mapping_runs_is_read_back_and_resumed(here, capsys):
    with pytest.raises(RunError, match="no complete run in runs_out/; run a grid first"):
        mdcore.load_run()
    run = mdcore.run_grid(GRID, "mine", jobs=1, only=["depth=1", "potential=lp"], set={"epochs": 50})
    assert run.tag == "mine" and run.path.parent.name == "runs_out" and run.question == "Does it run?"
    assert len(run.cells) == 3 and len(run.missing) == 1
    whole = mdcore.run_grid(GRID, "mine", jobs=1, set={"epochs": 50})
    assert "1 cells to train" in capsys.readouterr().out and len(whole.cells) == 4 and not whole.missing
    again = mdcore.load_run("mine")
    assert set(again.history["cell_id"]) == set(again.cells["cell_id"]) == set(again.predictors)
    assert {"epoch", "gap", "potential", "depth", "seed", "status"} <= set(again.history.columns)
    assert set(again.history["depth"]) == {1, 2} and all(np.isfinite(w).all() for w in again.predictors.values())


@pytest.mark.slow
def test_without_a_tag_the_newest_complete_run_is_read_and_a_wrong_request_is_one_error(here):
    whole = mdcore.run_grid("quick_debug", "demo", jobs=1, only="depth=1", set={"depth": [1]})  # shipped, by its name
    assert len(whole.cells) == 6
    mdcore.run_grid(GRID, "mine", jobs=1, only="depth=1")
    assert mdcore.load_run().tag == "demo"
    assert mdcore.load_run(mdcore.load_run("mine").path).tag == "mine"
    with pytest.raises(RunError, match=r"no run with the tag 'mime' .*; did you mean 'mine'"):
        mdcore.load_run("mime")
    with pytest.raises(RunError, match="made with another grid"):
        mdcore.run_grid(GRID, "mine", set={"epochs": 7})
    with pytest.raises((GridError, RunError), match=r"unknown key 'potental'.*did you mean 'potential'"):
        mdcore.run_grid({**GRID, "vary": {"potental": ["quadratic"]}}, "other")
    with pytest.raises(TypeError, match=r"unknown option 'job'; .* did you mean 'jobs'"):
        mdcore.run_grid(GRID, "other", job=1)
    with pytest.raises(RunError, match=r"--tag: got '../x'"):
        mdcore.run_grid(GRID, "../x")


@pytest.mark.slow
def test_a_run_is_analysed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = mdcore.run_grid(GRID, "mine", jobs=1)
    analysis = mdcore.analyse(run)
    assert analysis.report.is_file() and analysis.path == (tmp_path / "analysis_results/mine").relative_to(tmp_path)
    assert len(analysis.master) == 4 and len(analysis.summary) == 4
