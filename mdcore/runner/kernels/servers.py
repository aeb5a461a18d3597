"""Kernels on private sockets: one directory of mode 0700 for each run, no TCP port, no kernel left behind.

A kernel is a fork of a server (main.py) that the running interpreter started (no installed kernel spec is
looked at), talks over unix sockets in the run's private directory, has one thread, and ends with the process that
asked for it, however that ends.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

from mdcore.runner.kernels.main import STATE
from mdcore.store.fingerprint import SOURCE_ROOT
from mdcore.store.provenance import ONE_THREAD

PREFIX = "mdcore-"
ENDS_WITHIN = 0.5  # seconds, for a server that is told to end
TEMPORARY = "tmp"  # of the kernels, in the private directory
# Imported before a fork. Not pyplot, nor a backend of notebooks: they look for theirs when they are imported.
KERNEL = ("ipykernel.kernelapp", "matplotlib.backends.backend_agg", "matplotlib.figure")
FOR_TRAINING = (*KERNEL, "mdcore.training.stack", "mdcore.training.preview")
FOR_ANALYSIS = (*KERNEL, "pandas", "scipy.stats", "pypdfium2", "mdcore.store.runs")
SOCKET_PATH_LIMIT = 60  # a unix socket path has about 100 bytes; the directory's own name takes the rest

# One thread each: stacks are the unit of parallel work, and sums in a fixed order give the same bits.
PINNED = ONE_THREAD | {"OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE", "PYTHONHASHSEED": "0"}


# What of this process's environment a kernel sees; nothing here decides a number. Where files lie, how file names are
# spelled, which GPU, how the network is reached; and whatever a user means for a plug-in of their own.
LISTED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONNOUSERSITE",
    "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "NUMBA_CACHE_DIR", "MPLCONFIGDIR",
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
LISTED_PREFIXES = ("LC_", "XDG_", "MDCORE_")


class KernelNotReady(RuntimeError):
    """A kernel that ended, or did not answer, before it was told anything."""


def nothing_is_compiled(place: Path = SOURCE_ROOT / "mdcore" / "math" / "engine" / "compiled") -> bool:
    """Whether the folder of the loops, where compiled code is kept, holds none: the first run of a clone."""
    kept_here = os.access(place, os.W_OK) and not os.environ.get("NUMBA_CACHE_DIR")
    return kept_here and not any(place.glob("__pycache__/*.nbi"))


def kernel_environment(directory: Path) -> dict[str, str]:
    """The environment of a kernel: what is listed of that of this process, and ours.

    Temporary files of the libraries and of plug-ins lie in `directory` and go with it.
    """
    ours = {name: word for name, word in os.environ.items() if name in LISTED or name.startswith(LISTED_PREFIXES)}
    paths = [str(SOURCE_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), os.getcwd()]
    drawing = str(distribution("matplotlib").locate_file("matplotlib"))
    try:
        Path.home()
    except RuntimeError:  # an account without a home: IPython wants one
        ours["HOME"] = str(directory)
    return {
        **ours,
        **PINNED,
        "TMPDIR": str(directory / TEMPORARY),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "IPYTHONDIR": str(directory / "ipython"),  # the user's own has start-up files
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(Path(drawing, "mpl-data", "matplotlibrc")),  # as it is shipped, before a user's
    }


class PrivateDirectory:
    """A directory of mode 0700 under the system's temporary one, removed at the end: a context manager.

    A lock holds it, so that what a killed process left is told from a live one; the lock's file holds the random name
    of the directory, so that it is told from what is only named alike.
    """

    directory: Path

    def __enter__(self):
        sweep()
        base = tempfile.gettempdir()
        base = base if len(base) < SOCKET_PATH_LIMIT else "/tmp"
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))  # mode 0700
        self._lock = open(self.directory / "lock", "wb", buffering=0)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._lock.write(self.directory.name.encode())
        (self.directory / TEMPORARY).mkdir()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()


class Kernels(PrivateDirectory):
    """The kernels of one process: their private directory, their server and their process ids.

    A context manager. `modules` are what the server imports before it forks.
    """

    def __init__(self, modules: Sequence[str] = FOR_TRAINING):
        self.modules = modules
        self._numbers = itertools.count(1)
        self._pids: dict[int, None] = {}
        self._starting = threading.Lock()
        self.stopped = False

    def __enter__(self) -> Kernels:
        super().__enter__()
        if nothing_is_compiled():
            (self.directory / STATE).write_text("compiling", encoding="ascii")
        self._serve()  # imports while this process goes on
        return self

    def __exit__(self, *_):
        self.stop()
        self._server.close()
        super().__exit__()

    def _serve(self) -> None:
        self._server = Server(self.directory, self.modules)

    def fork(self, argv: list[str], env: dict[str, str], cwd: str, log: str) -> ForkedKernel:
        """A kernel forked from the server, which is started anew when it was killed. KernelNotReady when stopping."""
        with self._starting:
            if self.stopped:
                raise KernelNotReady("the run is stopping: no kernel is started")
            if self._server.process.poll() is not None:
                self._server.close()
                self._serve()
        return self._server.fork(argv, env, cwd, log)

    def manager(self, log: Path):
        """A kernel manager class for one kernel; `log` takes what the process writes to its own streams."""
        from mdcore.runner.kernels.manager import manager_class

        number = str(next(self._numbers))
        return manager_class(self, self.directory / number, kernel_environment(self.directory), log)

    def starting(self) -> str:
        """'starting' or 'compiling' as long as the server does; '' once it can fork."""
        try:
            return (self.directory / STATE).read_text(encoding="ascii")
        except OSError:
            return "starting"

    @property
    def log(self) -> Path:
        """Where a kernel's own streams go when nobody names another place."""
        return self.directory / "kernel.log"

    def started(self, pid: int) -> None:
        """A kernel has this process id."""
        self._pids[pid] = None
        if self.stopped:  # while this one was starting
            self.stop()

    def ended(self, pid: int | None) -> None:
        """It needs no end any more."""
        if pid is not None:
            self._pids.pop(pid, None)

    def stop(self) -> None:
        """Kill every kernel, now and for good. Takes no lock: a signal handler may call it."""
        self.stopped = True
        for pid in list(self._pids):
            kill(pid)


class Server:
    """The process that kernels are forked from."""

    def __init__(self, directory: Path, modules: Sequence[str]):
        self.address = str(directory / f"server-{time.monotonic_ns()}")
        self.log = directory / "server.log"
        with socket.socket(socket.AF_UNIX) as listener, open(self.log, "ab") as stream:
            listener.bind(self.address)
            listener.listen(64)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mdcore.runner.kernels.main", "--serve", str(listener.fileno()), *modules],
                env=kernel_environment(directory),
                cwd=directory,  # matplotlib would read a matplotlibrc that lies where it is imported
                stdin=subprocess.PIPE,  # closed when this process ends: the server ends then, and its kernels
                stdout=stream,
                stderr=stream,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    def fork(self, argv: list[str], env: dict[str, str], cwd: str, log: str) -> ForkedKernel:
        """A new kernel. Raises KernelNotReady when the server has ended."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.address)
            connection.sendall(json.dumps({"argv": argv, "env": env, "cwd": cwd, "log": log}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n") and (byte := connection.recv(1)):  # no more than the line
                answer += byte
        except OSError:
            answer = b""
        if not answer.endswith(b"\n"):
            connection.close()
            raise KernelNotReady(f"it was not forked: {self._last_words()}")
        return ForkedKernel(int(answer), connection)

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "its server was killed"

    def close(self) -> None:
        """End the server: by itself, with all that its kernels have left, or at once where it does not hear."""
        with suppress(OSError):
            if self.process.stdin:
                self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_WITHIN)
        kill(self.process.pid)
        self.process.wait()


class ForkedKernel:
    """A kernel's process, as jupyter_client wants it: like a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket):
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        connection.setblocking(False)

    def poll(self) -> int | None:
        """The exit status, or None while it runs. A kernel without a server has been killed with it."""
        if self.returncode is None:
            try:
                status = self._connection.recv(64).strip()
            except BlockingIOError:
                return None
            except OSError:
                status = b""
            self.returncode = int(status) if status else -signal.SIGKILL
            self._connection.close()
        return self.returncode

    wait = poll  # jupyter_client waits once it has ended

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


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
                with open(left / "lock", "rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if lock.read(len(left.name) + 1) == left.name.encode():
                        shutil.rmtree(left, ignore_errors=True)
            except OSError:  # held by a living process, or not one of ours
                continue
