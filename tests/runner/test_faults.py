"""What goes wrong around a grid, one thing at a time: nothing finished is lost, nothing wrong gets in."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chaos_site import copy_source
from fake_grids import ROOT
from fake_stacks import PARTS, leave_results, spoil
from fake_training import results
from processes import assert_same_results, behave, follow, run_in, stack_and_runner, the_run, wait_for

from mdcore import run_grid
from mdcore.config.grid import load_grid
from mdcore.runner.command import RunRequest, cores
from mdcore.runner.runner import Trial
from mdcore.runner.stacks import compose
from mdcore.store import commits
from mdcore.store.commits import Origin, ResultError, commit_stack, committed, read_notes
from mdcore.store.runs import RunData, RunError, open_run, read_manifest, read_run, write_head
from mdcore.training import stack as training
from mdcore.training.failures import Failure, Kind, RequestRefused, failure_of

SECRET = "hush-hush-5f2c"


# files


def test_an_altered_manifest_is_never_believed(run):
    file = run.path / "manifest.json"
    whole, good = file.read_bytes(), read_manifest(run.path)
    for position in range(0, len(whole), 37):
        for mask in (0x01, 0x80):  # 0x01 makes another digit or letter of one
            data = bytearray(whole)
            data[position] ^= mask
            file.write_bytes(bytes(data))
            try:
                assert read_manifest(run.path) == good, f"byte {position}"
            except RunError as error:
                assert "manifest.json" in str(error)
    file.write_bytes(whole.replace(b'"seed": 1', b'"seed": 0', 1))
    opened = open_run(run.path.parent, "t", run.grid)
    assert "does not match its own checksum" in opened.notes[0]
    write_head(opened, run.grid, {})
    assert read_manifest(run.path)["cells"] == good["cells"]


def test_an_altered_grid_file_of_a_run_is_written_anew(run, grid_command):
    file = run.path / "grid.yaml"
    whole = file.read_text()
    file.write_text(whole.replace("epochs: 100", "epochs: 700"))
    assert "grid.yaml is damaged" in grid_command().out
    assert file.read_text() == whole
    assert "nothing to do" in grid_command().out


def test_results_that_are_altered_before_they_are_committed_are_not_taken(tmp_path, monkeypatch):
    """After the write; or right with it: the checksums are of what was meant, not of what stands on the disk."""
    leave_results(tmp_path, results(["a"]))
    spoil(tmp_path / "history.parquet", "bytes")
    with pytest.raises(ResultError, match=r"history\.parquet is not as the notebook wrote it"):
        read_notes(tmp_path, ["a"])
    real = Path.write_bytes

    def alter(self, data):
        return real(self, bytes([data[0] ^ 1]) + data[1:] if self.name == "final.parquet" else data)

    monkeypatch.setattr(Path, "write_bytes", alter)
    with pytest.raises(ResultError, match=r"final\.parquet is not as the notebook wrote it"):
        leave_results(tmp_path, results(["a"]))


def test_results_that_are_altered_while_they_are_committed_are_found(run):
    output = run.path / "stacks" / ".three.partial" / "out"
    notes = leave_results(output, results(run.ids[:1]))
    (output / "final.parquet").write_bytes(b"PAR1")
    commit_stack(run.path, "three", output, run.ids[:1], notes, Origin(PARTS, 9))
    assert [r.path.name for r in committed(run.path).damaged] == ["three"]


# the disk


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, *(pytest.param(n, marks=pytest.mark.slow) for n in (errno.EROFS, errno.EDQUOT))]
)
def test_a_disk_that_takes_nothing_any_more_stops_the_run(run, grid_command, monkeypatch, number):
    shutil.rmtree(run.path / "stacks" / "two")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(commits.os, "rename", refuse)
    stopped = grid_command("--jobs", "1")
    assert stopped.status == 1
    assert f"the run stopped: [Errno {number}]" in stopped.err
    assert "Traceback" not in stopped.err + stopped.out
    assert set(committed(run.path).newest) == set(run.ids[:4])


def test_a_full_disk_is_no_failure_of_the_cells_in_training(grid_command):
    behave(grid_command, **{"*": "full"})
    stopped = grid_command("--jobs", "1")
    assert (stopped.status, "the run stopped" in stopped.err) == (1, True)
    assert committed(the_run(grid_command)).newest == {}


# kernels


@pytest.mark.slow
def test_a_kernel_out_of_memory_is_tried_again_then_halved_to_the_culprit(grid_command, grid_file):
    """The system's killer sends SIGKILL; an allocation that is refused raises MemoryError."""
    cells = load_grid(grid_file).cells
    culprits = {cells[2].cell_id: "the kernel died (killed, out of memory", cells[3].cell_id: "MemoryError"}
    behave(grid_command, **dict(zip(culprits, ("die", "hog"))))
    ended = grid_command()
    assert ended.status == 1
    for name in (stack.name for stack in compose(cells)):  # one of them is in each
        steps = [ended.out.index(f"{name}: {what}") for what in ("attempt 1 failed", "attempt 2 failed", "halved into")]
        assert steps == sorted(steps)
    state = committed(the_run(grid_command))
    assert {cell for cell in state.newest if state.status(cell) == "failed"} == culprits.keys()
    assert len(state.newest) == 8
    assert all(why in state.newest[cell].messages[cell] for cell, why in culprits.items())


def test_what_is_refused_is_not_tried_again(tmp_path):
    stack, runner = stack_and_runner(tmp_path, 6)
    assert follow(runner, Trial(stack), "refused", "DataError: odd: X_train has no features") == []
    state = committed(tmp_path)
    assert {cell: state.status(cell) for cell in state.newest} == dict.fromkeys(stack.cell_ids, "failed")
    assert {why for why, _ in runner.result.failed.values()} == {"DataError: odd: X_train has no features"}
    assert runner.progress.failed == 6


def test_cells_that_are_to_blame_are_recorded_and_the_others_trained(tmp_path):
    stack, runner = stack_and_runner(tmp_path, 6)
    (left,) = follow(runner, Trial(stack), "refused", "ValueError: no", stack.cell_ids[2:4])
    assert left.stack.cell_ids == [*stack.cell_ids[:2], *stack.cell_ids[4:]]
    assert set(committed(tmp_path).newest) == set(runner.result.failed) == set(stack.cell_ids[2:4])
    assert (runner.progress.failed, runner.progress.waiting.keys()) == (2, {stack.name, left.name} - {stack.name})


def test_only_data_and_device_are_shared_by_all(tmp_path, monkeypatch, grid_file):
    request = {"cells": [cell.config for cell in load_grid(grid_file).cells[:2]], "device": "cpu"}
    (tmp_path / "request.json").write_text(json.dumps(request))

    def broken(*_):
        raise ValueError("no such data")

    monkeypatch.setattr(training, "load_data", broken)
    with pytest.raises(RequestRefused, match="ValueError: no such data") as raised:
        training.train_request(tmp_path / "request.json")
    assert failure_of(raised.value) == Failure(Kind.REFUSED, "ValueError: no such data")
    monkeypatch.undo()
    monkeypatch.setattr(training, "plan_cells", broken)  # one cell's potential may be to blame: halve
    with pytest.raises(ValueError) as raised:
        training.train_request(tmp_path / "request.json")
    assert failure_of(raised.value).kind == Kind.ERROR


# a rerun that is interrupted


@pytest.mark.slow
def test_an_interrupted_rerun_goes_on_with_what_it_has_left(run, grid_command):
    second = compose(run.grid.cells)[1]
    behave(grid_command, **dict.fromkeys(second.cell_ids, "full"))
    stopped = grid_command("--rerun", "all", "--jobs", "1")
    assert stopped.status == 1
    assert re.search(r"To go on:\n  python -m mdcore.run_grid .*--jobs 1 --rerun rest", stopped.err)
    behave(grid_command)
    assert "nothing to do" in grid_command().out  # the rerun is asked for, or it is not
    assert "4 to run in 1 stacks" in grid_command("--rerun", "rest", "--dry_run").out
    rest = grid_command("--rerun", "rest")
    assert (rest.status, "4 cells to train in 1 stacks, 4 skipped" in rest.out) == (0, True)
    assert "nothing to do" in grid_command("--rerun", "rest").out
    assert all(record.serial > 2 for record in committed(run.path).newest.values())


def test_the_command_to_go_on_repeats_no_finished_part_of_a_rerun():
    for asked, left in (("all", "rest"), ("failed", "rest"), ("stale", "stale")):  # what is done is stale no more
        request = RunRequest("a b.yaml", "failed", jobs=2, only=("x", "y"), overrides=("k=1",), rerun=asked, wait=True)
        words = f"--config 'a b.yaml' --tag failed --jobs 2 --set k=1 --only x --only y --rerun {left} --wait"
        assert request.to_go_on() == f"To go on:\n  python -m mdcore.run_grid {words}"
        again = run_grid.parser().parse_args(shlex.split(request.command())[3:])
        assert RunRequest(**vars(again)).command() == request.command()


def test_under_make_the_command_to_go_on_is_one_of_make(monkeypatch):
    monkeypatch.setenv("MDCORE_BY_MAKE", "1")
    request = RunRequest("grids/g.yaml", "t", jobs=cores() + 1, only=("p=$x",), overrides=("step={rule: adaptive}",))
    command = shlex.split(request.command())
    assert command[:5] == ["make", "grid", "GRID=g", "TAG=t", f"JOBS={cores() + 1}"]
    make = ["make", "-n", "-f", ROOT / "Makefile", "-o", ".venv/.requirements", *command[1:]]
    line = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    words = shlex.split(line)
    again = run_grid.parser().parse_args(words[words.index("mdcore.run_grid") + 1 :])
    assert RunRequest(**vars(again)).flags() == request.flags()


# the saved state


class SlowTrainer:
    """Counts steps on a clock of its own."""

    def __init__(self, seconds: float, epochs: int, log_every: int):
        self.seconds, self.log_every, self.epoch, self.now = seconds, log_every, 0, 1000.0
        self.plan, self.cells, self.alive = SimpleNamespace(epochs=epochs), [0], [0]

    @property
    def done(self):
        return self.epoch >= self.plan.epochs

    def advance(self, max_steps):
        target = min(self.plan.epochs, (self.epoch // self.log_every + 1) * self.log_every)
        steps = min(max_steps, target - self.epoch)
        self.epoch += steps
        self.now += steps * self.seconds

    def state_dict(self):
        return {"epoch": self.epoch}


@pytest.mark.parametrize("asked", [{}, {"state_every_s": 30}, {"state_every_s": 5}])
@pytest.mark.parametrize(("seconds", "log_every"), [(0.001, 10**6), (0.001, 100), (0.05, 300), (1.3, 7), (45.0, 3)])
def test_a_kill_costs_no_more_than_the_interval_and_one_step(tmp_path, monkeypatch, asked, seconds, log_every):
    trainer = SlowTrainer(seconds, int(400 / seconds), log_every)
    saved = [trainer.now]
    monkeypatch.setattr(training.time, "monotonic", lambda: trainer.now)
    monkeypatch.setattr(training, "_write_state", lambda path, state: saved.append(trainer.now))
    training._train(trainer, {"cells": [], "state_path": str(tmp_path / "state")} | asked, "data", [])
    interval = asked.get("state_every_s", 30)
    gaps = np.diff([*saved, trainer.now])
    assert max(gaps) <= interval + seconds
    often = 400 / (interval - min(interval / 2, 1 + seconds))
    assert len(saved) - 1 <= often or seconds > interval  # and not more often than asked


def test_an_altered_state_is_refused_whichever_byte_it_is(tmp_path):
    file = tmp_path / "state"
    training._write_state(str(file), {"request": "r", "trainer": {"w": torch.arange(50.0)}, "spent": 1.0})
    assert training._read_state(str(file))["spent"] == 1.0
    whole = file.read_bytes()
    for position in range(0, len(whole), 5):
        data = bytearray(whole)
        data[position] ^= 1
        file.write_bytes(bytes(data))
        with pytest.raises(ValueError, match="does not match its checksum"):
            training._read_state(str(file))
    file.write_bytes(whole[:20])
    with pytest.raises(ValueError):
        training._read_state(str(file))


# the whole way, with the real training

REAL = """\
question: Does it end the same?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 200, separation: 0.5, noise: 1}
  step: {rule: constant, eta: 10}
  epochs: 150000
  log_points: 30
  width: 4
  seed: 0
vary:
  potential: [quadratic, {lp: {p: 3}}]
  depth: [1, 3]
"""  # four cells, one stack; the data overlap, and with this step deep cells diverge after a few epochs


def start(place: Path, output: str, *flags: str, config="grid.yaml") -> subprocess.Popen:
    source = place / "source"
    env = os.environ | {"PYTHONPATH": str(source), "STATE_EVERY_S": "0.3", "MY_API_TOKEN": SECRET}
    argv = [sys.executable, source / "tests" / "support" / "drive_grid.py", source / "notebooks" / "train_cell.ipynb"]
    argv += ["--config", config, "--tag", "t", "--output_dir", output, "--jobs", "1", *flags]
    return subprocess.Popen(argv, cwd=place, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(place: Path, output: str, *flags: str, config="grid.yaml") -> RunData:
    """The run, once its command has ended by itself."""
    process = start(place, output, *flags, config=config)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode in (0, 1), printed
    run = read_run(run_in(place / output))
    assert run.problems == []
    return run


@pytest.fixture(scope="module")
def peace(tmp_path_factory):
    """A grid's run without a disturbance, in the directory `peace` of a place that holds the grid.

    And the sources as they are now: what is edited meanwhile must not make a saved state another's.
    """
    place = tmp_path_factory.mktemp("real")
    copy_source(ROOT, place / "source")
    (place / "grid.yaml").write_text(REAL)
    return finished(place, "peace")


@pytest.mark.slow
def test_a_cell_that_diverges_harms_no_neighbour(peace):
    bad, good = (peace.final[peace.final["depth"] == depth] for depth in (3, 1))
    assert set(bad["status"]) == {"diverged"}
    assert all("non-finite" in message for message in bad["message"])
    alone = finished(peace.path.parents[1], "alone", "--only", "depth=1")
    assert list(alone.final["status"]) == list(good["status"])
    columns = alone.final.select_dtypes("number").columns.drop("seconds")
    np.testing.assert_allclose(good[columns], alone.final[columns], rtol=1e-8, atol=1e-8)
    assert peace.history["cell_id"].isin(good["cell_id"]).sum() == len(alone.history)


@pytest.mark.slow
def test_the_grid_file_of_a_run_repeats_it_to_the_bit(peace):
    again = finished(peace.path.parents[1], "again", config=str(peace.path / "grid.yaml"))
    assert_same_results(peace, again)


@pytest.mark.slow
def test_nothing_of_the_environment_is_in_what_a_run_leaves(peace):
    files = [p for p in peace.path.rglob("*") if p.is_file()]
    assert {"manifest.json", "grid.log", "train_cell.ipynb", "stack.json"} <= {p.name for p in files}
    secrets = [SECRET, "MY_API_TOKEN", str(Path.home()) + "/", os.uname().nodename]
    leaks = [(p.name, word) for p in files for word in secrets if len(word) > 2 and word.encode() in p.read_bytes()]
    assert leaks == []


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(peace):
    """SIGKILL of the runner, three times; each time it goes on from the last state that was saved."""
    place, kills = peace.path.parents[1], []

    def states() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in (place / "killed").glob("*_t/stacks/.*/state")}

    for _ in range(3):
        runner, before = start(place, "killed"), states()
        wait_for(lambda before=before: (now := states()) and now != before, 120)
        time.sleep(0.4)
        runner.kill()
        runner.communicate()
        if not states():
            break  # it had just ended
        kills += [training._read_state(str(state))["trainer"]["epoch"] for state in states()]
    killed = finished(place, "killed")
    assert kills and kills == sorted(kills)
    assert_same_results(peace, killed)
    (record,) = killed.path.glob("stacks/*/stack.json")
    notes = " ".join(json.loads(record.read_text())["notes"])
    assert re.findall(r"resumed at epoch (\d+)", notes) == [str(kills[-1])]
