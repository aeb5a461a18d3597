"""The faults of a chaos run. Each takes the site, the ledger and a random source, and says what it did.

NotNow means that it could not be done now, and another one is tried.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from random import Random

from chaos_site import Ledger, NotNow, Site
from fake_stacks import spoil


def one_of(random: Random, files: Iterable[Path]) -> Path:
    """One of those that are files; NotNow where none is."""
    if there := [file for file in sorted(files) if file.is_file()]:
        return random.choice(there)
    raise NotNow


# processes


def signal_runner(number: signal.Signals, site: Site, ledger: Ledger, random: Random) -> str:
    runner, moment = site.runner(), site.moment()
    runner.send_signal(number)
    runner.wait(60)
    return f"{number.name} to the runner, {moment}; it ended with {runner.returncode}"


def kill_kernel(site: Site, ledger: Ledger, random: Random) -> str:
    site.runner()
    if not (kernels := site.kernels()):
        raise NotNow
    moment = site.moment()
    number = random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    random.choice(sorted(kernels, key=lambda p: p.pid)).send_signal(number)
    return f"{number.name} to a kernel, {moment}"


def kill_worker(site: Site, ledger: Ledger, random: Random) -> str:
    """A Dask worker: the parent of a kernel's server."""
    parents = {server.ppid() for k in site.kernels() if (server := k.parent())} - {site.runner().pid, 1}
    if not (workers := [p for p in site.processes() if p.pid in parents]):
        raise NotNow
    random.choice(sorted(workers, key=lambda p: p.pid)).kill()
    return "SIGKILL to a Dask worker, its kernel at work"


def second_runner(site: Site, ledger: Ledger, random: Random) -> str:
    first = site.runner()
    if not site.training():
        raise NotNow
    second = site.start()
    status, printed = second.wait(60), second.log.read_text(errors="replace")
    if first.poll() is None and (status != 2 or f"process {first.pid}" not in printed):
        ledger.off.append(f"a second runner beside the first: status {status}, {printed[-200:]!r}")
    return f"a second runner on the tag; it ended with {status}"


# files


def spoil_stack(how: str, site: Site, ledger: Ledger, random: Random) -> str:
    if not (stacks := site.stacks()):
        raise NotNow
    stack = random.choice(stacks)
    ledger.look(site.run_dir)
    if how == "remove":
        shutil.rmtree(stack)
        what = "all of it"
    elif how == "exchange":
        other = one_of(random, (each / "final.parquet" for each in stacks if each != stack))
        shutil.copy(other, stack)
        what = f"final.parquet is that of {other.parent.name}"
    else:
        file = one_of(random, stack.iterdir())
        spoil(file, how, random)
        what = file.name
    ledger.damaged(site.run_dir, stack.name)
    return f"{how} in the finished stack {stack.name}: {what}"


def spoil_head(how: str, site: Site, ledger: Ledger, random: Random) -> str:
    names = ("manifest.json", "grid.yaml", "grid.log", ".lock.holder")
    file = one_of(random, (site.run_dir / name for name in names if site.run_dir))
    spoil(file, how, random)
    return f"{how}: {file.name} of the run"


def spoil_references(how: str, site: Site, ledger: Ledger, random: Random) -> str:
    files = sorted((site.run_dir / "references").glob("*.npz")) if site.run_dir else []
    if not files:
        raise NotNow
    for file in files:  # the one that is read next is not known
        spoil(file, how, random)
    return f"{how}: all {len(files)} kept references"


def spoil_partial(names: str, how: str, site: Site, ledger: Ledger, random: Random) -> str:
    files = (file for place in site.stacks(hidden=True) for file in place.rglob("*"))
    file = one_of(random, (file for file in files if re.fullmatch(names, file.name)))
    try:
        spoil(file, how, random)
    except OSError:  # the kernel has replaced it meanwhile
        raise NotNow from None
    return f"{how}: {file.name} of a stack in training"


# the file system and the clock


def fill_disk(site: Site, ledger: Ledger, random: Random) -> str:
    """Every byte of the small file system taken until the runner has ended, 20 s at most."""
    runner, ballast, size = site.runner(), site.small / "ballast", 1 << 20
    if not os.path.ismount(site.small):
        raise NotNow
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


def jump_clock(site: Site, ledger: Ledger, random: Random) -> str:
    """The run was begun on another day than the next start's: what a clock that jumps amounts to."""
    if site.alive() or site.run_dir is None:
        raise NotNow
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
    "runner SIGKILL": (partial(signal_runner, signal.SIGKILL), 4, True),
    "runner SIGTERM": (partial(signal_runner, signal.SIGTERM), 3, True),
    "runner SIGINT": (partial(signal_runner, signal.SIGINT), 2, True),
    "kernel killed": (kill_kernel, 5, True),
    "worker killed": (kill_worker, 2, True),
    "second runner": (second_runner, 1, True),
    "disk full": (fill_disk, 3, True),
    "result altered on its way": (partial(spoil_partial, r"(history|final)\.parquet|predictors\.npz", "bit"), 2, True),
    "state corrupted": (partial(spoil_partial, "state", "bytes"), 2, False),
    "state truncated": (partial(spoil_partial, "state", "truncate"), 1, False),
    "request corrupted": (partial(spoil_partial, r"request\.json|progress\.json", "bytes"), 1, False),
    "stack truncated": (partial(spoil_stack, "truncate"), 1, False),
    "stack corrupted": (partial(spoil_stack, "bit"), 2, False),
    "stack file deleted": (partial(spoil_stack, "delete"), 1, False),
    "stack file unreadable": (partial(spoil_stack, "directory"), 1, False),
    "stack removed": (partial(spoil_stack, "remove"), 1, False),
    "stack exchanged": (partial(spoil_stack, "exchange"), 1, False),
    "head corrupted": (partial(spoil_head, "bytes"), 1, False),
    "head truncated": (partial(spoil_head, "truncate"), 1, False),
    "references corrupted": (partial(spoil_references, "bytes"), 1, False),
    "clock": (jump_clock, 1, False),
}
MAKES_WORK = ("stack removed", "stack corrupted", "stack truncated", "stack file deleted")
