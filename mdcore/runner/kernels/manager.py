"""The kernels of servers.py as nbclient wants them: a manager, a client, a provisioner. No wait but for the kernel.

jupyter_client looks whether a killed kernel has ended ten times a second, and listens 0.2 s for messages that nobody
reads before a new one is used: together longer than a forked kernel takes to start.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from mdcore.runner.kernels.servers import KernelNotReady

ENDS_WITHIN = 5.0  # seconds, when it is killed


class Client(AsyncKernelClient):
    def _context_default(self):
        context = super()._context_default()
        context.setsockopt(zmq.RECONNECT_IVL, 5)  # ms; the kernel listens a little after it was started
        return context

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Return when the kernel answers on both channels; KernelNotReady if it does not."""
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            self.kernel_info()
            with suppress(Empty):
                if (await self.get_shell_msg(timeout=1))["msg_type"] == "kernel_info_reply":
                    await self.get_iopub_msg(timeout=0.2)  # else it is not connected: what a cell prints would be lost
                    return
            if not await self._async_is_alive():
                raise KernelNotReady("it ended before it answered:")
            if time.monotonic() > end:
                raise KernelNotReady(f"it did not answer within {timeout:g} s")


def manager_class(pool, place: Path, env: dict[str, str], log: Path) -> type[AsyncKernelManager]:
    """The manager of one kernel that `pool`, a Kernels, forks; its sockets begin with the path `place`."""
    spec = KernelSpec(argv=["mdcore-kernel", "-f", "{connection_file}"], display_name="Python 3", language="python")

    class Forked(LocalProvisioner):
        async def launch_kernel(self, cmd, cwd=None, **kwargs):  # the environment is `env`, not jupyter_client's
            self.process = pool.fork(cmd, env, str(cwd or os.getcwd()), str(Path(log).resolve()))
            PrivateKernel.process = self.process
            self.pid = self.pgid = self.process.pid  # it leads its own session
            self.cwd = cwd
            return self.connection_info

        async def kill(self, restart=False):
            """Return when it has ended."""
            await super().kill(restart)
            end = time.monotonic() + ENDS_WITHIN
            while self.process and self.process.poll() is None and time.monotonic() < end:
                await asyncio.sleep(0.002)

    class PrivateKernel(AsyncKernelManager):
        process: Any = None  # its own, a ForkedKernel, once there is one

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.transport, self.ip, self.connection_file = "ipc", str(place), f"{place}.json"
            self.client_factory = Client

        @property
        def kernel_spec(self):
            return spec

        async def start_kernel(self, **kwargs):  # type: ignore[override]  # asynchronous in the parent too
            self.provisioner = Forked(kernel_id=place.name, kernel_spec=spec, parent=self)
            await super().start_kernel(**kwargs)
            self.started_pid = self.provisioner.pid
            pool.started(self.started_pid)

        async def cleanup_resources(self, restart=False):  # type: ignore[override]  # as above
            await super().cleanup_resources(restart=restart)
            pool.ended(getattr(self, "started_pid", None))

    return PrivateKernel
