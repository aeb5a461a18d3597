"""The faults of a chaos run. Each takes the site, the ledger and a random source, and says what it did.

None means that it could not be done now, and another one is tried.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from random import Random

from chaos_site import Ledger, Site

BALLAST = "ballast"


def alive(site: Site) -> subprocess.Popen | None:
    return next((p for p in reversed(site.started) if p.poll() is None), None)


# processes


def _signal_runner(number: signal.Signals):
    def fault(site: Site, ledger: Ledger, random: Random) -> str | None:
        runner = alive(site)
        if runner is None:
            return None
        inside = "inside a stack" if site.training() else "outside training"
        runner.send_signal(number)
        runner.wait(60)
        return f"{number.name} to the runner, {inside}; it ended with {runner.returncode}"

    return fault


def kill_kernel(site: Site, ledger: Ledger, random: Random) -> str | None:
    kernels = site.kernels() if alive(site) else []
    if not kernels:
        return None
    inside = "inside a stack" if site.training() else "outside training"
    kernel = random.choice(sorted(kernels, key=lambda p: p.pid))
    number = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    kernel.send_signal(number)
    return f"{number.name} to a kernel, {inside}"


def kill_worker(site: Site, ledger: Ledger, random: Random) -> str | None:
    """A Dask worker: the parent of a kernel's server, or a process of the cluster without a kernel."""
    runner = alive(site)
    if runner is None:
        return None
    workers = {server.ppid() for k in site.kernels() if (server := k.parent())} - {runner.pid, 1}
    workers = [p for p in site.processes() if p.pid in workers and p.pid != runner.pid]
    if not workers:
        return None
    random.choice(sorted(workers, key=lambda p: p.pid)).kill()
    return "SIGKILL to a Dask worker, its kernel at work"


def second_runner(site: Site, ledger: Ledger, random: Random) -> str | None:
    first = alive(site)
    if first is None or not site.training():
        return None
    second = site.start()
    status, said = second.wait(60), second.log.read_text(errors="replace")
    if first.poll() is None and (status != 2 or f"process {first.pid}" not in said):
        ledger.off.append(f"a second runner beside the first: status {status}, {said[-200:]!r}")
    return f"a second runner on the tag; it ended with {status}"


# files


def spoil(file: Path, how: str, random: Random) -> None:
    if how == "delete":
        file.unlink()
    elif how == "truncate":
        os.truncate(file, random.randrange(file.stat().st_size or 1))
    elif how == "corrupt":
        data = bytearray(file.read_bytes() or b"\0")
        for _ in range(random.choice([1, 1, 20])):
            data[random.randrange(len(data))] ^= 0xFF
        file.write_bytes(bytes(data))
    else:  # unreadable, whoever reads it
        file.unlink()
        file.mkdir()


def _spoil_stack(how: str):
    def fault(site: Site, ledger: Ledger, random: Random) -> str | None:
        stacks = site.stacks()
        if not stacks:
            return None
        stack = random.choice(stacks)
        ledger.look(site.run_dir)
        if how == "remove":
            shutil.rmtree(stack)
            what = "all of it"
        elif how == "exchange":
            other = random.choice(stacks)
            if other == stack or not (other / "final.parquet").is_file():
                return None
            shutil.copy(other / "final.parquet", stack / "final.parquet")
            what = f"final.parquet is that of {other.name}"
        else:
            files = sorted(p for p in stack.iterdir() if p.is_file())
            if not files:
                return None
            file = random.choice(files)
            spoil(file, how, random)
            what = file.name
        ledger.damaged(site.run_dir, stack.name)
        return f"{how} in the finished stack {stack.name}: {what}"

    return fault


def _spoil_head(how: str):
    def fault(site: Site, ledger: Ledger, random: Random) -> str | None:
        run = site.run_dir
        names = ["manifest.json", "grid.yaml", "grid.log", ".lock.holder"]
        files = [run / name for name in names if (run / name).is_file()] if run else []
        if not files:
            return None
        file = random.choice(files)
        spoil(file, how, random)
        return f"{how}: {file.name} of the run"

    return fault


def _spoil_reference(how: str):
    def fault(site: Site, ledger: Ledger, random: Random) -> str | None:
        files = sorted((site.run_dir / "references").glob("*.npz")) if site.run_dir else []
        if not files:
            return None
        for file in files:  # the one that is read next is not known
            spoil(file, how, random)
        return f"{how}: all {len(files)} kept references"

    return fault


def _spoil_partial(names: str, how: str):
    def fault(site: Site, ledger: Ledger, random: Random) -> str | None:
        found = [f for place in site.stacks(hidden=True) for f in place.rglob("*") if re.fullmatch(names, f.name)]
        files = [file for file in sorted(found) if file.is_file()]
        if not files:
            return None
        file = random.choice(files)
        try:
            spoil(file, how, random)
        except OSError:  # the kernel has replaced it meanwhile
            return None
        return f"{how}: {file.name} of a stack in training"

    return fault


# the file system and the clock


def fill_disk(site: Site, ledger: Ledger, random: Random) -> str | None:
    """Every byte of the small file system taken until the runner has ended, 20 s at most."""
    runner = alive(site)
    if runner is None or not os.path.ismount(site.small):
        return None
    ballast = site.small / BALLAST
    size = 1 << 20
    with open(ballast, "wb", buffering=0) as file:
        while size:
            try:
                file.write(b"\1" * size)
            except OSError:
                size //= 4
    end = time.monotonic() + 20
    while runner.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    ballast.unlink()
    how = "went on" if runner.poll() is None else f"ended with {runner.returncode}"
    return f"the file system full; the runner {how}"


def jump_clock(site: Site, ledger: Ledger, random: Random) -> str | None:
    """The run was begun on another day than the next start's: what a clock that jumps amounts to."""
    if alive(site) or site.run_dir is None:
        return None
    day = random.choice(["19700101", "20380119", "20991231"])
    to = site.run_dir.with_name(f"{day}_{site.run_dir.name.partition('_')[2]}")
    if to != site.run_dir:
        site.run_dir.rename(to)
    for file in to.rglob("*"):  # and every time stamp with it
        if file.is_file():
            os.utime(file, (random.randrange(2**32),) * 2)
    return f"the clock jumps: the run is of {day}"


# kind -> (fault, how often of 36, does the runner have to be alive)
FAULTS = {
    "runner SIGKILL": (_signal_runner(signal.SIGKILL), 4, True),
    "runner SIGTERM": (_signal_runner(signal.SIGTERM), 3, True),
    "runner SIGINT": (_signal_runner(signal.SIGINT), 2, True),
    "kernel killed": (kill_kernel, 5, True),
    "worker killed": (kill_worker, 2, True),
    "second runner": (second_runner, 1, True),
    "disk full": (fill_disk, 3, True),
    "result altered on its way": (_spoil_partial(r"(history|final)\.parquet|predictors\.npz", "corrupt"), 2, True),
    "state corrupted": (_spoil_partial("state", "corrupt"), 2, False),
    "state truncated": (_spoil_partial("state", "truncate"), 1, False),
    "request corrupted": (_spoil_partial(r"request\.json|progress\.json", "corrupt"), 1, False),
    "stack truncated": (_spoil_stack("truncate"), 1, False),
    "stack corrupted": (_spoil_stack("corrupt"), 2, False),
    "stack file deleted": (_spoil_stack("delete"), 1, False),
    "stack file unreadable": (_spoil_stack("unreadable"), 1, False),
    "stack removed": (_spoil_stack("remove"), 1, False),
    "stack exchanged": (_spoil_stack("exchange"), 1, False),
    "head corrupted": (_spoil_head("corrupt"), 1, False),
    "head truncated": (_spoil_head("truncate"), 1, False),
    "references corrupted": (_spoil_reference("corrupt"), 1, False),
    "clock": (jump_clock, 1, False),
}
MAKES_WORK = ("stack removed", "stack corrupted", "stack truncated", "stack file deleted")
