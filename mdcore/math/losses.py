"""Losses of the margin m = y⟨w, x⟩, in the log domain: nothing underflows when the risk is 1e-300 and below.

logistic ℓ(m) = log(1 + e^{−m});  exponential ℓ(m) = e^{−m};  risk R = (1/n) Σ_n ℓ(m_n).
The sample weights are v_n = −ℓ'(m_n)/n, so that −∂R/∂w = A^T v.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mdcore.math.torch_later import torch

if TYPE_CHECKING:
    from torch import Tensor

LOSSES = ("logistic", "exponential")

# Above this margin log(1 + e^{−m}) and e^{−m} agree to rounding in float64.
LOGISTIC_IS_EXPONENTIAL = 40.0


def logsigmoid(x: Tensor) -> Tensor:
    """log σ(x) = −log(1 + e^{−x}), entry by entry."""
    return torch.nn.functional.logsigmoid(x)


def check_loss(name: str) -> str:
    """Return `name`, or raise ValueError naming the losses there are."""
    if name not in LOSSES:
        raise ValueError(f"loss {name!r}; expected one of {', '.join(LOSSES)}")
    return name


def log_loss(margins: Tensor, loss: str) -> Tensor:
    """log ℓ(m) for every margin, same shape."""
    if check_loss(loss) == "exponential":
        return -margins
    # log log(1 + e^{−m}) = −m − e^{−m}/2 + …: the second term is below rounding from m = 40 on
    return torch.where(margins < LOGISTIC_IS_EXPONENTIAL, torch.log(-logsigmoid(margins.clamp(max=60.0))), -margins)


def logistic_sum(margins: Tensor) -> Tensor:
    """Σ_n log(1 + e^{−m}) along the last axis, in one pass; the terms keep their digits up to margins of 700."""
    return logsigmoid(margins).sum(dim=-1).neg_()


def log_risk(margins: Tensor, loss: str, dim: int = -1) -> Tensor:
    """log R = log (1/n) Σ_n ℓ(m_n) along `dim`."""
    return torch.logsumexp(log_loss(margins, loss), dim=dim) - math.log(margins.shape[dim])


def log_weights(margins: Tensor, loss: str, dim: int = -1) -> Tensor:
    """log v_n = log(−ℓ'(m_n)/n): log σ(−m_n) − log n (logistic), −m_n − log n (exponential)."""
    slopes = -margins if check_loss(loss) == "exponential" else logsigmoid(-margins)
    return slopes - math.log(margins.shape[dim])


def weight_edge(dtype: torch.dtype) -> float:
    """log2 of the ratio at which `scaled_weights_` cuts: no weight is a subnormal number."""
    return 0.98 * math.log2(torch.finfo(dtype).max)


def scaled_weights_(margins: Tensor, shift: Tensor, loss: str) -> Tensor:
    """Overwrite margins (K, n) by −ℓ'(m) e^{shift}; `shift` is (K, 1).

    With the shift of `weight_shift` every entry lies in [0, 1] and the largest is at least ½. One exponential an
    entry: −ℓ'(m) e^{c} = 1/(e^{m−c} + e^{−c}). Exponents are cut at the edge of the normal numbers, where exp would
    take a path five times slower: weights below 1e-300 (float64) of the largest come out as 1e-300.
    e^x is taken as 2^{x log2 e}, three times as fast in torch: rounding x log2 e changes a weight by less than half
    the rounding of the largest.
    """
    margins.sub_(shift).mul_(math.log2(math.e)).clamp_(max=weight_edge(margins.dtype))
    if loss == "exponential":
        return margins.neg_().exp2_()
    return margins.exp2_().add_(torch.exp(-shift)).reciprocal_()


def weight_shift(smallest_margin: Tensor, loss: str) -> Tensor:
    """c such that −ℓ'(min m) e^{c} is of order 1: min m (exponential), max(min m, 0) (logistic)."""
    return smallest_margin if loss == "exponential" else smallest_margin.clamp(min=0.0)
