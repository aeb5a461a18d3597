"""Loops over the layers of a block: one buffer (K, entries), input layer first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdcore.math.engine.compiled.jit import Array, compiled, inlined

SMALLEST, LARGEST = 1e-100, 1e100  # between them sums of powers keep all their digits, and so do their products
FUSED_EXPONENTS = (0.5, 1.0, 2.0)  # of the inverse mirror maps that `mirror_step` takes itself
FEW_COLUMNS = 8  # of a layer: from 2 up to here, loops run over its rows


@inlined
def _copy(x: Array, y: Array) -> None:
    for j in range(y.size):
        y[j] = x[j]


@inlined
def _add_outer(z: Array, s: float, b: Array, a: Array) -> None:
    """z (r, m) += s b^T a."""
    for i in range(z.shape[0]):
        t = s * b[i]
        for j in range(z.shape[1]):
            z[i, j] += t * a[j]


@inlined
def _shifted_outer(before: Array, z: Array, s: float, b: Array, a: Array) -> None:
    """z (r, m) = before + s b^T a; not for z = before, for which the compiler's loop is five times as slow."""
    for i in range(z.shape[0]):
        t = s * b[i]
        for j in range(z.shape[1]):
            z[i, j] = before[i, j] + t * a[j]


@inlined
def _matrix_times_column(W: Array, a: Array, out: Array) -> None:
    """out (r,) = W (r, m) a (m,)."""
    for i in range(out.size):
        total = out.dtype.type(0)
        for j in range(a.size):
            total += W[i, j] * a[j]
        out[i] = total


@inlined
def _row_times_matrix(b: Array, W: Array, out: Array) -> None:
    """out (m,) = b (r,) W (r, m)."""
    rows = W.shape[0]
    for j in range(out.size):
        out[j] = 0.0
    for i in range(0, rows - 4, 5):
        b0, b1, b2, b3, b4 = b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4]
        for j in range(out.size):
            out[j] += b0 * W[i, j] + b1 * W[i + 1, j] + b2 * W[i + 2, j] + b3 * W[i + 3, j] + b4 * W[i + 4, j]
    for i in range(rows - rows % 5, rows):
        for j in range(out.size):
            out[j] += b[i] * W[i, j]


@compiled
def ascend(before: Array, z: Array, coefficient: Array, left: Array, right: Array, g: Array) -> None:
    """z = before + coefficient b_l^T a_l^T in every layer; left (K, L−1, k): b_1 … b_{L−1}, right: a_2 … a_L."""
    cells, hidden, width = left.shape
    in_place = before is z
    for k in range(cells):
        start = 0
        for layer in range(hidden):
            a, b = g[k] if layer == 0 else right[k, layer - 1], left[k, layer]
            shape, end = (width, a.size), start + width * a.size
            z_l = z[k, start:end].reshape(shape)
            if in_place:
                _add_outer(z_l, coefficient[k], b, a)
            else:
                _shifted_outer(before[k, start:end].reshape(shape), z_l, coefficient[k], b, a)
            start = end
        a = g[k] if hidden == 0 else right[k, hidden - 1]
        for j in range(a.size):
            z[k, start + j] = before[k, start + j] + coefficient[k] * a[j]


@inlined
def _power(z: float, scale: float, exponent: float) -> Any:
    """scale sign(z)|z|^exponent for the exponents 1, 2 and ½; a loop asks once which, where it is given a constant."""
    if exponent == 1.0:
        return scale * z
    if exponent == 2.0:
        return scale * (abs(z) * z)
    return scale * math.copysign(math.sqrt(abs(z)), z)


@inlined
def _powers(z: Array, scale: float, exponent: float, w: Array) -> None:
    for j in range(z.size):
        w[j] = _power(z[j], scale, exponent)


@inlined
def _signed_power(z: Array, scale: float, exponent: float, w: Array) -> None:
    """w = scale sign(z)|z|^exponent for the exponents 1, 2 and ½."""
    if exponent == 1.0:
        _powers(z, scale, 1.0, w)
    elif exponent == 2.0:
        _powers(z, scale, 2.0, w)
    else:
        _powers(z, scale, 0.5, w)


@inlined
def _step_row(
    z: Array, w: Array, t: float, a: Array, scale: float, exponent: float, left: float, out: Array
) -> None:  # fmt: skip
    """One row of `_step_in_place`, added to `out`."""
    for j in range(out.size):
        x = z[j] + t * a[j]
        z[j] = x
        x = _power(x, scale, exponent)
        w[j] = x
        out[j] += left * x


@inlined
def _step_five_rows(
    z0: Array, z1: Array, z2: Array, z3: Array, z4: Array, w0: Array, w1: Array, w2: Array, w3: Array, w4: Array,
    t0: float, t1: float, t2: float, t3: float, t4: float, a: Array, scale: float, exponent: float,
    b0: float, b1: float, b2: float, b3: float, b4: float, out: Array,
) -> None:  # fmt: skip
    """Five rows of `_step_in_place`, each an array of its own, since the compiler asks whether any two overlap."""
    for j in range(out.size):
        x0, x1, x2, x3 = z0[j] + t0 * a[j], z1[j] + t1 * a[j], z2[j] + t2 * a[j], z3[j] + t3 * a[j]
        x4 = z4[j] + t4 * a[j]
        z0[j], z1[j], z2[j], z3[j], z4[j] = x0, x1, x2, x3, x4
        x0, x1, x2 = _power(x0, scale, exponent), _power(x1, scale, exponent), _power(x2, scale, exponent)
        x3, x4 = _power(x3, scale, exponent), _power(x4, scale, exponent)
        w0[j], w1[j], w2[j], w3[j], w4[j] = x0, x1, x2, x3, x4
        out[j] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4


@inlined
def _step_few_columns(
    z: Array, w: Array, t: Array, a: Array, scale: float, exponent: float, left: Array, out: Array
) -> None:  # fmt: skip
    """`_step_in_place` for few columns, two at a time: the loops run over the rows."""
    for j in range(0, a.size, 2):
        last = min(j + 1, a.size - 1)
        sum_x = sum_y = out.dtype.type(0)
        if last > j:
            for i in range(t.size):
                x, y = z[i, j] + t[i] * a[j], z[i, last] + t[i] * a[last]
                z[i, j], z[i, last] = x, y
                x, y = _power(x, scale, exponent), _power(y, scale, exponent)
                w[i, j], w[i, last] = x, y
                sum_x, sum_y = sum_x + left[i] * x, sum_y + left[i] * y
            out[last] = sum_y
        else:
            for i in range(t.size):
                x = z[i, j] + t[i] * a[j]
                z[i, j] = x
                x = _power(x, scale, exponent)
                w[i, j] = x
                sum_x += left[i] * x
        out[j] = sum_x


@inlined
def _step_in_place(
    z: Array, w: Array, t: Array, a: Array, scale: float, exponent: float, left: Array, out: Array
) -> None:  # fmt: skip
    """z (r, m) += t^T a, w = scale sign(z)|z|^exponent and out (m,) = left w: every entry is read and written once.

    t (r,) is the coefficient times the left product before the step, left (r,) the one after it; a (m,).
    """
    if 1 < a.size <= FEW_COLUMNS:
        _step_few_columns(z, w, t, a, scale, exponent, left, out)
        return
    for j in range(out.size):
        out[j] = 0.0
    for i in range(0, t.size - 4, 5):
        _step_five_rows(
            z[i], z[i + 1], z[i + 2], z[i + 3], z[i + 4], w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4],
            t[i], t[i + 1], t[i + 2], t[i + 3], t[i + 4], a, scale, exponent,
            left[i], left[i + 1], left[i + 2], left[i + 3], left[i + 4], out,
        )  # fmt: skip
    for i in range(t.size - t.size % 5, t.size):
        _step_row(z[i], w[i], t[i], a, scale, exponent, left[i], out)


@compiled
def mirror_step(
    before: Array, z: Array, w: Array, coefficient: Array, left: Array, right: Array, g: Array, product: Array,
    scale: Array, exponent: Array, work: Array,
) -> None:  # fmt: skip
    """`ascend`, w = scale sign(z)|z|^exponent and `left_products` in one, layer by layer while each is in the cache.

    product (K, d) is the end-to-end weight; scale, exponent (K, L): exponents 1, 2 and ½; `work` (4, k) is overwritten.
    """
    cells, hidden, width = left.shape
    in_place = before is z
    one = work[0, :1]
    one[0] = 1.0
    for k in range(cells):
        end = z.shape[1]
        mine, below = work[1], work[2]
        for layer in range(hidden, -1, -1):
            a = g[k] if layer == 0 else right[k, layer - 1]
            t, above = work[3, : width if layer < hidden else 1], mine if layer < hidden else one
            for i in range(t.size):
                t[i] = coefficient[k] * left[k, layer, i] if layer < hidden else coefficient[k]
            start, out = end - t.size * a.size, below if layer else product[k]
            shape, power, factor = (t.size, a.size), exponent[k, layer], scale[k, layer]
            z_l, w_l = z[k, start:end].reshape(shape), w[k, start:end].reshape(shape)
            if not in_place:
                _shifted_outer(before[k, start:end].reshape(shape), z_l, 1.0, t, a)
                _signed_power(z[k, start:end], factor, power, w[k, start:end])
                _row_times_matrix(above, w_l, out)
            elif power == 1.0:
                _step_in_place(z_l, w_l, t, a, factor, 1.0, above, out)
            elif power == 2.0:
                _step_in_place(z_l, w_l, t, a, factor, 2.0, above, out)
            else:
                _step_in_place(z_l, w_l, t, a, factor, 0.5, above, out)
            if layer < hidden:
                _copy(mine, left[k, layer])
            mine, below = below, mine
            end = start


@compiled
def left_products(W: Array, left: Array, w: Array) -> None:
    """left (K, L−1, k): b_l = W_L ⋯ W_{l+1}; w (K, d) = W_L ⋯ W_1."""
    cells, hidden, width = left.shape
    columns = w.shape[1]
    for k in range(cells):
        if hidden == 0:
            _copy(W[k], w[k])
            continue
        end = W.shape[1] - width
        _copy(W[k, end:], left[k, hidden - 1])
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
            end = start + width * a.size
            _matrix_times_column(W[k, start:end].reshape((width, a.size)), a, right[k, layer])
            start = end


@inlined
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
