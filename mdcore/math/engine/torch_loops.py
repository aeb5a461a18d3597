"""The loops of a training step in torch: on a GPU, for data of a few columns, and to hold `compiled` to in tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from mdcore.math import losses

FUSED_EXPONENTS = ()  # a block's step is `ascend`, the potentials' inverse maps, `left_products`


def view(tensor: Tensor) -> Tensor:
    """The tensor, as the functions of this module take it."""
    return tensor


def laid_out(A: Tensor) -> Tensor:
    """Points (n, d) as the products with them take them."""
    return A


def margins(w: Tensor, A: Tensor, out: Tensor) -> None:
    """out (K, n) = w A^T for w (K, d), A (n, d)."""
    torch.mm(w, A.mT, out=out)


def add_weighted_points(V: Tensor, A: Tensor, g: Tensor) -> None:
    """g (K, d) += V A for weights V (K, n), A (n, d)."""
    g.add_(torch.mm(V, A))  # addmm_ takes twice as long where d is small


def weigh(margins: Tensor, smallest: Tensor, total: Tensor, g: Tensor, logistic: bool) -> None:
    """margins (K, n) ← the weights −ℓ'(m) e^c; smallest and total (K,) then take these points in, g (K, d) is rescaled.

    c = losses.weight_shift(smallest) follows the smallest margin seen so far.
    """
    loss = "logistic" if logistic else "exponential"
    before = losses.weight_shift(smallest, loss).clone()
    c = losses.weight_shift(torch.minimum(smallest, margins.amin(dim=1), out=smallest), loss)
    losses.scaled_weights_(margins, c.unsqueeze(1), loss)
    rescale = (c - before).exp_()  # ≤ 1
    g.mul_(rescale.unsqueeze(1))
    total.mul_(rescale).add_(margins.sum(dim=1))


def begin(smallest: Tensor, total: Tensor, g: Tensor) -> None:
    """What `weigh` goes on from, before the first point."""
    smallest.fill_(torch.inf)
    total.zero_()
    g.zero_()


def finish(smallest: Tensor, points: int, logistic: bool, log_scale: Tensor, log_risk: Tensor) -> None:
    """After the last point: log_scale (K,) = losses.weight_shift(smallest) + log n; log_risk −= log_scale."""
    log_scale.copy_(losses.weight_shift(smallest, "logistic" if logistic else "exponential"))
    log_scale.add_(math.log(points))
    log_risk.sub_(log_scale)


def all_finite(x: Tensor) -> bool:
    """Whether no entry of x (K,) is NaN or infinite."""
    return bool(torch.isfinite(x).all())


def accumulate(
    weight: Tensor, step: Tensor, before: SimpleNamespace, z: Tensor, mass: Tensor, log_flow_time: Tensor
) -> None:
    """z (K, d) += c g and mass (K,) += c Σ v, in float64 whatever the type of the pass `before`; log Σ s += s.

    c (K,) = `weight`; s = `step`·e^{log_scale}, since g and the step's coefficient are scaled by e^{±log_scale}. The
    logarithm of Σ s is kept: a normalised step is as long as the risk is small, and overflows.
    """
    c = weight.double()
    z.addcmul_(c.unsqueeze(1), before.g.double())
    mass.addcmul_(c, before.weight_sum.double())
    new = step.double().log() + before.log_scale.double()  # a refused step is 0: log 0 = −∞
    torch.logaddexp(log_flow_time, new, out=log_flow_time)


def still_below_rounding(
    w: Tensor, direction: Tensor, excluded_margin: Tensor, excluded_norm: float, smallest: Tensor, slack: float
) -> bool:
    """True where ActiveSet.holds is, in every cell whose smallest margin is finite."""
    along = (w * direction).sum(dim=1)
    across = torch.linalg.vector_norm(w - along.unsqueeze(1) * direction, dim=1)
    proven = along * excluded_margin - excluded_norm * across - smallest >= slack
    return bool((proven | ~torch.isfinite(smallest)).all())


def layers(flat: Tensor, hidden: int, width: int, columns: int) -> list[Tensor]:
    """Views (K, out, in) of the L = hidden + 1 layers that lie in `flat` (K, entries), input layer first."""
    if hidden == 0:
        return [flat.unsqueeze(1)]
    sizes = [width * columns, *[width * width] * (hidden - 1), width]
    shapes = [(width, columns), *[(width, width)] * (hidden - 1), (1, width)]
    return [part.view(-1, *shape) for part, shape in zip(torch.split(flat, sizes, dim=1), shapes)]


def ascend(before: Tensor, z: Tensor, coefficient: Tensor, left: Tensor, right: Tensor, g: Tensor) -> None:
    """z = before + coefficient b_l^T a_l^T in every layer; left (K, L−1, k): b_1 … b_{L−1}, right: a_2 … a_L."""
    _, hidden, width = left.shape
    s = coefficient.unsqueeze(1)
    b = [*(left * s[:, None]).unbind(1), s]
    a = [g, *right.unbind(1)]
    shape = hidden, width, g.shape[1]
    for old, new, b_l, a_l in zip(layers(before, *shape), layers(z, *shape), b, a):
        torch.addcmul(old, b_l.unsqueeze(2), a_l.unsqueeze(1), out=new)


def left_products(W: Tensor, left: Tensor, w: Tensor) -> None:
    """left (K, L−1, k): b_l = W_L ⋯ W_{l+1}; w (K, d) = W_L ⋯ W_1."""
    _, hidden, width = left.shape
    product = None
    for number, layer in reversed(list(enumerate(layers(W, hidden, width, w.shape[1])))):
        product = layer if product is None else torch.bmm(product, layer)
        (left[:, number - 1] if number else w).copy_(product.squeeze(1))


def right_products(W: Tensor, g: Tensor, right: Tensor) -> None:
    """right (K, L−1, k): a_{l+1} = W_l ⋯ W_1 g."""
    _, hidden, width = right.shape
    product = g.unsqueeze(1)
    for number, layer in enumerate(layers(W, hidden, width, g.shape[1])[:hidden]):
        product = torch.bmm(product, layer.mT)  # a row times W^T: three times as fast as W times a column
        right[:, number].copy_(product.squeeze(1))


def restore(kept: Sequence[Tensor], old: Sequence[Tensor], rejected: Tensor, left: Tensor, w: Tensor) -> None:
    """Rows `rejected` (K,) of Z and W (K, entries) ← the old ones, with the left products and w that belong to them."""
    for new, before in zip(kept, old):
        torch.where(rejected.unsqueeze(1), before, new, out=new)
    left_products(kept[1], left, w)


def _norm(x: Tensor, q: Tensor) -> Tensor:
    """‖x‖_q along the last axis for q (K,), x (K, …), scaled by the largest entry: no power over- or underflows."""
    power = q.view(-1, *[1] * (x.dim() - 1))
    largest = x.abs().amax(dim=-1, keepdim=True)
    safe = torch.where(largest > 0, largest, torch.ones_like(largest))
    return (largest * (x / safe).abs().pow(power).sum(dim=-1, keepdim=True).pow(1.0 / power)).squeeze(-1)


def gradient_norm(left: Tensor, right: Tensor, g: Tensor, q: Tensor, out: Tensor) -> bool:
    """out (K,) = (Σ_l ‖b_l‖_q^q ‖a_l‖_q^q)^{1/q}, q (K,). True: no sum of these leaves the range that is safe."""
    one = torch.ones_like(out).unsqueeze(1)
    b = torch.cat([_norm(left, q), one], dim=1)
    a = torch.cat([_norm(g, q).unsqueeze(1), _norm(right, q)], dim=1)
    out.copy_(_norm(b * a, q))
    return True


def entry_scale(left: Tensor, out: Tensor) -> bool:
    """out (K,) = ‖b_1‖_2, 1 at depth 1. True, as gradient_norm."""
    if left.shape[1]:
        out.copy_(_norm(left[:, 0], torch.full_like(out, 2.0)))
    else:
        out.fill_(1.0)
    return True
