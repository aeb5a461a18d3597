"""A training that takes no time and misbehaves on demand, for tests of the runner.

`behave.json` beside the run directories: {cell_id or "*": one of raise, die, die_once, sleep, diverge, misclassify,
full, hog}.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from mdcore.store.columns import HISTORY

LIGHT_KERNELS = ("ipykernel.kernelapp", "pandas", "mdcore.store.runs")  # what a server of kernels for it imports


def train_request(request):
    asked = json.loads(Path(request).read_text())
    behave_file = Path("..", "behave.json")
    behave = json.loads(behave_file.read_text()) if behave_file.exists() else {}
    Path(asked["state_path"]).write_text("state")
    Path(asked["progress_path"]).write_text(json.dumps({"done": 1, "total": 4, "epoch": 1}))
    for cell in asked["cell_ids"]:
        act(behave.get(cell, behave.get("*", "")), cell)
    ended = {"diverge": ("diverged", "not finite at epoch 7"), "misclassify": ("failed", "training accuracy 0.9")}
    return results(asked["cell_ids"], {c: ended[behave[c]] for c in asked["cell_ids"] if behave.get(c) in ended})


def results(ids: list[str], ended: dict = {}) -> SimpleNamespace:  # noqa: B006
    """What train_request returns: two rows of history a cell, numbers that follow from its id.

    ended: {cell: (status, message)} of those that have not converged.
    """
    values = [int(hashlib.sha256(cell.encode()).hexdigest()[:6], 16) / 2**24 for cell in ids]
    rows = [
        dict.fromkeys(HISTORY, value) | {"cell_id": cell, "epoch": epoch}
        for cell, value in zip(ids, values)
        for epoch in (1.0, 100.0)
    ]
    history = pd.DataFrame(rows)
    final = history[history["epoch"] == 100.0].reset_index(drop=True).assign(steps=0)
    final[["status", "message"]] = [ended.get(cell, ("converged", "")) for cell in ids]
    w = np.outer(values, [1.0, 2.0])
    others = {"seconds": {"training": 0.1}, "notes": ["fake"], "data": {}, "z": None, "z_rounding": None, "kept": None}
    return SimpleNamespace(history=history, final=final, cell_ids=ids, w=w, products="compiled", **others)


def act(how: str, cell: str) -> None:
    if how == "raise":
        raise ValueError(f"cell {cell} cannot be trained")
    if how == "full":
        raise OSError(28, "No space left on device")
    if how == "hog":
        bytearray(1 << 46)
    if how == "sleep":
        time.sleep(600)
    once = Path("..", f"died-{cell}")
    if how == "die" or (how == "die_once" and not once.exists()):
        once.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
