"""The products of a pass over data of few columns, two columns at a time: every loop runs over the points.

The loops of points.py, and a BLAS, run over the columns of a point; where there are two, that is all overhead.
"""

from __future__ import annotations

import numpy as np
import torch

from mdcore.math.engine.compiled import view
from mdcore.math.engine.compiled.jit import Array, compiled, inlined
from mdcore.math.engine.compiled.points import weigh_inlined

__all__ = ["add_weighted_points", "laid_out", "margins", "view", "weigh_points"]

CHUNK = 2048  # points whose columns, margins and weights stay in the first cache


def laid_out(A: torch.Tensor) -> np.ndarray:
    """Points (n, d) as the functions of this module take them: (d, n), column after column."""
    return np.ascontiguousarray(A.numpy().T)


@inlined
def margins(w: Array, columns: Array, out: Array) -> None:
    """out (K, n) = w A^T for w (K, d), A^T = `columns` (d, n)."""
    d, size = columns.shape
    for start in range(0, size, CHUNK):
        for k in range(w.shape[0]):
            m = out[k, start : start + CHUNK]
            for j in range(0, d, 2):
                last = min(j + 1, d - 1)  # of an odd number, the last column stands beside itself, with weight 0
                a, b = w[k, j], w[k, last] if last > j else w.dtype.type(0)
                x, y = columns[j, start : start + CHUNK], columns[last, start : start + CHUNK]
                if j == 0:
                    for n in range(m.size):
                        m[n] = a * x[n] + b * y[n]
                else:
                    for n in range(m.size):
                        m[n] += a * x[n] + b * y[n]


@inlined
def add_weighted_points(V: Array, columns: Array, g: Array) -> None:
    """g (K, d) += V A for weights V (K, n), A^T = `columns` (d, n)."""
    d, size = columns.shape
    for start in range(0, size, CHUNK):
        for k in range(V.shape[0]):
            v = V[k, start : start + CHUNK]
            for j in range(0, d, 2):
                last = min(j + 1, d - 1)
                x, y = columns[j, start : start + CHUNK], columns[last, start : start + CHUNK]
                a = b = V.dtype.type(0)
                for n in range(v.size):
                    a += v[n] * x[n]
                    b += v[n] * y[n]
                g[k, j] += a
                if last > j:
                    g[k, last] += b


@compiled
def weigh_points(w: Array, columns: Array, out: Array, smallest: Array, total: Array, g: Array, logistic: bool) -> None:
    """`margins` into `out`, `weigh` and `add_weighted_points`, a cell at a time while its margins are in the cache."""
    for k in range(w.shape[0]):
        one = slice(k, k + 1)
        margins(w[one], columns, out[one])
        weigh_inlined(out[one], smallest[one], total[one], g[one], logistic)
        add_weighted_points(out[one], columns, g[one])
