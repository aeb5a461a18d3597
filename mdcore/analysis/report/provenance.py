"""Where an analysis comes from: the run's own record, the packages used here, checksums of the tables."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
from pathlib import Path

from mdcore.analysis.data.results import Results

_PACKAGES = ("numpy", "scipy", "pandas", "matplotlib")


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def provenance(results: Results, output_dir: Path) -> dict:
    """{run, tag, cells, conditions, training: the run's record, analysis: packages here, sha256, problems, date}."""
    run = results.manifest.get("provenance") or {}
    return {
        "run": results.name,
        "tag": results.tag,
        "cells": len(results.cells),
        "conditions": len(results.conditions),
        "training": run,
        "analysis": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "sha256": {"grid.yaml": hashlib.sha256(results.grid_shown.encode()).hexdigest()}
        | {name: _sha(output_dir / name) for name in ("master.csv", "summary.csv")},
        "problems": results.problems,
        "date": time.strftime("%Y-%m-%d"),
    }


def write_provenance(record: dict, output_dir: Path) -> None:
    """Write provenance.json."""
    (Path(output_dir) / "provenance.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def commands(results: Results) -> str:
    """The commands that make the run and this report again."""
    commit = (results.manifest.get("provenance") or {}).get("commit")
    lines = [f"git checkout {commit}"] if commit else []
    return "\n".join(
        [
            *lines,
            f"make paper GRID=runs_out/{results.name}/grid.yaml TAG={results.tag}-again",
            "# only this report, from the same run:",
            f"make analysis TAG={results.tag}",
            "# the report as PDF, where a Chromium is installed:",
            f"chromium --headless --no-pdf-header-footer --print-to-pdf=analysis_results/{results.tag}/report.pdf "
            f"analysis_results/{results.tag}/report.html",
        ]
    )
