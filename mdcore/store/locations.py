"""Where the notebooks and grids lie that come with mdcore: beside the package in a clone, inside it once installed."""

from __future__ import annotations

import os
from pathlib import Path

from mdcore.store.fingerprint import PACKAGE, SOURCE_ROOT


def shipped(folder: str) -> Path:
    """The directory `notebooks` or `grids`."""
    installed = PACKAGE / folder
    return installed if installed.is_dir() else SOURCE_ROOT / folder


def grid_path(grid: str | Path) -> str:
    """The file of a grid: as given, or that of a shipped one where only its name is: quick_debug."""
    file = shipped("grids") / f"{grid}.yaml"
    return str(file if not Path(grid).exists() and Path(grid).name == str(grid) and file.is_file() else grid)


def by_make() -> bool:
    """Whether a target of the Makefile runs this command: then the commands that it prints are make's."""
    return "MDCORE_BY_MAKE" in os.environ


def workplace() -> Path:
    """The directory that holds runs_out/ and analysis_results/: the clone, or where an installed mdcore is used."""
    return SOURCE_ROOT if (SOURCE_ROOT / "notebooks").is_dir() else Path.cwd()
