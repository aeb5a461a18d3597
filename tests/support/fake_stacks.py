"""Committed stacks of fake results, runs that hold them, and ways to damage and to alter their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pandas as pd
from fake_training import results

from mdcore.files import sealed, unsealed
from mdcore.store.commits import NOTEBOOK, RECORD, RESULTS, Origin, commit_stack, read_notes
from mdcore.store.fingerprint import sha256
from mdcore.store.results import write_results
from mdcore.store.runs import open_run, write_head

FILES = (*RESULTS, NOTEBOOK, RECORD)
PARTS = {"mdcore/math/engine/trainer.py": "a" * 64, "torch": "2.13.0"}


def leave_results(output: Path, made) -> dict:
    """What a notebook that has trained leaves in `output`; the notes that the runner reads there."""
    write_results(output, made)
    (output / NOTEBOOK).write_text("{}")
    return read_notes(output, made.cell_ids)


def commit(run_dir, name, cells, serial, shift=0.0, columns={}):  # noqa: B006
    """A stack on the disk. columns: {name: value} for each cell, which final.parquet has besides."""
    output = run_dir / "stacks" / f".{name}.partial" / "out"
    made = results(list(cells))
    made.final["loss"] += shift
    if columns:
        made.final = made.final.join(pd.DataFrame([columns[cell] for cell in cells]))
    return commit_stack(run_dir, name, output, cells, leave_results(output, made), Origin(PARTS, serial))


def committed_run(runs: Path, grid, stacks: dict, tag: str = "t", **options) -> Path:
    """A run of `grid` with its head; stacks: {name: positions of its cells}, committed in this order."""
    opened = open_run(runs, tag, grid)
    (opened.path / "stacks").mkdir(parents=True)
    write_head(opened, grid, {"commit": None})
    for serial, (name, positions) in enumerate(stacks.items(), 1):
        commit(opened.path, name, [grid.cells[i].cell_id for i in positions], serial, **options)
    return opened.path


def reseal(stack: Path, **changes) -> None:
    """stack.json with these changes, sealed again over the files as they are now: no checksum tells of it."""
    record = unsealed((stack / RECORD).read_bytes()) | changes
    record["files"] = {name: sha256(stack / name) for name in record["files"]}
    (stack / RECORD).write_text(sealed(record))


def spoil(file: Path, how: str, random: Random | None = None, elsewhere: Sequence[Path] = ()) -> None:
    """Damage a file: delete, directory, empty, truncate, append, bit, bytes, or "of another …", one of `elsewhere`."""
    random = random or Random(0)
    data = bytearray(file.read_bytes())
    if how in ("delete", "directory"):  # nobody can read a directory, not even root
        file.unlink()
        if how == "directory":
            file.mkdir()
        return
    if how == "empty":
        data.clear()
    elif how == "truncate":
        del data[random.randrange(len(data) or 1) :]
    elif how == "append":
        data += random.randbytes(random.randrange(1, 50))
    elif how.startswith("of another"):
        data = bytearray(random.choice(elsewhere).read_bytes()) if elsewhere else data
    for _ in range({"bit": 1, "bytes": 20}.get(how, 0) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8) if how == "bit" else random.randrange(1, 256)
    file.write_bytes(bytes(data))
