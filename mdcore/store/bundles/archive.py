"""The archive of a bundle: written the same way every time, read back, and unpacked without trust."""

from __future__ import annotations

import calendar
import hashlib
import io
import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from mdcore.files import sealed, unsealed
from mdcore.math.parameters import first_of
from mdcore.store.bundles.contents import FORMAT, INDEX, Bundle
from mdcore.store.commits import sync
from mdcore.store.fingerprint import sha256
from mdcore.store.runs import RunError

LARGEST_INDEX = 64_000_000  # bytes
PIECE = 1 << 20


def write(bundle: Bundle, target: Path) -> None:
    """The tar.gz of a bundle at `target`, in place only when it has been read back; the same bytes for the same files.

    RunError where something stands there that is no bundle, or a file changes while it is packed.
    """
    if target.is_dir() or (os.path.lexists(target) and not is_bundle(target)):
        raise RunError(f"{target} exists and is no bundle; nothing was touched: move it, or give --output another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    when = calendar.timegm(time.strptime(bundle.index["run"][:8], "%Y%m%d"))
    files = {INDEX: sealed(bundle.index).encode()} | {name: bundle.files[name] for name in sorted(bundle.files)}
    temporary = target.with_name(f".{target.name}.new")
    try:
        with (
            open(temporary, "wb") as raw,
            GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=when) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, content in files.items():
                member = tarfile.TarInfo(f"{bundle.root}/{name}")
                member.size = len(content) if isinstance(content, bytes) else bundle.index["files"][name]["size"]
                member.mtime, member.mode = when, 0o644
                with io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as file:
                    archive.addfile(member, cast(IO[bytes], file))
        if wrong := _read_back(temporary):
            raise RunError(f"{first_of(wrong)} changed while it was packed; bundle again when nothing writes there")
        sync(temporary)
        os.replace(temporary, target)
    except OSError as error:  # also of tarfile, where a file has become shorter
        raise RunError(f"{target} cannot be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def is_bundle(path: Path) -> bool:
    """Whether a file is an archive that begins with the sealed index of a bundle."""
    try:
        with _opened(path) as archive:
            return bool(_index_of(archive, next(iter(archive)), path))
    except (RunError, StopIteration):
        return False


def unpack(path: Path, into: Path) -> Path:
    """Unpack a bundle into its own new directory in `into`; returns that directory.

    RunError, before anything stands there, for an archive that is no bundle, a name that leaves the directory, links
    and other special files, a file that the index does not have or has otherwise, a directory that exists already.
    """
    if not hasattr(tarfile, "data_filter"):
        raise RunError("this Python unpacks archives without checks; expected Python 3.11.4 or newer")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mdcore-unpack-", dir=into) as place, _opened(path) as archive:
        members = iter(archive)
        first = next(members, None)
        index = _index_of(archive, first, path)
        root = PurePosixPath(first.name).parts[0] if first else ""
        if os.path.lexists(into / root):
            raise RunError(
                f"{into / root} exists; nothing was unpacked: move it, or give --output_dir another directory"
            )
        seen = set()
        for member in members:
            name = _checked(member, root, path)
            if name not in index["files"] or name in seen or member.size != index["files"][name]["size"]:
                raise RunError(f"{path}: {member.name[:200]!r} is not as its {INDEX} says; get the archive again")
            seen.add(name)
            archive.extract(member, place, set_attrs=False, filter="data")
        (Path(place) / root).mkdir(exist_ok=True)
        (Path(place) / root / INDEX).write_text(sealed(index), encoding="utf-8")
        if wrong := verify(Path(place) / root, index):
            raise RunError(f"{path}: {first_of(wrong)}; get the archive again")
        os.rename(Path(place) / root, into / root)
    return into / root


def _checked(member: tarfile.TarInfo, root: str, path: Path) -> str:
    """The name of a member below `root`; RunError for what is not a plain file there."""
    name = PurePosixPath(member.name)
    inside = not name.is_absolute() and ".." not in name.parts and "\\" not in member.name and name.parts[:1] == (root,)
    if not inside:
        raise RunError(f"{path}: {member.name[:200]!r} leads out of the archive's directory; nothing was unpacked")
    if not member.isreg():
        raise RunError(
            f"{path}: {member.name[:200]!r} is no plain file; a bundle holds no others: nothing was unpacked"
        )
    return str(PurePosixPath(*name.parts[1:]))


def _index_of(archive: tarfile.TarFile, first: tarfile.TarInfo | None, path: Path) -> dict[str, Any]:
    name = PurePosixPath(first.name) if first else PurePosixPath()
    if first is None or len(name.parts) != 2 or name.name != INDEX or not first.isreg() or first.size > LARGEST_INDEX:
        raise RunError(f"{path} is no bundle: it does not begin with {INDEX}; expected a file that `make bundle` made")
    _checked(first, name.parts[0], path)
    file = archive.extractfile(first)
    return parse_index(file.read() if file else b"", str(path))


def parse_index(content: bytes, place: str) -> dict[str, Any]:
    """bundle.json, its checksum and shape checked. Raises RunError."""
    try:
        index = unsealed(content)
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}; expected {FORMAT}")
        [(each["sha256"], each["size"]) for each in index["files"].values()]
        return index
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{place}: its {INDEX} cannot be used ({error!r}); get the archive again") from None


def verify(root: Path, index: dict[str, Any]) -> list[str]:
    """In words, which files of an unpacked bundle are missing or are not as they were packed."""
    wrong = []
    for name, recorded in index["files"].items():
        file = root / name
        if not file.is_file():
            wrong.append(f"{name} is missing")
        elif sha256(file) != recorded["sha256"]:
            wrong.append(f"{name} is not as it was packed")
    return wrong


def _read_back(path: Path) -> list[str]:
    """The members of an archive that do not match its index."""
    wrong = []
    with _opened(path) as archive:
        members = iter(archive)
        index = _index_of(archive, next(members, None), path)
        for member in members:
            digest, file = hashlib.sha256(), archive.extractfile(member)
            while file and (piece := file.read(PIECE)):
                digest.update(piece)
            if index["files"][member.name.split("/", 1)[1]]["sha256"] != digest.hexdigest():
                wrong.append(member.name)
    return wrong


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            yield archive
    except FileNotFoundError:
        raise RunError(f"{path} does not exist; expected an archive that `make bundle` made") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise RunError(f"{path} cannot be read as a bundle ({error}); get the archive again") from None
