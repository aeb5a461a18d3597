"""Train the stacks of a grid: executions in parallel, second tries, halving down to the culprit, commits.

What follows when a stack was not trained, by the status of its execution:

    refused        the cells to blame are recorded as failed, the others are trained
    error, hung    the same would come again: halved until the culprit is alone, which is recorded
    died, memory   may have been the machine's doing: tried once more, then halved
    machine        nothing is recorded, the run stops
    lost           the backend's doing: the same again
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mdcore.math.parameters import first_of
from mdcore.runner import execution
from mdcore.runner.backends import Backend, BackendLost
from mdcore.runner.execution import RunSettings, StackJob, StackResult, Status, write_request
from mdcore.runner.stacks import Stack, halve
from mdcore.runner.times import past
from mdcore.runner.times.expected import spent
from mdcore.runner.times.past import Spent
from mdcore.runner.times.progress import Progress
from mdcore.store.commits import (
    BAD,
    NOTEBOOK,
    UNCONVERGED,
    Origin,
    ResultError,
    commit_failure,
    commit_stack,
    partial_dir,
    read_notes,
)
from mdcore.store.fingerprint import PROCESSOR, changes, notebook_sha256
from mdcore.training.failures import printable

LOOK_EVERY = 1.0  # seconds
RETRIED = (Status.DIED, Status.MEMORY)


@dataclass(frozen=True)
class Trial:
    """A stack to be executed; `tries` executions have gone before."""

    stack: Stack
    tries: int = 0

    @property
    def name(self) -> str:
        return self.stack.name


@dataclass
class RunResult:
    """How a run ended. `failed`: {cell_id: (why, where to look)}."""

    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    unconverged: set[str] = field(default_factory=set)  # of them: trained to the end, a point still misclassified
    trained: int = 0
    interrupted: bool = False
    fatal: str = ""  # why the run as a whole could not go on


class Runner:
    """The stacks of one run and what becomes of them. Only this class commits."""

    def __init__(self, run_dir: Path, progress: Progress, serial: int, settings: RunSettings):
        self.run_dir, self.progress, self.serial, self.settings = run_dir, progress, serial, settings
        self.notebook = execution.TRAIN_NOTEBOOK
        self.notebook_code = notebook_sha256(self.notebook)
        self.result = RunResult()
        self.stopping = threading.Event()

    def run(self, backend: Backend, stacks: list[Stack]) -> RunResult:
        """Execute the stacks on the backend until all are trained or recorded, or the run is to stop."""
        first: list[Trial] = []  # second tries, halves and what is left of a stack come before the others
        waiting = list(stacks)
        running: dict[StackJob, Trial] = {}
        with self.signals(backend.stop), backend:
            while (first or waiting or running) and not self.stopping.is_set():
                self.progress.jobs = backend.workers
                while (first or waiting) and len(running) < backend.ahead * backend.workers:
                    if not first:
                        longest = self.progress.expectation.longest(waiting)
                        waiting.remove(longest)
                        first.append(Trial(longest))
                    trial = first.pop(0)
                    if job := self.prepare(trial):
                        backend.submit(job)
                        running[job] = trial
                for job in [job for job in running if backend.has_begun(job)]:
                    self.show_begun(running[job])
                try:
                    for job, result in backend.results(LOOK_EVERY):
                        trial = running.pop(job)
                        self.show_begun(trial)
                        first += self.guarded_follow_up(trial, result)
                except BackendLost as error:
                    self.stop(str(error))
        return self.result

    def prepare(self, trial: Trial) -> StackJob | None:
        """The request on disk; None, and the run stops, where it cannot be written."""
        try:
            write_request(self.run_dir, trial.stack, self.settings)
        except OSError as error:
            self.stop(str(error))
            return None
        return StackJob(str(self.run_dir.absolute()), trial.name, str(self.notebook), self.settings.timeout)

    def show_begun(self, trial: Trial) -> None:
        self.progress.began(trial.stack, partial_dir(self.run_dir, trial.name))

    def guarded_follow_up(self, trial: Trial, result: StackResult) -> list[Trial]:
        """follow_up; an error of the disk or of the runner itself stops the run, and is told."""
        try:
            return self.follow_up(trial, result)
        except OSError as error:
            self.stop(str(error))
        except Exception as error:
            self.progress.log.write(traceback.format_exc())
            self.stop(f"an error of the runner itself: {type(error).__name__}: {error}")
        return []

    def follow_up(self, trial: Trial, result: StackResult) -> list[Trial]:
        """Commit or record what came of an execution; the trials that follow from it."""
        if result.status == Status.MACHINE:
            self.stop(result.message)
        if result.status in (Status.MACHINE, Status.STOPPED):
            self.progress.ended(trial.stack)
            return []
        if result.status == Status.LOST:
            self.progress.ended(trial.stack)
            self.progress.again([trial.stack])
            return [trial]
        try:  # results are whole once they are written, whatever the notebook failed at afterwards
            notes = read_notes(result.output, trial.stack.cell_ids)
        except ResultError as error:
            if result.status == Status.DONE:
                result = StackResult(Status.ERROR, result.output, result.seconds, str(error))
        else:
            if result.status != Status.DONE:
                notes["notes"].append(f"after the results were written: {result.message}")
            if edited := self.edited(result.output, notes["loaded"]):
                self._remove(trial.stack)
                self.progress.ended(trial.stack)
                self.stop(
                    f"{trial.name} was trained with other code than the run began with: {first_of(edited, 6)}. It "
                    "was not kept; started again, the run goes on with the code as it then is"
                )
            else:
                self._commit(trial.stack, result, notes)
            return []
        again = self._not_trained(trial, result)
        self.progress.again([next_trial.stack for next_trial in again])
        return again

    def edited(self, output: Path, loaded: dict[str, str]) -> list[str]:
        """In words, what the kernel had loaded that is not what the run began with; its processor may be another."""
        parts = self.settings.code_parts
        then = {name: parts[name] for name in loaded if name in parts and name != PROCESSOR}
        edited = changes(then, {name: loaded[name] for name in then})
        return edited + [f"{self.notebook.name} changed"] * (notebook_sha256(output / NOTEBOOK) != self.notebook_code)

    def _not_trained(self, trial: Trial, result: StackResult) -> list[Trial]:
        stack, cells = trial.stack, trial.stack.cells
        self.progress.say(f"{trial.name}: attempt {trial.tries + 1} failed: {result.message}")
        if result.status in RETRIED and trial.tries == 0:
            self.progress.ended(stack)
            return [Trial(stack, 1)]
        blamed = [cell for cell in cells if result.status == Status.REFUSED and cell.cell_id in result.cells]
        if blamed and len(blamed) < len(cells):
            self._record_failure(stack, Stack(tuple(blamed)), result)
            return [Trial(Stack(tuple(cell for cell in cells if cell not in blamed)))]
        if result.status == Status.REFUSED or len(cells) == 1:
            self._record_failure(stack, stack, result)
            return []
        halves = halve(stack)
        self.progress.say(f"{trial.name}: halved into {' and '.join(half.name for half in halves)}")
        self._remove(stack)
        self.progress.ended(stack)
        return [Trial(half) for half in halves]

    def _commit(self, stack: Stack, result: StackResult, notes: dict) -> None:
        cost = self._cost(stack, result, notes)
        where = commit_stack(self.run_dir, stack.name, result.output, stack.cell_ids, notes, self._origin())
        bad = {cell: status for cell, status in notes["status"].items() if status in BAD}
        self.result.unconverged |= {cell for cell, status in bad.items() if status == UNCONVERGED}
        for cell, status in bad.items():
            why = notes["messages"].get(cell) or status
            self.result.failed[cell] = (f"{status}: {printable(why)}", str(where / NOTEBOOK))
        self.result.trained += len(stack.cells) - len(bad)
        self._remove(stack)
        self.progress.ended(stack, len(stack.cells) - len(bad), len(bad), cost)
        for line in (f"{len(stack.cells)} cells committed, {result.seconds:.1f} s", *map(printable, notes["notes"])):
            self.progress.log.write(f"{where.name}: {line}")
        if bad and self.settings.fail_fast:
            self.stop()

    def _cost(self, stack: Stack, result: StackResult, notes: dict) -> Spent | None:
        """What the stack has cost, beside what was expected of it: for its record, and for the plans of later runs."""
        seconds, waited = notes["seconds"], self.progress.waited(stack)
        seconds |= {"total": result.seconds, "waited": waited, "expected": self.progress.expectation.seconds(stack)}
        cost = spent(stack.cells, notes["steps"], seconds)
        if cost and not any(note.startswith("resumed") for note in notes["notes"]):
            past.write(cost)
        return cost

    def _record_failure(self, executed: Stack, failed: Stack, result: StackResult) -> None:
        notebook = result.output / NOTEBOOK
        where = commit_failure(self.run_dir, failed.name, failed.cell_ids, result.message, notebook, self._origin())
        look = where / NOTEBOOK if (where / NOTEBOOK).exists() else self.progress.log.path
        self.result.failed |= {cell_id: (result.message, str(look)) for cell_id in failed.cell_ids}
        self._remove(executed)
        self._remove(failed)
        self.progress.ended(executed, failed=len(failed.cells))
        if self.settings.fail_fast:
            self.stop()

    def _origin(self) -> Origin:
        """Of the next commit."""
        self.serial += 1
        return Origin(self.settings.code_parts, self.serial - 1)

    def _remove(self, stack: Stack) -> None:
        shutil.rmtree(partial_dir(self.run_dir, stack.name), ignore_errors=True)

    def stop(self, fatal: str = "") -> None:
        """No further execution; with `fatal`, the reason is told and the exit status is 1."""
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
                with suppress(TypeError):  # None: set by something other than Python
                    signal.signal(number, handler)
