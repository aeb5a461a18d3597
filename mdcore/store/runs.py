"""Run directories: which one a tag means, what its head says, and the results read back, each one checked."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdcore.config.cell import make_cell, without_seed
from mdcore.files import atomic_write, seal, sealed
from mdcore.math.parameters import first_of, nearest
from mdcore.store.columns import HISTORY
from mdcore.store.commits import Record, committed
from mdcore.store.fingerprint import changes
from mdcore.store.reading.tables import failed_rows, read_tables

if TYPE_CHECKING:
    import pandas as pd

    from mdcore.config.grid import Grid

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class RunError(Exception):
    """The request does not fit what stands on the disk, or a run cannot be read; the text says what to do."""


@dataclass
class Run:
    """A run directory, opened for a grid. `new`: nothing of it is on the disk yet. `notes`: what to tell."""

    path: Path
    new: bool
    manifest: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class RunData:
    """What a run has committed, in the manifest's order; of a cell trained twice the newest result."""

    path: Path
    manifest: dict[str, Any]
    cells: list[dict[str, Any]]  # {"cell_id", "config"}
    final: pd.DataFrame  # one row per finished cell
    history: pd.DataFrame  # one row per cell and logged epoch
    predictors: dict[str, Any]  # cell_id -> w (d,)
    problems: list[str]
    references_dir: Path
    grid_yaml: str
    question: str
    stacks: dict[str, Path] = field(default_factory=dict)  # cell_id -> the directory that its results come from
    mixed: str = ""  # what tells apart the versions of the code that its stacks were trained with


def check_tag(tag: str) -> str:
    """The tag, or RunError: 1 to 80 of A-Z a-z 0-9 . _ - and first a letter or digit: a plain name."""
    if not isinstance(tag, str) or not TAG.fullmatch(tag):
        raise RunError(
            f"--tag: got {tag!r}; expected 1 to 80 letters, digits, '.', '_' or '-', first a letter or digit"
        )
    return tag


def find_run(output_dir: Path, tag: str) -> Path | None:
    """The newest directory <YYYYMMDD>_<tag> in output_dir; None where there is none."""
    name = re.compile(r"\d{8}_" + re.escape(check_tag(tag)))
    try:
        run_dirs = [p for p in Path(output_dir).iterdir() if name.fullmatch(p.name) and p.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return max(run_dirs, default=None)


def run_of(runs_dir: Path, tag: str) -> Path:
    """`find_run`; where there is none, a RunError with the nearest tag that there is."""
    run = find_run(runs_dir, tag)
    if run is None:
        there = [path.name[9:] for path in Path(runs_dir).glob("[0-9]*_*") if path.is_dir()]
        raise RunError(
            f"no run with the tag {tag!r} in {Path(runs_dir).name}/; expected one that `make grid GRID=… TAG={tag}` "
            f"has made{nearest(tag, there)}"
        )
    return run


def open_run(output_dir: Path, tag: str, grid: Grid, adopt: bool = False) -> Run:
    """The run that `tag` means for `grid`; reads only. RunError when the tag stands for another grid.

    adopt: take the changed grid over; cells it shares with the old one keep their results.
    """
    path = find_run(output_dir, tag)
    if path is None:
        return Run(Path(output_dir) / f"{time.strftime('%Y%m%d')}_{tag}", new=True)
    run = Run(path, new=False)
    head = (path / "manifest.json", path / "grid.yaml")
    if not any(file.exists() for file in head) and not committed(path).newest:
        return run  # made, and left before anything was written
    there = _cells_on_disk(run)
    if there is None:
        return run
    here = {cell.cell_id: cell.config for cell in grid.cells}
    if here.keys() != there.keys():
        if not adopt:
            raise RunError(
                f"{path} was made with another grid:\n{_differences(there, here)}\n"
                "Use another --tag for the new grid, or --rerun stale to take it over here "
                "(cells in both keep their results)."
            )
        run.notes.append(f"the grid of {path.name} is replaced:\n{_differences(there, here)}")
    elif not run.notes and not _holds(path / "grid.yaml", grid.resolved_yaml(beside=True)):
        run.notes.append("grid.yaml is damaged, or words it otherwise (its question, its order); it is written anew")
    return run


def _holds(file: Path, text: str) -> bool:
    """Whether the file is there with this text, to the byte."""
    data = text.encode()
    try:
        return file.stat().st_size == len(data) and file.read_bytes() == data
    except OSError:
        return False


def _cells_on_disk(run: Run) -> dict[str, dict[str, Any]] | None:
    """{cell_id: config} from the manifest, else from grid.yaml; None where neither can be read."""
    try:
        run.manifest = read_manifest(run.path)
        return {cell["cell_id"]: cell["config"] for cell in run.manifest["cells"]}
    except RunError as error:
        run.notes.append(f"{error}; it is written anew")
    from mdcore.config.errors import GridError
    from mdcore.config.grid import load_grid

    try:
        return {cell.cell_id: cell.config for cell in load_grid(run.path / "grid.yaml").cells}
    except (GridError, OSError) as error:
        run.notes.append(f"grid.yaml: {str(error).splitlines()[0]}; it is written anew")
        return None


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """manifest.json, its shape checked; RunError says what is wrong."""
    try:
        manifest = json.loads((run_dir / "manifest.json").read_bytes())
        checksum, cells = manifest.pop("sha256", None), manifest["cells"]
        if checksum is not None and checksum != seal(manifest):
            raise ValueError("it does not match its own checksum")
        if not all(isinstance(c["cell_id"], str) and isinstance(c["config"], dict) for c in cells):
            raise ValueError("a cell without an id or a configuration")
        return dict(manifest)
    except FileNotFoundError:
        raise RunError(f"{run_dir} has no manifest.json") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{run_dir / 'manifest.json'} cannot be read ({error})") from None


def _differences(there: dict[str, dict[str, Any]], here: dict[str, dict[str, Any]]) -> str:
    """Which keys take other values in the two grids, and how many cells they share."""
    lines = []
    keys = dict.fromkeys(key for config in [*there.values(), *here.values()] for key in config)
    for key in keys:
        old, new = (sorted({json.dumps(c.get(key)) for c in side.values()}) for side in (there, here))
        if old != new:
            lines.append(f"  {key}: {first_of(old, 4)} there, {first_of(new, 4)} here")
    shared = len(there.keys() & here.keys())
    return "\n".join([*lines, f"  cells: {len(there)} there, {len(here)} here, {shared} in both"])


def write_head(run: Run, grid: Grid, provenance: dict[str, Any]) -> None:
    """grid.yaml and manifest.json, with what metrics of the user's own declare.

    An earlier, different provenance is kept under "earlier".

    The manifest's "data" are those that what is committed was trained on: {sha256 of the arrays: {label, files: {name:
    sha256}, cells}}.
    """
    from mdcore.config.plugins.loading import declarations

    cells = [{"cell_id": cell.cell_id, "config": cell.config} for cell in grid.cells]
    manifest: dict[str, Any] = {
        "cells": cells,
        "grid_yaml": grid.resolved_yaml(beside=True),
        "provenance": provenance,
        "data": trained_on(run.path, [cell.cell_id for cell in grid.cells]),
    }
    old = run.manifest.get("provenance")
    earlier = run.manifest.get("earlier", []) + ([old] if old and old != provenance else [])
    if earlier:
        manifest["earlier"] = earlier
    if metrics := declarations(grid):
        manifest["metrics"] = metrics
    for file in grid.plugin_files:  # the run holds their sources: its grid.yaml repeats it wherever it lies
        atomic_write(run.path / file.name, file.read_bytes())
    atomic_write(run.path / "grid.yaml", grid.resolved_yaml(beside=True))
    atomic_write(run.path / "manifest.json", sealed(manifest))
    run.manifest = manifest


def trained_on(run_dir: Path, cell_ids: list[str]) -> dict[str, dict[str, Any]]:
    """{sha256 of the arrays: {"label", "files": {name: sha256}, "cells"}} of the cells that have results."""
    newest = committed(run_dir).newest
    by_digest: dict[str, dict[str, Any]] = {}
    for cell_id in cell_ids:
        data = newest[cell_id].data if cell_id in newest else {}
        if data.get("sha256"):
            described = {"label": data.get("label", ""), "files": data.get("files", {}), "cells": []}
            by_digest.setdefault(data["sha256"], described)["cells"].append(cell_id)
    return by_digest


def read_run(run_dir: str | Path) -> RunData:
    """Everything a run has committed; what is damaged is in `problems`. RunError: it is no run directory."""
    import pandas as pd

    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise RunError(f"{run_dir} is not a directory; expected a run such as runs_out/20250319_my_tag")
    manifest = read_manifest(run_dir)
    order = {cell["cell_id"]: number for number, cell in enumerate(manifest["cells"])}
    configs = {cell["cell_id"]: cell["config"] for cell in manifest["cells"]}
    check_ids(configs)
    state = committed(run_dir)
    problems = [f"{r.path.name}: {r.problem}" for r in state.damaged]
    finals, histories, used = [], [], []
    predictors: dict[str, Any] = {}
    stacks: dict[str, Path] = {}
    taken: set[str] = set()
    for record in reversed(state.records):  # the one that counts first
        wanted = [c for c in record.cells if c in order and c not in taken]
        if not wanted:
            continue
        if not record.has_tables:  # a recorded failure
            finals.append(failed_rows(manifest, record, wanted))
            taken.update(wanted)
            continue
        try:
            final, history, w = read_tables(record, wanted, configs, run_dir / "references")
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{record.path.name}: {error}")
            continue
        taken.update(wanted)
        used.append((record, len(wanted)))
        finals.append(final)
        histories.append(history)
        predictors |= w
        stacks |= dict.fromkeys(wanted, record.path)
    for tables in (finals, histories):  # the columns stand in the same order whichever stack was finished first
        tables.sort(key=lambda table: order[table["cell_id"].iloc[0]] if len(table) else len(order))
    final = pd.concat(finals or [pd.DataFrame(columns=["cell_id", "status"])], ignore_index=True)
    history = pd.concat(histories or [pd.DataFrame(columns=["cell_id", "epoch", *HISTORY])], ignore_index=True)
    final = final.infer_objects()  # a stack that has no value of a parameter leaves its column without a type
    final = final.sort_values("cell_id", key=lambda ids: ids.map(order), kind="stable").reset_index(drop=True)
    by = history["cell_id"].map(order).astype(float).argsort(kind="stable")
    text, question = _grid_text(run_dir, manifest, problems)
    return RunData(
        path=run_dir,
        manifest=manifest,
        cells=manifest["cells"],
        final=final,
        history=history.iloc[by].reset_index(drop=True),
        predictors=predictors,
        problems=problems,
        references_dir=run_dir / "references",
        grid_yaml=text,
        question=question,
        stacks=stacks,
        mixed=_versions(used),
    )


def check_ids(configs: dict[str, dict[str, Any]]) -> None:
    """RunError unless every cell's id is that of its configuration, and conditions that differ have different ids."""
    conditions: dict[str, str] = {}
    for cell_id, config in configs.items():
        try:
            cell = make_cell(config)
            condition = json.dumps(without_seed(config), sort_keys=True)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
            raise RunError(f"manifest.json: {cell_id} has no configuration of a cell ({error!r})") from None
        if cell.cell_id[-8:] != cell_id[-8:]:  # the hash; what stands before it is for people
            raise RunError(f"manifest.json: {cell_id} has the configuration of {cell.cell_id}; it was edited by hand")
        if conditions.setdefault(cell.condition_id, condition) != condition:
            raise RunError(f"two conditions have the id {cell.condition_id}; run them in two grids")


def _versions(used: list[tuple[Record, int]]) -> str:
    """In words, what changed between the stacks of a run, (record, cells); "" where all have one version."""
    codes: dict[str, list[tuple[Record, int]]] = {}
    for record, count in used:
        codes.setdefault(record.code, []).append((record, count))
    if len(codes) < 2:
        return ""
    newest = max((record for record, _ in used), key=lambda record: record.serial)
    parts = []
    for code, records in codes.items():
        if code != newest.code:
            words = changes(records[0][0].code_parts, newest.code_parts)
            parts.append(f"{sum(count for _, count in records)} before this: {first_of(words, 4)}")
    return (
        f"This run mixes {len(codes)} versions of what decides its numbers. Of its {sum(n for _, n in used)} trained "
        f"cells, {'; '.join(parts)}. Do not compare them with the others: `--rerun stale` trains them again."
    )


def _grid_text(run_dir: Path, manifest: dict[str, Any], problems: list[str]) -> tuple[str, str]:
    """(text, question) of the run's grid as the manifest has it; a grid.yaml that says otherwise is told."""
    from mdcore.config.errors import Problems
    from mdcore.config.yaml_lines import parse

    text = manifest.get("grid_yaml")
    if not isinstance(text, str):
        problems.append("manifest.json does not hold the grid, so that none is shown; the grid command writes it")
        return "", ""
    if not _holds(run_dir / "grid.yaml", text):
        problems.append("grid.yaml is damaged or was edited after the run; the grid shown here is the manifest's")
    document = parse(text, "manifest.json", Problems().add)
    question = document.data.get("question") if document and isinstance(document.data, dict) else None
    return text, question if isinstance(question, str) else ""
