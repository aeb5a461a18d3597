"""Stacks trained by Dask workers: futures, names only in the arguments, results on a shared file system.

Dask's own futures, not joblib's dask backend, which waits for ever when a worker is killed. A worker that
is killed, leaves or joins is Dask's matter: it gives the stack to another one, which goes on from the saved
training state. A local cluster listens on 127.0.0.1, where other users of the machine can reach it: on a
shared machine use `--backend local`, whose sockets are private.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

from mdcore.runner.attempt import PROGRESS, Outcome, attempt
from mdcore.runner.kernels.servers import Kernels, PrivateDirectory
from mdcore.runner.runner import Job, Result, Runner
from mdcore.store.commits import partial_dir
from mdcore.store.runs import RunError

AHEAD = 3  # stacks handed to the scheduler for each worker thread, so that none is idle
LOOK_EVERY = 1.0  # seconds
CONNECT_WITHIN = 20  # seconds
_running: dict[tuple[str, str], Kernels] = {}  # of this worker process


def train_remotely(run_dir: str, name: str, notebook: str) -> tuple[str, str, float, str, bool]:
    """On a worker: one attempt at a prepared stack; its kernel ends when nobody waits for the result."""
    from distributed import get_worker

    worker, key = get_worker(), get_worker().get_current_task()
    with Kernels() as kernels:
        _running[run_dir, name] = kernels
        ended = threading.Event()
        watch = threading.Thread(target=_stop_when_unwanted, args=(worker, key, kernels, ended), daemon=True)
        watch.start()
        try:
            outcome = attempt(Path(run_dir), name, Path(notebook), kernels)
        finally:
            ended.set()
            _running.pop((run_dir, name), None)
    return outcome.kind, str(outcome.output), outcome.seconds, outcome.message, outcome.shared


def _stop_when_unwanted(worker, key, kernels: Kernels, ended: threading.Event) -> None:
    """When the runner was killed or the stack taken away, Dask forgets the task, and the kernel must end."""
    while not ended.wait(LOOK_EVERY):
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing" or worker.status.name not in ("running", "paused"):
            kernels.stop()
            return


def stop_kernels(run_dir: str) -> None:
    """On every worker: end the kernels of a run that was interrupted."""
    for (where, _), kernels in list(_running.items()):
        if where == run_dir:
            kernels.stop()


def run_dask(runner: Runner, stacks, jobs: int, scheduler: str | None) -> Result:
    """Like Runner.run_local, on the cluster at `scheduler`, or on a local one of `jobs` processes."""
    runner.run_dir = runner.run_dir.absolute()
    with connected(jobs, scheduler) as client:
        waiting = [Job(stack) for stack in stacks]
        running: dict = {}  # future -> job
        ended: queue.Queue = queue.Queue()
        with runner.signals(lambda: None):
            while (waiting or running) and not runner.stopping.is_set():
                if client.status != "running":
                    runner.stop("the Dask scheduler is gone")
                    return runner.result
                threads = sum(client.nthreads().values())
                runner.progress.jobs = max(1, threads)
                while waiting and len(running) < AHEAD * max(1, threads):
                    job = waiting.pop(0)
                    if runner.prepare(job):
                        future = _submit(client, runner, job)
                        running[future] = job
                        future.add_done_callback(ended.put)
                _show_begun(runner, running.values())
                for future in _ended(ended):
                    job = running.pop(future)
                    waiting = _follow_up(runner, job, future) + waiting
        if running:
            client.cancel(list(running), force=True)
            client.run(stop_kernels, str(runner.run_dir))
    return runner.result


def _submit(client, runner: Runner, job: Job):
    key = f"{job.stack.name}-{uuid.uuid4().hex[:8]}"
    where = str(runner.run_dir), job.stack.name, str(runner.notebook)
    return client.submit(train_remotely, *where, key=key, pure=False)


def _ended(done: queue.Queue):
    """The futures that have ended, after waiting a little for the first."""
    try:
        yield done.get(timeout=LOOK_EVERY)
        while True:
            yield done.get_nowait()
    except queue.Empty:
        return


def _follow_up(runner: Runner, job: Job, future) -> list[Job]:
    """What comes next; a stack whose workers died again and again is treated as one whose kernel died."""
    if future.status in ("cancelled", "lost"):  # the scheduler's doing, not the stack's
        return [job]
    if future.status == "finished":
        kind, output, seconds, message, shared = future.result()
        outcome = Outcome(kind, Path(output), seconds, message, shared)
        if kind == "stopped":  # not by this runner: its worker was leaving
            return [job]
    else:
        place = partial_dir(runner.run_dir, job.stack.name)
        outcome = Outcome("died", place / "none", 0.0, f"Dask: {future.exception()}")
    runner.show_begun(job)
    return runner.guarded_follow_up(job, outcome)


def _show_begun(runner: Runner, jobs) -> None:
    for job in jobs:
        if (partial_dir(runner.run_dir, job.stack.name) / PROGRESS).exists():
            runner.show_begun(job)


def ask(scheduler: str) -> None:
    """RunError when nothing answers there. Asked before there is a client: one that fails is slow to end, and noisy."""
    from distributed.comm import connect
    from distributed.security import Security

    async def once() -> None:
        comm = await connect(scheduler, timeout=CONNECT_WITHIN, **Security().get_connection_args("client"))
        await comm.close()

    try:
        asyncio.run(once())
    except Exception as error:  # as many kinds as there are ways to spell an address wrongly
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(
            f"--scheduler: no Dask scheduler answers at {scheduler!r} ({why}); "
            "expected the address that it printed, such as tcp://10.0.0.1:8786"
        ) from None


@contextmanager
def connected(jobs: int, scheduler: str | None):
    """A Dask client; with no address, of a cluster of single-threaded processes on the loopback address."""
    from distributed import Client, LocalCluster

    if scheduler:
        ask(scheduler)
        with Client(scheduler, set_as_default=False, timeout=CONNECT_WITHIN) as client:
            yield client
        return
    with PrivateDirectory() as ours:  # the next run removes it if this one is killed
        cluster = LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            local_directory=ours.directory, silence_logs="CRITICAL",
        )  # fmt: skip
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        finally:
            cluster.close()
