"""Loops over the layers of a block: one buffer (K, entries), input layer first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdcore.math.engine.compiled.jit import Array, compiled

SMALLEST, LARGEST = 1e-100, 1e100  # between them sums of powers keep all their digits, and so do their products
FUSED_EXPONENTS = (0.5, 1.0, 2.0)  # of the inverse mirror maps that `mirror_step` takes itself


@compiled
def _add_outer(z: Array, s: float, b: Array, a: Array) -> None:
    """z (r, m) += s b^T a."""
    for i in range(z.shape[0]):
        t = s * b[i]
        for j in range(z.shape[1]):
            z[i, j] += t * a[j]


@compiled
def _shifted_outer(before: Array, z: Array, s: float, b: Array, a: Array) -> None:
    """z (r, m) = before + s b^T a; not for z = before, for which the compiler's loop is five times as slow."""
    for i in range(z.shape[0]):
        t = s * b[i]
        for j in range(z.shape[1]):
            z[i, j] = before[i, j] + t * a[j]


@compiled
def _dot(x: Array, y: Array) -> Any:
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@compiled
def _row_times_matrix(b: Array, W: Array, out: Array) -> None:
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


@compiled
def _ascend_layer(before: Array, z: Array, s: float, b: Array, a: Array) -> None:
    """z = before + s b^T a, both of r·m entries."""
    shape = b.size, a.size
    if before is z:
        _add_outer(z.reshape(shape), s, b, a)
    else:
        _shifted_outer(before.reshape(shape), z.reshape(shape), s, b, a)


@compiled
def ascend(before: Array, z: Array, coefficient: Array, left: Array, right: Array, g: Array) -> None:
    """z = before + coefficient b_l^T a_l^T in every layer; left (K, L−1, k): b_1 … b_{L−1}, right: a_2 … a_L."""
    cells, hidden, _ = left.shape
    one = np.ones(1, z.dtype)
    for k in range(cells):
        start = 0
        for layer in range(hidden + 1):
            b = left[k, layer] if layer < hidden else one
            a = g[k] if layer == 0 else right[k, layer - 1]
            end = start + b.size * a.size
            _ascend_layer(before[k, start:end], z[k, start:end], coefficient[k], b, a)
            start = end


@compiled
def _signed_power(z: Array, scale: float, exponent: float, w: Array) -> None:
    """w = scale sign(z)|z|^exponent for the exponents 1, 2 and ½."""
    if exponent == 1.0:
        for j in range(z.size):
            w[j] = scale * z[j]
    elif exponent == 2.0:
        for j in range(z.size):
            w[j] = scale * (abs(z[j]) * z[j])
    else:
        for j in range(z.size):
            w[j] = scale * math.copysign(math.sqrt(abs(z[j])), z[j])


@compiled
def mirror_step(
    before: Array, z: Array, w: Array, coefficient: Array, left: Array, right: Array, g: Array,
    scale: Array, exponent: Array, product: Array,
) -> None:  # fmt: skip
    """`ascend`, w = scale sign(z)|z|^exponent and `left_products` in one, layer by layer while each is in the cache.

    scale, exponent (K, L): exponents 1, 2 and ½; product (K, d) is the end-to-end weight.
    """
    cells, hidden, width = left.shape
    one = np.ones(1, z.dtype)
    mine, below = np.empty(width, z.dtype), np.empty(width, z.dtype)
    for k in range(cells):
        end = z.shape[1]
        for layer in range(hidden, -1, -1):
            b = left[k, layer] if layer < hidden else one
            a = g[k] if layer == 0 else right[k, layer - 1]
            start = end - b.size * a.size
            _ascend_layer(before[k, start:end], z[k, start:end], coefficient[k], b, a)
            _signed_power(z[k, start:end], scale[k, layer], exponent[k, layer], w[k, start:end])
            out = below if layer else product[k]
            if layer == hidden:
                out[:] = w[k, start:end]
            else:
                _row_times_matrix(mine, w[k, start:end].reshape(b.size, a.size), out)
                left[k, layer] = mine
            mine, below = below, mine
            end = start


@compiled
def left_products(W: Array, left: Array, w: Array) -> None:
    """left (K, L−1, k): b_l = W_L ⋯ W_{l+1}; w (K, d) = W_L ⋯ W_1."""
    cells, hidden, width = left.shape
    columns = w.shape[1]
    for k in range(cells):
        if hidden == 0:
            w[k] = W[k]
            continue
        end = W.shape[1] - width
        left[k, hidden - 1] = W[k, end:]
        for layer in range(hidden - 1, 0, -1):
            start = end - width * width
            _row_times_matrix(left[k, layer], W[k, start:end].reshape(width, width), left[k, layer - 1])
            end = start
        _row_times_matrix(left[k, 0], W[k, :end].reshape(width, columns), w[k])


@compiled
def right_products(W: Array, g: Array, right: Array) -> None:
    """right (K, L−1, k): a_{l+1} = W_l ⋯ W_1 g."""
    cells, hidden, width = right.shape
    for k in range(cells):
        start = 0
        for layer in range(hidden):
            a = g[k] if layer == 0 else right[k, layer - 1]
            for row in range(width):
                right[k, layer, row] = _dot(W[k, start : start + a.size], a)
                start += a.size


@compiled
def _power_sum(x: Array, q: float) -> Any:
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


@compiled
def gradient_norm(left: Array, right: Array, g: Array, q: Array, out: Array) -> bool:
    """out (K,) = (Σ_l ‖b_l‖_q^q ‖a_l‖_q^q)^{1/q}, q (K,). False where a sum leaves the range that is safe."""
    cells, hidden, _ = left.shape
    safe = True
    for k in range(cells):
        total = _power_sum(g[k] if hidden == 0 else right[k, hidden - 1], q[k])
        safe = safe and SMALLEST < total < LARGEST
        for layer in range(hidden):
            b = _power_sum(left[k, layer], q[k])
            a = _power_sum(g[k] if layer == 0 else right[k, layer - 1], q[k])
            safe = safe and SMALLEST < b < LARGEST and SMALLEST < a < LARGEST
            total += a * b
        out[k] = total ** (1.0 / q[k])
    return safe


@compiled
def entry_scale(left: Array, out: Array) -> bool:
    """out (K,) = ‖b_1‖_2, 1 at depth 1. False where a sum of squares leaves the range that is safe."""
    cells, hidden, _ = left.shape
    safe = True
    for k in range(cells):
        square = _power_sum(left[k, 0], 2.0) if hidden else 1.0
        safe = safe and SMALLEST < square < LARGEST
        out[k] = math.sqrt(square)
    return safe


def restore(kept: Sequence[Array], old: Sequence[Array], rejected: Array, left: Array, w: Array) -> None:
    """Rows `rejected` (K,) of Z and W (K, entries) ← the old ones, with the left products and w that belong to them."""
    for row in np.flatnonzero(rejected):
        one = slice(row, row + 1)
        for new, before in zip(kept, old):
            new[one] = before[one]
        left_products(kept[1][one], left[one], w[one])
