"""The Results section of an analysed run as PDF: python -m mdcore.run_paper --tag TAG"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_paper", description="Compile the Results section of a run.")
    p.add_argument("--tag", required=True, help="an analysed run")
    p.add_argument("--output_dir", metavar="DIR", help="its results (analysis_results/<tag>)")
    return p


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, or 2 where there is nothing to compile, or nothing to compile it with."""
    from mdcore.analysis.report.paper import NotCompiled, build
    from mdcore.streams import steady_streams

    steady_streams()
    options = parser().parse_args(argv)
    try:
        print(f"paper: {build(Path(options.output_dir or Path('analysis_results', options.tag)))}")
    except NotCompiled as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
