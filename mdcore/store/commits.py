"""Stacks on disk: written under a temporary name, renamed when whole, checked when read."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mdcore.files import atomic_write, sealed, unsealed
from mdcore.store.fingerprint import fingerprint, sha256

RESULTS = ("history.parquet", "final.parquet", "predictors.npz")
EXPLORING = "exploring.npz"  # beside them, unless the grid keeps nothing
NOTES = "results.json"  # tells the runner how the cells ended, without opening a table
RECORD = "stack.json"
NOTEBOOK = "train_cell.ipynb"
# Of the notes, what a stack without results has none of.
UNKNOWN: dict[str, Any] = {
    "seconds": {}, "steps": 0, "data": {}, "notes": [], "blas": [], "products": "", "files": {}, "loaded": {},
}  # fmt: skip
BAD = ("failed", "diverged")  # a cell that ended so is told in the table of failures
UNCONVERGED = "failed"  # of a cell with results: a point is still misclassified


class ResultError(Exception):
    """The results of a stack are not what was asked for; the text says how."""


@dataclass
class Record:
    """One committed stack as its stack.json tells it; `problem` is None, or why the stack cannot be used."""

    path: Path
    cells: list[str] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    code: str = ""
    code_parts: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # sha256 of the data and of their files; {}: not recorded
    steps: int = 0  # of all its cells together; 0: not counted
    serial: int = -1
    problem: str | None = None

    @property
    def has_tables(self) -> bool:
        return self.files.keys() >= set(RESULTS)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def stacks_dir(run_dir: Path) -> Path:
    return Path(run_dir) / "stacks"


def partial_dir(run_dir: Path, name: str) -> Path:
    return stacks_dir(run_dir) / f".{name}.partial"


def read_record(path: Path) -> Record:
    """stack.json of one stack and the checksums of its files. Never raises for what stands on the disk."""
    record = Record(path)
    try:
        saved = unsealed((path / RECORD).read_bytes())
        for key in ("cells", "status", "messages", "files", "code", "code_parts", "seconds", "serial"):
            setattr(record, key, saved[key])
        record.data, record.steps = saved.get("data", {}), saved.get("steps", 0)
        for name, digest in record.files.items():
            if sha256(path / name) != digest:
                record.problem = f"{name} does not match its checksum"
                break
    except FileNotFoundError as error:
        record.problem = f"{Path(error.filename).name} is missing"
    except OSError as error:
        record.problem = f"{Path(error.filename or RECORD).name} is unreadable: {error.strerror}"
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        record.problem = f"{RECORD} is unreadable: {type(error).__name__}: {error}"
    return record


@dataclass
class Committed:
    """What a run directory holds: readable stacks, damaged ones, and each cell's newest readable stack."""

    records: list[Record]
    damaged: list[Record]
    newest: dict[str, Record]

    def status(self, cell_id: str) -> str | None:
        return self.newest[cell_id].status.get(cell_id) if cell_id in self.newest else None

    @property
    def next_serial(self) -> int:
        return 1 + max((r.serial for r in self.records + self.damaged), default=0)


def committed(run_dir: Path) -> Committed:
    """Read every committed stack (stack.json and checksums; no table is opened)."""
    place = stacks_dir(run_dir)
    try:
        names = sorted(e.name for e in os.scandir(place) if e.is_dir() and not e.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    records = [read_record(place / name) for name in names]
    # The newest wins; a recorded failure, which has no tables, never hides an older result.
    good = [record for record in records if record.problem is None]
    good.sort(key=lambda record: (record.has_tables, record.serial, record.path.name))
    newest = {cell: record for record in good for cell in record.cells}
    return Committed(good, [r for r in records if r.problem], newest)


def set_aside(run_dir: Path, record: Record) -> Path:
    """Rename a damaged stack to `.damaged-<name>`: kept for a look, out of the way of its successor."""
    names = (f".damaged-{record.path.name}{f'-{number}' if number else ''}" for number in itertools.count())
    candidates = (stacks_dir(run_dir) / name for name in names)
    aside = next(path for path in candidates if not path.exists())
    os.rename(record.path, aside)
    return aside


def read_notes(output: Path, cell_ids: list[str]) -> dict[str, Any]:
    """The notes beside the results, held against the cells asked for; ResultError says what is wrong."""
    try:
        notes: dict[str, Any] = UNKNOWN | json.loads((output / NOTES).read_bytes())
        cells = sorted(notes["status"])
        for part in ("status", "messages", "files"):
            notes[part].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"the notebook left no readable {NOTES}: {error}") from None
    if cells != sorted(cell_ids):
        raise ResultError(f"the notebook returned other cells than were asked for: {cells[:3]} …")
    missing = [name for name in (*RESULTS, NOTEBOOK) if not (output / name).is_file()]
    if missing:
        raise ResultError(f"the notebook did not write {', '.join(missing)}")
    for name, digest in notes["files"].items():
        if sha256(output / name) != digest:
            raise ResultError(f"{name} is not as the notebook wrote it")
    return notes


class Origin(NamedTuple):
    """The code that a stack was trained with, and the number of its commit: the newest result of a cell counts."""

    code_parts: dict[str, str]
    serial: int


def commit_stack(
    run_dir: Path, name: str, output: Path, cells: Iterable[str], notes: dict[str, Any], origin: Origin
) -> Path:
    """Seal `output` with a stack.json and rename it to stacks/<name>; all of it is on the disk before.

    A readable stack of that name is never overwritten: the new one gets `-r<serial>` behind its name.
    """
    code_parts, serial = origin
    notes = UNKNOWN | notes
    (output / NOTES).unlink(missing_ok=True)
    loaded = notes["loaded"]  # by the process that trained, perhaps on another machine
    code_parts = {part: loaded.get(part, digest) for part, digest in code_parts.items()}
    files = sorted(p.name for p in output.iterdir() if p.is_file() and p.name[0] != "." and p.name != RECORD)
    written = notes["files"]  # as the notebook wrote them: what was altered since is found on reading
    saved = {
        key: notes[key] for key in ("status", "messages", "seconds", "steps", "data", "notes", "blas", "products")
    } | {
        "cells": list(cells),
        "files": {file: written.get(file) or sha256(output / file) for file in files},
        "code": fingerprint(code_parts),
        "code_parts": code_parts,
        "serial": serial,
        "committed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    atomic_write(output / RECORD, sealed(saved))
    for file in files:
        sync(output / file)
    sync(output)
    place = stacks_dir(run_dir)
    final = place / name
    if final.exists():
        final = place / f"{name}-r{serial}"
    os.rename(output, final)
    sync(place)
    return final


def commit_failure(run_dir: Path, name: str, cells: list[str], message: str, notebook: Path, origin: Origin) -> Path:
    """Record cells that cannot be trained, with the notebook that shows why where there is one."""
    output = partial_dir(run_dir, name) / "failure"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    if notebook.exists():
        shutil.copy(notebook, output / NOTEBOOK)
    notes = {"status": dict.fromkeys(cells, "failed"), "messages": dict.fromkeys(cells, message)}
    return commit_stack(run_dir, name, output, cells, notes, origin)
