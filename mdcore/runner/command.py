"""The command `run_grid`: from what was asked for to an exit status.

0: all good. 1: some cells failed, or the run could not go on. 2: the request was wrong. 130: interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

from mdcore.runner.attempt import REQUEST, read_json
from mdcore.runner.order import evidence_of
from mdcore.runner.plan import Plan, describe, failure_table, make_plan
from mdcore.runner.progress import Log, Progress
from mdcore.store.commits import Committed, atomic_write, committed, set_aside, stacks_dir
from mdcore.store.fingerprint import code_parts
from mdcore.store.lock import RunIsHeld, RunLock
from mdcore.store.runs import Run, RunError, check_tag, open_run, write_head
from mdcore.training.content import ContentNow

GOOD, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
RERUN = ".rerun.json"  # what a --rerun was asked to train, until it is done


def run(options, argv: list[str]) -> int:
    """`options` as run_grid's parser gives them; `argv` for the command that is printed to go on."""
    from mdcore.config.grid import GridError

    try:
        grid, selected = read_request(options)
        plugins = plugin_files(grid)
        opened = open_run(Path(options.output_dir), options.tag, grid, adopt=options.rerun == "stale")
    except (GridError, RunError) as error:
        return tell(str(error), WRONG)
    parts = code_parts(plugins)
    jobs = options.jobs or cores()
    try:
        state = committed(opened.path)
        plan = plan_of(opened, grid, selected, state, parts, options.rerun)
        if options.dry_run:
            print("\n".join([f"{opened.path} {'would be made' if opened.new else 'exists'}", *opened.notes]))
            print(describe(plan, state, jobs))
            return GOOD
        if plan.other_data:
            return tell(other_data(opened, plan), WRONG)
        if not plan.stacks and not opened.notes and not state.damaged:
            print(f"nothing to do: {len(plan.done)} cells are done in {opened.path}" + stale_note(plan))
            return conclude(opened.path, options, plan.failed)
        (opened.path / "stacks").mkdir(parents=True, exist_ok=True)
        with RunLock(opened.path, options.wait):
            opened = open_run(Path(options.output_dir), options.tag, grid, adopt=options.rerun == "stale")
            return run_locked(opened, grid, selected, parts, options, jobs, argv)
    except (RunIsHeld, RunError) as error:
        return tell(str(error), WRONG)
    except KeyboardInterrupt:  # before or after the work itself, which sees to its own signals
        return tell(f"interrupted. To go on:\n  {command(argv)}", INTERRUPTED)
    except OSError as error:
        return tell(f"cannot use {opened.path}: {error}. Nothing that was finished is lost.", FAILED)


def plan_of(opened: Run, grid, selected, state: Committed, parts: dict, rerun: str | None) -> Plan:
    """The plan, the data looked at as they are now."""
    rest = rest_of_rerun(opened.path, state)
    return make_plan(grid.cells, selected, state, parts, rerun, rest, ContentNow(grid.plugin_dir))


def other_data(opened: Run, plan: Plan) -> str:
    """Why a run is not gone on with: its numbers are of other data than the grid names now."""
    reasons = "; ".join(dict.fromkeys(reason for told in plan.other_data.values() for reason in told))
    return (
        f"{opened.path}: {len(plan.other_data)} of its cells were trained on other data than the grid names now: "
        f"{reasons}. Use another --tag for these data, --rerun stale to train the cells anew, or put the data back."
    )


def read_request(options):
    """(grid, selected cells). RunError with everything that is wrong with the request, at once."""
    from mdcore.config.grid import GridError, load_grid, select

    wrong, grid, selected = [], None, None
    try:
        check_tag(options.tag)
    except RunError as error:
        wrong.append(str(error))
    if options.jobs is not None and options.jobs < 1:
        wrong.append(f"--jobs: got {options.jobs}; expected 1 or more")
    if options.scheduler and options.backend != "dask":
        wrong.append("--scheduler is for --backend dask")
    if options.device == "cuda" and options.backend == "local" and not has_cuda():
        wrong.append("--device cuda: torch finds none here; expected --device auto or cpu")
    if Path(options.output_dir).exists() and not Path(options.output_dir).is_dir():
        wrong.append(f"--output_dir: {options.output_dir} is not a directory")
    try:
        grid = load_grid(options.config, options.overrides)
        selected = select(grid.cells, options.only) if options.only else list(grid.cells)
        if not selected:
            wrong.append(f"--only {' '.join(options.only)}: no cell of the grid is left")
    except GridError as error:
        wrong.append(str(error))
    if wrong:
        raise RunError("\n".join(wrong))
    return grid, selected


def plugin_files(grid) -> list[Path]:
    """The files of the grid's plug-ins; their content decides numbers."""
    return sorted({Path(grid.plugin_dir, name.partition(":")[0] + ".py") for name in grid.plugins})


def run_locked(opened: Run, grid, selected, parts, options, jobs: int, argv: list[str]) -> int:
    """Everything that writes; the run directory is ours."""
    log = Log(opened.path / "grid.log")
    state = committed(opened.path)
    for record in state.damaged:
        aside = set_aside(opened.path, record).name
        opened.notes.append(f"damaged: {record.path.name}: {record.problem}; set aside as {aside}")
    plan = plan_of(opened, grid, selected, state, parts, options.rerun)
    if not plan.stacks and not opened.notes:  # another runner did it while this one waited
        print(f"nothing to do: {len(plan.done)} cells are done in {opened.path}")
        return conclude(opened.path, options, plan.failed)
    with early_kernels(plan, options) as kernels:
        return carry_out(plan, state, kernels, opened, grid, parts, options, jobs, argv, log)


def early_kernels(plan: Plan, options):
    """The kernels of a local run: their server imports what it needs while the run is still being prepared."""
    from mdcore.runner.kernels.servers import Kernels

    return Kernels() if plan.stacks and options.backend == "local" else nullcontext()


def carry_out(plan: Plan, state: Committed, kernels, opened: Run, grid, parts, options, jobs: int, argv, log) -> int:
    """Write the run's head, train what the plan says, tell how it ended."""
    from mdcore.store.provenance import provenance

    write_head(opened, grid, provenance())
    remove_leftovers(opened.path, {cell.cell_id for cell in grid.cells} - state.newest.keys(), plan)
    log.write(f"start: {command(argv)}")
    skipped = len(plan.done) + len(plan.failed)
    progress = Progress(plan.stacks, jobs, skipped, log, plan.speed)
    for note in opened.notes:
        progress.say(note)
    work = f"{plan.to_run} cells to train in {len(plan.stacks)} stacks, {skipped} skipped"
    progress.say(f"{opened.path}: {work}{stale_note(plan)}")
    if not plan.stacks:
        return conclude(opened.path, options, plan.failed, log)
    from mdcore.runner.runner import Runner

    if options.rerun and options.rerun != "rest":
        cells = [cell for stack in plan.stacks for cell in stack.cell_ids]
        atomic_write(opened.path / RERUN, json.dumps({"cells": cells, "since": state.next_serial}))
    runner = Runner(
        opened.path, progress, state.next_serial, parts, options.device, grid.plugin_dir, options.fail_fast,
        evidence=evidence_of(grid.cells, state.records),
    )  # fmt: skip
    with progress:
        if options.backend == "dask":
            from mdcore.runner.cluster import run_dask

            result = run_dask(runner, plan.stacks, jobs, options.scheduler)
        else:
            result = runner.run_local(plan.stacks, min(jobs, len(plan.stacks)), kernels)
    go_on = f"What is finished is kept. To go on:\n  {command(to_go_on(argv, options.rerun))}"
    if result.interrupted:
        return tell(f"interrupted. {go_on}", INTERRUPTED, log)
    if result.fatal:
        tell(f"the run stopped: {result.fatal}\n{go_on}", FAILED, log)
        if result.failed:
            print(failure_table(result.failed))
        return FAILED
    if options.rerun:
        (opened.path / RERUN).unlink(missing_ok=True)
    return conclude(opened.path, options, plan.failed | result.failed, log)


def rest_of_rerun(run_dir: Path, state: Committed) -> set[str]:
    """The cells of an interrupted --rerun of which nothing has been committed since it began."""
    told = read_json(run_dir / RERUN)
    try:
        since = {cell for record in state.records if record.serial >= told["since"] for cell in record.cells}
        return set(told["cells"]) - since
    except (KeyError, TypeError):
        return set()


def to_go_on(argv: list[str], rerun: str | None) -> list[str]:
    """The same request, and of a rerun only what it has left: 'all' again would begin anew."""
    if rerun not in ("all", "failed"):
        return argv
    joined = (f"--rerun={rerun}", "--rerun=rest")
    pairs = zip(["", *argv[:-1]], argv, strict=True)
    return ["rest" if before == "--rerun" else word.replace(*joined) for before, word in pairs]


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def remove_leftovers(run_dir: Path, pending: set[str], plan: Plan) -> None:
    """Partial stacks of which no cell is pending any more: their work has been done elsewhere."""
    wanted = pending | {cell for stack in plan.stacks for cell in stack.cell_ids}
    for place in stacks_dir(run_dir).glob(".*.partial"):
        if not wanted.intersection(read_json(place / REQUEST).get("cell_ids", [])):
            shutil.rmtree(place, ignore_errors=True)


def stale_note(plan: Plan) -> str:
    stale = [cell for cell in plan.stale if cell in plan.done or cell in plan.failed]
    why = f" ({len(stale)} of them stale: --dry_run says why, --rerun stale trains them again)"
    return why if stale else ""


def conclude(run_dir: Path, options, failed: dict, log: Log | None = None) -> int:
    """The table of failures, the analysis command, the exit status."""
    if failed:
        table = failure_table(failed)
        print(table)
        if log:
            log.write(table)
    places = ["--input_dir", str(run_dir), "--output_dir", f"analysis_results/{options.tag}"]
    print(f"analyse: python -m mdcore.run_analysis {shlex.join(places)}")
    return FAILED if failed else GOOD


def command(argv: list[str]) -> str:
    return f"python -m mdcore.run_grid {shlex.join(argv)}"


def tell(text: str, status: int, log: Log | None = None) -> int:
    print(text, file=sys.stderr)
    if log:
        log.write(text)
    return status
