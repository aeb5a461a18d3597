"""A run, read back and put in order for the analysis: cells, conditions, facets, curves, problems."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mdcore.analysis.data import validate
from mdcore.analysis.data.conditions import Condition, conditions_of
from mdcore.analysis.data.facets import Facet, facets_of, varied_columns
from mdcore.config.cell import METRIC, data_key
from mdcore.store.bundles.data_places import data_dir_of, without_places
from mdcore.store.columns import declare


def record_of(row: dict) -> dict:
    """The record of how the data of a cell came about, from its row of final.parquet; {} where it left none."""
    try:
        record = json.loads(row.get("preprocessing") or "{}")
        return record if isinstance(record, dict) else {}
    except ValueError:
        return {}


class Curves:
    """The history of every cell, by cell_id: `curves.get(cell_id, "gap")` -> array over its logged epochs."""

    def __init__(self, history: pd.DataFrame):
        history = history.sort_values(["cell_id", "epoch"], kind="stable") if len(history) else history
        self.columns = [c for c in history.columns if c != "cell_id"]
        self._data = {c: history[c].to_numpy(dtype=float) for c in self.columns}
        codes, names = pd.factorize(history["cell_id"]) if len(history) else (np.empty(0, int), [])
        starts = np.flatnonzero(np.diff(codes, prepend=-1)) if len(codes) else np.empty(0, int)
        ends = np.append(starts, len(codes))[1:]
        self._slice = {str(names[codes[a]]): slice(a, b) for a, b in zip(starts, ends, strict=True)}

    def __contains__(self, cell_id: str) -> bool:
        return cell_id in self._slice

    def arrays(self) -> list[tuple[str, np.ndarray]]:
        """Every column of all cells, after the names and places of the cells."""
        where = repr([(name, part.start, part.stop) for name, part in self._slice.items()])
        return [(where, np.empty(0)), *self._data.items()]

    def get(self, cell_id: str, column: str) -> np.ndarray:
        """The column of one cell, NaN where it was never written; empty for a cell without a history."""
        if cell_id not in self._slice:
            return np.empty(0)
        where = self._slice[cell_id]
        return self._data[column][where] if column in self._data else np.full(where.stop - where.start, np.nan)


@dataclass
class Results:
    """What one run has committed. `name` is the run directory's name, never its place on the machine."""

    name: str
    question: str
    cells: list[dict]
    final: pd.DataFrame
    curves: Curves
    predictors: dict[str, np.ndarray]
    manifest: dict
    grid_yaml: str
    references_dir: Path | None
    problems: list[str] = field(default_factory=list)
    user_metrics: list[str] = field(default_factory=list)
    mixed: str = ""  # in words, what changed between the stacks of the run; "" where nothing did

    @property
    def tag(self) -> str:
        """The tag in `20250319_synth_bias`; the whole name where there is no date."""
        return re.sub(r"^\d{8}_", "", self.name)

    @cached_property
    def conditions(self) -> list[Condition]:
        return conditions_of(self.cells, self._called)

    @cached_property
    def _called(self) -> dict[str, str]:
        """{data key: what they are called} of images that were read under MNIST's names and are others."""
        names = {
            data_key(c["config"]): record_of(self.row.get(c["cell_id"], {})).get("called")
            for c in self.cells
            if c["config"]["dataset"]["name"] == "mnist"
        }
        return {key: called for key, called in names.items() if called not in (None, "MNIST")}

    @cached_property
    def data_dir(self) -> str | None:
        """Where the grid's relative paths start; None where the run's grid.yaml does not say."""
        return data_dir_of(self.grid_yaml, self.references_dir.parent if self.references_dir else Path())

    @cached_property
    def grid_shown(self) -> str:
        """The grid as resolved, without the directories of the machine that ran it."""
        return without_places(self.grid_yaml, self.cells)

    @cached_property
    def facets(self) -> list[Facet]:
        return facets_of(self.conditions)

    @cached_property
    def varied(self) -> list[str]:
        return varied_columns(self.conditions)

    @cached_property
    def status(self) -> dict[str, str]:
        """cell_id -> status for every cell of the manifest; "missing" where the run has left nothing."""
        known = dict(zip(self.final["cell_id"], self.final["status"], strict=True))
        return {c["cell_id"]: known.get(c["cell_id"], "missing") for c in self.cells}

    def ambiguous(self, condition: Condition) -> bool:
        """Whether the l_p optimum of the condition is not proved to be the only one, for one of its seeds or more."""
        return any(self.row.get(i, {}).get("reference_unique") == "False" for i in condition.cells.values())

    @cached_property
    def row(self) -> dict[str, dict]:
        """cell_id -> its row of final.parquet."""
        return {r["cell_id"]: r for r in self.final.to_dict("records")}


def newest_run(runs_dir: str | Path) -> Path:
    """The run directory written last under `runs_dir`; FileNotFoundError says what to do when there is none."""
    runs = [p.parent for p in Path(runs_dir).glob("*/manifest.json")]
    if not runs:
        raise FileNotFoundError(
            f"no run under {Path(runs_dir).name}/: expected <date>_<tag>/manifest.json there; "
            "run a grid first (make demo), or give input_dir"
        )
    return max(runs, key=lambda p: ((p / "manifest.json").stat().st_mtime, p.name))


def load(input_dir: str | Path) -> Results:
    """Read a run directory and check it. What is wrong with it is in `.problems`, in words.

    Raises FileNotFoundError when there is no run at that place.
    """
    from mdcore.store.runs import read_run

    input_dir = Path(input_dir)
    if not (input_dir / "manifest.json").is_file():
        raise FileNotFoundError(
            f"{input_dir.name}: no manifest.json in it, so it is not a run directory; "
            "expected runs_out/<date>_<tag> as left by mdcore.run_grid"
        )
    run = read_run(input_dir)
    cells = [c for c in run.cells if c.get("cell_id")]
    final, history, problems, user_metrics = validate.check(cells, run.final, run.history)
    predictors = {str(k): np.asarray(v, float) for k, v in dict(run.predictors).items()}
    hide = str(input_dir.resolve())
    run_problems = [
        str(p).replace(hide + "/", "").replace(hide, input_dir.name).replace(str(input_dir) + "/", "")
        for p in run.problems
    ]
    for column in user_metrics:
        declare(column, run.manifest.get("metrics", {}).get(column.removeprefix(METRIC), {}))
    references = getattr(run, "references_dir", None)
    return Results(
        input_dir.resolve().name,
        run.question or "",
        cells,
        final,
        Curves(history),
        predictors,
        run.manifest,
        run.grid_yaml or "",
        Path(references) if references else None,
        [run.mixed] * bool(run.mixed) + run_problems + problems,
        user_metrics,
        run.mixed,
    )
