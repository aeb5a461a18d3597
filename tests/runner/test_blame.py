"""Which cells an exception of a plug-in's potential is told of: those that have the potential, and no others."""

from __future__ import annotations

import json

import pytest

from mdcore.config.grid import load_grid
from mdcore.training.failures import Failure, Kind, RequestRefused, failure_of
from mdcore.training.stack import train_request

PLUGIN = """
from mdcore.math.potentials import Potential

class Late(Potential):
    name = "late"
    def value_per_entry(self, w): return w * w / 2
    def mirror_map(self, w): return w.clone()
    def inverse_mirror_map(self, z, out=None):
        if float(z.abs().max()) > {limit}:
            raise {error}
        return z.clone() if out is None else out.copy_(z)
"""
GRID = """
question: q
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 5, n: 20, separation: 2.5, noise: 1}
  step: {rule: normalized, eta: 1}
  epochs: 200
  width: 3
  seed: 0
vary:
  potential: [quadratic, "late:Late"]
  depth: [1, 2]
"""


@pytest.fixture
def failure(tmp_path):
    """call(error, limit) -> the failure that training the grid ends with, and the ids of its cells by potential."""

    def call(error: str, limit: float):
        (tmp_path / "late.py").write_text(PLUGIN.format(error=error, limit=3))
        (tmp_path / "grid.yaml").write_text(GRID)
        grid = load_grid(tmp_path / "grid.yaml")
        (tmp_path / "late.py").write_text(PLUGIN.format(error=error, limit=limit))
        request = {"cells": [cell.config for cell in grid.cells], "device": "cpu", "plugin_dir": str(tmp_path)}
        (tmp_path / "request.json").write_text(json.dumps(request))
        with pytest.raises(Exception) as raised:
            train_request(tmp_path / "request.json")
        ids = [cell.cell_id for cell in grid.cells if cell.config["potential"] != "quadratic"]
        return failure_of(raised.value), tuple(ids)

    return call


@pytest.mark.parametrize("limit", [3, 0.001])
def test_the_cells_of_a_potential_that_raises_are_told(failure, limit):
    """While it trains; and where it is tried before: the deep cell's companion is the other one."""
    reported, ids = failure("ValueError('no' * 10**6)", limit)
    assert (reported.kind, reported.cells) == (Kind.REFUSED, ids)
    assert "ValueError: nono" in reported.message and len(reported.message) <= 300


def test_a_lack_of_memory_or_of_the_machine_is_nobodys_fault(failure):
    assert failure("MemoryError", 3)[0].kind == Kind.MEMORY
    assert failure("OSError(28, 'No space left on device')", 3)[0] == Failure(
        Kind.MACHINE, "OSError: [Errno 28] No space left on device"
    )
    assert failure_of(RequestRefused("no", ("a",))) == Failure(Kind.REFUSED, "no", ("a",))
