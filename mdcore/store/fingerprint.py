"""What decides a number: the sources and package versions behind a result, and what changed since."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SOURCE_ROOT = PACKAGE.parent  # the directory that holds the package mdcore
FOLDERS = ("math", "problems", "config", "training")  # what decides a number: what is in them, whatever its name
WRITER = "store/results.py"  # and what writes it down
NOTEBOOK = "notebooks/train_cell.ipynb"  # and what calls both
# torch and numpy train; the others make the data and the exact references.
PACKAGES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "clarabel", "mlxtend")
PROCESSOR = "processor"  # compiled loops and BLAS round by the instructions that there are
VECTORS = ("avx", "fma", "amx", "asimd", "sve")
_loaded: dict[str, str] = {}  # sources of modules that were loaded before `remember`, as they were then


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def code_parts(plugins: Iterable[Path] = ()) -> dict[str, str]:
    """{what: its sha256 or version} for sources, notebook, packages, machine and the files of a grid's plug-ins."""
    parts = sources() | {NOTEBOOK: notebook_sha256(SOURCE_ROOT / NOTEBOOK)} | machine()
    return parts | {f"plug-in {Path(path).name}": sha256(Path(path)) for path in plugins}


def sources() -> dict[str, str]:
    """The package's files that decide a number, as they are on the disk."""
    files = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).rglob("*.py"))]
    return {f"mdcore/{path.relative_to(PACKAGE).as_posix()}": sha256(path) for path in (*files, PACKAGE / WRITER)}


def machine() -> dict[str, str]:
    """Versions of the interpreter and of the packages that compute, and the vector instructions of the processor."""
    versions = {"python": platform.python_version()} | {package: installed(package) for package in PACKAGES}
    vectors = {flag for flag in cpuinfo("flags", "Features").split() if flag.startswith(VECTORS)}
    return versions | {PROCESSOR: " ".join([platform.machine(), *sorted(vectors)])}


def cpuinfo(*keys: str) -> str:
    """What Linux says of the processor under the first of the keys that it knows; "" where it does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    entries = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in entries if key.strip() in keys), "")


def notebook_sha256(path: Path) -> str:
    """sha256 over the code of a notebook, executed or not: without its outputs, and what papermill put in."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        tags = [cell.get("metadata", {}).get("tags", []) for cell in cells]
        written = [cell for cell, mine in zip(cells, tags) if "injected-parameters" not in mine]
        code = [cell["source"] for cell in written if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable: {type(error).__name__}"
    return hashlib.sha256(json.dumps(["".join(lines) for lines in code]).encode()).hexdigest()


def remember(before: dict[str, str]) -> None:
    """The modules that are loaded now are those of `before`, the `sources` of a moment before they were imported."""
    now = sources()
    _loaded.update({name: digest if now.get(name) == digest else "edited while it was loaded"
                    for name, digest in before.items() if name in _modules()})  # fmt: skip


def loaded_parts() -> dict[str, str]:
    """`code_parts` of what this process has loaded and runs: of modules loaded since `remember`, as they are now."""
    from mdcore.config.plugins.sources import loaded_plugins

    now = sources()
    parts = {name: _loaded.get(name, now.get(name, "gone")) for name in _modules()}
    return parts | machine() | {f"plug-in {name}": digest for name, digest in loaded_plugins().items()}


def _modules() -> set[str]:
    """The sources that decide a number among the modules of this process."""
    ours = [module for name, module in sys.modules.copy().items() if name.startswith("mdcore.")]
    files = {Path(file) for module in ours if (file := getattr(module, "__file__", None))}
    inside = {file.relative_to(PACKAGE).as_posix() for file in files if file.is_relative_to(PACKAGE)}
    return {f"mdcore/{name}" for name in inside if name.split("/")[0] in FOLDERS or name == WRITER}


def fingerprint(parts: dict[str, str]) -> str:
    """sha256 over the parts, in the order of their names."""
    return hashlib.sha256("\n".join(f"{k}={v}" for k, v in sorted(parts.items())).encode()).hexdigest()


def changes(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs, in words: 'mdcore/math/engine/trainer.py changed', 'torch 2.12.0 -> 2.13.0'."""
    words = []
    for name in sorted(then.keys() | now.keys()):
        old, new = then.get(name), now.get(name)
        if old == new:
            continue
        if old is None or new is None:
            words.append(f"{name} {'is new' if old is None else 'is gone'}")
        elif len(old) == len(new) == 64:
            words.append(f"{name} changed")
        else:
            words.append(f"{name} {old} -> {new}")
    return words
