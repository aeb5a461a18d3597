"""The server that kernels are forked from, and the kernel process: it ends with its parent and opens no TCP port.

Importing torch and what stands on it takes a kernel longer than many a stack. The server imports them once, and each
kernel is a fork of it: an ordinary IPython kernel, in a session of its own, with one thread until then.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import sys

from mdcore.store.fingerprint import remember, sources

STATE = "server-state"  # a file of the private directory
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36


def end_with_parent(parent: int) -> None:
    """The kernel is killed when the process that started it ends, however it ended.

    On Linux the system does it (prctl), also while the kernel computes outside Python. Elsewhere ipykernel's
    own poller of the parent's id does it, within about a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def be_called(name: str) -> None:
    """Take a name of up to 15 letters, which `top` and `ps` show."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def launch() -> None:
    """ipykernel's own launch, without its TCP port for prints of forked children: others could reach it.

    Nor is there a debugger, which would listen on TCP, and takes as long to import as all else that is left to do.
    """
    sys.modules.setdefault("debugpy", None)  # type: ignore[arg-type]  # as the language reference says
    from ipykernel import kernelapp

    from mdcore.runner.kernels.app import KernelApp

    class Output(kernelapp.IOPubThread):
        def __init__(self, socket, pipe=False, **kwargs):
            super().__init__(socket, pipe=False, **kwargs)

    kernelapp.IOPubThread = Output  # type: ignore[assignment, misc]
    KernelApp.launch_instance()


def serve(listener: socket.socket, modules: list[str]) -> None:
    """Import `modules`, call their `warm_up` where they have one, then fork a kernel for every connection.

    A connection brings one line of JSON {argv, env, cwd, log} and is sent a line with the kernel's process id, and
    one with its exit status when it has ended. Standard input is a pipe of the process that started the server:
    when that ends, however it ended, the pipe closes, and the server kills the kernels and ends too. What a plug-in
    has started ends with its kernel, or, if it left the kernel's session, with the server.
    """
    be_called("mdcore-server")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of a kernel become children of the server
    gc.disable()  # an import makes little garbage, and much that the collector would look through again and again
    before = sources()
    for name in modules if sys.platform == "linux" else ():  # elsewhere a fork of what is imported may crash
        module = importlib.import_module(name)
        getattr(module, "warm_up", lambda _: None)(lambda: say("compiling"))
    remember(before)
    say("")
    gc.freeze()  # what is shared with the forks is not touched by their collector
    gc.enable()
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    waiting = selectors.DefaultSelector()
    for file in (listener, sys.stdin, woken):
        waiting.register(file, selectors.EVENT_READ)
    kernels: dict[int, socket.socket] = {}
    while True:
        ready = {key.fileobj for key, _ in waiting.select()}
        if woken in ready:
            os.read(woken, 4096)
            _reap(kernels)
        if sys.stdin in ready:
            break
        if listener in ready:
            connection, _ = listener.accept()
            request = json.loads(connection.makefile("rb").readline() or "null")
            if request is None:
                continue
            pid = os.fork()
            if pid == 0:
                waiting.close()
                _become_kernel(request, [listener, connection, *kernels.values()], [woken, wake])
            kernels[pid] = connection
            _tell(connection, pid)
    for pid in [*kernels, *_children()]:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        _kill_group(pid)


def say(state: str) -> None:
    """What the server is doing, for `Kernels.starting`; its working directory is the private one."""
    with contextlib.suppress(OSError), open(STATE, "w", encoding="ascii") as file:
        file.write(state)


def _children() -> list[int]:
    """The children of this process, as far as the system lists them."""
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
    return []


def _kill_group(pid: int) -> None:
    """SIGKILL to what is left of the process group that `pid` leads."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _reap(kernels: dict[int, socket.socket]) -> None:
    for pid in list(kernels):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _kill_group(pid)
            connection = kernels.pop(pid)
            _tell(connection, os.waitstatus_to_exitcode(status))
            connection.close()


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # who asked is gone
        connection.sendall(f"{number}\n".encode())


def _become_kernel(request: dict, sockets: list[socket.socket], files: list[int]) -> None:
    """In the fork: leave everything of the server behind and be a kernel until the end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        parent = os.getppid()
        os.setsid()
        end_with_parent(parent)
        be_called("mdcore-kernel")
        for one in sockets:
            one.close()
        for number in files:
            os.close(number)
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
            (2, request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        ):
            opened = os.open(path, flags, 0o644)
            os.dup2(opened, number)
            os.close(opened)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # the log ends with its last words, however the kernel ends
        faulthandler.enable(2)  # a crash in compiled code is told in the log
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = request["argv"]
        launch()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":  # python -m mdcore.runner.kernels.main --serve SOCKET MODULE …
    serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3:])
