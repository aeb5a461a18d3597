"""What would run, what is done, what is stale and why, and what it costs. Reads; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from mdcore.math.parameters import first_of
from mdcore.runner.stacks import Stack, compose
from mdcore.runner.times import past
from mdcore.runner.times.expected import Expectation, expectation_for, makespan
from mdcore.runner.times.progress import clock
from mdcore.store.commits import BAD, UNCONVERGED, Committed
from mdcore.store.fingerprint import changes, fingerprint
from mdcore.training.content import ContentNow
from mdcore.training.failures import printable

LIST_CELLS_UP_TO = 200  # a longer plan names the stacks only


@dataclass
class Plan:
    """The selected cells by what is known of them, and the stacks to train. All by cell id."""

    selected: list[str]
    done: set[str]
    failed: dict[str, tuple[str, str]]  # why, where to look
    stale: dict[str, list[str]]  # what changed since; also done or failed
    other_data: dict[str, list[str]]  # of them those whose data have another content now and that are not to run
    stacks: list[Stack]
    pending: set[str]  # of the whole grid: without results, or to run again
    unconverged: set[str]  # of the failed: their training ended, with a point still misclassified
    expectation: Expectation  # how long they are expected to take

    @property
    def to_run(self) -> int:
        return sum(len(stack.cells) for stack in self.stacks)


@dataclass(frozen=True)
class Rerun:
    """Which finished cells are to be trained again: 'stale', 'failed', 'all', or of an interrupted rerun the `rest`."""

    which: str | None = None
    rest: Collection[str] = ()


def make_plan(
    cells, selected, state: Committed, code_parts: dict, rerun: Rerun | None = None, content: ContentNow | None = None
) -> Plan:
    """cells: the whole grid; selected: what --only left of it; content: what the data are now, None: not looked at."""
    rerun = rerun or Rerun()
    ids = [cell.cell_id for cell in selected]
    code = fingerprint(code_parts)
    failed, stale, others, unconverged = {}, {}, {}, set()
    for cell in selected:
        cell_id = cell.cell_id
        record = state.newest.get(cell_id)
        if record is None:
            continue
        if record.status[cell_id] in BAD:
            why = record.messages.get(cell_id) or record.status[cell_id]
            failed[cell_id] = (why, str(record.path / "train_cell.ipynb"))
            if record.has_tables and record.status[cell_id] == UNCONVERGED:
                unconverged.add(cell_id)
        if record.code != code:
            stale[cell_id] = changes(record.code_parts, code_parts)
        if content and (changed := content.changes(cell, record.data)):
            others[cell_id] = changed
            stale[cell_id] = changed + stale.get(cell_id, [])
    asked = {None: (), "stale": stale, "failed": failed, "all": ids, "rest": rerun.rest}[rerun.which]
    again = set(ids).intersection(asked)
    wanted = {cell_id for cell_id in ids if cell_id not in state.newest} | again
    return Plan(
        selected=ids,
        done={c for c in ids if c in state.newest and c not in failed and c not in wanted},
        failed={c: why for c, why in failed.items() if c not in wanted},
        stale=stale,
        other_data={c: changed for c, changed in others.items() if c not in wanted},
        stacks=compose(cells, wanted) if wanted else [],
        pending=wanted | {cell.cell_id for cell in cells if cell.cell_id not in state.newest},
        unconverged=unconverged - wanted,
        expectation=expectation_for(cells, state.records, past.read(), past.pace()) if wanted else Expectation(),
    )


def describe(plan: Plan, state: Committed, jobs: int) -> str:
    """The plan in words, a line for each stack that would run."""
    lines = [
        f"{len(plan.selected)} cells: {len(plan.done)} done, {len(plan.failed)} failed, "
        f"{len(plan.stale)} stale, {plan.to_run} to run in {len(plan.stacks)} stacks"
    ]
    lines += [f"damaged, to be trained again: {r.path.name}: {r.problem}" for r in state.damaged]
    for reasons, count in Counter(first_of(reasons, 6) for reasons in plan.stale.values()).items():
        lines.append(f"stale: {count} cells: {reasons} (--rerun stale trains them again)")
    each = [plan.expectation.seconds(stack) for stack in plan.stacks]
    for stack, seconds in zip(plan.stacks, each):
        lines.append(f"  {stack.name}  {len(stack.cells)} cells  about {clock(seconds)}")
        if plan.to_run <= LIST_CELLS_UP_TO:
            lines += [f"      {cell_id}" for cell_id in stack.cell_ids]
    if plan.stacks:
        start = plan.expectation.start(compiles=False)
        together = clock(start + makespan(each, jobs))
        lines.append(f"cost: about {clock(start + sum(each))} on one core, {together} with --jobs {jobs}")
    return "\n".join(lines)


def failure_table(failed: dict[str, tuple[str, str]], most: int = 50) -> str:
    """Which cells failed, why, and where to look."""
    rows = [(cell, printable(why, 160), where) for cell, (why, where) in sorted(failed.items())]
    width = max(len("cell"), *(len(row[0]) for row in rows[:most]))
    lines = [f"{len(rows)} cells failed:", f"  {'cell':<{width}}  why"]
    for cell, why, where in rows[:most]:
        lines += [f"  {cell:<{width}}  {why}", f"  {'':<{width}}  see {where}"]
    if len(rows) > most:
        lines.append(f"  … and {len(rows) - most} more, all in grid.log")
    return "\n".join(lines)
