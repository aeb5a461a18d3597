"""One stack executed once: its request on disk, its notebook in a kernel of its own, how it ended."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mdcore.files import atomic_write, read_json
from mdcore.runner.kernels.servers import Kernels
from mdcore.runner.notebooks import KernelDied, KernelHung, KernelNotStarted, NotebookFailed, Watch, execute
from mdcore.runner.stacks import Stack
from mdcore.store.commits import NOTEBOOK, partial_dir
from mdcore.store.fingerprint import fingerprint
from mdcore.store.locations import shipped
from mdcore.training.failures import one_line

TRAIN_NOTEBOOK = shipped("notebooks") / NOTEBOOK
REQUEST, STATE, PROGRESS, KERNEL_LOG = "request.json", "state", "progress.json", "kernel.log"
STATE_EVERY_S = 30


class Status(StrEnum):
    """How an execution ended; what REFUSED, ERROR, MEMORY and MACHINE mean stands in training.failures.Kind."""

    DONE = "done"
    DIED = "died"  # the kernel ended: killed, out of memory, or a crash in compiled code
    HUNG = "hung"  # no step was taken within the time-out
    REFUSED = "refused"
    ERROR = "error"
    MEMORY = "memory"
    MACHINE = "machine"
    STOPPED = "stopped"  # by the runner
    LOST = "lost"  # by the backend: the stack has not failed


@dataclass(frozen=True)
class StackJob:
    """What a backend needs to execute a stack whose request is on disk; it can be sent to another machine."""

    run_dir: str
    name: str
    notebook: str
    timeout: float | None = None  # seconds without a step

    @property
    def place(self) -> Path:
        return partial_dir(Path(self.run_dir), self.name)


@dataclass(frozen=True)
class StackResult:
    """`output`: the directory with the results, or with the notebook that shows what went wrong."""

    status: Status
    output: Path
    seconds: float
    message: str = ""
    cells: tuple[str, ...] = ()  # those to blame; (): not known, or all


@dataclass(frozen=True)
class RunSettings:
    """What holds for all stacks of a run."""

    code_parts: dict[str, str]
    device: str = "auto"
    plugin_dir: str | None = None
    data_dir: str | None = None  # where relative paths start
    keep: bool = True  # what exploring needs
    fail_fast: bool = False
    timeout: float | None = None  # seconds without a step, after which a stack counts as hung


def write_request(run_dir: Path, stack: Stack, settings: RunSettings) -> Path:
    """Write the request of `stack`; a training state left by an earlier run stays if it answers the same."""
    place = partial_dir(run_dir, stack.name)
    inside = place.relative_to(run_dir)  # the kernel works in run_dir and is told no place of this machine
    request = {
        "cells": [cell.config for cell in stack.cells],
        "cell_ids": stack.cell_ids,
        "references_dir": "references",
        "state_path": str(inside / STATE),
        "progress_path": str(inside / PROGRESS),
        "device": settings.device,
        "state_every_s": STATE_EVERY_S,
        "plugin_dir": settings.plugin_dir,
        "data_dir": settings.data_dir,
        "keep": settings.keep,
        "code": fingerprint(settings.code_parts),
    }
    left = read_json(place / REQUEST)
    if any(left.get(key) != request[key] for key in ("cells", "code", "device", "data_dir")):
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    for output in place.glob("out-*"):
        shutil.rmtree(output, ignore_errors=True)
    (place / PROGRESS).unlink(missing_ok=True)
    atomic_write(place / REQUEST, json.dumps(request))
    return place


def run_stack(job: StackJob, kernels: Kernels) -> StackResult:
    """Execute the notebook of a stack whose request is on disk. Never raises: every end is a StackResult."""
    run_dir, place = Path(job.run_dir), job.place
    output = place / f"out-{uuid.uuid4().hex[:8]}"  # of this execution alone: two can never mix
    parameters = {"request": str((place / REQUEST).relative_to(run_dir)), "output": str(output.relative_to(run_dir))}
    watch = Watch(place / KERNEL_LOG, place / PROGRESS, job.timeout)
    start = time.monotonic()
    status, message = Status.DONE, ""
    cells: tuple[str, ...] = ()
    try:
        output.mkdir()
        execute(Path(job.notebook), output / NOTEBOOK, parameters, run_dir.resolve(), kernels, watch)
    except NotebookFailed as error:
        status, message, cells = Status(error.failure.kind), error.failure.message, error.failure.cells
    except KernelHung as error:
        status, message = Status.HUNG, str(error)
    except KernelNotStarted as error:  # before it was told which cells to train
        status, message = Status.MACHINE, f"no kernel can be started: {error}"
    except KernelDied as error:
        status, message = Status.DIED, str(error)
    except OSError as error:  # the runner's own files: they cannot be made or written
        status, message = Status.MACHINE, one_line(error)
    except Exception as error:  # papermill, nbclient or jupyter_client: this stack failed, the run goes on
        status, message = Status.ERROR, one_line(error)
    if status != Status.DONE and kernels.stopped:
        status = Status.STOPPED
    elif status not in (Status.DONE, Status.MACHINE) and (why := cannot_write(place)):
        status, message = Status.MACHINE, why
    return StackResult(status, output, time.monotonic() - start, message, cells)


def cannot_write(place: Path) -> str:
    """Why nothing can be written there, '' when it can: a full disk is no fault of the cell."""
    try:
        atomic_write(place / "probe", b"\0" * 65536)
        (place / "probe").unlink()
    except OSError as error:
        return str(error)
    return ""
