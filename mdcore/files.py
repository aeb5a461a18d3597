"""Files are written as a whole, or not at all; JSON that carries its own checksum, and JSON that may be damaged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def atomic_write(path: str | Path, data: str | bytes, durable: bool = True, alone: bool = True) -> None:
    """The file holds the old content or the new, never a part: temporary name, rename.

    durable: it is on the disk before the old content is given up, also if the power fails.
    alone: no other process writes this file at the same time, so that what a killed one left is replaced by the next.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.new" if alone else f".{path.name}.{os.urandom(6).hex()}.new")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none that can be read."""
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def seal(record: dict[str, Any]) -> str:
    """sha256 over the content of a JSON object, however it is laid out."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def sealed(record: dict[str, Any]) -> str:
    """A JSON object as text, with its own checksum in it."""
    return json.dumps(record | {"sha256": seal(record)}, indent=1)


def unsealed(text: str | bytes) -> dict[str, Any]:
    """The object that `sealed` made the text of; ValueError where it is none, or was altered."""
    record = json.loads(text)
    if not isinstance(record, dict) or record.pop("sha256", None) != seal(record):
        raise ValueError("it does not match its own checksum")
    return record
