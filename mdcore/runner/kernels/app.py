"""The kernel as an IPython application: nothing of the user's configuration, no banner, output up to a limit.

Imported in the fork only: ipykernel binds its classes when it is launched.
"""

from __future__ import annotations

import dataclasses
import sys

from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from traitlets import Type

from mdcore.runner.notebooks import FAILURE
from mdcore.training.failures import failure_of, one_line

MOST_PRINTED = 1_000_000  # characters of a stream; more holds up the messages that the runner waits for
MOST_OF_A_TRACEBACK = 20_000  # characters of each of its parts
LEFT_OUT = f"\n… what is printed after {MOST_PRINTED:,} characters is left out\n"


class Bounded(OutStream):
    """A stream of a notebook that takes the first characters and says that it leaves out the others."""

    printed = 0

    def write(self, string: str) -> int:
        if isinstance(string, str) and self.printed <= MOST_PRINTED:
            left = MOST_PRINTED - self.printed
            self.printed += len(string)
            super().write(string if len(string) <= left else string[:left] + LEFT_OUT)
        elif not isinstance(string, str):
            super().write(string)  # its own TypeError
        return len(string)


class Shell(ZMQInteractiveShell):
    """A shell that reports an exception as data too, and its text bounded and printable."""

    def _showtraceback(self, etype, evalue, stb) -> None:
        self.display_pub.publish({FAILURE: dataclasses.asdict(failure_of(evalue))})
        text = one_line(evalue).removeprefix(f"{etype.__name__}: ")
        super()._showtraceback(etype, text, [line[:MOST_OF_A_TRACEBACK] for line in stb])


class Kernel(IPythonKernel):
    shell_class = Type(Shell)


class KernelApp(IPKernelApp):
    """ipykernel's application. What compiled code prints goes to the kernel's log, also when it crashes."""

    kernel_class = Kernel
    outstream_class = f"{__name__}.Bounded"
    capture_fd_output = False
    quiet = False  # what a notebook prints is in the log too

    def load_config_file(self, *_, **__) -> None:
        """No file of the user's or of the machine's configures the kernel."""

    def init_code(self) -> None:
        """No start-up file is run: neither PYTHONSTARTUP nor those of a profile or of the machine."""
        if self.shell is not None:
            self.shell._sys_modules_keys = set(sys.modules)

    def log_connection_info(self) -> None:
        """Nothing is said of how to connect: the last line of the log is the reason why the kernel ended."""
        channels = ("shell", "iopub", "stdin", "hb", "control")
        self._ports = {channel: getattr(self, f"{channel}_port") for channel in channels}
