"""How the loops are compiled, and how the compiled code is kept between processes.

numba keeps compiled code in files without a checksum, and runs what it finds there: a flipped bit is another program.
Here every file ends with a sha256 of the rest and of its name. One that does not match
is compiled anew and written over, and so is one that cannot be read. Where the package's folder cannot be written, the
user's cache folder holds the files; where nothing can be, the code is compiled for this process alone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import IO, Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, UserWideCacheLocator
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions
from numpy.typing import NDArray

Array = NDArray[Any]  # the memory of a tensor: float32 or float64
Function = TypeVar("Function", bound=Callable[..., Any])

NOTES: list[str] = []  # what there is to tell of the kept code
BEFORE_COMPILING: list[Callable[[], None]] = []  # called when the code of a function is not there, and is compiled
FOLDER = resources.files(__package__)
# No function allocates, so none needs the counts of references that numba keeps for every array and part of one.
_HOW: dict[str, Any] = {"fastmath": {"contract", "nsz", "reassoc"}, "error_model": "numpy", "_nrt": False}
CPUTargetOptions.noalias = TargetOptions.Mapping("noalias")  # the compiler has this flag, and no option that sets it


@functools.cache
def sources() -> str:
    """sha256 of the modules of this folder: the code of a function holds that of those it calls, of other modules too.

    numba looks at the function's own file only.
    """
    modules = sorted((file for file in FOLDER.iterdir() if file.name.endswith(".py")), key=lambda file: file.name)
    return hashlib.sha256(b"".join(file.read_bytes() for file in modules)).hexdigest()


def compiled(function: Function) -> Function:
    """numba.njit, kept on disk where a place for that can be written; NaN and infinity keep their meaning.

    Sums are taken in an order of the compiler's choice, but the same one on every run: results repeat to the bit. None
    may call another, but `inlined` ones only: the file of each would hold code of the one that is called, compiled in
    its own way, and which of them runs would depend on what was loaded first.
    """
    return _kept(function, **_HOW)


def inlined(function: Function) -> Function:
    """`compiled`, and copied into the compiled functions that call it: what is a constant there is one here too.

    No array that the function writes may share memory with another argument: the compiler relies on it, and takes four
    or eight columns at once.
    """
    return _kept(function, **_HOW, noalias=True, forceinline=True)


def _kept(function: Function, **how: Any) -> Function:
    dispatcher: Any = numba.njit(**how)(function)
    try:
        dispatcher._cache = CheckedCache(function)
    except RuntimeError:  # numba finds no folder for it
        note("compiled code is not kept, as no folder for it can be written: every process compiles anew")
    return cast(Function, dispatcher)


def note(text: str) -> None:
    """Tell something once."""
    if text not in NOTES:
        NOTES.append(text)


class _Summed:
    """A file that is written, and the sha256 of it."""

    def __init__(self, file: IO[bytes], digest: Any):
        self.file, self.digest = file, digest

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


class CheckedFiles(IndexDataCacheFile):
    """numba's files of one function, each with a sha256 behind it, where numba's reader does not look."""

    def _digest(self, path: str) -> Any:
        name = path.removeprefix(self._cache_path)
        return hashlib.sha256(f"{name} {self._version}\n".encode())

    def _verify(self, path: str) -> None:
        with open(path, "rb") as file:
            data = file.read()
        digest = self._digest(path)
        digest.update(data[:-32])
        if digest.digest() != data[-32:]:
            raise ValueError("it does not match its checksum")

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[_Summed]:
        with super()._open_for_write(filepath) as file:
            summed = _Summed(file, self._digest(filepath))
            yield summed
            file.write(summed.digest.digest())

    def _load_data(self, name: str) -> Any:
        self._verify(self._data_path(name))
        return super()._load_data(name)

    def _load_index(self) -> Any:
        with suppress(FileNotFoundError):
            self._verify(self._index_path)
        return super()._load_index()


class CheckedCache(FunctionCache):
    """numba's cache of one function on CheckedFiles; nothing that happens to the files is an error of the caller's."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        name = f"{self._impl.filename_base}.sha256"
        stamp = self._impl.locator.get_source_stamp(), sources()
        self._cache_file = CheckedFiles(self._cache_path, name, stamp)
        if isinstance(self._impl.locator, UserWideCacheLocator):
            note("compiled code is kept in the user's cache folder, as that of the package cannot be written")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        overload = self._load(sig, target_context)
        if overload is None:
            for callback in BEFORE_COMPILING:
                callback()
        return overload

    def _load(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # damaged, unreadable, or of another numba
            note(f"the compiled code of {self._py_func.__name__} was damaged ({type(error).__name__}): compiled anew")
            try:
                self.flush()
            except OSError:
                self.disable()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self.disable()
            why = getattr(error, "strerror", None) or type(error).__name__
            note(f"compiled code cannot be kept ({why}): every process compiles anew")
