"""A Dask cluster that is there already: two workers on the loopback; one is killed, one leaves, one joins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import dask
import pytest
from dask.utils import parse_timedelta
from fake_grids import ROOT, SUPPORT
from processes import assert_same_results, gone, kernels_of, run_in, stack_and_runner, wait_for

from mdcore.runner.dask_backend import DaskBackend, _local_cluster
from mdcore.store.commits import committed
from mdcore.store.runs import read_run

SCHEDULER = "import sys; from distributed.cli.dask_scheduler import main; main(sys.argv[1:])"
WORKER = "import sys; from distributed.cli.dask_worker import main; main(sys.argv[1:])"


@pytest.fixture
def cluster(process):
    """.address, .client, .worker() starts another; everything ends with the test."""
    from distributed import Client

    started, env = [], os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)])}

    def start(code, *words):
        argv = [sys.executable, "-c", code, *map(str, words)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(argv, cwd=process.place, env=env, **quiet))
        return started[-1]

    file = process.place / "scheduler.json"
    start(SCHEDULER, "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    wait_for(file.exists, 60)

    def worker(name):
        words = ["--no-nanny", "--nthreads", 1, "--no-dashboard", "--host", "127.0.0.1", "--name", name]
        one = start(WORKER, "--scheduler-file", file, *words, "--local-directory", process.place)
        wait_for(lambda: any(w["name"] == name for w in client.scheduler_info()["workers"].values()), 60)
        return one

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        process.client, process.worker, process.address = client, worker, client.scheduler.address
        yield process
    for one in started:
        one.kill()
        one.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_are_killed_leave_and_join_and_the_results_are_the_same(cluster):
    assert cluster().wait(timeout=250) == 0  # without a cluster, in peace
    run = run_in(cluster.place / "runs")
    peace = read_run(run)
    run.rename(cluster.place / "peace")

    behave = cluster.place / "runs" / "behave.json"
    behave.write_text('{"*": "sleep"}')
    first, second = cluster.worker("first"), cluster.worker("second")
    runner = cluster("--backend", "dask", "--scheduler", cluster.address)
    wait_for(lambda: kernels_of(first.pid) and kernels_of(second.pid), 200)
    wait_for(lambda: len(list(cluster.place.glob("runs/*/stacks/.*/progress.json"))) == 2)
    lost = kernels_of(first.pid) + kernels_of(second.pid)
    first.kill()
    cluster.worker("third")  # joins, and takes over what the first had
    behave.write_text("{}")
    addresses = {w["name"]: address for address, w in cluster.client.scheduler_info()["workers"].items()}
    cluster.client.retire_workers([addresses["second"]], close_workers=True, remove=True)  # leaves of its own will
    second.wait(timeout=120)
    wait_for(lambda: gone(lost), 60)
    out, err = runner.communicate(timeout=250)
    assert runner.returncode == 0, out + err
    assert_same_results(peace, read_run(run_in(cluster.place / "runs")))
    assert peace.predictors.keys() == {cell["cell_id"] for cell in peace.cells}


def test_a_scheduler_that_does_not_answer_ends_the_run_with_the_reason(tmp_path):
    class Hung:
        status, scheduler = "running", SimpleNamespace(ncores=None)

        def sync(self, *_, **__):
            raise TimeoutError("timed out")

    stack, runner = stack_and_runner(tmp_path, 2)
    backend = DaskBackend(Hung())
    backend.submit = lambda job: None
    result = runner.run(backend, [stack])
    assert result.fatal == "the Dask scheduler has not answered for 60 s (TimeoutError: timed out)"
    assert (result.failed, committed(tmp_path).newest) == ({}, {})


def test_a_killed_worker_may_take_long_to_come_back(monkeypatch, tmp_path):
    """Dask reads the limit when a worker is lost, and gives up one that is not back by then."""
    monkeypatch.setattr("distributed.LocalCluster", lambda **_: SimpleNamespace(close=lambda: None))
    limit = partial(dask.config.get, "distributed.deploy.lost-worker-timeout")
    before = limit()
    with _local_cluster(2, tmp_path):
        assert parse_timedelta(limit()) >= 3600
    assert limit() == before


@pytest.mark.slow
def test_an_interrupt_of_the_whole_process_group_is_one_line_and_leaves_nothing(tmp_path, process):
    (tmp_path / "runs" / "behave.json").write_text('{"*": "sleep"}')
    (tmp_path / "tmp").mkdir()
    runner = process("--jobs", "1", "--backend", "dask", TMPDIR=str(tmp_path / "tmp"))
    wait_for(lambda: list(tmp_path.glob("runs/*/stacks/.*/progress.json")), 200)
    kernels = kernels_of(runner.pid)
    os.killpg(runner.pid, signal.SIGINT)
    _, err = runner.communicate(timeout=100)
    assert runner.returncode == 130
    assert len(err.splitlines()) == 2, err
    assert err.startswith("interrupted. What is finished is kept. To go on:")
    wait_for(lambda: gone(kernels), 30)
    assert list((tmp_path / "tmp").iterdir()) == []
