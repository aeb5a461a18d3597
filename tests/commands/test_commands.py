"""The commands as one types them: what they leave, what they refuse, how they end."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import psutil
import pytest
from fake_grids import ROOT
from fake_stacks import reseal
from fake_training import LIGHT_KERNELS
from processes import behave, gone, kernels_of, make_notebook, the_run, wait_for

from mdcore import run_analysis, run_compare, run_grid, run_paper
from mdcore.config.grid import load_grid
from mdcore.runner import command, execution
from mdcore.runner.kernels import servers
from mdcore.runner.notebooks import execute
from mdcore.store import commits
from mdcore.store.drafts import Draft
from mdcore.store.runs import read_run


def snapshot(directory: Path) -> dict:
    return {p: p.stat().st_mtime_ns for p in directory.rglob("*")} if directory.exists() else {}


def test_a_grid_runs_is_resumed_and_is_told_when_it_is_done(grid_command):
    first = grid_command("--only", "seed=1")
    assert first.status == 0, first.err
    run = the_run(grid_command)
    assert len(read_run(run).final) == 4
    assert f"--input_dir {run}" in first.out
    rest = grid_command()
    assert rest.status == 0
    assert "4 cells to train in 1 stacks, 4 skipped" in rest.out
    data = read_run(run)
    assert list(data.final["cell_id"]) == [cell["cell_id"] for cell in data.cells]
    assert len(data.cells) == 8
    assert {p.name for p in run.iterdir()} >= {"grid.yaml", "manifest.json", "grid.log", "stacks"}
    stacks = [p for p in (run / "stacks").iterdir() if not p.name.startswith(".")]
    assert all(
        {p.name for p in stack.iterdir()}
        == {"train_cell.ipynb", "history.parquet", "final.parquet", "predictors.npz", "stack.json"}
        for stack in stacks
    )
    assert set(data.manifest["provenance"]) >= {"commit", "dirty", "packages", "cpu", "blas", "threads"}
    before = snapshot(run)
    done = grid_command()
    assert (done.status, snapshot(run)) == (0, before)
    assert "nothing to do: 8 cells are done" in done.out
    log = (run / "grid.log").read_text().splitlines()
    assert all(line[4] == "-" and line[19] == "Z" for line in log)
    assert any("8 done" in line or "4 done" in line for line in log)


@pytest.mark.parametrize("day", ["19700101", pytest.param("20991231", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_run_is_resumed_whatever_the_clock_says(grid_command, day):
    """It was begun on another day, or the clock has jumped: the tag is the same run."""
    grid_command("--only", "seed=0")
    run = the_run(grid_command).rename(grid_command.runs / f"{day}_t")
    again = grid_command()
    assert "4 cells to train in 1 stacks, 4 skipped" in again.out
    assert [p.name for p in grid_command.runs.glob("*_t")] == [run.name]
    assert "nothing to do" in grid_command().out


def test_what_is_corrupted_is_trained_again_and_only_that(grid_command):
    grid_command()
    run = the_run(grid_command)
    before = read_run(run).final.set_index("cell_id")["loss"]
    victim = sorted((run / "stacks").glob("syn*"))[0]
    (victim / "final.parquet").write_bytes(b"PAR1 not")
    plan = grid_command("--dry_run")
    assert f"damaged, to be trained again: {victim.name}: final.parquet" in plan.out
    assert "4 to run in 1 stacks" in plan.out
    again = grid_command()
    assert again.status == 0
    assert f"damaged: {victim.name}" in again.out
    assert "4 cells to train in 1 stacks, 4 skipped" in again.out
    assert (run / "stacks" / f".damaged-{victim.name}").is_dir()
    pd.testing.assert_series_equal(read_run(run).final.set_index("cell_id")["loss"], before)


TINY = """\
question: Does it train?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}
  step: {rule: adaptive}
  epochs: 50
  log_points: 10
  potential: quadratic
  width: 3
  seed: 0
vary:
  depth: [1, 2]
"""


def test_a_grid_is_trained_by_the_real_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert run_grid.main(["--config", "tiny.yaml", "--tag", "t", "--jobs", "1"]) == 0, capsys.readouterr().err
    (run,) = Path("runs_out").glob("*_t")
    data = read_run(run)
    assert data.problems == []
    assert sorted(data.final["depth"]) == [1, 2]
    assert data.history.groupby("cell_id")["epoch"].max().tolist() == [50.0, 50.0]
    assert all(w.shape == (20,) for w in data.predictors.values())
    (notebook,) = run.glob("stacks/*/train_cell.ipynb")
    text = notebook.read_text()
    assert "image/png" in text
    assert len(text) < 300_000
    assert str(tmp_path) not in text
    record = json.loads(notebook.with_name("stack.json").read_text())
    assert {"training", "references", "total"} <= record["seconds"].keys()
    assert {info["num_threads"] for info in record["blas"]} == {1}
    assert record["products"] == "compiled"


@pytest.mark.slow
def test_the_notebook_opened_by_hand_trains_one_cell(tmp_path):
    with servers.Kernels() as kernels:
        execute(execution.TRAIN_NOTEBOOK, tmp_path / "by_hand.ipynb", {}, tmp_path, kernels)
    text = (tmp_path / "by_hand.ipynb").read_text()
    assert "converged" in text
    assert "image/png" in text


def test_a_dry_run_writes_nothing_and_tells_what_and_how_long(grid_command, tmp_path):
    before = snapshot(tmp_path)
    result = grid_command("--dry_run")
    assert result.status == 0
    assert "8 cells: 0 done, 0 failed, 0 stale, 8 to run in 2 stacks" in result.out
    assert "cost: about" in result.out
    assert all(cell.cell_id in result.out for cell in load_grid(tmp_path / "grid.yaml").cells)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--only", "depth=9"], "depth"),
        (["--only", "nonsense"], "nonsense"),
        (["--set", "epoch=3"], "epochs"),
        (["--set", "epochs=-3"], "-3"),
        (["--jobs", "0"], "--jobs: got 0"),
        (["--scheduler", "tcp://x:1"], "--backend dask"),
        (["--tag", "../../x"], "--tag"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--config", "grids/mnist_pair.yaml"], "did you mean 'mnist_pairs'?\n"),
        (["--device", "cuda"], "--device cuda"),
    ],
)
def test_a_wrong_request_ends_with_2_and_writes_nothing(grid_command, tmp_path, monkeypatch, flags, says):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = snapshot(tmp_path)
    result = grid_command(*flags)
    assert result.status == 2
    assert says in result.err
    assert "Traceback" not in result.err
    assert snapshot(tmp_path) == before


def test_everything_wrong_is_told_at_once(grid_command):
    result = grid_command("--jobs", "0", "--tag", "a/b", "--set", "epochs=-3")
    assert all(word in result.err for word in ("--jobs", "--tag", "epochs"))


@pytest.mark.parametrize("flags", [["--rerun", "some"], ["--device", "tpu"], ["--jobs", "two"], ["--nonsense"]])
def test_a_wrong_flag_ends_with_2(flags, capsys):
    with pytest.raises(SystemExit) as end:
        run_grid.main(["--config", "x", "--tag", "t", *flags])
    assert end.value.code == 2


def test_another_grid_under_the_same_tag_is_refused_or_taken_over(grid_command):
    assert grid_command("--only", "seed=0,depth=1").status == 0
    before = snapshot(grid_command.runs)
    other = grid_command("--set", "seed=[0, 2]")
    assert other.status == 2
    assert "seed" in other.err
    assert "--rerun stale" in other.err
    assert snapshot(grid_command.runs) == before
    taken = grid_command("--set", "seed=[0, 2]", "--rerun", "stale", "--dry_run")
    assert taken.status == 0
    assert "2 done, 0 failed, 0 stale, 6 to run" in taken.out
    assert snapshot(grid_command.runs) == before


def test_failed_cells_are_told_remembered_and_can_be_rerun(grid_command, tmp_path):
    bad = load_grid(tmp_path / "grid.yaml").cells[0].cell_id
    behave(grid_command, **{bad: "diverge"})
    first = grid_command()
    assert first.status == 1
    assert f"{bad}" in first.out
    assert "diverged: not finite at epoch 7" in first.out
    assert "train_cell.ipynb" in first.out
    again = grid_command()
    assert again.status == 1
    assert "nothing to do" in again.out
    assert bad in again.out
    assert "1 failed" in grid_command("--dry_run").out
    behave(grid_command)
    mended = grid_command("--rerun", "failed")
    assert mended.status == 0, mended.out
    assert "1 cells to train in 1 stacks, 7 skipped" in mended.out
    assert set(read_run(the_run(grid_command)).final["status"]) == {"converged"}


@pytest.mark.slow
def test_a_cell_that_has_merely_not_converged_is_told_and_is_no_error(grid_command, tmp_path):
    cells = [cell.cell_id for cell in load_grid(tmp_path / "grid.yaml").cells]
    behave(grid_command, **{cells[0]: "misclassify"})
    for result in (grid_command(), grid_command()):  # trained, and found done
        assert result.status == 0 and "1 cells failed" in result.out and "training accuracy 0.9" in result.out
    behave(grid_command, **{cells[0]: "misclassify", cells[1]: "diverge"})
    assert grid_command("--rerun", "all").status == 1
    behave(grid_command, **{cells[0]: "raise"})
    assert grid_command("--rerun", "failed").status == 1  # what was merely unconverged is an error now


@pytest.mark.parametrize("command", [run_analysis.main, run_compare.main, run_paper.main])
def test_a_misspelt_tag_gets_the_nearest_name(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs_out/20250101_mnist_first").mkdir(parents=True)
    paper = Path("analysis_results/mnist_first/paper/paper.tex")
    paper.parent.mkdir(parents=True)
    paper.touch()
    words = ["--tags", "mnist_frist", "mnist_first"] if command is run_compare.main else ["--tag", "mnist_frist"]
    assert command(words) == 2
    message = capsys.readouterr().err
    assert "did you mean 'mnist_first'?" in message and len(message.splitlines()) == 1


def test_fail_fast_stops_at_the_first_failure(grid_command, tmp_path):
    cells = load_grid(tmp_path / "grid.yaml").cells
    behave(grid_command, **{cell.cell_id: "diverge" for cell in cells})
    result = grid_command("--fail_fast", "--jobs", "1")
    assert result.status == 1
    assert len(read_run(the_run(grid_command)).final) == 4


def test_changed_code_makes_results_stale_with_the_reason(grid_command, monkeypatch):
    assert grid_command("--only", "seed=0").status == 0
    real = command.code_parts
    changed = {"mdcore/math/engine/trainer.py": "0" * 64, "torch": "9.9"}
    with monkeypatch.context() as patch:
        patch.setattr(command, "code_parts", lambda plugins: real(plugins) | changed)
        plan = grid_command("--dry_run", "--only", "seed=0")
        assert "4 stale, 0 to run" in plan.out
        assert "mdcore/math/engine/trainer.py changed, torch 2." in plan.out
        kept = grid_command("--only", "seed=0")
        assert "nothing to do" in kept.out
        assert "stale" in kept.out
    for file in the_run(grid_command).glob("stacks/*/stack.json"):  # by an older version of the code
        parts = json.loads(file.read_bytes())["code_parts"] | {"mdcore/math/engine/trainer.py": "0" * 64}
        reseal(file.parent, code="0" * 64, code_parts=parts)
    assert "4 stale" in grid_command("--dry_run", "--only", "seed=0").out
    assert grid_command("--only", "seed=0", "--rerun", "stale").status == 0
    assert "0 stale" in grid_command("--dry_run", "--only", "seed=0").out


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_blames_no_cell(grid_command, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(commits.os, "rename", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        result = grid_command("--jobs", "1")
    assert result.status == 1
    assert "the run stopped" in result.err and "No space left on device" in result.err
    assert "run_grid" in result.err  # the command to go on
    assert "Traceback" not in result.err + result.out
    assert grid_command().status == 0
    assert set(read_run(the_run(grid_command)).final["status"]) == {"converged"}


def test_an_output_place_that_cannot_be_written(grid_command, monkeypatch):
    real = Path.mkdir

    def refuse(self, *args, **kwargs):
        if "runs" in self.parts:
            raise PermissionError(errno.EROFS, "Read-only file system", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = grid_command()
    assert result.status == 1
    assert "Read-only file system" in result.err
    assert not grid_command.runs.exists()
    monkeypatch.undo()
    Path(grid_command.runs).write_text("a file")
    assert grid_command().status == 2


# processes that are killed


def asleep(process, *flags, stacks=2):
    """(a run whose training sleeps, its kernels), once `stacks` stacks are being trained."""
    behave(process, **{"*": "sleep"})
    runner = process(*flags)
    wait_for(lambda: len(list(process.runs.glob("*/stacks/.*/progress.json"))) >= stacks, 600)
    return runner, kernels_of(runner.pid)


def private_directory(kernels):
    """Where the sockets of the kernels are, which nobody else can reach."""
    sockets = [c.laddr for kernel in kernels for c in kernel.net_connections("unix") if c.laddr]
    (private,) = {Path(socket).parent for socket in sockets}
    assert private.name.startswith("mdcore-") and private.stat().st_mode & 0o777 == 0o700
    connections = [json.loads(file.read_text())["transport"] for file in private.glob("*.json")]
    assert connections == ["ipc", "ipc"]
    return private


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_stops_its_kernels_and_says_how_to_go_on(process, number):
    runner, kernels = asleep(process)
    assert len(kernels) == 2
    private = private_directory(kernels)
    family = [psutil.Process(runner.pid), *psutil.Process(runner.pid).children(recursive=True)]
    assert [c for member in family for c in member.net_connections("inet")] == []
    runner.send_signal(number)
    out, err = runner.communicate(timeout=120)
    assert runner.returncode == 130
    assert "To go on:\n  python -m mdcore.run_grid --config grid.yaml --tag t" in err
    assert "Traceback" not in out + err
    assert gone(kernels)
    wait_for(lambda: gone(family), 60)
    assert not private.exists()


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(process):
    runner, kernels = asleep(process)
    runner.send_signal(signal.SIGINT)
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=120)
    assert runner.returncode == 130
    wait_for(lambda: gone(kernels), 60)


@pytest.mark.slow
def test_sigkill_of_the_runner_leaves_no_kernel_and_no_lock(process):
    runner, kernels = asleep(process)
    private = private_directory(kernels)
    family = psutil.Process(runner.pid).children(recursive=True)
    assert len(family) > len(kernels)  # the server that they are forked from is there too
    second = process()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"process {runner.pid}" in err
    runner.kill()
    runner.wait()
    wait_for(lambda: gone(family), 60)
    behave(process)
    run = the_run(process)
    states = [p.parent.name for p in run.glob("stacks/.*/state")]
    assert len(states) == 2  # kept: the next run goes on from there
    third = process()
    _, err = third.communicate(timeout=200)
    assert third.returncode == 0, err
    assert len(read_run(run).final) == 8
    assert [p.name for p in (run / "stacks").glob(".*")] == []
    assert not private.exists()


@pytest.mark.parametrize("which", ["kernel", pytest.param("server", marks=pytest.mark.slow)])
def test_a_killed_kernel_is_tried_again(process, which):
    runner, (kernel,) = asleep(process, "--only", "seed=0", stacks=1)
    behave(process)
    (kernel if which == "kernel" else kernel.parent()).kill()  # kernels end with the server they were forked from
    out, err = runner.communicate(timeout=200)
    assert runner.returncode == 0, err
    assert "attempt 1 failed: the kernel died" in out


@pytest.mark.slow
def test_a_second_runner_can_wait(process):
    first, _ = asleep(process)
    second = process("--wait")
    wait_for(lambda: "waiting for process" in second.stdout.readline())
    behave(process)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    out, _ = second.communicate(timeout=200)
    assert second.returncode == 0
    assert "8 done" in out


@pytest.mark.slow
def test_a_finished_grid_is_told_without_loading_anything_heavy(process):
    assert process().wait(timeout=200) == 0
    code = (
        "import sys; from mdcore import run_grid; "
        "status = run_grid.main(['--config', 'grid.yaml', '--tag', 't', '--output_dir', 'runs']); "
        "heavy = {'torch', 'pandas', 'papermill', 'numpy', 'matplotlib', 'distributed'} & set(sys.modules); "
        "print(sorted(heavy)); sys.exit(status)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=process.place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", ["worker", "server of kernels"])
def test_a_dask_cluster_runs_a_grid_and_survives_what_is_killed(process, which):
    runner, kernels = asleep(process, "--backend", "dask")
    behave(process)
    for kernel in kernels:
        server = kernel.parent()
        (server.parent() if which == "worker" else server).kill()
    wait_for(lambda: gone(kernels))
    _, err = runner.communicate(timeout=400)
    assert runner.returncode == 0, err
    assert len(read_run(the_run(process)).final) == 8


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_dask_cluster_ends_with_its_runner(process, number):
    runner, _ = asleep(process, "--backend", "dask")
    family = psutil.Process(runner.pid).children(recursive=True)
    assert len(family) >= 4
    runner.send_signal(number)
    runner.communicate(timeout=200)
    assert runner.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_for(lambda: gone(family), 120)


# the analysis command


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "either --input_dir or --tag"),
        (["--input_dir", "a", "--tag", "b"], "either --input_dir or --tag"),
        (["--input_dir", "nowhere", "--output_dir", "out"], "nowhere is not a directory"),
        (["--tag", "none"], "no run with the tag 'none'"),
        (["--tag", "../x"], "--tag"),
        (["--input_dir", ".", "--output_dir", "out"], "manifest.json"),
    ],
)
def test_a_wrong_analysis_request_ends_with_2(tmp_path, monkeypatch, capsys, flags, says):
    monkeypatch.chdir(tmp_path)
    assert run_analysis.main(flags) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_analysis_that_fails_says_where_to_look(run, tmp_path, monkeypatch, capsys):
    before = snapshot(run.path)
    make_notebook(tmp_path / "aggregate.ipynb", "raise ValueError('no such column')")
    monkeypatch.setattr(run_analysis, "PLACE", tmp_path)
    monkeypatch.setattr(servers, "FOR_ANALYSIS", LIGHT_KERNELS)
    assert run_analysis.main(["--input_dir", str(run.path), "--output_dir", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "ValueError: no such column" in message
    (kept,) = tmp_path.glob(".mdcore-*/aggregate.ipynb")
    assert str(kept.parent) in message and "no such column" in kept.read_text()
    assert not (tmp_path / "out").exists() and snapshot(run.path) == before
    with Draft(tmp_path / "out"):
        assert not kept.parent.exists()


@pytest.mark.parametrize("where", ["", "stacks/new", "stacks", "figures"])
def test_an_analysis_never_goes_into_a_run(run, where, capsys):
    before = snapshot(run.path)
    assert run_analysis.main(["--input_dir", str(run.path), "--output_dir", str(run.path / where)]) == 2
    assert "lies in the run" in capsys.readouterr().err and snapshot(run.path) == before


def test_an_analysis_into_a_directory_of_the_user_s_touches_nothing(run, tmp_path, capsys):
    for name in ("master.csv", "report.md", "figures/photo.png", "tables/my_table.tex", "conditions/mine.json"):
        (tmp_path / "paper" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "paper" / name).write_text("mine")
    before = snapshot(tmp_path / "paper")
    assert run_analysis.main(["--input_dir", str(run.path), "--output_dir", str(tmp_path / "paper")]) == 2
    assert "no analysis wrote" in capsys.readouterr().err and snapshot(tmp_path / "paper") == before


def test_an_empty_run_is_not_analysed(run, tmp_path, capsys):
    for record in run.path.glob("stacks/*/stack.json"):
        record.unlink()
    assert run_analysis.main(["--input_dir", str(run.path), "--output_dir", str(tmp_path / "out")]) == 2
    assert "no finished stack" in capsys.readouterr().err
