"""Stacks and what becomes of them: composition, retries, halving, kernels that end with their parent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_grids import ROOT, fake_cells
from fake_training import LIGHT_KERNELS
from processes import follow, gone, make_notebook, runner_for, stack_and_runner, wait_for

from mdcore.runner import execution
from mdcore.runner.backends import LocalBackend
from mdcore.runner.command import remove_leftovers
from mdcore.runner.execution import RunSettings, StackJob, StackResult, Status, cannot_write, run_stack, write_request
from mdcore.runner.kernels import servers
from mdcore.runner.kernels.servers import PINNED, PREFIX, Kernels, nothing_is_compiled, sweep
from mdcore.runner.notebooks import KernelDied, NotebookFailed, execute
from mdcore.runner.plan import failure_table
from mdcore.runner.runner import Trial
from mdcore.runner.stacks import MAX_CELLS, Stack, compose, group_key, halve
from mdcore.runner.times.progress import Log, clock
from mdcore.store.commits import committed, partial_dir
from mdcore.store.lock import RunIsHeld, RunLock
from mdcore.training.failures import MOST_LETTERS, Kind

# composition


def grid_like():
    """Two datasets, three potentials, two depths, seeds: 48 cells of one, 12 of the other."""
    cells = []
    for (key, seeds), potential, depth in product((("a", 8), ("b", 2)), ("quadratic", "scaled", "p3"), (1, 2)):
        made = fake_cells(seeds, key, potential=potential, depth=depth)
        cells += [
            replace(c, cell_id=f"{key}_{potential}_L{depth}_{c.cell_id}", dataset_label=f"data-{key}") for c in made
        ]
    return cells


def test_a_stack_has_one_dataset_whole_groups_and_no_more_cells_than_allowed():
    cells = grid_like()
    stacks = compose(cells)
    assert sorted(i for s in stacks for i in s.cell_ids) == sorted(c.cell_id for c in cells)
    assert all(len({c.data_key for c in s.cells}) == 1 for s in stacks)
    assert max(len(s.cells) for s in stacks) <= MAX_CELLS
    where = {}
    for stack in stacks:
        for cell in stack.cells:
            assert where.setdefault(group_key(cell), stack.name) == stack.name
    assert [s.cost for s in stacks] == sorted((s.cost for s in stacks), reverse=True)
    assert len({s.name for s in stacks}) == len(stacks)


def test_cells_that_are_trained_differently_are_not_stacked():
    for key in ("epochs", "log_points", "loss", "step", "stop", "dtype", "svm_C", "logreg_C", "metrics"):
        values = [{"rule": "constant", "eta": eta} if key == "step" else eta for eta in (1, 2)]
        (one,), (other,) = (fake_cells(1, **{key: value}) for value in values)
        assert len(compose([one, replace(other, cell_id="other")])) == 2, key
        assert len(compose([one, replace(one, cell_id="same")])) == 1


def test_a_lost_stack_is_composed_again_with_the_same_neighbours():
    cells = grid_like()
    whole = compose(cells)
    for lost in whole:
        assert [s.cell_ids for s in compose(cells, set(lost.cell_ids))] == [lost.cell_ids]
    two = set(whole[0].cell_ids) | set(whole[-1].cell_ids)
    assert {s.name for s in compose(cells, two)} == {whole[0].name, whole[-1].name}


def test_a_group_larger_than_a_stack_is_cut():
    """Many widths or starts of one potential, data set and seed: each part trains a companion of its own."""
    cells = [replace(c, cell_id=f"w{i}") for i in range(100) for c in fake_cells(1)]
    stacks = compose(cells)
    assert [len(s.cells) for s in stacks] == [17, 17, 17, 17, 16, 16]
    assert sorted(i for s in stacks for i in s.cell_ids) == sorted(c.cell_id for c in cells)


def test_deep_and_wide_layers_are_shared_out():
    """3 potentials × 2 depths × 2 seeds at width 500: 20,000 steps of a million weights are not one stack."""
    data = {"name": "synthetic", "dim": 200, "n": 800}
    deep = [
        replace(c, cell_id=f"{potential}_L{depth}_{c.cell_id}")
        for potential, depth in product(("quadratic", "scaled", "p3"), (1, 6))
        for c in fake_cells(2, dataset=data, potential=potential, depth=depth, width=500, epochs=20_000)
    ]
    stacks = compose(deep)
    assert len(stacks) > 6
    assert max(len(s.cells) for s in stacks) <= 2
    assert sorted(i for s in stacks for i in s.cell_ids) == sorted(c.cell_id for c in deep)
    assert sum(s.cost for s in stacks) > 20_000 * 6 * 1e6 * 2e-9  # and it is not announced as a matter of seconds
    shallow = [replace(c, config=c.config | {"depth": 1}) for c in deep]
    assert len(compose(shallow)) == 1


def test_stacks_of_one_pool_are_about_equal():
    assert sorted(len(s.cells) for s in compose(fake_cells(20))) == [10, 10]


def test_halving_ends_at_every_single_cell():
    seen, stacks = [], [Stack(tuple(fake_cells(11)))]
    while stacks:
        stack = stacks.pop()
        if len(stack.cells) == 1:
            seen += stack.cell_ids
        else:
            stacks += halve(stack)
            assert all(half.cells for half in halve(stack))
    assert sorted(seen) == sorted(f"cell_s{s}" for s in range(11))


def test_halving_does_not_split_a_group_where_it_can():
    a, b = fake_cells(2)
    pair = [replace(c, cell_id=f"{c.cell_id}{n}") for c in (a, b) for n in range(3)]
    assert [list(half.cells) for half in halve(Stack(tuple(pair)))] == [pair[:3], pair[3:]]


# what follows an attempt, without a kernel


def test_the_policy_retries_then_halves_then_records(tmp_path):
    stack, runner = stack_and_runner(tmp_path, 2)
    again = follow(runner, Trial(stack), "died")
    assert again == [Trial(stack, 1)]
    halves = follow(runner, again[0], "died")
    assert [half.stack.cell_ids for half in halves] == [["cell_s0"], ["cell_s1"]]
    assert follow(runner, halves[0], "memory") == [Trial(halves[0].stack, 1)]  # may be the machine's: once more
    assert follow(runner, Trial(halves[0].stack, 1), "died") == []
    assert follow(runner, halves[1], "error", "ValueError: no") == []
    state = committed(tmp_path)
    assert {c: state.status(c) for c in stack.cell_ids} == {"cell_s0": "failed", "cell_s1": "failed"}
    assert runner.result.failed["cell_s1"][0] == "ValueError: no"
    assert runner.progress.failed == 2


@pytest.mark.parametrize("status", ["error", "hung"])
def test_what_would_come_again_is_not_tried_twice(tmp_path, status):
    stack, runner = stack_and_runner(tmp_path, 2)
    halves = follow(runner, Trial(stack), status)
    assert [half.tries for half in halves] == [0, 0]
    assert [follow(runner, half, status) for half in halves] == [[], []]
    assert set(committed(tmp_path).newest) == set(stack.cell_ids)


@pytest.mark.parametrize("status", ["machine", "stopped"])
def test_a_full_disk_is_nobodys_fault(tmp_path, status):
    stack, runner = stack_and_runner(tmp_path, 2)
    assert follow(runner, Trial(stack), status, "full") == []
    assert runner.result.failed == {}
    assert committed(tmp_path).newest == {}
    assert runner.stopping.is_set() == (status == "machine")


def test_an_error_of_the_runner_itself_is_told(tmp_path):
    stack, runner = stack_and_runner(tmp_path, 1)
    assert runner.guarded_follow_up(Trial(stack), StackResult(Status.STOPPED, tmp_path, 1.0)) == []  # it never began
    assert "error of the runner itself" in runner.result.fatal
    assert "Traceback" in (tmp_path / "grid.log").read_text()


def test_a_training_state_is_kept_only_for_the_same_request(tmp_path):
    stack = Stack(tuple(fake_cells(2)))
    place = write_request(tmp_path, stack, RunSettings({"code": "1"}))
    (place / "state").write_text("so far")
    (place / "out-dead").mkdir()
    assert (write_request(tmp_path, stack, RunSettings({"code": "1"})) / "state").exists()
    assert not (place / "out-dead").exists()
    assert not (write_request(tmp_path, stack, RunSettings({"code": "2"})) / "state").exists()
    (place / "state").write_text("so far")
    (place / "request.json").write_text("{")
    assert not (write_request(tmp_path, stack, RunSettings({"code": "2"})) / "state").exists()


def test_a_request_says_where_relative_paths_start(tmp_path):
    cell = fake_cells(1, dataset={"name": "mnist", "path": "mine"})[0]
    place = write_request(tmp_path / "run", Stack((cell,)), RunSettings({}, data_dir=str(tmp_path)))
    asked = json.loads((place / "request.json").read_text())
    assert (asked["cells"][0]["dataset"]["path"], asked["data_dir"]) == ("mine", str(tmp_path))
    assert asked["references_dir"] == "references"


# kernels


def test_retries_and_halving_find_the_culprits(tmp_path, fake_notebook, monkeypatch):
    behave = {"cell_s0": "diverge", "cell_s1": "raise", "cell_s2": "die_once"}
    (tmp_path / "behave.json").write_text(json.dumps(behave))
    monkeypatch.setattr(execution, "TRAIN_NOTEBOOK", fake_notebook)
    run, stacks = tmp_path / "run", compose(fake_cells(4), max_cells=2)
    runner = runner_for(run, stacks)
    with Kernels(LIGHT_KERNELS) as kernels:
        result = runner.run(LocalBackend(kernels, 2), stacks)
    state = committed(run)
    statuses = ["diverged", "failed", "converged", "converged"]
    assert {c: state.status(c) for c in state.newest} == {f"cell_s{n}": status for n, status in enumerate(statuses)}
    assert result.trained == 2
    assert set(result.failed) == {"cell_s0", "cell_s1"}
    assert "cell_s1 cannot be trained" in result.failed["cell_s1"][0]
    assert all(Path(where).exists() for _, where in result.failed.values())
    assert "cell_s1 cannot be trained" in Path(result.failed["cell_s1"][1]).read_text()
    assert [p.name for p in (run / "stacks").glob(".*")] == []  # nothing half-done is left
    assert (runner.progress.done, runner.progress.failed) == (2, 2)


PROBE = """
import json, os, psutil, sys, warnings
process = psutil.Process()
tcp = [c.laddr for c in process.net_connections("tcp")]
sockets = [c.laddr for c in process.net_connections("unix") if c.laddr]
names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
seen = {"tcp": tcp, "sockets": sockets, "env": {n: os.environ[n] for n in names},
        "exe": sys.executable, "cwd": os.getcwd(), "word": word}
open("seen.json", "w").write(json.dumps(seen))
print("here:", os.getcwd(), sys.prefix)
warnings.warn("look at " + os.getcwd())
"""


def test_a_kernel_is_private_single_threaded_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    notebook = make_notebook(tmp_path / "probe.ipynb", PROBE)
    with Kernels(LIGHT_KERNELS) as kernels:
        directory = kernels.directory
        assert directory.stat().st_mode & 0o777 == 0o700
        execute(notebook, tmp_path / "out.ipynb", {"word": "a/b"}, tmp_path, kernels)
        assert not list(directory.glob("*.json"))
    assert not directory.exists()
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["tcp"] == []
    assert seen["sockets"]
    assert all(str(s).startswith(str(directory)) for s in seen["sockets"])
    assert seen["env"] == {n: PINNED[n] for n in seen["env"]}
    assert (seen["exe"], seen["cwd"], seen["word"]) == (sys.executable, str(tmp_path), "a/b")
    saved = (tmp_path / "out.ipynb").read_text()
    assert "here: . python" in saved
    assert not [s for s in ("hush-hush", str(tmp_path), str(Path.home()) + "/", sys.prefix) if s in saved]


FAILURES = {
    "raise KeyError('what')": (Kind.ERROR, "KeyError: 'what'", ()),
    "raise ValueError('28 No space left on device')": (Kind.ERROR, "ValueError: 28 No space left on device", ()),
    "import errno; raise OSError(errno.ENOSPC, 'full')": (Kind.MACHINE, "OSError: [Errno 28] full", ()),
    "import errno; raise OSError(errno.EMFILE, 'too many')": (Kind.MACHINE, "OSError: [Errno 24] too many", ()),
    "open('no such file')": (Kind.ERROR, "FileNotFoundError: [Errno 2] No such file or directory: 'no such file'", ()),
    "raise MemoryError": (Kind.MEMORY, "MemoryError", ()),
    "import sys; sys.exit(0)": (Kind.ERROR, "SystemExit: 0", ()),
    "raise BaseException('odd\\x1b[31m' + 'x' * 10**6)": (Kind.ERROR, "BaseException: odd\\x1b[31mxxx", ()),
    "from mdcore.training.failures import refused\nwith refused(('a', 'b')):\n    1 / 0": (
        Kind.REFUSED, "ZeroDivisionError: division by zero", ("a", "b"),
    ),
    "from mdcore.training.failures import refused\nwith refused():\n    raise OSError(30, 'read only')": (
        Kind.MACHINE, "OSError: [Errno 30] read only", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", FAILURES)
def test_a_kernel_reports_failures_as_data(tmp_path, light, code):
    kind, message, cells = FAILURES[code]
    with pytest.raises(NotebookFailed) as raised:
        execute(make_notebook(tmp_path / "one.ipynb", code), tmp_path / "out.ipynb", {}, tmp_path, light)
    failure = raised.value.failure
    assert (failure.kind, failure.cells) == (kind, cells)
    assert failure.message.startswith(message) and len(failure.message) <= MOST_LETTERS
    assert failure.message.isprintable()
    saved = (tmp_path / "out.ipynb").read_text()
    assert message.partition(":")[0] in saved and len(saved) < 200_000


def test_a_kernel_that_ends_has_died(tmp_path, light):
    with pytest.raises(KernelDied, match="ended with exit status 3"):
        dies = make_notebook(tmp_path / "dies.ipynb", "import os; os._exit(3)")
        execute(dies, tmp_path / "out.ipynb", {}, tmp_path, light)


def test_a_full_disk_in_the_kernel_is_told_from_a_bad_cell(tmp_path, monkeypatch, light):
    stack = Stack(tuple(fake_cells(1)))
    write_request(tmp_path, stack, RunSettings({}))
    job = StackJob(str(tmp_path), stack.name, str(make_notebook(tmp_path / "one.ipynb", "1 / 0")))
    assert run_stack(job, light).status == "error"
    monkeypatch.setattr(execution, "cannot_write", lambda place: "No space left on device")
    assert run_stack(job, light).status == "machine"
    monkeypatch.undo()
    assert cannot_write(partial_dir(tmp_path, stack.name)) == ""
    assert "No such file" in cannot_write(tmp_path / "absent")


def test_directories_of_killed_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").write_text(left.name)
    theirs = {f"{PREFIX}nolock": None, f"{PREFIX}thesis": "", f"{PREFIX}copy": left.name}
    for name, text in theirs.items():
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "lock").write_text(text)
    with Kernels(LIGHT_KERNELS) as kernels:
        sweep()
        assert not left.exists()  # its owner is gone
        assert kernels.directory.exists()  # its owner is here
        assert all((tmp_path / name).exists() for name in theirs)  # not known to be ours


def test_only_partial_stacks_that_are_proved_ours_are_removed(tmp_path):
    (tmp_path / "stacks").mkdir()
    stack = Stack(tuple(fake_cells(3)))
    ours = write_request(tmp_path, stack, RunSettings({}))
    named_alike = tmp_path / "stacks" / ".thesis.partial"
    copied = tmp_path / "stacks" / ".copy.partial"
    named_alike.mkdir()
    shutil.copytree(ours, copied)
    remove_leftovers(tmp_path, SimpleNamespace(pending={stack.cell_ids[0]}))
    assert ours.exists()
    remove_leftovers(tmp_path, SimpleNamespace(pending=set()))
    assert not ours.exists() and named_alike.exists() and copied.exists()


def test_a_kernel_ends_with_its_parent_however_it_ends(tmp_path):
    source = "open('pid', 'w').write(str(__import__('os').getpid())); import time; time.sleep(600)"
    notebook = make_notebook(tmp_path / "sleeps.ipynb", source)
    code = (
        "from pathlib import Path; from mdcore.runner.kernels.servers import Kernels; "
        "from mdcore.runner.notebooks import execute; k = Kernels(['ipykernel.kernelapp']).__enter__(); "
        f"execute(Path({str(notebook)!r}), Path('out.ipynb'), {{}}, Path.cwd(), k)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env)
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    kernel = psutil.Process(pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: gone([kernel]), 60)
    sweep()


# the lock


def test_a_second_runner_is_told_who_holds_the_run(tmp_path):
    with RunLock(tmp_path), pytest.raises(RunIsHeld, match=f"process {os.getpid()}, started"):
        RunLock(tmp_path).__enter__()
    with RunLock(tmp_path):  # released
        pass


def test_a_lock_of_a_dead_process_does_not_block(tmp_path):
    code = (
        "import os; from pathlib import Path; from mdcore.store.lock import RunLock; "
        f"RunLock(Path({str(tmp_path)!r})).__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert (tmp_path / ".lock.holder").exists()
    with RunLock(tmp_path):
        pass


# progress


def test_the_log_survives_a_full_disk(tmp_path):
    log = Log(tmp_path / "absent" / "grid.log")
    log.write("nobody hears this")
    log = Log(tmp_path / "grid.log")
    log.write("one\ntwo")
    lines = (tmp_path / "grid.log").read_text().splitlines()
    assert [line.split("Z ")[1] for line in lines] == ["one", "two"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00"), (62, "01:02"), (3599.6, "1:00:00"), (7325, "2:02:05")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_the_table_of_failures_says_which_why_and_where():
    table = failure_table({"cell_a": ("it\n  broke", "runs/x/train_cell.ipynb")})
    assert "1 cells failed" in table
    assert "cell_a  it broke" in table
    assert "see runs/x/train_cell.ipynb" in table


def test_the_first_run_of_a_clone_is_said_to_compile_before_the_server_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "__pycache__").mkdir()
    assert nothing_is_compiled(tmp_path)
    monkeypatch.setattr(servers, "nothing_is_compiled", lambda: nothing_is_compiled(tmp_path))
    monkeypatch.setattr(servers, "Server", lambda *_: SimpleNamespace(close=lambda: None))
    with Kernels(LIGHT_KERNELS) as kernels:
        assert kernels.starting() == "compiling"
    (tmp_path / "__pycache__" / "layers.nbi").touch()
    with Kernels(LIGHT_KERNELS) as kernels:
        assert kernels.starting() == "starting"
    (tmp_path / "__pycache__" / "layers.nbi").unlink()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not nothing_is_compiled(tmp_path)
