"""Grids from Python: run one, read a run back as tables and arrays, analyse it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypedDict, Unpack, cast

import numpy as np
import pandas as pd

from mdcore.config.cell import dataset_label, flatten
from mdcore.config.errors import nearest, one_of
from mdcore.store.locations import grid_path
from mdcore.store.reading.exploring import Kept, read_kept
from mdcore.store.runs import RunError, read_run, run_of

CONDITION = ("data", "dataset", "digits", "pca", "potential", "potential_label", "p", "depth", "seed", "status")


class GridOptions(TypedDict, total=False):
    """The options of `python -m mdcore.run_grid`; `set` is {key: value}, `only` one filter or several."""

    set: Mapping[str, Any]
    only: str | Iterable[str]
    jobs: int
    rerun: str
    fail_fast: bool
    wait: bool
    backend: str
    scheduler: str
    device: str
    output_dir: str | Path


@dataclass(frozen=True)
class LoadedRun:
    """A run read back.

    cells : a row for each finished cell: its configuration flattened, and every final metric (final.parquet).
    history : a row for each cell and logged epoch, with the columns that say which condition it is, ready to plot.
    predictors : {cell_id: w (d,)}, in the coordinates that the cell was trained in.
    kept(cell_id) : its predictors along training, its layers, and the way back to the features of the data.
    configs : {cell_id: the cell's configuration}. question : the grid's. problems : what could not be read, in words.
    missing : cell_ids without a result.
    """

    path: Path
    question: str
    cells: pd.DataFrame = field(repr=False)
    history: pd.DataFrame = field(repr=False)
    predictors: dict[str, np.ndarray] = field(repr=False)
    configs: dict[str, dict] = field(repr=False)
    problems: list[str]
    missing: list[str]
    stacks: dict[str, Path] = field(repr=False, default_factory=dict)

    def kept(self, cell_id: str) -> Kept:
        """What the run keeps of a cell for exploring: `.epochs`, `.path`, `.layers`, `.basis`, `.on_features(w)`.

        Raises ValueError where it keeps nothing (`keep: false` in the grid), or what it keeps was altered.
        """
        if cell_id not in self.stacks:
            hint = nearest(cell_id, self.stacks)
            raise ValueError(f"{self.path.name} has no result of the cell {cell_id!r}{hint}")
        mine = self.history[self.history["cell_id"].eq(cell_id)]
        norms = dict(zip(mine["epoch"], mine["weight_norm"], strict=True))
        return read_kept(self.stacks[cell_id], cell_id, self.predictors[cell_id], norms)

    @property
    def tag(self) -> str:
        """The name of the run, without its date."""
        return self.path.name.split("_", 1)[-1]


@dataclass(frozen=True)
class Analysis:
    """An analysed run: master (a row a cell) and summary (a row a condition), and where the report lies."""

    path: Path
    report: Path
    master: pd.DataFrame = field(repr=False)
    summary: pd.DataFrame = field(repr=False)
    warnings: list[str]


def load_run(tag: str | Path = "", runs_dir: str | Path = "runs_out") -> LoadedRun:
    """The run of a tag, or at a path; without a tag the newest in which every cell has a result.

    Raises RunError, with the nearest tag, when there is none.
    """
    if tag:
        return _read(_place(tag, Path(runs_dir)))
    manifests = Path(runs_dir).glob("*/manifest.json")
    for manifest in sorted(manifests, key=lambda file: file.stat().st_mtime, reverse=True):
        run = _read(manifest.parent)
        if not run.missing:
            return run
    raise RunError(
        f"no complete run in {runs_dir}/; run a grid first: mdcore.run_grid('quick_debug', tag='demo'), or make demo"
    )


def _place(tag: str | Path, runs_dir: Path) -> Path:
    if isinstance(tag, Path) or Path(tag, "manifest.json").is_file():
        return Path(tag)
    return run_of(runs_dir, tag)


def _read(path: Path) -> LoadedRun:
    run = read_run(path)
    status = dict(zip(run.final["cell_id"], run.final["status"]))
    configs = {cell["cell_id"]: cell["config"] for cell in run.cells}
    flat = [
        {"cell_id": cell_id, "data": dataset_label(config), **flatten(config), "status": status.get(cell_id)}
        for cell_id, config in configs.items()
    ]
    conditions = pd.DataFrame(flat, columns=["cell_id", *CONDITION]).dropna(axis="columns", how="all")
    history = run.history.merge(conditions, on="cell_id", how="left", validate="many_to_one")
    missing = [cell_id for cell_id in configs if cell_id not in status]
    results = (run.final, history, run.predictors)
    return LoadedRun(run.path, run.question, *results, configs, run.problems, missing, run.stacks)


def run_grid(grid: str | Path | Mapping[str, Any], tag: str, **options: Unpack[GridOptions]) -> LoadedRun:
    """Run or resume a grid, and read the run back: what is done is skipped.

    grid: a YAML file, the name of a grid that comes with mdcore ("quick_debug"), or the grid itself as a mapping with
    question, fixed and vary. The options are those of `python -m mdcore.run_grid`. Cells that failed have the status
    "failed" and a message in `.cells`. Raises RunError and GridError for a request that is wrong, with everything that
    is wrong with it; KeyboardInterrupt when it was interrupted, what is finished being kept.
    """
    from mdcore.runner.command import INTERRUPTED, RunRequest, perform

    known = GridOptions.__annotations__
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"unknown option {unknown[0]!r}; expected {one_of(known)}{nearest(unknown[0], known)}")
    only, settings = options.pop("only", ()), options.pop("set", {})
    with tempfile.TemporaryDirectory(prefix="mdcore-grid-") as place:
        request = RunRequest(
            str(grid_file(grid, Path(place))), tag,
            only=(only,) if isinstance(only, str) else tuple(only),
            overrides=tuple(f"{key}={json.dumps(value)}" for key, value in settings.items()),
            **cast(Any, {name: str(value) if name == "output_dir" else value for name, value in options.items()}),
        )  # fmt: skip
        if perform(request) == INTERRUPTED:
            raise KeyboardInterrupt
    return load_run(tag, request.output_dir)


def grid_file(grid: str | Path | Mapping[str, Any], place: Path) -> Path:
    """The file of a grid: as given, of a shipped one by its name, or written into `place` from a mapping."""
    if isinstance(grid, Mapping):
        from mdcore.config.yaml_lines import dump

        path = place / "grid.yaml"
        path.write_text(dump(dict(grid)), encoding="utf-8")
        return path
    return Path(grid_path(grid))


def analyse(
    run: str | Path | LoadedRun = "", output_dir: str | Path = "", runs_dir: str | Path = "runs_out"
) -> Analysis:
    """Tables, figures and report of a run: of a tag, at a path, or as `load_run` gave it; the newest without one.

    They go to analysis_results/<tag> unless `output_dir` names another place. Raises RunError where there is no run
    or none of its cells is finished; NotebookFailed where the analysis itself fails.
    """
    import mdcore.run_analysis as command
    from mdcore.store.drafts import Draft

    path = (
        run.path if isinstance(run, LoadedRun) else _place(run, Path(runs_dir)) if run else load_run("", runs_dir).path
    )
    request = SimpleNamespace(input_dir=str(path), tag=None, runs_dir=None, output_dir=str(output_dir))
    run_dir, output = command.directories(request)
    with Draft(output) as draft:
        messages = command.analyse(run_dir, draft)
    master, summary = (pd.read_csv(output / f"{name}.csv") for name in ("master", "summary"))
    return Analysis(output, output / "report.html", master, summary, messages)
