"""Small valid grids as text."""

from __future__ import annotations

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
