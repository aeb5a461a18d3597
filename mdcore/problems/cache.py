"""Solved references on disk: one npz file each, written atomically, checked on reading."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mdcore.files import atomic_write

CHECKSUM = "sha256"
SOLVER_VERSION = 4  # raised whenever a solver may answer differently: old files are then left alone


def key_name(fingerprint: str, kind: str, parameters: dict) -> str:
    """File name that is equal iff data, kind of reference, parameters and solver version are."""
    text = json.dumps([fingerprint, kind, parameters, SOLVER_VERSION], sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.npz"


def cached(path: Path | None, solve: Callable[[], dict], valid: Callable[[dict], bool] = lambda record: True) -> dict:
    """The record kept at `path`, or solve() kept there. Records map names to arrays, numbers and strings.

    A file that is truncated, altered or refused by `valid` is solved again and replaced. Two processes may
    do this at once: each writes a file of its own and renames it; the last one stands, and both hold the
    same numbers.
    """
    if path is not None:
        record = read(path)
        if record is not None and valid(record):
            return record
    record = solve()
    if path is not None:
        write(path, record)
    return record


def write(path: Path, record: dict) -> None:
    """Write `record` with the checksum of its contents; readers see the old file or the whole new one."""
    arrays = {name: np.asarray(value) for name, value in record.items()}
    arrays[CHECKSUM] = np.asarray(_checksum(path.name, arrays))
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]  # numpy's stub takes no names here
    atomic_write(path, data.getvalue(), durable=False, alone=False)


def read(path: Path) -> dict | None:
    """The record of `write`, or None where there is none that is whole."""
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop(CHECKSUM)) != _checksum(path.name, arrays):
            return None
    except Exception:  # whatever a broken archive raises (zip, zlib, numpy, key errors), it is not a whole record
        return None
    return {name: array if array.ndim else array.item() for name, array in arrays.items()}


def _checksum(name: str, arrays: dict[str, np.ndarray]) -> str:
    """Over the file's name too: it says of which data this is the reference."""
    digest = hashlib.sha256(name.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
