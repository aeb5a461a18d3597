"""Run or resume a grid: python -m mdcore.run_grid --config grids/quick_debug.yaml --tag demo"""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from mdcore.store.locations import grid_path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_grid", description="Run or resume a grid.")
    p.add_argument("--config", required=True, type=grid_path, metavar="FILE",
                   help="the grid, a YAML file, or the name of one that comes with mdcore")  # fmt: skip
    p.add_argument("--tag", required=True, help="the run's name; a known one is resumed")
    p.add_argument("--jobs", type=int, metavar="N", help="stacks trained at once (default: one a core)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                   help="override a key of the grid; may be given several times")  # fmt: skip
    p.add_argument("--only", action="append", default=[], metavar="FILTER",
                   help="train only these: 'depth=2,potential=lp'; several are joined by or")  # fmt: skip
    p.add_argument("--dry_run", action="store_true", help="tell what would run, and why; write nothing")
    p.add_argument("--margins", action="store_true", help="with --dry_run: solve the exact margins of the data, too")
    p.add_argument(
        "--rerun",
        choices=("stale", "failed", "all", "rest"),
        help="train these again; rest: what an interrupted --rerun has left",
    )
    p.add_argument("--fail_fast", action="store_true", help="stop at the first cell that fails")
    p.add_argument("--wait", action="store_true", help="wait for another runner of this tag")
    p.add_argument("--backend", choices=("local", "dask"), default="local", help="where stacks are trained")
    p.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler (default: one on this machine)")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where torch computes")
    p.add_argument("--output_dir", default="runs_out", metavar="DIR", help="where runs are kept (runs_out)")
    return p


def main(argv: list[str] | None = None) -> int:
    from mdcore.streams import steady_streams

    steady_streams()
    from mdcore.runner.command import RunRequest, run

    return run(RunRequest(**vars(parser().parse_args(argv))))


class _Command(ModuleType):
    """`mdcore.run_grid` is the command's module and the library's function at once."""

    @staticmethod
    def __call__(grid, tag, **options):
        """Run or resume a grid, and read the run back: see `mdcore.library.runs.run_grid`."""
        from mdcore.library.runs import run_grid

        return run_grid(grid, tag, **options)


sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
