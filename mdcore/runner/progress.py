"""What is done, what is left, until when: a live line in a terminal, plain lines elsewhere, grid.log."""

from __future__ import annotations

import heapq
import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from mdcore.runner.execution import PROGRESS, read_json

PLAIN_EVERY, LIVE_EVERY = 5.0, 0.5  # seconds
FIXED_SECONDS = 4.0  # of a stack: kernel, imports, files; measured ones replace it
STALLED_AFTER = 120.0  # seconds without a step, after which it is told; then at twice the time, and so on
TRUST = 10.0  # seconds of measured work that weigh as much as the cost model's own guess


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
    """Counts and times of one run; use as a context manager around the work. Times are monotonic."""

    def __init__(self, stacks, jobs: int, skipped: int, log: Log, speed: float = 1.0, stream=None):
        self.waiting = {stack.name: stack.cost for stack in stacks}
        self.running: dict[str, _Running] = {}
        self.jobs, self.skipped, self.log = jobs, skipped, log
        self.total = sum(len(stack.cells) for stack in stacks)
        self.done = self.failed = 0
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.start = time.monotonic()
        self._measured, self._expected = TRUST * speed, TRUST
        self._fixed = [FIXED_SECONDS]
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

    def began(self, stack, place: Path) -> None:
        with self._lock:
            self.waiting.pop(stack.name, None)
            self.running.setdefault(stack.name, _Running(stack.cost, place / PROGRESS))

    def ended(self, stack, done: int = 0, failed: int = 0, train: float | None = None) -> None:
        """`train`: seconds of training alone; what the stack took beyond them is its fixed cost."""
        with self._lock:
            was = self.running.pop(stack.name)
            self.done += done
            self.failed += failed
            if done and train is not None and was.share_at_start < 0.05:  # a resumed stack tells no rate
                self._measured += train
                self._expected += stack.cost
                self._fixed.append(max(0.0, time.monotonic() - was.start - train))

    def again(self, stacks) -> None:
        """Stacks to be tried (again)."""
        with self._lock:
            self.waiting |= {stack.name: stack.cost for stack in stacks}

    def eta(self) -> float:
        """Seconds to go: what runs, then what waits, costliest first, each to the first free worker."""
        with self._lock:
            speed = self._measured / self._expected
            fixed = sum(self._fixed[-20:]) / len(self._fixed[-20:])
            free = [run.left(speed, fixed) for run in self.running.values()]
            free += [0.0] * max(0, self.jobs - len(free))
            heapq.heapify(free)
            for cost in sorted(self.waiting.values(), reverse=True):
                heapq.heapreplace(free, free[0] + fixed + cost * speed)
            return max(free)

    def line(self) -> str:
        counts = f"{self.done} done, {self.failed} failed, {self.skipped} skipped"
        parts = [f"cells {self.done + self.failed}/{self.total}", counts]
        parts.append(f"elapsed {clock(time.monotonic() - self.start)}")
        if self.running or self.waiting:
            parts.append(f"ETA {clock(self.eta())}")
        return ", ".join(parts)

    def say(self, text: str) -> None:
        """A line for good, to the stream and to grid.log."""
        self._print(("\r\033[K" if self.live else "") + text)
        self.log.write(text)

    def _tick(self) -> None:
        written = time.monotonic()
        while not self._end.wait(LIVE_EVERY if self.live else PLAIN_EVERY):
            line = self.line()
            self._print("\r\033[K" + line if self.live else line, end="" if self.live else "\n")
            if time.monotonic() - written >= PLAIN_EVERY - 0.1:
                self.log.write(line)
                written = time.monotonic()
            for text in self.stalls():
                self.say(text)

    def stalls(self) -> list[str]:
        """A line for every stack that has taken no step for long, once for each doubling of the time."""
        with self._lock:
            idle = {name: run.idle() for name, run in self.running.items()}
            runs = dict(self.running)
        lines = []
        for name, seconds in idle.items():
            if seconds >= runs[name].told_at:
                runs[name].told_at *= 2
                lines.append(f"{name}: no step for {clock(seconds)} (it hangs, or its data take long to prepare)")
        return lines

    def _print(self, text: str, end: str = "\n") -> None:
        with suppress(OSError):  # the terminal is gone: the run goes on
            print(text, end=end, file=self.stream, flush=True)


class _Running:
    """A stack being trained, and how far it is by its progress file."""

    def __init__(self, cost: float, path: Path):
        self.cost, self.path = cost, path
        self.start = time.monotonic()
        self.first: tuple[float, float] | None = None  # (time, share) when the file was first read
        self.told_at = STALLED_AFTER
        self._last, self._since = -1.0, self.start  # the share at the last look that saw another one, and its time

    def idle(self) -> float:
        """Seconds since the last step that was seen; 0 once all steps are taken."""
        share = self.share()
        if share is not None and share != self._last:
            self._last, self._since, self.told_at = share, time.monotonic(), STALLED_AFTER
        return 0.0 if share == 1.0 else time.monotonic() - self._since

    @property
    def share_at_start(self) -> float:
        return self.first[1] if self.first else 0.0

    def left(self, speed: float, fixed: float) -> float:
        now, share = time.monotonic(), self.share()
        guess = fixed + self.cost * speed
        if share is None:  # not yet training
            return max(guess - (now - self.start), 0.2 * guess)
        if self.first is None:
            self.first = (now, share)
        modelled = (1 - share) * self.cost * speed
        tail = fixed / 4  # tables, figures and files come after the training
        gone, seconds = share - self.first[1], now - self.first[0]
        if gone <= 0:
            return modelled + tail
        trust = min(1.0, gone / 0.2)  # its own pace, once a fifth of it has been seen
        return trust * (1 - share) * seconds / gone + (1 - trust) * modelled + tail

    def share(self) -> float | None:
        counts = read_json(self.path)
        try:
            return min(1.0, max(0.0, counts["done"] / counts["total"]))
        except (KeyError, TypeError, ZeroDivisionError):
            return None


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
