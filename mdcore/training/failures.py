"""What went wrong, as data: the kind of a failure, the cells that it concerns, and one printable line about it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

MOST_LETTERS = 300  # of a message from a user's code
# What a machine lacks, whatever was asked of it: space, a writable file system, file handles, memory, threads.
MACHINE_ERRORS = frozenset(
    number
    for name in ("ENOSPC", "EROFS", "EDQUOT", "EMFILE", "ENFILE", "EIO", "ENOMEM", "EAGAIN", "ENOLCK", "ESTALE")
    if (number := getattr(errno, name, None)) is not None
)


class Kind(StrEnum):
    """REFUSED: it would fail again, for the cells named. ERROR: it would fail again, for which cells is not known.
    MEMORY: fewer cells, or the same ones later, may fit. MACHINE: no cell is to blame."""

    REFUSED = "refused"
    ERROR = "error"
    MEMORY = "memory"
    MACHINE = "machine"


@dataclass(frozen=True)
class Failure:
    """`cells`: the ids of those concerned; () stands for all cells of the request."""

    kind: Kind
    message: str
    cells: tuple[str, ...] = ()


class RequestRefused(Exception):
    """What was asked for cannot be trained: its data, a plug-in, its device. `cells` as in Failure."""

    def __init__(self, message: str, cells: tuple[str, ...] = ()):
        super().__init__(message)
        self.cells = tuple(cells)


@contextmanager
def refused(cells: tuple[str, ...] = ()) -> Iterator[None]:
    """Whatever is raised inside would be raised again: it becomes RequestRefused for `cells`."""
    try:
        yield
    except RequestRefused:
        raise
    except BaseException as error:
        raise RequestRefused(one_line(error), cells) from error


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception amounts to, by its type and errno and those of its causes."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in MACHINE_ERRORS:
            return Failure(Kind.MACHINE, one_line(link))
        if isinstance(link, (MemoryError, *_device_memory_errors())):
            return Failure(Kind.MEMORY, one_line(link))
    if isinstance(error, RequestRefused):
        return Failure(Kind.REFUSED, printable(str(error)), error.cells)
    return Failure(Kind.ERROR, one_line(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _device_memory_errors() -> tuple[type, ...]:
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.OutOfMemoryError,)


def one_line(error: BaseException) -> str:
    """'ValueError: its text', printable and bounded, whatever the exception's own methods do."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    name = type(error).__name__
    return printable(f"{name}: {text}" if text else name)


def printable(text: str, most: int = MOST_LETTERS) -> str:
    """The text on one line of at most `most` letters, control characters escaped."""
    words = " ".join(text[: 20 * most].split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return shown if len(shown) <= most and len(text) <= 20 * most else shown[: most - 1] + "…"
