"""A grid file and cells of which the runner knows only what it needs; where the clone and its tests lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"

GRID_TEXT = """\
question: Does it run?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}
  step: {rule: adaptive}
  epochs: 100
vary:
  potential: [quadratic, {lp: {p: 3}}]
  depth: [1, 2]
  seed: [0, 1]
"""  # 8 cells in 2 stacks: a seed is a dataset of its own


@dataclass(frozen=True)
class FakeCell:
    """What the runner needs of a cell."""

    cell_id: str
    config: dict = field(hash=False)
    data_key: str = "data"
    dataset_label: str = "fake"
    condition_id: str = "condition"


def fake_cells(count: int, data_key: str = "data", **changes) -> list[FakeCell]:
    """Cells of one dataset that differ in their seed."""
    dataset = {"name": "synthetic", "dim": 2, "n": 4}
    base = {"dataset": dataset, "potential": "quadratic", "depth": 1, "epochs": 100, "step": {"rule": "normalized"}}
    return [FakeCell(f"cell_s{s}", base | changes | {"seed": s}, data_key) for s in range(count)]
