"""Clocks, repeated measurement by turns, medians with spread, and the machine's own rates.

Everything of one thread is measured in CPU seconds of this process: on a machine that others use too, the wall
clock counts their work. Whole commands are measured by the wall clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from mdcore.math.engine import compiled

cpu_seconds = time.process_time
wall_seconds = time.monotonic


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of `count` measured values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values) -> Spread:
        """The spread of a list of numbers."""
        low, median, high = np.quantile(np.asarray(values, dtype=float), [0.25, 0.5, 0.75])
        return cls(float(median), float(low), float(high), len(values))


def by_turns(contenders: dict[str, Callable[[], float]], repeats: int) -> dict[str, np.ndarray]:
    """{name: its `repeats` values}, each round one of every contender, starting with another one each time.

    What the machine does besides then falls on all of them alike, and values of one round can be divided.
    """
    names = list(contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(contenders[name]())
    return {name: np.array(values) for name, values in samples.items()}


def mean_seconds(call: Callable[[], object], times: int) -> float:
    """CPU seconds of a call, mean over `times` of them; one more goes before."""
    call()
    start = cpu_seconds()
    for _ in range(times):
        call()
    return (cpu_seconds() - start) / times


def product_seconds(rows: int, inner: int, columns: int, flops: float = 2e8) -> float:
    """CPU seconds of one float64 product (rows × inner)(inner × columns), mean over about `flops` operations."""
    a, b = torch.rand(rows, inner, dtype=torch.float64), torch.rand(inner, columns, dtype=torch.float64)
    out = torch.empty(rows, columns, dtype=torch.float64)
    return mean_seconds(lambda: torch.mm(a, b, out=out), max(2, round(flops / (2 * rows * inner * columns))))


def dgemm_rate(size: int = 1024) -> float:
    """The machine's float64 matrix rate on one thread, flops a second: a square product that fills the cores."""
    return 2.0 * size**3 / product_seconds(size, size, size, flops=6e9)


def _rows_in_the_cache(n: int, d: int) -> int:
    """Points of d numbers, at most n, that take half a megabyte."""
    return min(n, max(64, 2**19 // (8 * d)))


def shaped_rate(cells: int, n: int, d: int) -> float:
    """The rate of products in the shape of a pass over the data, (cells × d)(d × rows), rows that fit the cache."""
    rows = _rows_in_the_cache(n, d)
    return 2.0 * cells * d * rows / product_seconds(cells, d, rows)


def compiled_rate(cells: int, n: int, d: int, flops: float = 1e9) -> float:
    """The rate of the engine's own two products in the shape of a pass, on a block that fits the cache."""
    rows = _rows_in_the_cache(n, d)
    w, A = (compiled.view(torch.rand(size, d, dtype=torch.float64)) for size in (cells, rows))
    g, out = (compiled.view(torch.zeros(cells, size, dtype=torch.float64)) for size in (d, rows))

    def both_products():
        compiled.margins(w, A, out)
        compiled.add_weighted_points(out, A, g)

    per_call = 4.0 * cells * d * rows
    return per_call / mean_seconds(both_products, max(2, round(flops / per_call)))


def copy_rate(size: float) -> float:
    """Bytes a second, read and written, of copies of one half of `size` bytes to the other, from the cache they fit."""
    a = torch.rand(max(1, int(size / 16)), dtype=torch.float64)
    b = torch.empty_like(a)
    return 2 * a.nbytes / mean_seconds(lambda: b.copy_(a), max(4, round(2.5e8 / a.nbytes)))


def weights_rate(cells: int, points: int) -> float:
    """Weights a second of the engine's own loop, from margins in the cache: one exponential and one division each."""
    margins, state = torch.rand(cells, points, dtype=torch.float64), torch.full((3, cells), math.inf).double()
    g = torch.zeros(cells, 1, dtype=torch.float64)
    m, least, total, sums = (compiled.view(tensor) for tensor in (margins, state[0], state[1], g))
    weigh = partial(compiled.weigh, m, least, total, sums, True)  # later ones of what were weights: that costs the same
    return margins.numel() / mean_seconds(weigh, max(4, round(4e6 / margins.numel())))
