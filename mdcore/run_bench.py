"""The performance report: python -m mdcore.run_bench --output_dir analysis_results/bench [--quick]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mdcore.store.locations import shipped

NOTEBOOK = shipped("notebooks") / "benchmark.ipynb"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_bench", description="Measure the engine and whole commands.")
    p.add_argument("--output_dir", default="analysis_results/bench", metavar="DIR", help="(analysis_results/bench)")
    p.add_argument("--quick", action="store_true", help="small workloads, under two minutes; answers no goal")
    return p


def measure(output: Path, quick: bool) -> None:
    """Execute the notebook in a kernel of one thread and publish its report."""
    from mdcore.analysis.report.publishing import publish
    from mdcore.runner.kernels.servers import Kernels
    from mdcore.runner.notebooks import execute

    output.mkdir(parents=True, exist_ok=True)
    executed = output / "report.ipynb"
    with Kernels() as kernels:
        execute(NOTEBOOK, executed, {"quick": quick, "output_dir": str(output.resolve())}, Path.cwd(), kernels)
    publish(executed, output)


def main(argv: list[str] | None = None) -> int:
    from mdcore.streams import steady_streams

    steady_streams()
    from mdcore.bench.goals import table_text
    from mdcore.runner.notebooks import KernelDied, NotebookFailed

    options = parser().parse_args(argv)
    output = Path(options.output_dir)
    if output.exists() and not output.is_dir():
        print(f"--output_dir: {output} is not a directory", file=sys.stderr)
        return 2
    try:
        measure(output, options.quick)
    except (NotebookFailed, KernelDied, OSError) as error:
        print(f"the benchmark failed: {error}\nThe notebook is in {output}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(table_text(output))
    print(f"report: {output / 'report.html'}")
    return 0


if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
