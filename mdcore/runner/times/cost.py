"""The cost model: seconds that training is expected to take on one thread, from the grid alone.

Plans and ETAs begin with it; what this machine has really measured corrects it (expected.py).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mdcore.config.cell import name_of, parameters_of
from mdcore.math.engine.plans import log_spaced_epochs
from mdcore.math.potentials import BUILTIN, Potential
from mdcore.math.step_rules import RULES
from mdcore.problems.sources import SOURCES

# Measured on a processor with AVX2. Of one step of a stack and of each of its depths, whatever it holds; of a cell:
SECONDS_PER_STEP, SECONDS_PER_BLOCK, SECONDS_PER_CELL = 5e-5, 6e-6, 5e-7
SECONDS_PER_MAP = 5e-6  # times `Potential.map_cost`, for each map of a depth that is not one of the compiled ones
KINDS = "steps", "passes", "layers"  # what most of a step goes to
ADAPTING = 2.2  # of all these, where a step may be refused
SECONDS_PER_NUMBER = 2.4e-10  # for each of the n·d numbers of the data
SECONDS_PER_WEIGHT = 2e-9  # for each entry of the layers, times `Potential.map_cost`
# Of a cell and logged epoch: the metrics of its predictor and of its layers (singular values), and its certificate.
SECONDS_PER_ROW, ROW_PER_WEIGHT, ROW_PER_NUMBER = 1.5e-3, 1.6e-7, 7e-10


def data_size(config: dict) -> tuple[int, int]:
    """(n, d) as far as the configuration tells; of a plug-in's data, parameters `n` and `dim` do, else 300 and 30."""
    dataset = config["dataset"]
    if source := SOURCES.get(dataset["name"]):
        return source.size(config)
    n, d = (dataset.get(key) for key in ("n", "dim"))
    return (n if isinstance(n, int) and n > 0 else 300), (d if isinstance(d, int) and d > 0 else 30)


def weights(config: dict) -> int:
    """The number of entries of all layers."""
    (_, d), depth, width = data_size(config), config["depth"], config.get("width") or 1
    return d if depth == 1 else width * (d + (depth - 2) * width + 1)


def map_cost(config: dict) -> float:
    """That of the dearest inverse mirror map of the layers, in that of a simple power."""
    potential = config["potential"]
    each = potential if isinstance(potential, list) else [potential]
    return max(BUILTIN.get(name_of(entry), Potential).map_cost(parameters_of(entry)) for entry in each)


@lru_cache(256)
def logged_epochs(epochs: int, points: int) -> tuple[int, ...]:
    """The engine's own, kept: an ETA asks for them again and again."""
    return log_spaced_epochs(epochs, points)


def rows(config: dict) -> int:
    """The number of logged epochs."""
    return len(logged_epochs(config["epochs"], config.get("log_points", 120)))


def layers_cost(cell) -> float:
    """Expected seconds for the layers of a cell: all its steps, and what is logged of them."""
    config = cell.config
    return weights(config) * (config["epochs"] * SECONDS_PER_WEIGHT * map_cost(config) + rows(config) * ROW_PER_WEIGHT)


@dataclass(frozen=True)
class Model:
    """Seconds that cells trained together are expected to take, as a function of the share of their steps they take.

    share · steps + r · logged, where r is the share of the logged epochs among these steps (the early ones are logged
    one and all), steps = epochs · (fixed + Σ (a·n·d + w·weights·map)) and logged = Σ rows · (what one costs), both
    sums over the cells; fixed = s + b·blocks + c·cells + Σ m·map, over the maps that are not compiled, more where steps
    may be refused. `kind`: what most of it goes to.
    """

    steps: float
    logged: float
    epochs: tuple[int, int]  # in all, and log_points
    kind: str

    def __call__(self, share: float = 1.0) -> float:
        logged = logged_epochs(*self.epochs)
        return share * self.steps + bisect_right(logged, share * self.epochs[0]) / len(logged) * self.logged


def model(cells: Sequence) -> Model:
    """The model of cells in one stack."""
    blocks = {(cell.config["depth"], cell.config.get("width")) for cell in cells}
    epochs = cells[0].config["epochs"]
    fixed = SECONDS_PER_STEP + SECONDS_PER_BLOCK * len(blocks) + SECONDS_PER_CELL * len(cells)
    maps: dict[tuple, float] = {}
    passes = layers = logged = 0.0
    for cell in cells:
        config = cell.config
        (n, d), entries, dear = data_size(config), weights(config), map_cost(config)
        if dear > 1:
            maps[config["depth"], config.get("width"), json.dumps(config["potential"], sort_keys=True)] = dear
        passes += SECONDS_PER_NUMBER * n * d
        layers += SECONDS_PER_WEIGHT * dear * entries
        logged += rows(config) * (SECONDS_PER_ROW + ROW_PER_WEIGHT * entries + ROW_PER_NUMBER * n * d)
    fixed += SECONDS_PER_MAP * sum(maps.values())
    if (rule := RULES.get(cells[0].config["step"]["rule"])) and rule.adapts:
        fixed *= ADAPTING
    kind = max(zip((fixed, passes, layers), KINDS))[1]
    return Model(epochs * (fixed + passes + layers), logged, (epochs, cells[0].config.get("log_points", 120)), kind)
