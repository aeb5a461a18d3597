"""Stacks executed by Dask workers: futures, names only in the arguments, results on a shared file system.

Dask's own futures, not joblib's dask backend, which waits for ever when a worker is killed. A worker that
is killed, leaves or joins is Dask's matter: it gives the stack to another one, which goes on from the saved
training state. A local cluster listens on 127.0.0.1, where other users of the machine can reach it: on a
shared machine use `--backend local`, whose sockets are private.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mdcore.runner.backends import BackendLost, drained
from mdcore.runner.execution import PROGRESS, StackJob, StackResult, Status, run_stack
from mdcore.runner.kernels.servers import Kernels, PrivateDirectory
from mdcore.store.runs import RunError
from mdcore.training.failures import one_line

LOOK_EVERY = 1.0  # seconds
CONNECT_WITHIN = 20  # seconds
ANSWER_WITHIN = 60  # seconds
CLOSE_WITHIN = 5  # seconds


def run_on_worker(job: StackJob) -> StackResult:
    """On a worker: execute a prepared stack; its kernel ends when nobody waits for the result."""
    from distributed import get_worker

    worker, key = get_worker(), get_worker().get_current_task()
    with Kernels() as kernels:
        ended = threading.Event()
        watch = threading.Thread(target=_stop_when_unwanted, args=(worker, key, kernels, ended), daemon=True)
        watch.start()
        try:
            return run_stack(job, kernels)
        finally:
            ended.set()


def _stop_when_unwanted(worker, key, kernels: Kernels, ended: threading.Event) -> None:
    """When the runner has ended or the stack was taken away, Dask forgets the task, and the kernel must end."""
    while not ended.wait(LOOK_EVERY):
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing" or worker.status.name not in ("running", "paused"):
            kernels.stop()
            return


class DaskBackend:
    """The cluster of a Dask client."""

    ahead = 3

    def __init__(self, client):
        self.client, self._threads, self._looked = client, 1, 0.0
        self._jobs: dict = {}  # future -> job
        self._ended: queue.SimpleQueue = queue.SimpleQueue()

    def __enter__(self) -> DaskBackend:
        return self

    def __exit__(self, *_) -> None:
        """What still runs is forgotten by the scheduler once the client is closed, and its kernels end then."""
        self._jobs.clear()

    @property
    def workers(self) -> int:
        return max(1, self._threads)

    def submit(self, job: StackJob) -> None:
        future = self.client.submit(run_on_worker, job, key=f"{job.name}-{uuid.uuid4().hex[:8]}", pure=False)
        self._jobs[future] = job
        future.add_done_callback(self._ended.put)

    def has_begun(self, job: StackJob) -> bool:
        return (job.place / PROGRESS).exists()

    def results(self, seconds: float) -> Iterator[tuple[StackJob, StackResult]]:
        self._look()
        for future in drained(self._ended, seconds):
            if (job := self._jobs.pop(future, None)) is not None:
                yield job, _result_of(job, future)

    def _look(self) -> None:
        """How many worker threads there are. BackendLost when the scheduler is gone, or does not answer."""
        if self.client.status != "running":
            raise BackendLost("the Dask scheduler is gone")
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        try:
            threads = self.client.sync(self.client.scheduler.ncores, workers=None, callback_timeout=ANSWER_WITHIN)
        except (TimeoutError, OSError) as error:
            raise BackendLost(
                f"the Dask scheduler has not answered for {ANSWER_WITHIN} s ({one_line(error)})"
            ) from error
        self._threads, self._looked = sum(threads.values()), time.monotonic()

    def stop(self) -> None:
        """Left to `__exit__` and the closing of the client: both take locks."""


def _result_of(job: StackJob, future) -> StackResult:
    """A stack whose workers died again and again is treated as one whose kernel died."""
    if future.status == "finished":
        result = future.result()
        return StackResult(Status.LOST, result.output, 0.0) if result.status == Status.STOPPED else result
    status, message = Status.LOST, ""
    if future.status not in ("cancelled", "lost"):  # those are the scheduler's doing, not the stack's
        status, message = Status.DIED, f"Dask: {one_line(future.exception())}"
    return StackResult(status, job.place / "none", 0.0, message)


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
        raise _no_scheduler(scheduler, error) from None


def _no_scheduler(scheduler: str, error: Exception) -> RunError:
    return RunError(
        f"--scheduler: no Dask scheduler answers at {scheduler!r} ({one_line(error)}); "
        "expected the address that it printed, such as tcp://10.0.0.1:8786"
    )


@contextmanager
def connected(jobs: int, scheduler: str | None):
    """A Dask client; with no address, of a cluster of single-threaded processes on the loopback address."""
    from distributed import Client

    if scheduler:
        ask(scheduler)
        try:
            client = Client(scheduler, set_as_default=False, timeout=CONNECT_WITHIN)
        except (OSError, TimeoutError) as error:  # something listens there, and does not answer as a scheduler does
            raise _no_scheduler(scheduler, error) from None
        with _closing(client):
            yield client
        return
    with (
        PrivateDirectory() as ours,
        _local_cluster(jobs, ours.directory) as cluster,
        _closing(Client(cluster, set_as_default=False)) as client,
    ):
        yield client


@contextmanager
def _closing(client):
    try:
        yield client
    finally:
        with suppress(TimeoutError, OSError):
            client.close(timeout=CLOSE_WITHIN)


@contextmanager
def _local_cluster(jobs: int, directory):
    """Its processes leave an interrupt to the runner: one that was ignored when a process began stays ignored.

    Dask's scratch space, and the private directories of kernels, lie in `directory` and go with it.
    """
    import dask
    from distributed import LocalCluster

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    # A killed worker is started again; on a loaded machine that takes longer than the 15 s after which Dask would give
    # it up for good, and with the last one the run would wait for ever. Read when a worker is lost, not here.
    with dask.config.set({"temporary-directory": str(directory), "distributed.deploy.lost-worker-timeout": "1 day"}):
        try:
            cluster = LocalCluster(
                n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
                local_directory=directory, env={"TMPDIR": str(directory)}, silence_logs="CRITICAL",
            )  # fmt: skip
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
        try:
            yield cluster
        finally:
            cluster.close()
