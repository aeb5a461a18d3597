"""Potentials, data sets and metrics of the user's own, named in a grid as my_file:Name.

my_file.py lies beside the grid file or in the working directory. It is run only when a grid names it, under
a private module name, so that it shadows nothing. A reference is two identifiers: it cannot leave its
directory.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mdcore.grid.errors import GridError, Problems, nearest
from mdcore.grid.potential_spec import BUILTIN_PARAMETERS, layers, name_of, parameters_of
from mdcore.grid.readers import INVALID, REFERENCE
from mdcore.grid.schema import Setting

_NEEDED = ("value_per_entry", "mirror_map", "inverse_mirror_map")
_loaded: dict[tuple[str, str], types.ModuleType] = {}  # (path, content hash): one file gives one class
_conform: set[tuple[type, str]] = set()  # (class, parameters) that have been tried out


def load_potential(reference: str, plugin_dir: str | Path | None = None) -> type:
    """The class my_file:MyPotential, a subclass of mdcore.math.potentials.Potential. Raises GridError."""
    from mdcore.math.potentials import Potential

    found = _load(reference, plugin_dir)
    if not (isinstance(found, type) and issubclass(found, Potential)):
        raise GridError(
            f"{reference}: is not a potential; expected `class {reference.split(':')[1]}(Potential)` with "
            "`from mdcore.math.potentials import Potential`"
        )
    lacking = [name for name in _NEEDED if getattr(found, name) is getattr(Potential, name)]
    if lacking:
        raise GridError(
            f"{reference}: has no {', '.join(lacking)}; expected a potential to define {', '.join(_NEEDED)}"
        )
    return found


def load_dataset(reference: str, plugin_dir: str | Path | None = None) -> Callable:
    """The data set function my_file:my_data. Raises GridError."""
    return _load_callable(reference, plugin_dir, "a function that returns the data")


def load_metric(reference: str, plugin_dir: str | Path | None = None) -> Callable:
    """The metric function my_file:my_metric. Raises GridError."""
    return _load_callable(reference, plugin_dir, "a function that returns a number")


def potentials_for(config: dict, plugin_dir: str | Path | None = None) -> list:
    """The Potential of each layer of a canonical configuration, input layer first. Raises GridError."""
    return [_make(entry, plugin_dir) for entry in layers(config["potential"], config["depth"])]


def companion_config(config: dict) -> dict:
    """The configuration of linear mirror descent beside a deep cell: depth 1, the input layer's potential,
    zero start; data, loss, step rule and seed as they are."""
    first = layers(config["potential"], config["depth"])[0]
    return (
        config
        if config["depth"] == 1
        else {**config, "potential": first, "depth": 1, "width": None, "init": {"scale": 0.0, "distribution": "normal"}}
    )


def references(config: dict) -> dict[str, str]:
    """{reference: kind} of the plug-ins that a configuration names; kind is potential, dataset or metric."""
    potential = config["potential"]
    names = [name_of(entry) for entry in (potential if isinstance(potential, list) else [potential])]
    out = {name: "potential" for name in names if name not in BUILTIN_PARAMETERS}
    if ":" in config["dataset"]["name"]:
        out[config["dataset"]["name"]] = "dataset"
    return out | dict.fromkeys(config.get("metrics", ()), "metric")


def plugin_fingerprint(config: dict, plugin_dir: str | Path | None = None) -> str:
    """sha256 over the files of the plug-ins that a configuration names, "" for none. Raises GridError.

    Not part of a cell's identity, which is what was asked for: a changed file makes a finished cell stale.
    """
    files = sorted({reference.split(":")[0] for reference in references(config)})
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0" + hashlib.sha256(_read(name, plugin_dir)[1]).digest())
    return digest.hexdigest() if files else ""


def check(settings: Iterable[Setting], plugin_dir: str | None, grid_dir: Path, problems: Problems):
    """(references, directory of their files): every plug-in of a grid is found and loaded, potentials made.

    The directory is the first with all files: beside the grid file, the grid's plugin_dir, the working one.
    """
    wanted = [(setting, *found) for setting in settings for found in _named(setting)]
    if not wanted:
        return [], None
    references = sorted({reference for _, reference, _ in wanted})
    files = sorted({reference.split(":")[0] for reference in references})
    folders = [grid_dir, *([Path(plugin_dir)] if plugin_dir else []), Path.cwd()]
    folder = next((folder for folder in folders if all(_is_file(folder / f"{name}.py") for name in files)), None)
    if folder is None:
        there = ", ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        expected = f"expected {', '.join(f'{name}.py' for name in files)} together in one of {there}"
        for setting, reference, _ in wanted:
            hint = nearest(reference.split(":")[0], [path.stem for each in folders for path in _python_files(each)])
            setting.complain(problems, f"{reference}: its file is not found; {expected}{hint}")
        return references, None
    for setting, _, load in wanted:
        try:
            load(folder)
        except GridError as error:
            for line in error.problems:
                setting.complain(problems, line)
    return references, str(folder.resolve())


def _named(setting: Setting) -> list[tuple[str, Callable[[Path], Any]]]:
    """(reference, what loads it from a directory) for every plug-in that a setting names."""
    leaf, value = setting.leaf, setting.value
    if value is INVALID:
        return []
    if leaf == "potential":
        entries = value if isinstance(value, list) else [value]
        return [
            (name_of(entry), lambda folder, entry=entry: _make(entry, folder))
            for entry in entries
            if name_of(entry) not in BUILTIN_PARAMETERS
        ]
    if leaf == "dataset.name" and ":" in value:
        return [(value, lambda folder: load_dataset(value, folder))]
    names = value if leaf == "metrics" and value else []
    return [(name, lambda folder, name=name: load_metric(name, folder)) for name in names]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _python_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.py"))[:200]
    except (OSError, ValueError):
        return []


def _make(entry: Any, plugin_dir: str | Path | None):
    """The Potential of one single-layer entry."""
    name, parameters = name_of(entry), dict(parameters_of(entry))
    if name in BUILTIN_PARAMETERS:
        from mdcore.math.potentials import BUILTIN

        if name == "layer_scaled":
            parameters["alpha"] = parameters["alpha"][0]
        return BUILTIN[name](**parameters)
    from mdcore.grid.conformance import check_potential

    found = load_potential(name, plugin_dir)
    try:
        made = found(**copy.deepcopy(parameters))
    except Exception as error:
        raise GridError(f"{name}: cannot be made with the parameters {parameters}: {_reason(error)}") from error
    tried = (found, json.dumps(parameters, sort_keys=True))
    if tried not in _conform:
        check_potential(made, name if not parameters else f"{name} with {parameters}")
        _conform.add(tried)
    return made


def _load_callable(reference: str, plugin_dir: str | Path | None, what: str) -> Callable:
    found = _load(reference, plugin_dir)
    if not callable(found):
        raise GridError(f"{reference}: is a {type(found).__name__}; expected {what}")
    return found


def _read(stem: str, plugin_dir: str | Path | None) -> tuple[Path, bytes]:
    path = (Path.cwd() if plugin_dir is None else Path(plugin_dir)) / f"{stem}.py"
    try:
        return path, path.read_bytes()
    except (OSError, ValueError) as error:
        raise GridError(
            f"{path}: cannot be read ({_reason(error)}); expected the file of the plug-in {stem}:…"
        ) from error


def _load(reference: str, plugin_dir: str | Path | None) -> Any:
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        raise GridError(f"{str(reference)[:80]!r}: expected a plug-in as my_file:Name, no directories, no dots")
    stem, name = reference.split(":")
    path, source = _read(stem, plugin_dir)
    key = (str(path.resolve()), hashlib.sha256(source).hexdigest())
    if key not in _loaded:
        _loaded[key] = _run(stem, path, source, key)
    module = _loaded[key]
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise GridError(f"{path}: has no {name}" + nearest(name, public))
    return getattr(module, name)


def _run(stem: str, path: Path, source: bytes, key: tuple[str, str]) -> types.ModuleType:
    """The module of the very bytes that were read; no cache file is left beside the user's own."""
    module = types.ModuleType(f"_mdcore_plugin_{stem}_{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise GridError(f"{path}: cannot be imported: {_reason(error)}") from error
    return module


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
