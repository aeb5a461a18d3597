"""What is done, what is left, until when: a live line in a terminal, plain lines elsewhere, grid.log."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from mdcore.runner.execution import PROGRESS
from mdcore.runner.times import past
from mdcore.runner.times.expected import COMPILE, START, Expectation, makespan
from mdcore.runner.times.past import Spent
from mdcore.runner.times.running import TRUST, Running, still

PLAIN_EVERY, LIVE_EVERY = 5.0, 0.5  # seconds
COMPILING = "compiling"  # what the server of the kernels says of itself while it does


class Log:
    """Lines with UTC times, appended to grid.log. A full disk stops the log, not the run."""

    def __init__(self, path: Path | None):
        self.path = path

    def write(self, text: str) -> None:
        if self.path is None:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with suppress(OSError), open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{now} {line}\n" for line in text.splitlines())


class Progress:
    """Counts and times of one run; use as a context manager around the work. Times are monotonic.

    `starting`: of the server of the kernels, 'starting', 'compiling', or '' once kernels can start at once.
    """

    def __init__(self, stacks, jobs: int, skipped: int, log: Log, expectation: Expectation | None = None, stream=None):
        self.expectation = expectation or Expectation()
        self.waiting = {stack.name: stack for stack in stacks}
        self.running: dict[str, Running] = {}
        self.jobs, self.skipped, self.log = jobs, skipped, log
        self.starting: Callable[[], str] = lambda: ""
        self.total = sum(len(stack.cells) for stack in stacks)
        self.done = self.failed = 0
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.start = time.monotonic()
        self.ready: float | None = None  # when kernels could start
        self._starts = ""
        self._measured = self._expected = 0.0  # seconds of training of the stacks that have ended here
        self._etas: list[tuple[float, float]] = []  # (elapsed, ETA)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        with suppress(RuntimeError):  # no thread to be had: the run goes on without these lines
            self._ticker.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        if self._ticker.ident is not None:
            self._ticker.join()
        if self.live:
            self._print("\r\033[K", end="")
        self.say(self.line())
        self.log.write(self.how_true())

    def began(self, stack, place: Path) -> None:
        with self._lock:
            self.waiting.pop(stack.name, None)
            self.running.setdefault(stack.name, Running(stack, place / PROGRESS))

    def ended(self, stack, done: int = 0, failed: int = 0, cost: Spent | None = None) -> None:
        """`cost`: what a stack has cost that was trained to its end."""
        with self._lock:
            self.running.pop(stack.name)
            self.done += done
            self.failed += failed
            if cost:
                self._measured += cost.training
                self._expected += cost.modelled * self.expectation.speed(stack)
                self.expectation.learn(cost)

    def waited(self, stack) -> float:
        """Seconds for which a running stack has waited until kernels could start."""
        with self._lock:
            self._look_at_the_start()
            begun = self.running[stack.name].start if stack.name in self.running else self.start
            return max(0.0, (self.ready or begun) - begun)

    def again(self, stacks) -> None:
        """Stacks to be tried (again)."""
        with self._lock:
            self.waiting |= {stack.name: stack for stack in stacks}

    def eta(self) -> float:
        """Seconds to go: what runs, then what waits, longest first, each to the first free worker."""
        with self._lock:
            now, pace = time.monotonic(), self._pace()
            start = self._look_at_the_start()
            ready, expected = self.ready or now, self.expectation
            busy = [run.left(expected, pace, max(run.start, ready)) for run in self.running.values()]
            to_come = [expected.training(stack) * pace + expected.besides(stack) for stack in self.waiting.values()]
            return start + makespan(to_come, self.jobs, busy)

    def _pace(self) -> float:
        """Measured seconds of training over expected ones, of what this run has done; 1 before it has done much."""
        measured, expected = self._measured, self._expected
        for run in self.running.values():
            seconds, modelled = run.trained(self.expectation)
            measured, expected = measured + seconds, expected + modelled
        if measured <= 0 or expected <= 0:
            return 1.0
        return (measured / expected) ** (measured / (measured + TRUST))

    def _look_at_the_start(self) -> float:
        """Seconds until kernels can start; the first time that loops are compiled, it is told."""
        if self.ready is not None:
            return 0.0
        now, state = time.monotonic(), self.starting()
        if not state:
            self.ready = now
            return 0.0
        self._starts = state
        return still(self.expectation.start(state == COMPILING), now - self.start)

    def line(self) -> str:
        counts = f"{self.done} done, {self.failed} failed, {self.skipped} skipped"
        parts = [f"cells {self.done + self.failed}/{self.total}", counts]
        parts.append(f"elapsed {clock(time.monotonic() - self.start)}")
        if self.running or self.waiting:
            parts.append(f"ETA {clock(self.eta())}")
        if self._starts and self.ready is None:
            parts.append(self._starts)
        return ", ".join(parts)

    def say(self, text: str) -> None:
        """A line for good, to the stream and to grid.log."""
        self._print(("\r\033[K" if self.live else "") + text)
        self.log.write(text)

    def remember_the_start(self) -> None:
        """For later runs, how long the server of the kernels took."""
        if self.ready is not None and self._starts:
            what = COMPILE if self._starts == COMPILING else START
            past.write(Spent("", "", "", what, 0.0, 0.0, 0.0, self.ready - self.start))

    def how_true(self) -> str:
        """The ETA when a tenth of the time had passed, and what came of it."""
        took = time.monotonic() - self.start
        then = next(((at, eta) for at, eta in self._etas if at >= took / 10), None)
        if then is None:
            return ""
        return f"ETA after a tenth of the time, at {then[0]:.1f} s: {then[1]:.1f} s; it took {took - then[0]:.1f} s"

    def _tick(self) -> None:
        printed = written = self.start
        compiling = False
        while not self._end.wait(LIVE_EVERY):
            now, line = time.monotonic(), self.line()
            with self._lock:
                remaining = bool(self.running or self.waiting)
            if remaining and len(self._etas) < 100_000:
                self._etas.append((now - self.start, self.eta()))
            if not compiling and self._starts == COMPILING:
                compiling = True
                self.say("the loops of the training are compiled, once for this clone: later runs find them")
            if self.live:
                self._print("\r\033[K" + line, end="")
            elif now - printed >= PLAIN_EVERY:
                self._print(line)
                printed = now
            if now - written >= PLAIN_EVERY:
                self.log.write(line)
                written = now
            for text in self.stalls():
                self.say(text)

    def stalls(self) -> list[str]:
        """A line for every stack that has taken no step for long, once for each doubling of the time."""
        lines = []
        with self._lock:
            for name, run in self.running.items():
                if (seconds := run.idle()) >= run.warn_after:
                    run.warn_after *= 2
                    lines.append(f"{name}: no step for {clock(seconds)} (it hangs, or its data take long to prepare)")
        return lines

    def _print(self, text: str, end: str = "\n") -> None:
        with suppress(OSError):  # the terminal is gone: the run goes on
            print(text, end=end, file=self.stream, flush=True)


def clock(seconds: float) -> str:
    """62 -> '01:02'; from an hour on '1:01:02'."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class _First(io.TextIOBase):
    """A stream that passes on the first letters of what is written."""

    def __init__(self, stream, most: int):
        self.stream, self.left = stream, most

    def write(self, text: str) -> int:
        if self.left > 0:
            shown = text[: self.left]
            self.left -= len(text)
            self.stream.write(shown if self.left >= 0 else f"{shown}\n… what is printed after this is left out\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


@contextmanager
def bounded_prints(most: int = 10_000) -> Iterator[None]:
    """What a user's code prints inside is passed on up to `most` letters of each stream."""
    with redirect_stdout(_First(sys.stdout, most)), redirect_stderr(_First(sys.stderr, most)):
        yield
