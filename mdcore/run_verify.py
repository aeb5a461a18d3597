"""The theorem suite: python -m mdcore.run_verify [--quick]: grids, claims, report; exit 1 if a claim fails."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mdcore.store.locations import shipped

NOTEBOOK = shipped("notebooks") / "verify.ipynb"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_verify", description="Reproduce the known theorems.")
    p.add_argument("--quick", action="store_true", help="one seed of each experiment")
    p.add_argument("--jobs", type=int, metavar="N", help="stacks trained at once (default: one a core)")
    p.add_argument("--runs_dir", default="runs_out", metavar="DIR", help="where the runs are kept (runs_out)")
    p.add_argument(
        "--output_dir",
        default="analysis_results/theorems",
        metavar="DIR",
        help="where claims.csv and the report go (analysis_results/theorems)",
    )
    return p


def train(options) -> int:
    """The theorem grids through run_grid, one after the other; what an older code trained is trained again."""
    from mdcore.run_grid import main as run_grid
    from mdcore.verification.evidence import PARTS

    worst = 0
    for part in PARTS.values():
        argv = ["--config", str(part.path), "--tag", part.grid, "--rerun", "stale", "--output_dir", options.runs_dir]
        argv += ["--jobs", str(options.jobs)] if options.jobs is not None else []
        for words in part.quick if options.quick else ():
            argv += ["--only", words]
        status = run_grid(argv)
        if status > 1:  # a wrong request, or interrupted
            return status
        worst = max(worst, status)
    return worst


def judge(options) -> list[dict[str, str]]:
    """Execute notebooks/verify.ipynb, publish the report, and return the rows of claims.csv."""
    from mdcore.analysis.report.publishing import publish
    from mdcore.runner.kernels.servers import FOR_ANALYSIS, Kernels
    from mdcore.runner.notebooks import execute
    from mdcore.store.drafts import Draft
    from mdcore.verification.report import read_claims

    with Draft(options.output_dir) as draft, Kernels(FOR_ANALYSIS) as kernels:
        parameters = {"runs_dir": str(options.runs_dir), "output_dir": str(draft.path), "quick": bool(options.quick)}
        executed = draft.workspace / "report.ipynb"
        execute(NOTEBOOK, executed, parameters, Path.cwd(), kernels)
        publish(executed, draft.path)
    return read_claims(Path(options.output_dir) / "claims.csv")


def main(argv: list[str] | None = None) -> int:
    """0: every claim passes. 1: one fails, or the suite could not be run. 2: a wrong request. 130: interrupted."""
    from mdcore.streams import steady_streams

    steady_streams()
    options = parser().parse_args(argv)
    from mdcore.store.drafts import foreign
    from mdcore.store.runs import RunError

    try:
        foreign(Path(options.output_dir).resolve())
    except (RunError, OSError) as error:
        print(f"--output_dir: {error}", file=sys.stderr)
        return 2
    status = train(options)
    if status > 1:
        return status
    from mdcore.runner.notebooks import KernelDied, NotebookFailed
    from mdcore.verification.report import all_pass, table

    try:
        rows = judge(options)
    except (NotebookFailed, KernelDied, RunError, OSError, ValueError) as error:
        print(f"the claims were not measured: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the runs are untouched", file=sys.stderr)
        return 130
    print(table(rows))
    print(f"report: {Path(options.output_dir) / 'report.html'}")
    return 0 if all_pass(rows) and status == 0 else 1


if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
