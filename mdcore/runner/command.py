"""The command `run_grid`: from a request to an exit status.

0: all good. 1: some cells could not be trained or diverged, or the run could not go on. 2: the request was wrong. 130:
interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mdcore.files import atomic_write, read_json
from mdcore.runner.backends import LocalBackend
from mdcore.runner.execution import REQUEST, RunSettings
from mdcore.runner.kernels.servers import Kernels
from mdcore.runner.plan import Plan, Rerun, describe, failure_table, make_plan
from mdcore.runner.runner import Runner, RunResult
from mdcore.runner.stacks import digest
from mdcore.runner.times.progress import Log, Progress, bounded_prints
from mdcore.store.commits import Committed, committed, set_aside, stacks_dir
from mdcore.store.fingerprint import code_parts
from mdcore.store.locations import by_make
from mdcore.store.lock import RunIsHeld, RunLock
from mdcore.store.provenance import provenance
from mdcore.store.runs import Run, RunError, check_tag, open_run, write_head
from mdcore.training.content import ContentNow

if TYPE_CHECKING:
    from mdcore.config.grid import Grid

GOOD, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
RERUN = ".rerun.json"  # what a --rerun was asked to train, until it is done


@dataclass(frozen=True)
class RunRequest:
    """What is asked of `run_grid`: its arguments, by their names."""

    config: str
    tag: str
    output_dir: str = "runs_out"
    jobs: int | None = None  # None: one for each core
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    dry_run: bool = False
    margins: bool = False
    rerun: str | None = None
    fail_fast: bool = False
    wait: bool = False
    backend: str = "local"
    scheduler: str | None = None
    device: str = "auto"

    def flags(self, *without: str) -> list[str]:
        """The words of the command line, but those of the fields named."""
        words = []
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            flag = "--set" if one.name == "overrides" else f"--{one.name}"
            if one.name in without or value == one.default or value is False:
                continue
            for word in value if isinstance(value, (tuple, list)) else [value]:
                words += [flag] if word is True else [flag, str(word)]
        return words

    def command(self) -> str:
        """The command line that asks for the same: by make where make has called."""
        if not by_make():
            return f"python -m mdcore.run_grid {shlex.join(self.flags())}"
        grid = Path(self.config)
        variables = {"GRID": grid.stem if grid == Path("grids", f"{grid.stem}.yaml") else self.config, "TAG": self.tag}
        variables |= {"JOBS": str(self.jobs)} if self.jobs not in (None, cores()) else {}
        args = shlex.join(self.flags("config", "tag", "jobs", "dry_run")).replace("$", "$$")
        variables |= {"ARGS": args} if args else {}
        return f"make {'plan' if self.dry_run else 'grid'} {shlex.join(f'{k}={v}' for k, v in variables.items())}"

    def to_go_on(self) -> str:
        """The command for the rest of it; of a rerun only what it has left: 'all' again would begin anew."""
        left = dataclasses.replace(self, rerun="rest") if self.rerun in ("all", "failed") else self
        return f"To go on:\n  {left.command()}"


@dataclass
class GridRun:
    """A request against what stands on the disk."""

    request: RunRequest
    grid: Grid
    selected: list
    parts: dict[str, str]
    opened: Run = field(init=False)
    content: ContentNow = field(init=False)

    def __post_init__(self) -> None:
        self.content = ContentNow(self.grid)
        self.look_up()

    def look_up(self) -> None:
        """What stands on the disk under the tag."""
        adopt = self.request.rerun == "stale"
        self.opened = open_run(Path(self.request.output_dir), self.request.tag, self.grid, adopt=adopt)

    @property
    def path(self) -> Path:
        return self.opened.path

    @property
    def jobs(self) -> int:
        return self.request.jobs or cores()

    def plan(self, state: Committed) -> Plan:
        """The plan, the data looked at as they are now."""
        rerun = Rerun(self.request.rerun, rest_of_rerun(self.path, state))
        with bounded_prints():  # a data set of the user's own is made
            return make_plan(self.grid.cells, self.selected, state, self.parts, rerun, self.content)


def run(request: RunRequest) -> int:
    """Run or resume a grid; everything there is to say is printed."""
    from mdcore.config.errors import GridError

    try:
        return perform(request)
    except (GridError, RunError, RunIsHeld) as error:
        return tell(str(error), WRONG)


def perform(request: RunRequest) -> int:
    """`run` for a caller in Python: GridError, RunError or RunIsHeld where the request is wrong."""
    grid, selected = read_request(request)
    work = GridRun(request, grid, selected, code_parts(grid.plugin_files))
    try:
        state = committed(work.path)
        plan = work.plan(state)
        if request.dry_run:
            print("\n".join([f"{work.path} {'would be made' if work.opened.new else 'exists'}", *work.opened.notes]))
            with bounded_prints():
                lines, is_wrong = work.content.report(work.selected, request.margins)
            print("\n".join([*lines, describe(plan, state, work.jobs)]))
            return WRONG if is_wrong else GOOD
        if plan.other_data:
            raise RunError(other_data(work.opened, plan))
        if wrong := work.content.unreadable(plan.stacks):
            raise RunError("\n".join(wrong))
        if not plan.stacks and not work.opened.notes and not state.damaged:
            print(f"nothing to do: {len(plan.done)} cells are done in {work.path}" + stale_note(plan))
            return conclude(work, plan)
        (work.path / "stacks").mkdir(parents=True, exist_ok=True)
        with RunLock(work.path, request.wait):
            work.look_up()
            return run_locked(work)
    except KeyboardInterrupt:  # before or after the work itself, which sees to its own signals
        return tell(f"interrupted. {request.to_go_on()}", INTERRUPTED)
    except OSError as error:
        return tell(f"cannot use {work.path}: {error}. Nothing that was finished is lost.", FAILED)


def other_data(opened: Run, plan: Plan) -> str:
    """Why a run is not gone on with: its numbers are of other data than the grid names now."""
    reasons = "; ".join(dict.fromkeys(reason for reasons in plan.other_data.values() for reason in reasons))
    return (
        f"{opened.path}: {len(plan.other_data)} of its cells were trained on other data than the grid names now: "
        f"{reasons}. Use another --tag for these data, --rerun stale to train the cells anew, or put the data back."
    )


def read_request(request: RunRequest):
    """(grid, selected cells). RunError with everything that is wrong with the request, at once."""
    from mdcore.config.errors import GridError
    from mdcore.config.expansion.selection import select
    from mdcore.config.grid import load_grid

    wrong, grid, selected = [], None, None
    try:
        check_tag(request.tag)
    except RunError as error:
        wrong.append(str(error))
    if request.jobs is not None and request.jobs < 1:
        wrong.append(f"--jobs: got {request.jobs}; expected 1 or more")
    if request.scheduler and request.backend != "dask":
        wrong.append("--scheduler is for --backend dask")
    if request.device == "cuda" and request.backend == "local":
        import torch

        if not torch.cuda.is_available():
            wrong.append("--device cuda: torch finds none here; expected --device auto or cpu")
    if Path(request.output_dir).exists() and not Path(request.output_dir).is_dir():
        wrong.append(f"--output_dir: {request.output_dir} is not a directory")
    try:
        with bounded_prints():  # plug-ins are imported and tried
            grid = load_grid(request.config, request.overrides)
        selected = select(grid.cells, request.only) if request.only else list(grid.cells)
        if not selected:
            wrong.append(f"--only {' '.join(request.only)}: no cell of the grid is left")
    except GridError as error:
        wrong.append(str(error))
    if wrong:
        raise RunError("\n".join(wrong))
    return grid, selected


def run_locked(work: GridRun) -> int:
    """Everything that writes; the run directory is ours."""
    log = Log(work.path / "grid.log")
    state = committed(work.path)
    for record in state.damaged:
        aside = set_aside(work.path, record).name
        work.opened.notes.append(f"damaged: {record.path.name}: {record.problem}; set aside as {aside}")
    plan = work.plan(state)
    if not plan.stacks and not work.opened.notes:  # another runner did it while this one waited
        print(f"nothing to do: {len(plan.done)} cells are done in {work.path}")
        return conclude(work, plan)
    # the server of the kernels imports what it needs while the run is still being prepared
    with Kernels() if plan.stacks and work.request.backend == "local" else nullcontext() as kernels:
        progress = begin(work, plan, log)
        if not plan.stacks:
            return conclude(work, plan, log)
        result = train(work, plan, state, progress, kernels)
    if not result.fatal:
        write_head(work.opened, work.grid, work.opened.manifest["provenance"])  # with what was trained on
    go_on = f"What is finished is kept. {work.request.to_go_on()}"
    if result.interrupted:
        return tell(f"interrupted. {go_on}", INTERRUPTED, log)
    if result.fatal:
        tell(f"the run stopped: {result.fatal}\n{go_on}", FAILED, log)
        if result.failed:
            print(failure_table(result.failed))
        return FAILED
    if work.request.rerun:
        (work.path / RERUN).unlink(missing_ok=True)
    return conclude(work, plan, log, result)


def begin(work: GridRun, plan: Plan, log: Log) -> Progress:
    """grid.yaml, manifest.json and the first lines of the log, before anything is trained; the progress of it."""
    write_head(work.opened, work.grid, provenance())
    remove_leftovers(work.path, plan)
    log.write(f"start: {work.request.command()}")
    skipped = len(plan.done) + len(plan.failed)
    progress = Progress(plan.stacks, work.jobs, skipped, log, plan.expectation)
    for note in work.opened.notes:
        progress.say(note)
    cells = f"{plan.to_run} cells to train in {len(plan.stacks)} stacks, {skipped} skipped"
    progress.say(f"{work.path}: {cells}{stale_note(plan)}")
    return progress


def train(work: GridRun, plan: Plan, state: Committed, progress: Progress, kernels):
    """Train the stacks of the plan on the backend that was asked for."""
    request, grid = work.request, work.grid
    if request.rerun and request.rerun != "rest":
        cells = [cell for stack in plan.stacks for cell in stack.cell_ids]
        atomic_write(work.path / RERUN, json.dumps({"cells": cells, "since": state.next_serial}))
    settings = RunSettings(
        work.parts, request.device, grid.plugin_dir, grid.data_dir, grid.keep, request.fail_fast, grid.timeout
    )
    runner = Runner(work.path, progress, state.next_serial, settings)
    if kernels is not None:
        progress.starting = kernels.starting
    with progress:
        if request.backend == "dask":
            from mdcore.runner.dask_backend import DaskBackend, connected

            with connected(work.jobs, request.scheduler) as client:
                return runner.run(DaskBackend(client), plan.stacks)
        result = runner.run(LocalBackend(kernels, min(work.jobs, len(plan.stacks))), plan.stacks)
        progress.remember_the_start()
        return result


def rest_of_rerun(run_dir: Path, state: Committed) -> set[str]:
    """The cells of an interrupted --rerun of which nothing has been committed since it began."""
    asked = read_json(run_dir / RERUN)
    try:
        since = {cell for record in state.records if record.serial >= asked["since"] for cell in record.cells}
        return set(asked["cells"]) - since
    except (KeyError, TypeError):
        return set()


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def remove_leftovers(run_dir: Path, plan: Plan) -> None:
    """Partial stacks of which no cell is pending any more: their work has been done elsewhere.

    They are known by a request whose cells are those that their name stands for; whatever else is named alike stays.
    """
    for place in stacks_dir(run_dir).glob(".*.partial"):
        cell_ids = read_json(place / REQUEST).get("cell_ids") or []
        ours = isinstance(cell_ids, list) and place.name.endswith(f"-{digest(cell_ids)}.partial")
        if ours and not plan.pending.intersection(map(str, cell_ids)):
            shutil.rmtree(place, ignore_errors=True)


def stale_note(plan: Plan) -> str:
    stale = [cell for cell in plan.stale if cell in plan.done or cell in plan.failed]
    why = f" ({len(stale)} of them stale: --dry_run says why, --rerun stale trains them again)"
    return why if stale else ""


def conclude(work: GridRun, plan: Plan, log: Log | None = None, result: RunResult | None = None) -> int:
    """The table of failures, the analysis command, the exit status: that a run has not converged is no failure."""
    failed = plan.failed | (result.failed if result else {})
    if failed:
        table = failure_table(failed)
        print(table)
        if log:
            log.write(table)
    arguments = ["--input_dir", str(work.path), "--output_dir", f"analysis_results/{work.request.tag}"]
    usual = by_make() and work.request.output_dir == "runs_out"
    analyse = (
        f"make analysis TAG={work.request.tag}" if usual else f"python -m mdcore.run_analysis {shlex.join(arguments)}"
    )
    print(f"analyse: {analyse}")
    ended = plan.unconverged | (result.unconverged if result else set())
    return FAILED if failed.keys() - ended else GOOD


def tell(text: str, status: int, log: Log | None = None) -> int:
    print(text, file=sys.stderr)
    if log:
        log.write(text)
    return status
