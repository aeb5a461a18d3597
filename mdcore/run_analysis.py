"""Tables, figures and report of a run: python -m mdcore.run_analysis --input_dir DIR --output_dir DIR"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mdcore.store.locations import shipped

NOTEBOOKS = ("aggregate", "figures", "report")
PLACE = shipped("notebooks")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_analysis", description="Analyse a run.")
    p.add_argument("--input_dir", metavar="DIR", help="a run, such as runs_out/20250319_synth_bias")
    p.add_argument("--output_dir", metavar="DIR", help="where the results go (analysis_results/<tag>)")
    p.add_argument("--tag", help="instead of --input_dir: the newest run of that name")
    p.add_argument("--style", metavar="FILE", help="what the figures show and how they look: <grid>.style.yaml")
    p.add_argument("--runs_dir", default="runs_out", metavar="DIR", help="where --tag looks (runs_out)")
    return p


def directories(options) -> tuple[Path, Path]:
    """(run directory, output directory); RunError when the request does not name a run with results."""
    from mdcore.store.commits import committed
    from mdcore.store.drafts import foreign
    from mdcore.store.runs import RunError, read_manifest, run_of

    if bool(options.input_dir) == bool(options.tag):
        raise RunError("give either --input_dir or --tag, and only one of them")
    if options.tag:
        run_dir = run_of(Path(options.runs_dir), options.tag)
    else:
        run_dir = Path(options.input_dir)
    if not run_dir.is_dir():
        raise RunError(f"--input_dir: {run_dir} is not a directory; expected one like runs_out/20250319_tag")
    read_manifest(run_dir)
    if not committed(run_dir).newest:
        raise RunError(f"{run_dir} holds no finished stack yet; run its grid first")
    name = run_dir.resolve().name
    output = Path(options.output_dir or Path("analysis_results", name.split("_", 1)[-1]))
    foreign(output.resolve())
    return run_dir, output


def analyse(run_dir: Path, draft, style_file: str | None = None) -> list[str]:
    """Execute the three notebooks, one kernel each, and publish the report into `draft`, a Draft.

    style_file says what the figures show; figures of an earlier analysis that are the same are not drawn again.

    Returns what is to be told in the terminal. A notebook that fails is kept in the draft's workspace.
    """
    from mdcore.runner.kernels.servers import FOR_ANALYSIS, Kernels
    from mdcore.runner.notebooks import KernelDied, NotebookFailed, execute

    parameters = {"input_dir": str(run_dir), "output_dir": str(draft.path)}
    for_figures = {"style_file": str(Path(style_file).resolve()) if style_file else "", "earlier": str(draft.target)}
    with Kernels(FOR_ANALYSIS) as kernels:
        for name in NOTEBOOKS:
            print(f"{name} …", flush=True)
            executed = draft.workspace / f"{name}.ipynb"
            more = for_figures if name == "figures" else {}
            try:
                execute(PLACE / f"{name}.ipynb", executed, parameters | more, Path.cwd(), kernels)
            except (NotebookFailed, KernelDied):
                draft.keep = True
                raise
    from mdcore.analysis.report.publishing import publish, warnings

    publish(executed, draft.path)
    if style_file:
        from mdcore.analysis.figures.study import keep_style

        keep_style(style_file, draft.path)
    return warnings(draft.path)


def main(argv: list[str] | None = None) -> int:
    from mdcore.streams import steady_streams

    steady_streams()
    from mdcore.config.yaml_lines import GridError
    from mdcore.runner.notebooks import KernelDied, NotebookFailed
    from mdcore.store.drafts import Draft
    from mdcore.store.runs import RunError

    try:
        options = parser().parse_args(argv)
        run_dir, output = directories(options)
        if options.style:
            from mdcore.analysis.figures.study import read_options

            read_options(options.style)
        draft = Draft(output)
    except (GridError, RunError, OSError, ValueError) as error:  # ValueError: a path that cannot be one
        print(error, file=sys.stderr)
        return 2
    try:
        with draft:
            messages = analyse(run_dir, draft, options.style)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    except (NotebookFailed, KernelDied, OSError) as error:
        print(f"the analysis of {run_dir} failed: {error}", file=sys.stderr)
        if draft.keep:
            print(f"The notebook that failed is in {draft.workspace} until the next analysis.", file=sys.stderr)
        print(f"What stood in {output} stands there as before.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; the run and what stood in {output} are untouched", file=sys.stderr)
        return 130
    messages += [f"kept in {place}: what came into {output} while it was replaced" for place in draft.left]
    print("".join(f"warning: {line}\n" for line in messages), end="", file=sys.stderr)
    print(f"report: {output / 'report.html'}")
    return 0


if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
