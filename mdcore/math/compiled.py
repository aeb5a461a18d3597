"""The loops of a training step on the CPU, compiled by numba. `plain.py` holds their twins in torch.

Why not a BLAS: its products copy their operands into a packed form first, which for a handful of rows costs as much
as the product, and a stack has a row a cell. Here every number loaded from A is used for three cells, every number
of w for eight points, and LLVM keeps the 24 sums in registers. `make bench` measures both side by side.

Sums are taken in an order of the compiler's choice, but the same one on every run: results repeat to the bit.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch

from mdcore.math.plain import LARGEST, SMALLEST


def _compiled(function):
    """numba.njit, kept on disk where a place for that can be written; NaN and infinity keep their meaning."""
    how = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **how)(function)
    except RuntimeError:  # no folder for the cache: compiled anew in every process
        return numba.njit(**how)(function)


def view(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory, as the functions of this module take it."""
    return tensor.numpy()


# ---- the data pass ----------------------------------------------------------------------------------------------
@_compiled
def margins(w, A, out):
    """out (K, n) = w A^T for w (K, d), A (n, d)."""
    cells, points, zero = w.shape[0], A.shape[0], out.dtype.type(0)
    for n in range(0, points - 7, 8):
        for k in range(0, cells - 2, 3):
            a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = zero
            b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = zero
            c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = zero
            for j in range(A.shape[1]):
                a, b, c = w[k, j], w[k + 1, j], w[k + 2, j]
                x0, x1, x2, x3 = A[n, j], A[n + 1, j], A[n + 2, j], A[n + 3, j]
                a0, b0, c0 = a0 + a * x0, b0 + b * x0, c0 + c * x0
                a1, b1, c1 = a1 + a * x1, b1 + b * x1, c1 + c * x1
                a2, b2, c2 = a2 + a * x2, b2 + b * x2, c2 + c * x2
                a3, b3, c3 = a3 + a * x3, b3 + b * x3, c3 + c * x3
                x4, x5, x6, x7 = A[n + 4, j], A[n + 5, j], A[n + 6, j], A[n + 7, j]
                a4, b4, c4 = a4 + a * x4, b4 + b * x4, c4 + c * x4
                a5, b5, c5 = a5 + a * x5, b5 + b * x5, c5 + c * x5
                a6, b6, c6 = a6 + a * x6, b6 + b * x6, c6 + c * x6
                a7, b7, c7 = a7 + a * x7, b7 + b * x7, c7 + c * x7
            out[k, n], out[k, n + 1], out[k, n + 2], out[k, n + 3] = a0, a1, a2, a3
            out[k, n + 4], out[k, n + 5], out[k, n + 6], out[k, n + 7] = a4, a5, a6, a7
            out[k + 1, n], out[k + 1, n + 1], out[k + 1, n + 2], out[k + 1, n + 3] = b0, b1, b2, b3
            out[k + 1, n + 4], out[k + 1, n + 5], out[k + 1, n + 6], out[k + 1, n + 7] = b4, b5, b6, b7
            out[k + 2, n], out[k + 2, n + 1], out[k + 2, n + 2], out[k + 2, n + 3] = c0, c1, c2, c3
            out[k + 2, n + 4], out[k + 2, n + 5], out[k + 2, n + 6], out[k + 2, n + 7] = c4, c5, c6, c7
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


@_compiled
def add_weighted_points(V, A, g):
    """g (K, d) += V A for weights V (K, n), A (n, d)."""
    cells, points = V.shape
    for n in range(0, points - 7, 8):
        for k in range(0, cells - 2, 3):
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
        for k in range(cells - cells % 3, cells):
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


# ---- the layers of a block: one buffer (K, entries), input layer first -------------------------------------------
@_compiled
def _shifted(x, s, y, out):
    """out = x + s y."""
    for j in range(out.size):
        out[j] = x[j] + s * y[j]


@_compiled
def _dot(x, y):
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@_compiled
def _row_times_matrix(b, W, out):
    """out (m,) = b (r,) W (r, m)."""
    rows = W.shape[0]
    out[:] = 0.0
    for i in range(0, rows - 4, 5):
        b0, b1, b2, b3, b4 = b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4]
        for j in range(out.size):
            out[j] += b0 * W[i, j] + b1 * W[i + 1, j] + b2 * W[i + 2, j] + b3 * W[i + 3, j] + b4 * W[i + 4, j]
    for i in range(rows - rows % 5, rows):
        for j in range(out.size):
            out[j] += b[i] * W[i, j]


@_compiled
def ascend(before, z, coefficient, left, right, g):
    """z = before + coefficient b_l^T a_l^T in every layer; left (L−1, K, k): b_1 … b_{L−1}, right: a_2 … a_L."""
    hidden, cells, width = left.shape
    for k in range(cells):
        start = 0
        for layer in range(hidden + 1):
            a = g[k] if layer == 0 else right[layer - 1, k]
            for row in range(width if layer < hidden else 1):
                s = coefficient[k] * left[layer, k, row] if layer < hidden else coefficient[k]
                end = start + a.size
                _shifted(before[k, start:end], s, a, z[k, start:end])
                start = end


@_compiled
def left_products(W, left, w):
    """left (L−1, K, k): b_l = W_L ⋯ W_{l+1}; w (K, d) = W_L ⋯ W_1."""
    hidden, cells, width = left.shape
    columns = w.shape[1]
    for k in range(cells):
        if hidden == 0:
            w[k] = W[k]
            continue
        end = W.shape[1] - width
        left[hidden - 1, k] = W[k, end:]
        for layer in range(hidden - 1, 0, -1):
            start = end - width * width
            _row_times_matrix(left[layer, k], W[k, start:end].reshape(width, width), left[layer - 1, k])
            end = start
        _row_times_matrix(left[0, k], W[k, :end].reshape(width, columns), w[k])


@_compiled
def right_products(W, g, right):
    """right (L−1, K, k): a_{l+1} = W_l ⋯ W_1 g."""
    hidden, cells, width = right.shape
    for k in range(cells):
        start = 0
        for layer in range(hidden):
            a = g[k] if layer == 0 else right[layer - 1, k]
            for row in range(width):
                right[layer, k, row] = _dot(W[k, start : start + a.size], a)
                start += a.size


@_compiled
def _power_sum(x, q):
    total = x.dtype.type(0)
    if q == 2.0:
        for j in range(x.size):
            total += x[j] * x[j]
    elif q == 3.0:
        for j in range(x.size):
            total += abs(x[j]) * x[j] * x[j]
    elif q == 1.5:
        for j in range(x.size):
            total += abs(x[j]) * math.sqrt(abs(x[j]))
    else:
        for j in range(x.size):
            total += abs(x[j]) ** q
    return total


@_compiled
def gradient_norm(left, right, g, q, out):
    """out (K,) = (Σ_l ‖b_l‖_q^q ‖a_l‖_q^q)^{1/q}, q (K,). False where a sum leaves the range that is safe."""
    hidden, cells, _ = left.shape
    safe = True
    for k in range(cells):
        total = _power_sum(g[k] if hidden == 0 else right[hidden - 1, k], q[k])
        safe = safe and SMALLEST < total < LARGEST
        for layer in range(hidden):
            b = _power_sum(left[layer, k], q[k])
            a = _power_sum(g[k] if layer == 0 else right[layer - 1, k], q[k])
            safe = safe and SMALLEST < b < LARGEST and SMALLEST < a < LARGEST
            total += a * b
        out[k] = total ** (1.0 / q[k])
    return safe


@_compiled
def entry_scale(left, out):
    """out (K,) = ‖b_1‖_2, 1 at depth 1. False where a sum of squares leaves the range that is safe."""
    hidden, cells, _ = left.shape
    safe = True
    for k in range(cells):
        square = _power_sum(left[0, k], 2.0) if hidden else 1.0
        safe = safe and SMALLEST < square < LARGEST
        out[k] = math.sqrt(square)
    return safe


# ---- entry by entry ----------------------------------------------------------------------------------------------
@_compiled
def signed_square(z, out):
    """out = |z| z for z, out (rows, columns)."""
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            out[row, j] = abs(z[row, j]) * z[row, j]


@_compiled
def signed_sqrt(z, out):
    """out = sign(z)√|z| for z, out (rows, columns): six times as fast as torch's square root in float64 (MKL's)."""
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            out[row, j] = math.copysign(math.sqrt(abs(z[row, j])), z[row, j])
