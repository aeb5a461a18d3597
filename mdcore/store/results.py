"""What a trained stack leaves, written by the process that trained it, with the code that it had loaded."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from mdcore.config.cell import METRIC
from mdcore.files import atomic_write
from mdcore.store.columns import HISTORY
from mdcore.store.commits import EXPLORING, NOTES, RESULTS
from mdcore.store.fingerprint import loaded_parts


def write_results(output: str | Path, results: Any) -> None:
    """Write what `train_request` returned into the directory `output` (called by notebooks/train_cell.ipynb).

    history.parquet, final.parquet, predictors.npz: cell_id (K,) and w (K, d) in final.parquet's order; on separable
    data also the certificates' z = A^Tλ (K, d), Σλ = 1, and their rounding κ (K,), see `math.certificate`.
    exploring.npz, where something is kept: the arrays of `training.exploring`.
    """
    import numpy as np

    output = Path(output)
    ids = list(results.cell_ids)
    if list(results.final["cell_id"]) != ids or len(results.w) != len(ids):
        raise ValueError("results: final and w must have one row per cell, in the order of cell_ids")
    output.mkdir(parents=True, exist_ok=True)
    metrics = [column for column in results.history if column.startswith(METRIC)]
    history = results.history[["cell_id", "epoch", *HISTORY, *metrics]]
    names = np.array(ids, dtype=str)
    certificate = {} if results.z is None else {"z": results.z, "z_rounding": results.z_rounding}
    predictors = _npz({"cell_id": names, "w": np.asarray(results.w), **certificate})
    tables = (history.to_parquet(index=False), results.final.to_parquet(index=False), predictors)
    written = dict(zip(RESULTS, tables, strict=True))
    if results.kept is not None:
        written[EXPLORING] = _npz({"cell_id": names, **results.kept})
    files = {}
    for name, data in written.items():
        files[name] = hashlib.sha256(data).hexdigest()  # of what was meant, not of what came to stand on the disk
        (output / name).write_bytes(data)
    record = {
        "status": dict(zip(ids, map(str, results.final["status"]), strict=True)),
        "messages": {i: str(m) for i, m in zip(ids, results.final["message"], strict=True) if m},
        "seconds": {what: float(seconds) for what, seconds in results.seconds.items()},
        "steps": int(results.final["steps"].sum()),
        "data": results.data,
        "notes": [str(note) for note in results.notes],
        "blas": _loaded_blas(),
        "products": str(results.products),
        "files": files,  # the runner seals these and no others
        "loaded": loaded_parts(),
    }
    atomic_write(output / NOTES, json.dumps(record))


def _npz(arrays: dict[str, Any]) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _loaded_blas() -> list[dict[str, Any]]:
    """The numeric libraries this process has loaded: name, version, threads; no paths."""
    from threadpoolctl import threadpool_info

    keys = ("internal_api", "version", "num_threads")
    return [{key: info.get(key) for key in keys} for info in threadpool_info()]
