"""Data are known by their content: what a cell was trained on against what its configuration names now.

Numpy and the data are loaded where they are looked at: a finished grid can do without.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mdcore.config.cell import Cell, data_key, is_user_defined, located
from mdcore.math.parameters import first_of
from mdcore.problems.sources import SOURCES
from mdcore.training.failures import one_line

if TYPE_CHECKING:
    from mdcore.config.grid import Grid
    from mdcore.problems.datasets import Dataset

LOOK_AT = 100  # data sets at most that a plan loads
DECIDE = 5_000_000  # numbers in the training points at most for which a plan decides separability: seconds


class ContentNow:
    """What the files and functions that a grid names hold at present, each data set loaded at most once.

    The bundled images, scikit-learn's and synthetic data hang on code and packages alone, which the code's fingerprint
    holds.
    """

    def __init__(self, grid: Grid):
        self.grid = grid
        self._known: dict[str, dict] = {}
        self._loaded: dict[str, Dataset | Exception] = {}

    def load(self, cell: Cell) -> Dataset:
        """The data of a cell. Raises what their loader raised, which is asked once."""
        if cell.data_key not in self._loaded:
            from mdcore.training.cell_data import load_data

            try:
                self._loaded[cell.data_key] = load_data(cell.config, self.grid.plugin_dir, self.grid.data_dir)
            except Exception as error:  # a user's function may raise anything
                self._loaded[cell.data_key] = error
        loaded = self._loaded[cell.data_key]
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    def of(self, cell: Cell) -> dict:
        """{"files": {name: sha256}} of files, {"sha256": …} of a user's own data; {} where nothing is known."""
        if cell.data_key not in self._known:
            name = cell.config["dataset"]["name"]
            known: dict = {}
            with suppress(Exception):  # not here now: the results stand as they are; training says so where it matters
                if is_user_defined(name):
                    known = {"sha256": self.load(cell).fingerprint}
                else:
                    known = {"files": SOURCES[name].files(located(cell.config, self.grid.data_dir)["dataset"])}
            self._known[cell.data_key] = known
        return self._known[cell.data_key]

    def changes(self, cell: Cell, recorded: dict) -> list[str]:
        """In words, what differs from the data that the cell was trained on; [] where nothing is known to."""
        now = self.of(cell) if recorded else {}
        if recorded.get("files") and now.get("files"):
            both = recorded["files"].keys() | now["files"].keys()
            names = sorted(name for name in both if recorded["files"].get(name) != now["files"].get(name))
            return [f"the data's file {name} has another content" for name in names]
        if now.get("sha256", recorded.get("sha256")) != recorded.get("sha256"):
            return [f"the data are others: sha256 {recorded['sha256'][:8]} -> {now['sha256'][:8]}"]
        return []

    def unreadable(self, stacks) -> list[str]:
        """What is wrong with the tables that these stacks would be trained on, each fault once."""
        faults: dict[str, None] = {}
        for cell in (stack.cells[0] for stack in stacks):  # a stack has one data set
            source = SOURCES.get(cell.config["dataset"]["name"])
            if source is not None and source.quick:
                faults |= dict.fromkeys(filter(None, [self._fault(cell)]))
        return list(faults)

    def _fault(self, cell: Cell) -> str:
        try:
            self.load(cell)
        except Exception as error:
            from mdcore.problems.datasets import DataError

            return f"{cell.dataset_label}: {error if isinstance(error, DataError) else one_line(error)}"
        return ""

    def report(self, cells, margins: bool = False) -> tuple[list[str], bool]:
        """(a line for each data set that cells name, whether something is wrong with one).

        `margins`: the exact l_p margins too, for the p of the cells' potentials.
        """
        first = {cell.data_key: cell for cell in cells}
        alike: dict[str, dict[str, list[int]]] = {}
        wrong = False
        for cell in list(first.values())[:LOOK_AT]:
            fault = self._fault(cell)
            mine = [other for other in cells if other.data_key == cell.data_key] if margins else []
            text = fault or f"{cell.dataset_label}: {describe(self.load(cell), self._limits(mine))}"
            wrong |= bool(fault)
            alike.setdefault(data_key(cell.config), {}).setdefault(text, []).append(cell.config["seed"])
        lines = ["data:"]
        for texts in alike.values():
            for text, seeds in texts.items():
                several = len(texts) > 1 or len(seeds) > 1
                lines.append(f"  {text}" + (f" (seeds {first_of(list(map(str, seeds)), 20)})" if several else ""))
        more = len(first) - LOOK_AT
        return lines + ([f"  … and {more} more, not looked at"] if more > 0 else []), wrong

    def _limits(self, cells) -> list[float]:
        from mdcore.config.plugins.loading import potentials_for

        potentials = [phi for cell in cells for phi in potentials_for(cell.config, self.grid.plugin_dir)]
        return sorted({float(phi.limit_p) for phi in potentials if phi.limit_p is not None})


def describe(data: Dataset, ps: list[float]) -> str:
    """Shapes, classes, labels, constant coordinates and separability; exact l_p margins for `ps`."""
    import numpy as np

    from mdcore.problems.references import SEPARABLE
    from mdcore.problems.solvers.max_margin import max_margin
    from mdcore.problems.solvers.separability import separability

    (n, d), plus = data.X_train.shape, int((data.y_train > 0).sum())
    record = data.preprocessing
    parts = [f"{n:,} × {d:,} to train ({plus:,} of +1, {n - plus:,} of -1), {len(data.y_test):,} to test"]
    if isinstance(record.get("labels"), str):
        parts.append(record["labels"])
    if dropped := record.get("dropped_constant"):
        parts.append(f"constant in training, dropped: {first_of(dropped, 10)}")
    constant = np.flatnonzero(np.ptp(data.X_train, axis=0) == 0)
    if len(constant):
        numbers = first_of([str(n + 1) for n in constant], 10)
        parts.append(f"constant in training: coordinate {numbers} (where it is not 0 it acts as a bias)")
    if n * d > DECIDE:
        return "; ".join([*parts, "separability is decided in training"])
    separation = separability(data.A)
    parts.append(separation.verdict)
    if separation.verdict == SEPARABLE:
        parts += [f"l_{p:g} margin {max_margin(data.A, p, separation.w).margin:.4g}" for p in ps]
    return "; ".join(parts)
