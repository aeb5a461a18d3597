"""A Dask cluster that is there already: two workers on the loopback; one is killed, one leaves, one joins."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from fake_grids import ROOT, SUPPORT
from processes import gone, kernels_of, wait_for

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
def test_workers_are_killed_leave_and_join_and_the_results_are_the_same(cluster):
    assert cluster().wait(timeout=120) == 0  # without a cluster, in peace
    (run,) = (cluster.place / "runs").glob("*_t")
    peace = read_run(run)
    run.rename(cluster.place / "peace")

    behave = cluster.place / "runs" / "behave.json"
    behave.write_text('{"*": "sleep"}')
    first, second = cluster.worker("first"), cluster.worker("second")
    runner = cluster("--backend", "dask", "--scheduler", cluster.address)
    wait_for(lambda: kernels_of(first.pid) and kernels_of(second.pid), 60)
    wait_for(lambda: len(list(cluster.place.glob("runs/*/stacks/.*/progress.json"))) == 2)
    lost = kernels_of(first.pid) + kernels_of(second.pid)
    first.kill()
    cluster.worker("third")  # joins, and takes over what the first had
    behave.write_text("{}")
    addresses = {w["name"]: address for address, w in cluster.client.scheduler_info()["workers"].items()}
    cluster.client.retire_workers([addresses["second"]], close_workers=True, remove=True)  # leaves of its own will
    second.wait(timeout=120)
    wait_for(lambda: gone(lost), 30)
    out, err = runner.communicate(timeout=120)
    assert runner.returncode == 0, out + err
    (run,) = (cluster.place / "runs").glob("*_t")
    data = read_run(run)
    assert data.problems == []
    assert data.final.equals(peace.final)
    assert data.history.equals(peace.history)
    assert all(np.array_equal(w, peace.predictors[cell]) for cell, w in data.predictors.items())
    assert set(data.predictors) == {cell["cell_id"] for cell in peace.cells}
