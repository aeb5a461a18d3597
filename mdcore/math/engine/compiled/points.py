"""Loops over the data: margins, weights and weighted sums of a block of points, and the bound of the active set."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mdcore.math.engine.compiled.jit import Array, compiled, inlined
from mdcore.math.losses import weight_edge

LOG2_E = math.log2(math.e)
EDGE, EDGE_32 = (weight_edge(dtype) for dtype in (torch.float64, torch.float32))
# Without AVX-512, the 24 weights of three cells and eight points do not fit the registers beside the sums; one cell
# after the other is faster then, as long as eight points stay in the first cache.
SIXTEEN_REGISTERS = torch.backends.cpu.get_cpu_capability() != "AVX512"
IN_THE_CACHE = 256


@compiled
def margins(w: Array, A: Array, out: Array) -> None:
    """out (K, n) = w A^T for w (K, d), A (n, d).

    The last bits of a cell depend on how many are beside it: with 32 registers the compiler takes the columns of one
    cell sixteen at a time, those of three cells eight at a time.
    """
    cells, points, zero = w.shape[0], A.shape[0], out.dtype.type(0)
    for n in range(0, points - 7, 8):
        for k in range(0, cells - 2, 3):
            for m in range(n, n + 8, 4):  # 12 sums: as many as 16 registers hold beside what they are made of
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = zero
                for j in range(A.shape[1]):
                    a, b, c = w[k, j], w[k + 1, j], w[k + 2, j]
                    x0, x1, x2, x3 = A[m, j], A[m + 1, j], A[m + 2, j], A[m + 3, j]
                    a0, b0, c0 = a0 + a * x0, b0 + b * x0, c0 + c * x0
                    a1, b1, c1 = a1 + a * x1, b1 + b * x1, c1 + c * x1
                    a2, b2, c2 = a2 + a * x2, b2 + b * x2, c2 + c * x2
                    a3, b3, c3 = a3 + a * x3, b3 + b * x3, c3 + c * x3
                out[k, m], out[k, m + 1], out[k, m + 2], out[k, m + 3] = a0, a1, a2, a3
                out[k + 1, m], out[k + 1, m + 1], out[k + 1, m + 2], out[k + 1, m + 3] = b0, b1, b2, b3
                out[k + 2, m], out[k + 2, m + 1], out[k + 2, m + 2], out[k + 2, m + 3] = c0, c1, c2, c3
        for k in range(cells - cells % 3, cells):
            a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = zero
            for j in range(A.shape[1]):
                a = w[k, j]
                a0, a1, a2, a3 = a0 + a * A[n, j], a1 + a * A[n + 1, j], a2 + a * A[n + 2, j], a3 + a * A[n + 3, j]
                a4, a5 = a4 + a * A[n + 4, j], a5 + a * A[n + 5, j]
                a6, a7 = a6 + a * A[n + 6, j], a7 + a * A[n + 7, j]
            out[k, n], out[k, n + 1], out[k, n + 2], out[k, n + 3] = a0, a1, a2, a3
            out[k, n + 4], out[k, n + 5], out[k, n + 6], out[k, n + 7] = a4, a5, a6, a7
    for n in range(points - points % 8, points):
        for k in range(cells):
            a0 = zero
            for j in range(A.shape[1]):
                a0 += w[k, j] * A[n, j]
            out[k, n] = a0


@compiled
def add_weighted_points(V: Array, A: Array, g: Array) -> None:
    """g (K, d) += V A for weights V (K, n), A (n, d).

    A cell's sums are taken in one order, in blocks of three cells and of one, so the choice of these changes no bit.
    """
    cells, points = V.shape
    threes = 0 if SIXTEEN_REGISTERS and A.shape[1] <= IN_THE_CACHE else cells - cells % 3
    for n in range(0, points - 7, 8):
        for k in range(0, threes, 3):
            a0, a1, a2, a3 = V[k, n], V[k, n + 1], V[k, n + 2], V[k, n + 3]
            a4, a5, a6, a7 = V[k, n + 4], V[k, n + 5], V[k, n + 6], V[k, n + 7]
            b0, b1, b2, b3 = V[k + 1, n], V[k + 1, n + 1], V[k + 1, n + 2], V[k + 1, n + 3]
            b4, b5, b6, b7 = V[k + 1, n + 4], V[k + 1, n + 5], V[k + 1, n + 6], V[k + 1, n + 7]
            c0, c1, c2, c3 = V[k + 2, n], V[k + 2, n + 1], V[k + 2, n + 2], V[k + 2, n + 3]
            c4, c5, c6, c7 = V[k + 2, n + 4], V[k + 2, n + 5], V[k + 2, n + 6], V[k + 2, n + 7]
            for j in range(A.shape[1]):
                x0, x1, x2, x3 = A[n, j], A[n + 1, j], A[n + 2, j], A[n + 3, j]
                x4, x5, x6, x7 = A[n + 4, j], A[n + 5, j], A[n + 6, j], A[n + 7, j]
                g[k, j] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7
                g[k + 1, j] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7
                g[k + 2, j] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3 + c4 * x4 + c5 * x5 + c6 * x6 + c7 * x7
        for k in range(threes, cells):
            a0, a1, a2, a3 = V[k, n], V[k, n + 1], V[k, n + 2], V[k, n + 3]
            a4, a5, a6, a7 = V[k, n + 4], V[k, n + 5], V[k, n + 6], V[k, n + 7]
            for j in range(A.shape[1]):
                first = a0 * A[n, j] + a1 * A[n + 1, j] + a2 * A[n + 2, j] + a3 * A[n + 3, j]
                g[k, j] += first + a4 * A[n + 4, j] + a5 * A[n + 5, j] + a6 * A[n + 6, j] + a7 * A[n + 7, j]
    for n in range(points - points % 8, points):
        for k in range(cells):
            a0 = V[k, n]
            for j in range(A.shape[1]):
                g[k, j] += a0 * A[n, j]


# The last bits of the double MAGIC + m are those of the whole number m + 1023, the exponent of 2^m: a conversion to an
# integer, for which AVX2 has no instruction, is an addition then.
MAGIC = 1.5 * 2.0**52 + 1023.0
# 2^f = Σ_k (f ln 2)^k/k!: from k = 13 on below 1e-17 for |f| ≤ ½
C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12 = (math.log(2.0) ** k / math.factorial(k) for k in range(1, 13))


@inlined
def _exp2(x: float) -> Any:
    """2^x, |x| < 1022, with a relative error below 4e-16: the series of 2^f, f = x − ⌊x + ½⌋, times a power of two.

    math.exp2 is a call for every single number; this loop is compiled for eight at once.
    """
    whole = np.floor(x + 0.5)  # math.floor returns an integer, number by number
    f = x - whole
    high = C7 + f * (C8 + f * (C9 + f * (C10 + f * (C11 + f * C12))))
    series = 1.0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * (C6 + f * high))))))
    return series * np.int64(np.float64(np.float64(whole) + MAGIC).view(np.int64) << 52).view(np.float64)


@inlined
def weigh_inlined(margins: Array, smallest: Array, total: Array, g: Array, logistic: bool) -> None:
    """`weigh`, for the compiled functions that call it."""
    edge = EDGE if margins.itemsize == 8 else EDGE_32
    for k in range(margins.shape[0]):
        least = smallest[k]
        before = max(least, 0.0) if logistic else least
        for n in range(margins.shape[1]):
            least = margins[k, n] if margins[k, n] < least else least
        c = max(least, 0.0) if logistic else least
        floor = math.exp(-c) if logistic else 0.0
        added = 0.0
        for n in range(margins.shape[1]):
            x = (margins[k, n] - c) * LOG2_E
            x = edge if x > edge else x  # in this form NaN stays NaN
            x = -edge if x < -edge else x
            weight = 1.0 / (_exp2(x) + floor)
            margins[k, n] = weight
            added += weight
        rescale = math.exp(c - before)  # ≤ 1
        if rescale != 1.0:
            for j in range(g.shape[1]):
                g[k, j] *= rescale
        total[k] = total[k] * rescale + added
        smallest[k] = least if added == added else np.nan


@compiled
def weigh(margins: Array, smallest: Array, total: Array, g: Array, logistic: bool) -> None:
    """margins (K, n) ← the weights −ℓ'(m) e^c; smallest and total (K,) then take these points in, g (K, d) is rescaled.

    c = losses.weight_shift(smallest) follows the smallest margin seen so far. The formula is losses.scaled_weights_'s.
    """
    weigh_inlined(margins, smallest, total, g, logistic)


@compiled
def begin(smallest: Array, total: Array, g: Array) -> None:
    """What `weigh` goes on from, before the first point."""
    for k in range(g.shape[0]):
        smallest[k], total[k] = np.inf, 0.0
        for j in range(g.shape[1]):
            g[k, j] = 0.0


@compiled
def finish(smallest: Array, points: int, logistic: bool, log_scale: Array, log_risk: Array) -> None:
    """After the last point: log_scale (K,) = losses.weight_shift(smallest) + log n; log_risk −= log_scale."""
    log_n = smallest.dtype.type(math.log(points))
    for k in range(smallest.size):
        c = smallest[k]
        c = c if c > 0.0 or c != c or not logistic else smallest.dtype.type(0)
        log_scale[k] = c + log_n
        log_risk[k] -= log_scale[k]


@compiled
def all_finite(x: Array) -> bool:
    """Whether no entry of x (K,) is NaN or infinite."""
    good = True
    for k in range(x.size):
        good = good and bool(np.isfinite(x[k]))
    return good


@compiled
def still_below_rounding(
    w: Array, direction: Array, excluded_margin: Array, excluded_norm: float, smallest: Array, slack: float
) -> bool:
    """True where ActiveSet.holds is, in every cell whose smallest margin is finite."""
    for k in range(w.shape[0]):
        along = w.dtype.type(0)
        for j in range(w.shape[1]):
            along += w[k, j] * direction[k, j]
        across = w.dtype.type(0)
        for j in range(w.shape[1]):
            rest = w[k, j] - along * direction[k, j]
            across += rest * rest
        proven = along * excluded_margin[k] - excluded_norm * math.sqrt(across) - smallest[k] >= slack
        if np.isfinite(smallest[k]) and not proven:
            return False
    return True


@compiled
def _add_step(
    weight: Array, step: Array, log_scale: Array, weight_sum: Array, g: Array, z: Array, mass: Array,
    log_flow_time: Array,
) -> None:  # fmt: skip
    for k in range(z.shape[0]):
        c = np.float64(weight[k])
        for j in range(z.shape[1]):
            z[k, j] += c * np.float64(g[k, j])
        mass[k] += c * np.float64(weight_sum[k])
        if step[k] > 0:
            new = math.log(step[k]) + log_scale[k]
            high, low = max(new, log_flow_time[k]), min(new, log_flow_time[k])
            log_flow_time[k] = high + math.log1p(math.exp(low - high))


def accumulate(
    weight: Array, step: Array, before: SimpleNamespace, z: Array, mass: Array, log_flow_time: Array
) -> None:
    """z (K, d) += c g and mass (K,) += c Σ v, in float64 whatever the type of the pass `before`; log Σ s += s.

    c (K,) = `weight`; s = `step`·e^{log_scale}, since g and the step's coefficient are scaled by e^{±log_scale}. The
    logarithm of Σ s is kept: a normalised step is as long as the risk is small, and overflows.
    """
    _add_step(weight, step, before.log_scale, before.weight_sum, before.g, z, mass, log_flow_time)
