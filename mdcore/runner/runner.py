"""Train the stacks of a grid: attempts in parallel, a second try, halving down to the culprit, commits."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mdcore.runner import attempt as attempts
from mdcore.runner.attempt import Outcome, attempt, prepare
from mdcore.runner.kernels.servers import Kernels
from mdcore.runner.order import Evidence
from mdcore.runner.progress import Progress
from mdcore.runner.stacks import Stack, halve
from mdcore.store.commits import (
    BAD,
    NOTEBOOK,
    ResultError,
    commit_failure,
    commit_stack,
    partial_dir,
    read_notes,
)
from mdcore.store.fingerprint import fingerprint


@dataclass(frozen=True)
class Job:
    """A stack to be tried; `tries` attempts have gone before."""

    stack: Stack
    tries: int = 0
    half: bool = False  # of a stack that failed twice


@dataclass
class Result:
    """How a run ended. `failed`: {cell_id: (why, where to look)}."""

    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    trained: int = 0
    interrupted: bool = False
    fatal: str = ""  # why the run as a whole could not go on


class Runner:
    """The stacks of one run and what becomes of them. Only this class commits, and one thread at a time."""

    def __init__(self, run_dir: Path, progress: Progress, serial: int, code_parts: dict, device: str = "auto",
                 plugin_dir=None, fail_fast: bool = False, notebook: Path | None = None,
                 evidence: Evidence | None = None):  # fmt: skip
        self.run_dir, self.progress, self.serial = Path(run_dir), progress, serial
        self.code_parts, self.code = code_parts, fingerprint(code_parts)
        self.device, self.plugin_dir, self.fail_fast = device, plugin_dir, fail_fast
        self.notebook = notebook or attempts.TRAIN_NOTEBOOK
        self.evidence = evidence or Evidence()
        self.result = Result()
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def run_local(self, stacks: list[Stack], jobs: int, kernels: Kernels) -> Result:
        """joblib's threads drive papermill; the work itself is in the kernels, children of this process.

        Threads, not worker processes: nothing stands between the runner and a kernel that could die or stay.
        """
        from joblib import Parallel, delayed

        waiting = list(stacks)
        with self.signals(kernels.stop):
            ended = Parallel(jobs, backend="threading", batch_size=1, return_as="generator_unordered")(
                delayed(self.see_one_through)(waiting, kernels) for _ in stacks
            )
            for _ in ended:
                if self.stopping.is_set():
                    kernels.stop()
        return self.result

    def see_one_through(self, waiting: list[Stack], kernels: Kernels) -> None:
        """Take the stack that is expected to take longest; train it, with its second try and its halves."""
        with self._lock:
            stack = self.evidence.longest(waiting)
            waiting.remove(stack)
        jobs = [Job(stack)]
        while jobs and not self.stopping.is_set():
            job = jobs.pop(0)
            if self.prepare(job):
                self.show_begun(job)
                outcome = attempt(self.run_dir, job.stack.name, self.notebook, kernels)
                jobs = self.guarded_follow_up(job, outcome) + jobs
        if self.stopping.is_set():
            kernels.stop()

    def prepare(self, job: Job) -> bool:
        """The request on disk; False, and the run stops, where it cannot be written."""
        try:
            prepare(self.run_dir, job.stack, self.code, self.device, self.plugin_dir)
        except OSError as error:
            self.stop(str(error))
            return False
        return True

    def show_begun(self, job: Job) -> None:
        self.progress.began(job.stack, partial_dir(self.run_dir, job.stack.name))

    def guarded_follow_up(self, job: Job, outcome: Outcome) -> list[Job]:
        """follow_up; an error of the disk or of the runner itself stops the run, and is told."""
        try:
            return self.follow_up(job, outcome)
        except OSError as error:
            self.stop(str(error))
        except Exception as error:
            self.progress.log.write(traceback.format_exc())
            self.stop(f"an error of the runner itself: {type(error).__name__}: {error}")
        return []

    def follow_up(self, job: Job, outcome: Outcome) -> list[Job]:
        """Commit or record what came of the attempt; the jobs that are to be tried next because of it."""
        notes = None
        if outcome.kind == "done":
            try:
                notes = read_notes(outcome.output, job.stack.cell_ids)
            except ResultError as error:
                outcome = Outcome("error", outcome.output, outcome.seconds, str(error))
        if notes:
            self._commit(job.stack, outcome, notes)
            return []
        if outcome.kind == "disk":
            self.stop(outcome.message)
        if outcome.kind in ("disk", "stopped"):
            self.progress.ended(job.stack)
            return []
        again = self._try_again(job, outcome)
        self.progress.ended(job.stack, failed=0 if again else len(job.stack.cells))
        self.progress.again([next_job.stack for next_job in again])
        return again

    def _try_again(self, job: Job, outcome: Outcome) -> list[Job]:
        name = job.stack.name
        self.progress.say(f"{name}: attempt {job.tries + 1} failed: {outcome.message}")
        # A death may be the machine's doing: every stack gets a second try. An exception in a half is not.
        if job.tries == 0 and outcome.kind != "refused" and not (job.half and outcome.kind == "error"):
            return [Job(job.stack, 1, job.half)]
        if len(job.stack.cells) > 1 and not outcome.shared:
            halves = halve(job.stack)
            self.progress.say(f"{name}: halved into {' and '.join(half.name for half in halves)}")
            shutil.rmtree(partial_dir(self.run_dir, name), ignore_errors=True)
            return [Job(half, 0, half=True) for half in halves]
        self._record_failure(job.stack, outcome)
        return []

    def _commit(self, stack: Stack, outcome: Outcome, notes: dict) -> None:
        notes["seconds"]["total"] = outcome.seconds
        with self._lock:
            where = commit_stack(
                self.run_dir, stack.name, outcome.output, stack.cell_ids, notes, self.code_parts, self.serial
            )
            self.serial += 1
            bad = {cell: status for cell, status in notes["status"].items() if status in BAD}
            for cell, status in bad.items():
                why = notes["messages"].get(cell) or status
                self.result.failed[cell] = (f"{status}: {why}", str(where / NOTEBOOK))
            self.result.trained += len(stack.cells) - len(bad)
            self.evidence.learn(stack.cells, notes["steps"])
        shutil.rmtree(partial_dir(self.run_dir, stack.name), ignore_errors=True)
        self.progress.ended(stack, len(stack.cells) - len(bad), len(bad), notes["seconds"].get("training"))
        self.progress.log.write(f"{where.name}: {len(stack.cells)} cells committed, {outcome.seconds:.1f} s")
        if bad and self.fail_fast:
            self.stop()

    def _record_failure(self, stack: Stack, outcome: Outcome) -> None:
        notebook = outcome.output / NOTEBOOK
        with self._lock:
            where = commit_failure(
                self.run_dir, stack.name, stack.cell_ids, outcome.message, notebook, self.code_parts, self.serial
            )
            self.serial += 1
            look = where / NOTEBOOK if (where / NOTEBOOK).exists() else self.progress.log.path
            self.result.failed |= {cell_id: (outcome.message, str(look)) for cell_id in stack.cell_ids}
        shutil.rmtree(partial_dir(self.run_dir, stack.name), ignore_errors=True)
        if self.fail_fast:
            self.stop()

    def stop(self, fatal: str = "") -> None:
        """No further attempt; with `fatal`, the reason is told and the exit status is 1."""
        if fatal and not self.result.fatal:
            self.result.fatal = fatal
        self.stopping.set()

    @contextmanager
    def signals(self, stop_work):
        """SIGINT, SIGTERM and SIGHUP end the run with what is finished kept; the second ends it at once.

        A SIGHUP that was ignored when the command began (nohup) stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number, _frame):
            if self.result.interrupted:
                stop_work()
                os._exit(130)  # asked twice: what is committed is whole, the rest is for the next start
            self.result.interrupted = True
            self.stopping.set()
            stop_work()

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
