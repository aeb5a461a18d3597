"""The kernel process: ends with its parent, opens no TCP port, and else is an ordinary IPython kernel."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """The kernel is killed when the process that started it ends, however it ended.

    On Linux the system does it (prctl), also while the kernel computes outside Python. Elsewhere ipykernel's
    own poller of the parent's id does it, within about a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def launch() -> None:
    """ipykernel's own launch, without its TCP port for prints of forked children: others could reach it."""
    from ipykernel import kernelapp

    class Output(kernelapp.IOPubThread):
        def __init__(self, socket, pipe=False, **kwargs):
            super().__init__(socket, pipe=False, **kwargs)

    kernelapp.IOPubThread = Output
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    end_with_parent(int(os.environ.pop("MDCORE_PARENT", "0")))
    launch()
