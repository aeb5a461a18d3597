"""Where a result comes from: code, packages, machine. No environment variable, token, host or user name."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from mdcore.store.fingerprint import SOURCE_ROOT, cpuinfo, installed

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
     "NUMEXPR_NUM_THREADS"), "1",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """{commit, dirty, packages, python, platform, cpu, cores, blas, threads}; None where it is not known."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    libc = "-".join(filter(None, platform.libc_ver()))
    return {
        "commit": commit,
        "dirty": None if status is None else bool(status),
        "packages": {name: installed(name) for name in required_packages()},
        "python": platform.python_version(),
        "platform": "-".join(filter(None, (platform.system(), platform.machine(), libc))),
        "cpu": cpuinfo("model name") or platform.processor() or None,
        "cores": os.cpu_count(),
        "blas": _blas(),
        "threads": {name: int(value) for name, value in ONE_THREAD.items()},
    }


def required_packages(requirements: Path = SOURCE_ROOT / "requirements.txt") -> list[str]:
    """The direct dependencies by name."""
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError:  # installed by pip, which keeps them as metadata
        try:
            lines = [line for line in requires("mdcore") or [] if "extra ==" not in line]
        except PackageNotFoundError:
            lines = [f"{name}==" for name in ("torch", "numpy", "scipy", "scikit-learn", "pandas")]
    return [match.group() for line in lines if (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?===)", line))]


def _git(*words: str) -> str | None:
    """What git says about the source tree; None outside a clone (an unpacked archive) or without git."""
    if not (SOURCE_ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE_ROOT), *words], capture_output=True, encoding="utf-8", errors="replace",
            timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _blas() -> dict[str, Any] | None:
    """numpy's BLAS by name and version; torch's stands in each stack.json, where torch was loaded."""
    import numpy

    try:
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {"name": blas["name"], "version": blas["version"]}
    except (KeyError, TypeError, AttributeError):
        return None
