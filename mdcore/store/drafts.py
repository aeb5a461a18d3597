"""Results written aside and put in place as a whole; what is not ours is neither overwritten nor removed.

A draft lies in a workspace `.mdcore-<token>` beside the place it is for. The workspace is known as ours by a file that
holds the same random token, never by its name alone, and a lock that its process holds tells whether that one lives.
The place lists its own files with their checksums: those, as long as they are unchanged, may be replaced.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdcore.files import atomic_write, read_json, sealed, unsealed
from mdcore.math.parameters import first_of
from mdcore.store.commits import sync
from mdcore.store.fingerprint import sha256
from mdcore.store.runs import RunError

LISTING = ".mdcore-files.json"  # of a place: its files and their checksums, sealed
MARK = "workspace.json"  # of a workspace: its token, what it is for, and whether a swap has begun
PREFIX = ".mdcore-"
LOCK = "lock"  # of a workspace: held by the process that writes there
BUILDING, SWAPPING = "building", "swapping"
_CANNOT_SWAP = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


class Draft:
    """A directory `path` for results that are to stand at `target`: a context manager.

    Left without an exception, the draft takes the place of `target` as one; with one it is removed, unless `keep` was
    set to keep it for a look: the next draft for the same place removes it. RunError when the place cannot be had.
    """

    def __init__(self, target: str | Path):
        self.target = Path(target).resolve()
        self.keep = False
        self.left: list[Path] = []  # directories in which something was kept that came into the place meanwhile

    def __enter__(self) -> Draft:
        foreign(self.target)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        clean(self.target)
        self.token, self.stage = uuid.uuid4().hex, BUILDING
        self.workspace = self.target.parent / f"{PREFIX}{self.token}"
        self.path = self.workspace / self.target.name
        self.workspace.mkdir(mode=0o700)
        try:
            self._lock = open(self.workspace / LOCK, "ab")
            with suppress(OSError):  # a file system without locks: then nobody cleans either
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._mark(BUILDING)
            self.path.mkdir()
        except BaseException:
            shutil.rmtree(self.workspace, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            if not self.keep:
                _clear(self.workspace, self.target, self.stage)
            self._lock.close()

    def _mark(self, stage: str) -> None:
        record = {"token": self.token, "target": self.target.name, "stage": stage}
        atomic_write(self.workspace / MARK, json.dumps(record))
        self.stage = stage

    def _publish(self) -> None:
        """The draft gets its listing; the files of others are linked into it; it takes its place."""
        listed = {name: sha256(self.path / name) for name in _files(self.path)}
        for name in listed:
            sync(self.path / name)
        atomic_write(self.path / LISTING, sealed({"files": listed}))
        with _held(self.target.parent):
            kept = foreign(self.target)
            if in_the_way := sorted(set(listed) & set(kept)):
                raise RunError(_refusal(self.target, in_the_way))
            self._mark(SWAPPING)
            _keep(self.target, self.path, kept)
            if self.target.exists():
                exchange(self.path, self.target)
            else:
                os.rename(self.path, self.target)
            sync(self.target.parent)
            self.left = _clear(self.workspace, self.target, SWAPPING)


def foreign(target: Path) -> list[str]:
    """The files in `target` that no earlier draft has written there, by their names in it.

    RunError where the place is not to be touched: inside a run, with files but without a listing of ours, or with a
    file of ours that was edited since.
    """
    for place in (target, *target.parents):
        if (place / "manifest.json").exists():
            raise RunError(f"{target} lies in the run {place}; results never go into a run: give another directory")
    if not target.name:
        raise RunError(f"{target} cannot hold results; give a directory of its own")
    if not target.exists():
        return []
    if not target.is_dir():
        raise RunError(f"{target} is not a directory")
    files, listed = _files(target), listing(target)
    if listed is None:
        if files or any(target.iterdir()):
            raise RunError(
                f"{target} holds files that no analysis wrote there ({first_of(sorted(files) or os.listdir(target))}); "
                "nothing in it was touched: give a new or an empty directory"
            )
        return []
    if edited := [name for name in listed if name in files and _differs(target / name, listed[name])]:
        raise RunError(_refusal(target, edited))
    return [name for name in files if name not in listed]


def listing(place: Path) -> dict[str, str] | None:
    """{name: sha256} of the files that were written there as a whole; None where there is no listing of ours."""
    try:
        return dict(unsealed((place / LISTING).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clean(target: Path) -> None:
    """Remove what interrupted drafts for `target` have left beside it; results they had moved aside come back."""
    with _held(target.parent):
        for workspace in sorted(target.parent.glob(f"{PREFIX}*")):
            mark = read_json(workspace / MARK)
            if mark.get("token") != workspace.name.removeprefix(PREFIX) or mark.get("target") != target.name:
                continue
            with suppress(OSError), open(workspace / LOCK, "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error: a living process holds it
                if not target.exists() and (workspace / "old").is_dir():  # between the two renames of `exchange`
                    os.rename(workspace / "old", target)
                _clear(workspace, target, str(mark.get("stage")))


def _clear(workspace: Path, target: Path, stage: str) -> list[Path]:
    """Remove a workspace; of what a swap may have put there, only our own files and second links of others'."""
    if stage == BUILDING:
        shutil.rmtree(workspace, ignore_errors=True)
        return []
    left = []
    for place in (workspace / target.name, workspace / "old"):
        if place.is_dir():
            listed = listing(place) or {}
            for name in _files(place):
                ours = name in listed and not _differs(place / name, listed[name])
                if ours or _same_file(place / name, target / name):
                    (place / name).unlink()
            for folder, _, _ in os.walk(place, topdown=False):
                if Path(folder) == place and os.listdir(place) == [LISTING]:
                    (place / LISTING).unlink()
                with suppress(OSError):  # something is in it
                    os.rmdir(folder)
            left += [place] * place.exists()
    if not left:
        shutil.rmtree(workspace, ignore_errors=True)
    return left


def exchange(one: Path, other: Path) -> None:
    """Swap two directories at once; where the file system cannot, by renames through `old` beside the first."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, code = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP of macOS
    a, b = os.fsencode(one), os.fsencode(other)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(here, a, here, b, code)
    elif hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(a, b, code)
    else:
        failed = ctypes.set_errno(errno.ENOSYS) or -1
    if failed and (number := ctypes.get_errno()) not in _CANNOT_SWAP:
        raise OSError(number, os.strerror(number), str(other))
    if failed:
        os.rename(other, one.with_name("old"))
        os.rename(one, other)


def _files(place: Path) -> list[str]:
    """The names in `place` of everything but directories; links are not followed."""
    names = []
    for folder, folders, files in os.walk(place):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        names += [os.path.relpath(os.path.join(folder, name), place) for name in (*files, *links)]
    return sorted(name for name in names if name != LISTING)


def _keep(target: Path, draft: Path, names: list[str]) -> None:
    """The files `names` of `target` linked into the draft, and the directories that hold nothing of ours."""
    ours = {folder for name in listing(target) or () for folder in Path(name).parents}
    theirs = {folder for name in names for folder in Path(name).parents}
    for where, _, _ in os.walk(target):
        folder = Path(where).relative_to(target)
        if (folder in theirs or folder not in ours) and not (draft / folder).exists():
            (draft / folder).mkdir()
            shutil.copystat(where, draft / folder)
    for name in names:
        try:
            os.link(target / name, draft / name, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            why = f"{target / name} cannot stay beside new results ({error.strerror}); move it to another directory"
            raise RunError(why) from None


def _differs(file: Path, digest: str) -> bool:
    return file.is_symlink() or not file.is_file() or sha256(file) != digest


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """One process at a time looks at the places in `directory` and swaps them."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refusal(target: Path, names: list[str]) -> str:
    return (
        f"{target}: {first_of(names)} would be overwritten, but no analysis left "
        f"{'it' if len(names) == 1 else 'them'} as now found: written or edited by somebody "
        "else; nothing was touched: move or rename, or give another directory"
    )
