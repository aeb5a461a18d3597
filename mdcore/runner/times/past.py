"""What stacks have really cost on this machine: lines of a file in the user's cache folder, read by later runs.

Nothing but plans and ETAs, and the order in which stacks begin, rests on it: no result, nor what is trained together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mdcore.files import atomic_write
from mdcore.runner.times import cost

FILE = "seconds.jsonl"
KEPT = 500  # lines; twice as many are cut down to these
PROBE = 4e-3  # seconds of the work in `pace` on a machine that takes as long as the cost model says


@dataclass(frozen=True)
class Spent:
    """What a stack has cost. The first three say what it is, as digests or words: see expected.py."""

    stack: str
    alike: str
    source: str
    kind: str
    share: float  # of the steps that its cells take at most
    modelled: float  # seconds of training for these steps, by the cost model
    training: float  # seconds measured
    besides: float  # seconds measured of all else: kernel, data, references, tables, files


def place() -> Path | None:
    """The file, in $MDCORE_CACHE, else $XDG_CACHE_HOME/mdcore or ~/.cache/mdcore; None for a user without a home."""
    with suppress(RuntimeError):
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(os.environ.get("MDCORE_CACHE") or Path(cache, "mdcore")) / FILE
    return None


def machine() -> str:
    """A digest that tells this machine from others that share a home, and the cost model from those before it."""
    model = Path(cost.__file__).read_bytes()
    here = f"{platform.node()} {os.cpu_count()} {platform.machine()}"
    return hashlib.sha256(here.encode() + model).hexdigest()[:8]


def crowd() -> float:
    """Processes that have wanted a core in the last minute, for each core; at least 1."""
    with suppress(OSError, AttributeError):
        return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return 1.0


def _some_python() -> None:
    table: dict[int, int] = {}
    for i in range(20_000):
        table[i % 97] = table.get(i % 89, 0) + i


def pace() -> float:
    """Seconds that this machine is expected to take for one of the cost model, by a little work and by `crowd`.

    The square root of what the work tells: at two moments of one machine it may tell 1.6 times as much.
    """
    times = []
    for _ in range(9):
        start = time.thread_time()
        _some_python()
        times.append(time.thread_time() - start)
    return math.sqrt(min(times) / PROBE) * crowd()


def read() -> list[Spent]:
    """The newest lines of this machine, oldest first; what cannot be read is left out."""
    here, spent = machine(), []
    for line in _lines()[-KEPT:]:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            entry = json.loads(line)
            if entry.pop("machine") == here:
                spent.append(_checked(Spent(**entry)))
    return spent


def _checked(spent: Spent) -> Spent:
    """The same; ValueError or TypeError where a number is none, or makes no sense."""
    words, numbers = dataclasses.astuple(spent)[:4], dataclasses.astuple(spent)[4:]
    if not all(isinstance(word, str) for word in words) or not all(0.0 <= number < 1e9 for number in numbers):
        raise ValueError(f"not what a stack can have cost: {spent}")
    return spent


def _lines() -> list[str]:
    file = place()
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines() if file else []
    except OSError:
        return []


def write(spent: Spent) -> None:
    """Append a line, which other runners may do at the same time. Where it cannot be written, it is not."""
    if (file := place()) is None:
        return
    line = json.dumps(dataclasses.asdict(spent) | {"machine": machine()}) + "\n"
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(line)
        if len(kept := _lines()) > 2 * KEPT:
            atomic_write(file, "\n".join(kept[-KEPT:]) + "\n")
