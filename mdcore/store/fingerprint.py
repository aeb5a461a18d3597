"""What decides a number: the sources and package versions behind a result, and what changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SOURCE_ROOT = PACKAGE.parent  # the directory that holds the package mdcore
FOLDERS = ("math", "problems", "config", "training")  # what decides a number: what is in them, whatever its name
# torch and numpy train; the others make the data and the exact references.
PACKAGES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "clarabel", "mlxtend")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def code_parts(plugins: Iterable[Path] = ()) -> dict[str, str]:
    """{what: its sha256 or version} for the package's sources, the packages and a grid's plug-in files."""
    parts = {
        f"mdcore/{path.relative_to(PACKAGE).as_posix()}": sha256(path)
        for folder in FOLDERS
        for path in sorted((PACKAGE / folder).rglob("*.py"))
    }
    parts |= {package: installed(package) for package in PACKAGES}
    return parts | {f"plug-in {Path(path).name}": sha256(Path(path)) for path in plugins}


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
