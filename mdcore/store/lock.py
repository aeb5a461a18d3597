"""One runner at a time in a run directory. The operating system releases the lock when its holder dies."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout


class RunIsHeld(Exception):
    """Another process runs this directory; the text says which, and since when."""


class RunLock:
    """Context manager. `wait` True: until the other runner is done; False: RunIsHeld at once.

    The lock is on `.lock`; `.lock.holder` only tells people who holds it, and may be stale without harm.
    """

    def __init__(self, run_dir: Path, wait: bool = False):
        self.path, self.holder, self.wait = run_dir / ".lock", run_dir / ".lock.holder", wait
        self._lock = FileLock(self.path)

    def __enter__(self) -> RunLock:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if not self.wait:
                raise RunIsHeld(
                    f"{self.path.parent} is being run by {self.who()}. Wait for it, add --wait, or use another --tag."
                ) from None
            print(f"waiting for {self.who()}, which runs {self.path.parent}", flush=True)  # a pipe would keep it
            self._lock.acquire(timeout=-1)
        facts = {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}
        self.holder.write_text(json.dumps(facts | {"host": socket.gethostname()}), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self.holder.unlink(missing_ok=True)
        self._lock.release()

    def who(self) -> str:
        try:
            facts = json.loads(self.holder.read_text(encoding="utf-8"))
            here = "" if facts["host"] == socket.gethostname() else f" on {facts['host']}"
            return f"process {facts['pid']}{here}, started {facts['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
