"""One attempt at one stack: its request on disk, its notebook in a kernel of its own, how it ended."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from mdcore.runner.kernels.servers import Kernels
from mdcore.runner.notebooks import KernelDied, NotebookFailed, execute
from mdcore.store.commits import NOTEBOOK, atomic_write, partial_dir
from mdcore.store.fingerprint import SOURCE_ROOT

TRAIN_NOTEBOOK = SOURCE_ROOT / "notebooks" / NOTEBOOK
REQUEST, STATE, PROGRESS, KERNEL_LOG = "request.json", "state", "progress.json", "kernel.log"
STATE_EVERY_S = 30
SHARED = "SharedFailure"  # training.stack's exception for what every cell of a stack has in common
REFUSED = "RequestRefused"  # and for what another attempt would find again
# What a write to a full or read-only file system says in Python, Arrow and torch.
DISK = re.compile(r"[Ee]rrno (28|30|122)\b|No space left|Read-only file system|quota exceeded|failed writing")


@dataclass(frozen=True)
class Outcome:
    """kind: done, died (the kernel ended), error (the notebook raised), refused (it would again), disk, stopped.

    shared: an error that hits every cell of the stack alike.
    """

    kind: str
    output: Path  # the directory with the results, or with the notebook that shows the error
    seconds: float
    message: str = ""
    shared: bool = False


def prepare(run_dir: Path, stack, code: str, device: str, plugin_dir) -> Path:
    """Write the request of `stack`; a training state left by an earlier run stays if it answers the same."""
    place = partial_dir(run_dir, stack.name)
    inside = place.relative_to(run_dir)  # the kernel works in run_dir and is told no place of this machine
    request = {
        "cells": [_with_absolute_path(cell.config) for cell in stack.cells],
        "cell_ids": stack.cell_ids,
        "references_dir": "references",
        "state_path": str(inside / STATE),
        "progress_path": str(inside / PROGRESS),
        "device": device,
        "state_every_s": STATE_EVERY_S,
        "plugin_dir": str(Path(plugin_dir).absolute()) if plugin_dir else None,
        "code": code,
    }
    left = read_json(place / REQUEST)
    if any(left.get(key) != request[key] for key in ("cells", "code", "device")):
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    for output in place.glob("out-*"):
        shutil.rmtree(output, ignore_errors=True)
    (place / PROGRESS).unlink(missing_ok=True)
    atomic_write(place / REQUEST, json.dumps(request))
    return place


def _with_absolute_path(config: dict) -> dict:
    """The place of MNIST's files is relative to where the command was given, not to where the kernel works."""
    path = config["dataset"].get("path")
    if not path or config["dataset"]["name"] != "mnist":  # another data set's path is a parameter of its own
        return config
    return config | {"dataset": config["dataset"] | {"path": str(Path(path).absolute())}}


def read_json(path: Path) -> dict:
    """The object in a JSON file; {} where there is none that can be read."""
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def attempt(run_dir: Path, name: str, notebook: Path, kernels: Kernels) -> Outcome:
    """Execute the notebook for the stack prepared under `name`. Never raises: every end is an Outcome."""
    run_dir = Path(run_dir)
    place = partial_dir(run_dir, name)
    output = place / f"out-{uuid.uuid4().hex[:8]}"  # of this attempt alone: two can never mix
    parameters = {
        "request": str((place / REQUEST).relative_to(run_dir)),
        "output": str(output.relative_to(run_dir)),
    }
    start = time.monotonic()

    def ended(kind: str, message: str = "", shared: bool = False) -> Outcome:
        return Outcome(kind, output, time.monotonic() - start, message, shared)

    try:
        output.mkdir()
        execute(Path(notebook), output / NOTEBOOK, parameters, run_dir.resolve(), kernels, place / KERNEL_LOG)
    except KernelDied as error:
        if kernels.stopped:
            return ended("stopped")
        full = cannot_write(place)
        return ended("disk", full) if full else ended("died", str(error))
    except NotebookFailed as error:
        full = cannot_write(place) or (str(error) if DISK.search(error.value) else "")
        if full:
            return ended("disk", full)
        if error.name == REFUSED:
            return ended("refused", error.value, True)
        shared = error.name == SHARED
        return ended("error", error.value if shared else str(error), shared)
    except OSError as error:
        return ended("disk", str(error))
    except Exception as error:  # papermill, nbclient or jupyter_client: the attempt failed, the run goes on
        if kernels.stopped:
            return ended("stopped")
        return ended("error", f"{type(error).__name__}: {error}")
    return ended("done")


def cannot_write(place: Path) -> str:
    """Why nothing can be written there, '' when it can: a full disk is no fault of the cell."""
    try:
        atomic_write(place / "probe", b"\0" * 65536)
        (place / "probe").unlink()
    except OSError as error:
        return str(error)
    return ""
