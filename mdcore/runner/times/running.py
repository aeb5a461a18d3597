"""A stack that is being trained: how far it is by its progress file, and how long it will still take."""

from __future__ import annotations

import time
from pathlib import Path

from mdcore.files import read_json
from mdcore.runner.times.expected import Expectation

STALLED_AFTER = 120.0  # seconds without a step, after which it is told; then at twice the time, and so on
TRUST = 2.0  # seconds of measured training that weigh as much as what was expected before
NUMBERS = ("done", "total", "taken", "expected", "stops", "began", "seconds")  # in the progress file
BEFORE = 0.7  # of what a stack takes besides training, what comes before it; tables, figures and files come after


class Running:
    """A stack being trained; its progress file is written by mdcore.training.progress."""

    def __init__(self, stack, path: Path):
        self.stack, self.path = stack, path
        self.start = time.monotonic()
        self.warn_after = STALLED_AFTER
        self._last, self._since = -1.0, self.start  # the share at the last look that saw another one, and its time

    def idle(self) -> float:
        """Seconds since the last step that was seen; 0 once all steps are taken."""
        share = self.share()
        if share is not None and share != self._last:
            self._last, self._since, self.warn_after = share, time.monotonic(), STALLED_AFTER
        return 0.0 if share == 1.0 else time.monotonic() - self._since

    def share(self) -> float | None:
        """Of its steps those that are taken, the steps that ended cells have left out among them; None: not known."""
        progress = self._progress()
        return None if progress is None else progress["done"] / progress["total"]

    def _progress(self) -> dict[str, float] | None:
        """What its progress file says, in numbers that make sense; None before it trains."""
        progress = read_json(self.path)
        try:
            numbers = {name: float(progress[name]) for name in NUMBERS}
        except (KeyError, TypeError, ValueError):
            return None
        began, taken, expected, total = (numbers[name] for name in ("began", "taken", "expected", "total"))
        in_order = 0 <= began <= taken <= expected <= total and 0 <= numbers["done"] <= total
        return numbers if in_order and total > 0 and numbers["seconds"] >= 0 else None

    def trained(self, expectation: Expectation) -> tuple[float, float]:
        """Seconds that it has trained, as measured and as expected for its steps."""
        progress = self._progress()
        if progress is None or progress["taken"] <= progress["began"]:
            return 0.0, 0.0
        taken, began = (self.stack.model(progress[key] / progress["total"]) for key in ("taken", "began"))
        return progress["seconds"], (taken - began) * expectation.speed(self.stack)

    def left(self, expectation: Expectation, pace: float, ready: float) -> float:
        """Seconds to go. `pace`: that of the run, measured over expected; `ready`: when its kernel could start."""
        besides, progress = expectation.besides(self.stack), self._progress()
        if progress is None:
            start = still(BEFORE * besides, max(0.0, time.monotonic() - ready))
            return start + expectation.training(self.stack) * pace + (1 - BEFORE) * besides
        steps = self._steps(progress, expectation.share(self.stack), expectation.knows(self.stack))
        to_do = self.stack.model(steps / progress["total"]) - self.stack.model(progress["taken"] / progress["total"])
        seconds, expected = self.trained(expectation)
        if seconds > 0 and expected > 0:
            trust = seconds / (seconds + TRUST)
            pace = (seconds / expected) ** trust * pace ** (1 - trust)
        return to_do * expectation.speed(self.stack) * pace + (1 - BEFORE) * besides

    @staticmethod
    def _steps(progress: dict[str, float], share: float, known: bool) -> float:
        """The steps that it is expected to take in all."""
        if progress["done"] >= progress["total"]:
            return progress["taken"]
        if not progress["stops"]:
            return progress["total"]
        steps = share * progress["total"]
        if not known:  # its own gaps tell more and more
            trust = max(0.5, progress["taken"] / progress["expected"])
            steps = progress["expected"] ** trust * steps ** (1 - trust)
        return min(progress["total"], max(steps, 1.02 * progress["taken"]))


def still(expected: float, passed: float) -> float:
    """Seconds to go of what was expected to take so long, some of which have passed: it may take longer."""
    return max(expected - passed, 0.3 * passed, 0.0)
