"""Kernels on private sockets: one directory of mode 0700 for each run, no TCP port, no kernel left behind.

A kernel is started from the running interpreter (no installed kernel spec is looked at), talks over unix
sockets in the run's private directory, has one thread, and ends with its parent, however the parent ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parents[2]  # the directory that holds the package mdcore
PREFIX = "mdcore-"
SOCKET_PATH_LIMIT = 60  # a unix socket path has about 100 bytes; the directory's own name takes the rest

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
# One thread each: stacks are the unit of parallel work, and sums in a fixed order give the same bits.
PINNED = ONE_THREAD | {"OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE", "PYTHONHASHSEED": "0"}


def kernel_environment(directory: Path) -> dict[str, str]:
    """What a kernel's environment adds to that of the process which starts it."""
    paths = [str(SOURCE_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return PINNED | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "IPYTHONDIR": str(directory / "ipython"),  # the user's own has start-up files
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MDCORE_PARENT": str(os.getpid()),
    }


class Kernels:
    """The kernels of one process: their private directory and their process ids.

    A context manager. A lock holds the directory, so that what a killed process left is told from a live one.
    """

    def __init__(self):
        self._numbers = itertools.count(1)
        self._pids: dict[int, None] = {}
        self._lock = None
        self.directory: Path | None = None
        self.stopped = False

    def __enter__(self) -> Kernels:
        sweep()
        base = tempfile.gettempdir()
        base = base if len(base) < SOCKET_PATH_LIMIT else "/tmp"
        while True:
            self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))  # mode 0700
            self._lock = open(self.directory / "lock", "w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (self.directory / "lock").exists():  # else another process swept it before it was held
                return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()

    def manager(self, log: Path | None = None):
        """A kernel manager class for one kernel; `log` takes what the process writes to its own streams."""
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        board, place = self, self.directory / str(next(self._numbers))
        spec = KernelSpec(
            argv=[sys.executable, "-m", "mdcore.grid.kernel_main", "-f", "{connection_file}"],
            env=kernel_environment(self.directory),
            display_name="Python 3",
            language="python",
        )

        class PrivateKernel(AsyncKernelManager):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.transport, self.ip, self.connection_file = "ipc", str(place), f"{place}.json"

            @property
            def kernel_spec(self):
                return spec

            async def start_kernel(self, **kwargs):
                if board.stopped:
                    raise RuntimeError("the run is stopping: no kernel is started")
                with open(log or os.devnull, "ab") as stream:
                    await super().start_kernel(stdout=stream, stderr=stream, **kwargs)
                self.started_pid = self.provisioner.pid
                board._pids[self.started_pid] = None
                if board.stopped:  # stopped while this one was starting
                    board.stop()

            async def cleanup_resources(self, restart=False):
                await super().cleanup_resources(restart=restart)
                board._pids.pop(getattr(self, "started_pid", None), None)

        return PrivateKernel

    def stop(self) -> None:
        """Kill every kernel, now and for good. Takes no lock: a signal handler may call it."""
        self.stopped = True
        for pid in list(self._pids):
            kill(pid)


def kill(pid: int) -> None:
    """SIGKILL a kernel's process group (it leads its own), or the process where there is none."""
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
            return
        except ProcessLookupError:
            continue
        except PermissionError:
            return


def sweep() -> None:
    """Remove the private directories of processes that were killed: theirs is the lock that nobody holds."""
    for directory in {Path(tempfile.gettempdir()), Path("/tmp")}:
        for left in directory.glob(PREFIX + "*"):
            try:
                if left.is_symlink() or left.stat().st_uid != os.getuid():
                    continue
                with open(left / "lock") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            except OSError:  # held by a living process, or not one of ours
                continue
