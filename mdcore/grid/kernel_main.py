"""The kernel process: ends with its parent, then is an ordinary IPython kernel."""

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


if __name__ == "__main__":
    end_with_parent(int(os.environ.pop("MDCORE_PARENT", "0")))
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
