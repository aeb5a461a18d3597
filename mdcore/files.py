"""A file is written as a whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


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
