"""What changed between two runs, condition by condition: python -m mdcore.run_compare --tags A B"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Exit status 0; 2 when a tag has no run."""
    from mdcore.analysis.compare import summary
    from mdcore.analysis.data.results import load
    from mdcore.analysis.terminal import as_text
    from mdcore.store.drafts import Draft
    from mdcore.store.runs import RunError, run_of
    from mdcore.streams import steady_streams

    steady_streams()
    p = argparse.ArgumentParser(prog="python -m mdcore.run_compare", description=__doc__.splitlines()[0])
    p.add_argument("--tags", nargs=2, required=True, metavar=("A", "B"), help="two tags; what B has changed")
    p.add_argument("--runs_dir", default="runs_out", metavar="DIR", help="where the runs are (runs_out)")
    p.add_argument("--output_dir", default="analysis_results", metavar="DIR", help="analysis_results")
    options = p.parse_args(argv)
    try:
        a, b = (load(run_of(Path(options.runs_dir), tag)) for tag in options.tags)
    except (RunError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    section, frame = summary(a, b)
    place = Path(options.output_dir) / f"compare_{a.tag}_{b.tag}"
    try:
        with Draft(place) as draft:
            frame.to_csv(draft.path / "changes.csv", index=False, lineterminator="\n")
            (draft.path / "changes.md").write_text(section.markdown(), encoding="utf-8")
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    print(as_text(section, shutil.get_terminal_size((100, 40)).columns))
    print(f"written: {place / 'changes.md'}, {place / 'changes.csv'}")
    return 0


if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
