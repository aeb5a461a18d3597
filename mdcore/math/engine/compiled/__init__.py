"""The loops of a training step on the CPU, compiled by numba. `torch_loops.py` holds their twins in torch.

Why not a BLAS: its products copy their operands into a packed form first, which for a handful of rows costs as much
as the product, and a stack has a row a cell. Here every number loaded from A is used for three cells, every number
of w for four points, and LLVM keeps the 12 sums in registers. `make bench` measures both side by side.

Why not torch: a call of it costs about a microsecond, as much as its work on a stack of 18 cells.
"""

from __future__ import annotations

import numpy as np
import torch

from mdcore.math.engine.compiled.layers import (
    FUSED_EXPONENTS,
    ascend,
    entry_scale,
    gradient_norm,
    left_products,
    mirror_step,
    restore,
    right_products,
)
from mdcore.math.engine.compiled.points import (
    accumulate,
    add_weighted_points,
    all_finite,
    begin,
    finish,
    margins,
    still_below_rounding,
    weigh,
)

__all__ = [
    "FUSED_EXPONENTS", "accumulate", "add_weighted_points", "all_finite", "ascend", "begin", "entry_scale",
    "finish", "gradient_norm", "laid_out", "left_products", "margins", "mirror_step", "restore", "right_products",
    "still_below_rounding", "view", "weigh",
]  # fmt: skip


def laid_out(A: torch.Tensor) -> np.ndarray:
    """Points (n, d) as the products with them take them."""
    return A.numpy()


def view(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory, as the functions of this module take it."""
    return tensor.numpy()
