"""What the claims look at: the theorem grids' runs, cut to the cells that were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mdcore.config.cell import make_cell
from mdcore.config.expansion.selection import select
from mdcore.config.grid import load_grid
from mdcore.problems.datasets import Dataset
from mdcore.problems.references import References, solve_references
from mdcore.store.locations import shipped
from mdcore.store.runs import RunData, find_run, read_run
from mdcore.training.cell_data import load_data

GRIDS = shipped("grids")


@dataclass(frozen=True)
class Part:
    """A grid of the suite and the tag of its run; `quick`: the --only words of `make verify QUICK=1`, () for all."""

    grid: str
    quick: tuple[str, ...] = ("seed=0",)

    @property
    def path(self) -> Path:
        return GRIDS / f"{self.grid}.yaml"


SEPARABLE = {
    "limits": Part("theorems"),
    "rates": Part("theorems_rates"),
    "transient": Part("theorems_transient"),
    "norms": Part("theorems_norms"),
    "invariants": Part("theorems_invariants", ()),
    "layers": Part("theorems_layers"),
    "horizons": Part("theorems_horizons"),
}
PARTS = SEPARABLE | {"overlap": Part("theorems_overlap"), "quasi": Part("theorems_quasi")}


class Evidence:
    """Runs by part name, read when a claim first asks for one.

    `final(part)`, `history(part)`: tables; `w(part)`: {cell_id: w (d,)}; `data(part, cell_id)`, `references(…)`.
    Raises LookupError for a part without a run, or with cells missing from it.
    """

    def __init__(self, runs_dir: str | Path, quick: bool = False):
        self.runs_dir, self.quick = Path(runs_dir), quick
        self._runs: dict[str, RunData] = {}
        self._configs: dict[str, dict[str, dict]] = {}
        self._data: dict[str, Dataset] = {}

    def configs(self, part: str) -> dict[str, dict]:
        """{cell_id: configuration} of the cells that count."""
        if part not in self._configs:
            cells = load_grid(PARTS[part].path).cells
            if self.quick:
                cells = select(cells, list(PARTS[part].quick))
            self._configs[part] = {cell.cell_id: cell.config for cell in cells}
        return self._configs[part]

    def run(self, part: str) -> RunData:
        """The run of a part, whole."""
        if part not in self._runs:
            place = find_run(self.runs_dir, PARTS[part].grid)
            if place is None:
                raise LookupError(f"no run of {PARTS[part].grid}; make verify trains it")
            self._runs[part] = read_run(place)
        return self._runs[part]

    def final(self, part: str) -> pd.DataFrame:
        """final.parquet's rows of the cells that count."""
        return self._chosen(part, self.run(part).final)

    def history(self, part: str) -> pd.DataFrame:
        """history.parquet's rows of the cells that count."""
        return self._chosen(part, self.run(part).history)

    def _chosen(self, part: str, table: pd.DataFrame) -> pd.DataFrame:
        ids = self.configs(part)
        missing = ids.keys() - set(table["cell_id"])
        if missing:
            raise LookupError(f"{PARTS[part].grid}: {len(missing)} of {len(ids)} cells are missing")
        return table[table["cell_id"].isin(ids)].reset_index(drop=True)

    def separable(self) -> pd.DataFrame:
        """`final` of all parts on separable data."""
        return pd.concat([self.final(part) for part in SEPARABLE])

    def w(self, part: str, cell_id: str) -> np.ndarray:
        """The final predictor (d,) of a cell."""
        return self.run(part).predictors[cell_id]

    def data(self, part: str, cell_id: str) -> Dataset:
        """The data set that a cell trained on."""
        config = self.configs(part)[cell_id]
        key = make_cell(config).data_key
        if key not in self._data:
            self._data[key] = load_data(config, GRIDS)
        return self._data[key]

    def references(self, part: str, cell_id: str, ps) -> References:
        """Exact references of a cell's data, those of the run where it keeps them."""
        config = self.configs(part)[cell_id]
        return solve_references(
            self.data(part, cell_id), ps, config["svm_C"], config["logreg_C"], self.run(part).references_dir
        )

    def each(self, part: str, **where) -> Iterator[dict]:
        """Rows of `final` as mappings, those whose columns equal `where`."""
        table = self.final(part)
        for column, value in where.items():
            table = table[table[column] == value]
        yield from table.to_dict("records")
