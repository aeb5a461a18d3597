"""The files of plug-ins, and the modules beside them that they import: run from the very bytes that were hashed."""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NoReturn

from mdcore.config.errors import GridError

_loaded: dict[tuple[str, str], types.ModuleType] = {}  # (path, digest of all sources): one text gives one class
_last: dict[str, str] = {}  # file name -> sha256


def read_sources(stem: str, plugin_dir: str | Path | None) -> dict[Path, bytes]:
    """{file: content} of the plug-in's own file, first, and of the files beside it that it imports, directly or not.

    An import counts wherever it stands in the text. A name that Python finds elsewhere, as numpy, is none of them.
    Raises GridError where the plug-in's own file cannot be read.
    """
    folder = Path.cwd() if plugin_dir is None else Path(plugin_dir)
    plugin_file = folder / f"{stem}.py"
    try:
        sources = {plugin_file: plugin_file.read_bytes()}
    except (OSError, ValueError) as error:
        message = f"cannot be read ({reason(error)}); expected the file of the plug-in {stem}:…"
        raise GridError(f"{plugin_file}: {message}") from error
    for path in (files := [plugin_file]):  # the list grows while it is gone through
        for name in _imported(sources[path]):
            beside = folder / f"{name}.py"
            if beside not in sources and _is_taken_from(beside):
                try:
                    sources[beside] = beside.read_bytes()
                except OSError as error:
                    raise GridError(f"{beside}: cannot be read ({reason(error)}); {path.name} imports it") from error
                files.append(beside)
    return sources


@lru_cache(maxsize=64)  # a plug-in is asked for once a cell
def _imported(source: bytes) -> tuple[str, ...]:
    """The top-level modules that a text imports; none of a text that is not Python, which running it will tell."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return tuple(sorted({name.partition(".")[0] for name in names}))


def _is_taken_from(beside: Path) -> bool:
    """Whether a module of that name is this file: neither Python nor an installed package has one."""
    if beside.stem in sys.stdlib_module_names or not beside.is_file():
        return False
    spec = PathFinder.find_spec(beside.stem)
    return spec is None or spec.origin is None or Path(spec.origin).resolve() == beside.resolve()


def digest_of(sources: dict[Path, bytes]) -> bytes:
    """sha256 over the names and contents of files."""
    digest = hashlib.sha256()
    for path, content in sources.items():
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.digest()


def load_module(stem: str, plugin_dir: str | Path | None) -> types.ModuleType:
    """The module of a plug-in, run once for each content. Raises GridError."""
    sources = read_sources(stem, plugin_dir)
    plugin_file = next(iter(sources))
    _last.update({path.name: hashlib.sha256(content).hexdigest() for path, content in sources.items()})
    key = (str(plugin_file.resolve()), digest_of(sources).hex())
    if key not in _loaded:
        _loaded[key] = _run(sources, f"_mdcore_plugin_{stem}_{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}")
    return _loaded[key]


def loaded_plugins() -> dict[str, str]:
    """{file name: sha256 of the very bytes that this process has run last}, of imported neighbours too."""
    return dict(_last)


def _run(sources: dict[Path, bytes], name: str) -> types.ModuleType:
    """The module `name` of the first of `sources`; no cache file is left beside the user's own."""
    path, content = next(iter(sources.items()))
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        with _staying(), _neighbours(sources):
            exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, GridError):
            raise
        raise GridError(f"{path}: cannot be imported: {reason(error)}") from error
    return module


class _Neighbours(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the files beside a plug-in from the bytes that were read."""

    def __init__(self, sources: dict[Path, bytes]):
        self.files = {path.stem: (path, content) for path, content in sources.items()}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname not in self.files:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(self.files[fullname][0]))

    def exec_module(self, module: types.ModuleType) -> None:
        path, content = self.files[module.__name__]
        module.__file__ = str(path)
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)


@contextmanager
def _neighbours(sources: dict[Path, bytes]) -> Iterator[None]:
    """The files beside a plug-in can be imported, each plug-in's own: none stays in sys.modules for the next one.

    A user's module that comes in by another way, from the working directory or as a package, would decide numbers
    without being known by its content: GridError.
    """
    plugin_file = next(iter(sources))
    finder, before = _Neighbours(sources), dict(sys.modules)
    for name in finder.files:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        yield
        folders = {plugin_file.parent.resolve(), Path.cwd()}
        for name in sys.modules.keys() - before.keys() - finder.files.keys():
            file = getattr(sys.modules[name], "__file__", None)
            if not file or "." in name:
                continue
            if folders & set(Path(file).resolve().parents[: 1 + file.endswith("__init__.py")]):
                del sys.modules[name]
                raise GridError(
                    f"{plugin_file}: imports {name} from {file}; expected one file {name}.py beside "
                    f"{plugin_file.name}, imported by its name: it decides numbers, and the run keeps its text"
                )
    finally:
        sys.meta_path.remove(finder)
        for name in finder.files:
            sys.modules.pop(name, None)
            if name in before:
                sys.modules[name] = before[name]


@contextmanager
def _staying() -> Iterator[None]:
    """os._exit raises SystemExit, as sys.exit does: a plug-in that is imported does not end the command."""

    def leave(status: int) -> NoReturn:
        raise SystemExit(f"os._exit({status})")

    real, os._exit = os._exit, leave
    try:
        yield
    finally:
        os._exit = real


def reason(error: BaseException) -> str:
    """One line: the kind of an error and the first of its text."""
    try:
        text = " ".join(str(error)[:3000].split())[:300]
    except Exception:
        text = "its text cannot be had"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
