"""Committed stacks of fake results, and ways to damage their files."""

from __future__ import annotations

import os

import pandas as pd
from fake_training import results

from mdcore.store.commits import RECORD, Origin, commit_stack, read_notes
from mdcore.store.runs import RESULTS, write_results

FILES = (*RESULTS, "train_cell.ipynb", RECORD)
PARTS = {"mdcore/math/engine/trainer.py": "a" * 64, "torch": "2.13.0"}


def commit(run_dir, name, cells, serial, shift=0.0, columns={}):  # noqa: B006
    """A stack on the disk. columns: {name: value} for each cell, which final.parquet has besides."""
    output = run_dir / "stacks" / f".{name}.partial" / "out"
    made = results(list(cells))
    made.final["loss"] += shift
    if columns:
        made.final = made.final.join(pd.DataFrame([columns[cell] for cell in cells]))
    write_results(output, made)
    (output / "train_cell.ipynb").write_text("{}")
    return commit_stack(run_dir, name, output, cells, read_notes(output, cells), Origin(PARTS, serial))


def spoil(file, how):
    if how == "delete":
        file.unlink()
    elif how == "truncate":
        os.truncate(file, file.stat().st_size // 2)
    elif how == "empty":
        os.truncate(file, 0)
    elif how == "bytes":
        data = bytearray(file.read_bytes())
        middle = len(data) // 2
        data[middle] ^= 0xFF
        file.write_bytes(bytes(data))
    elif how == "directory":
        file.unlink()
        file.mkdir()
