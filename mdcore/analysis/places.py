"""Which run a notebook analyses and where its results go."""

from __future__ import annotations

from pathlib import Path

from mdcore.analysis.results import newest_run


def repository() -> Path:
    """The directory that holds mdcore/, runs_out/ and analysis_results/."""
    return Path(__file__).resolve().parents[2]


def choose(input_dir: str = "", output_dir: str = "") -> tuple[Path, Path]:
    """(run directory, result directory): as given, else the newest run and analysis_results/<tag>, made if absent.

    Raises FileNotFoundError, with what to do, when there is no run.
    """
    root = repository()
    run = Path(input_dir) if input_dir else newest_run(root / "runs_out")
    place = Path(output_dir) if output_dir else root / "analysis_results" / run.resolve().name.split("_", 1)[-1]
    place.mkdir(parents=True, exist_ok=True)
    return run, place
