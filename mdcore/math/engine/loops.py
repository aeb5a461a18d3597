"""The module whose functions do the loops of a step: `compiled` on the CPU, `torch_loops` elsewhere."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def loops_for(tensor: Tensor) -> ModuleType:
    """The module for data that lie where `tensor` does."""
    from mdcore.math.engine import compiled, torch_loops  # here: numba takes a second that reading a grid need not pay

    return compiled if tensor.device.type == "cpu" else torch_loops


def is_asynchronous(tensor: Tensor) -> bool:
    """Whether steps are queued on a GPU: nothing may then depend on a value that the processor reads back."""
    return tensor.device.type == "cuda"
