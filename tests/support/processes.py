"""Runners, their kernels and how they are waited for."""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
from fake_grids import fake_cells

from mdcore.runner.execution import RunSettings, StackResult, Status
from mdcore.runner.runner import Runner, Trial
from mdcore.runner.stacks import Stack
from mdcore.runner.times.progress import Log, Progress
from mdcore.store.runs import RunData


def runner_for(run_dir: Path, stacks) -> Runner:
    (run_dir / "stacks").mkdir(parents=True, exist_ok=True)
    progress = Progress(stacks, 2, 0, Log(run_dir / "grid.log"), stream=io.StringIO())
    return Runner(run_dir, progress, 1, RunSettings({"code": "1"}))


def stack_and_runner(run_dir: Path, cells: int) -> tuple[Stack, Runner]:
    stack = Stack(tuple(fake_cells(cells)))
    return stack, runner_for(run_dir, [stack])


def follow(runner: Runner, trial: Trial, status: Status | str, message: str = "gone", cells=()) -> list[Trial]:
    """What the runner makes of an execution that ended so and left no results."""
    job = runner.prepare(trial)
    runner.show_begun(trial)
    return runner.follow_up(trial, StackResult(Status(status), job.place / "none", 1.0, message, tuple(cells)))


def wait_for(condition, seconds=240.0, what="it"):
    """What `condition()` returns, once it is true; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.05)
    return value


def make_notebook(path: Path, source: str) -> Path:
    parameters = nbformat.v4.new_code_cell("word = None", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [parameters, nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def run_in(runs: Path) -> Path:
    (run,) = runs.glob("[0-9]*_t")
    return run


def the_run(call) -> Path:
    return run_in(call.runs)


def rows_of(run: RunData, table: str, cell: str = "") -> pd.DataFrame:
    """The rows of a cell, or all, in the table final or history, without the measured seconds."""
    frame = getattr(run, table).drop(columns="seconds", errors="ignore")
    return frame[frame["cell_id"] == cell].reset_index(drop=True) if cell else frame


def assert_same_results(one: RunData, other: RunData, cell: str = "") -> None:
    """Equal to the bit, of a cell or of all; and the other one is whole."""
    for table in ("final", "history"):
        pd.testing.assert_frame_equal(rows_of(one, table, cell), rows_of(other, table, cell), check_exact=True)
    assert cell or (other.problems == [] and one.predictors.keys() == other.predictors.keys())
    for name in [cell] if cell else one.predictors:
        np.testing.assert_array_equal(one.predictors[name], other.predictors[name])


def behave(call, **how) -> None:
    call.runs.mkdir(exist_ok=True)
    (call.runs / "behave.json").write_text(json.dumps(how))


def in_a_fork(work) -> int:
    """The exit status of `work` in a process of its own; below 0: the signal that ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        status = work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def kernels_of(pid: int) -> list[psutil.Process]:
    try:
        family = psutil.Process(pid).children(recursive=True)
        return [p for p in family if p.name() == "mdcore-kernel"]
    except psutil.Error:
        return []


def gone(processes) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
