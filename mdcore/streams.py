"""Standard output and error that never end a command: closed, broken or full, and whatever letters they take."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn


class Unbroken(io.FileIO):
    """A stream whose reader may be gone: what cannot be written is dropped, and a full disk is told once."""

    reported = False

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EPIPE and not self.reported and self.fileno() == 1:
                self.reported = True
                with suppress(OSError, ValueError):
                    print(f"standard output cannot be written: {error.strerror}", file=sys.stderr, flush=True)
            return len(data)


def steady_streams() -> None:
    """Replace this process's standard streams, once, by ones that drop what cannot be written.

    Letters that the encoding of the locale lacks are written as escapes. A stream that was closed is the null
    device: a file opened later must not take its number and be printed into.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or isinstance(getattr(stream, "raw", None), Unbroken):
            continue  # somebody else's, a notebook's or a test's; or ours already
        encoding, live = (stream.encoding, stream.line_buffering) if stream else ("utf-8", False)
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
        raw = Unbroken(number, "w", closefd=False)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=live or number == 2
        )
        text.mode = "w"  # type: ignore[misc]  # as of the streams that Python opens
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def end_with(main: Callable[[], int]) -> NoReturn:
    """End this process with the exit status of `main`; an interrupt is one line and 130, whenever it comes."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # asked once is enough
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
