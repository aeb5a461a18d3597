"""Where stacks are executed: what the runner asks of a backend, and the one of this machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

from mdcore.runner.execution import StackJob, StackResult, run_stack
from mdcore.runner.kernels.servers import Kernels


class BackendLost(Exception):
    """The backend cannot go on; the text says why."""


class Backend(Protocol):
    """A context manager; leaving it ends whatever still runs."""

    ahead: int  # stacks handed over for each worker, so that none waits for the runner

    @property
    def workers(self) -> int:
        """Stacks that it trains at once."""

    def submit(self, job: StackJob) -> None:
        """Execute the stack as soon as a worker is free."""

    def has_begun(self, job: StackJob) -> bool:
        """Whether a worker has taken it up."""

    def results(self, seconds: float) -> Iterator[tuple[StackJob, StackResult]]:
        """What has ended, after waiting up to `seconds` for the first. BackendLost when it cannot go on."""

    def stop(self) -> None:
        """End what runs, now and for good. Takes no lock: a signal handler may call it."""

    def __enter__(self) -> Backend: ...

    def __exit__(self, *_) -> None: ...


class LocalBackend:
    """joblib's threads drive papermill; the work itself is in the kernels, children of this process.

    Threads, not worker processes: nothing stands between the runner and a kernel that could die or stay.
    """

    ahead = 1

    def __init__(self, kernels: Kernels, workers: int):
        self.kernels, self.workers = kernels, workers
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._ended: queue.SimpleQueue = queue.SimpleQueue()
        self._threads = threading.Thread(target=self._start, daemon=True)

    def __enter__(self) -> LocalBackend:
        try:
            self._threads.start()
        except RuntimeError as error:
            self._ended.put(error)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for _worker in range(self.workers):
            self._waiting.put(None)
        if self._threads.ident is not None:
            self._threads.join()

    def _start(self) -> None:
        from joblib import Parallel, delayed

        try:
            Parallel(self.workers, backend="threading", batch_size=1)(
                delayed(self._work)() for _ in range(self.workers)
            )
        except Exception as error:  # no thread to be had
            self._ended.put(error)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            self._ended.put((job, run_stack(job, self.kernels)))

    def submit(self, job: StackJob) -> None:
        self._waiting.put(job)

    def has_begun(self, job: StackJob) -> bool:
        return True

    def results(self, seconds: float) -> Iterator[tuple[StackJob, StackResult]]:
        for ended in drained(self._ended, seconds):
            if isinstance(ended, Exception):
                raise BackendLost(f"the threads that drive the kernels cannot be started: {ended}")
            yield ended

    def stop(self) -> None:
        self.kernels.stop()


def drained(ended: queue.SimpleQueue, seconds: float) -> Iterator:
    """What is in the queue, after waiting up to `seconds` for the first."""
    try:
        yield ended.get(timeout=seconds)
        while True:
            yield ended.get_nowait()
    except queue.Empty:
        return
