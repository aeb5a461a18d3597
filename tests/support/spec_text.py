"""Small valid grids, and what the tests of grid files share."""

from __future__ import annotations

import os

import pytest

from mdcore.config.grid import GridError, load_grid

BASE = """\
question: Does depth change the limit direction?
fixed:
  dataset: {name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}
  epochs: 100
  step: {rule: adaptive}
vary:
  potential: [quadratic, {lp: {p: 1.5}}, {lp: {p: 3}}]
  depth: [1, 2]
  seed: [0, 1]
"""
MNIST = BASE.replace(
    "{name: synthetic, geometry: gaussian, dim: 20, n: 60, separation: 2.5, noise: 1}", "{name: mnist}"
).replace("vary:\n", "vary:\n  digits: [[0, 1], [3, 5]]\n  pca: [50, null]\n")


def make_load(tmp_path):
    """A fixture: text and overrides to a Grid."""

    def load(text: str, *overrides: str):
        path = tmp_path / "grid.yaml"
        path.write_text(text, encoding="utf-8")
        return load_grid(path, list(overrides))

    return load


def make_refused(load, tmp_path):
    """A fixture: text and overrides to the problems of a grid, its directory left out."""

    def refused(text: str, *overrides: str) -> list[str]:
        with pytest.raises(GridError) as caught:
            load(text, *overrides)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return [line.replace(f"{tmp_path}{os.sep}", "") for line in caught.value.problems]

    return refused


def one(load, fixed: str) -> dict:
    """The configuration of a grid of one cell with these fixed lines besides the base."""
    (cell,) = load(grid_of(fixed)).cells
    return cell.config


def grid_of(fixed: str, sections: str = "", without: str = "") -> str:
    """A valid grid of one cell with lines of its section `fixed` replaced, added or left out, and more sections."""
    lines = {"dataset": "{name: synthetic}", "potential": "quadratic", "epochs": "10", "step": "{rule: adaptive}"}
    lines.pop(without, None)
    for line in fixed.split("\n"):
        key, _, value = line.strip().partition(": ")
        lines.pop("step" if key.startswith("step.") else key, None)
        lines[key] = value
    return "question: q\nfixed:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items()) + sections
