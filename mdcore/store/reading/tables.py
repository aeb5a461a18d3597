"""The tables of one committed stack, read and checked before anything is computed from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdcore.math.parameters import first_of
from mdcore.store.columns import HISTORY, STATUSES
from mdcore.store.commits import RESULTS, Record

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Tables = tuple[pd.DataFrame, pd.DataFrame, dict[str, NDArray[Any]]]


def read_tables(
    record: Record, wanted: list[str], configs: dict[str, dict[str, Any]], references: Path | None = None
) -> Tables:
    """(final, history, {cell_id: w}) of the cells `wanted`. ValueError says what is not as it must be.

    configs: the configurations by id; references: the directory that keeps them.
    """
    import numpy as np

    from mdcore.store.reading.recomputed import contradiction

    history, final = (_table(record.path / name) for name in RESULTS[:2])
    with np.load(record.path / RESULTS[2], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    ids, w = [str(c) for c in arrays["cell_id"]], arrays["w"]
    missing = [name for name in ("cell_id", "epoch", *HISTORY) if name not in history.columns]
    if missing:
        raise ValueError(f"history.parquet has no column {', '.join(missing)}")
    if list(final["cell_id"]) != ids or set(ids) != set(record.cells) or w.ndim != 2 or len(w) != len(ids):
        raise ValueError("final.parquet, predictors.npz and stack.json name different cells")
    others = set(history["cell_id"]) - set(ids)
    if others or len(set(ids)) < len(ids):
        names = sorted(map(str, others))
        raise ValueError(f"history.parquet has rows of {first_of(names)}; expected the cells of stack.json")
    expected = [status for status in STATUSES if status != "missing"]
    strange = sorted(set(final["status"]) - set(expected))
    if strange:
        raise ValueError(f"final.parquet: status {strange[0]!r}; expected one of {', '.join(expected)}")
    if record.data:  # made by training, and not by hand
        tables = {"final": final, "history": history, "arrays": arrays}
        if wrong := contradiction(tables, configs, record.status, references):
            raise ValueError(wrong)
    return (
        final[final["cell_id"].isin(wanted)],
        history[history["cell_id"].isin(wanted)],
        {cell: w[number] for number, cell in enumerate(ids) if cell in set(wanted)},
    )


def _table(path: Path) -> pd.DataFrame:
    """As pandas reads it, in half its time, which for files as small as these goes into threads and file systems."""
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path).read(use_threads=False).to_pandas(use_threads=False)


def failed_rows(manifest: dict[str, Any], record: Record, wanted: list[str]) -> pd.DataFrame:
    """Rows of final.parquet's kind for cells that left no results: configuration, status and message."""
    import pandas as pd

    from mdcore.config.grid import cell_from_config

    configs = {cell["cell_id"]: cell["config"] for cell in manifest["cells"]}
    rows = []
    for cell_id in wanted:
        cell = cell_from_config(configs[cell_id])
        outcome = {"status": record.status.get(cell_id, "failed"), "message": record.messages.get(cell_id, "")}
        rows.append({"cell_id": cell_id, "condition_id": cell.condition_id} | cell.flat() | outcome)
    return pd.DataFrame(rows)
