"""Deep linear networks f(x) = ⟨w, x⟩ with w = (W_L ⋯ W_1)^T, without any bias.

W_1 ∈ R^{k×d}, W_l ∈ R^{k×k}, W_L ∈ R^{1×k}; at depth 1 W_1 ∈ R^{1×d}.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

INITS = ("normal", "uniform")


def layer_shapes(depth: int, width: int | None, dim: int) -> list[tuple[int, int]]:
    """Shapes (out, in) of W_1 … W_L, input layer first. `width` is not used at depth 1."""
    if depth < 1 or dim < 1:
        raise ValueError(f"depth = {depth}, dim = {dim}; both must be at least 1")
    if depth == 1:
        return [(1, dim)]
    if width is None or width < 1:
        raise ValueError(f"width = {width} at depth {depth}; a hidden layer needs width ≥ 1")
    return [(width, dim)] + [(width, width)] * (depth - 2) + [(1, width)]


def stream(seed: int, *purpose: object) -> torch.Generator:
    """Random generator of (seed, purpose), hashed: it does not depend on what else was drawn before."""
    digest = hashlib.sha256("|".join(["mdcore", str(seed), *map(str, purpose)]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def initial_weights(
    seed: int, shapes: Sequence[tuple[int, int]], scale: float, distribution: str = "normal"
) -> list[Tensor]:
    """Initial W_1 … W_L in float64: the same for the same (seed, shapes), whatever the potential.

    normal: entries scale·N(0, 1)/√fan_in; uniform: entries scale·U(−1, 1)/√fan_in, the default of torch's Linear
    at scale 1. Scale 0 at depth ≥ 2 is a saddle with zero gradient for ever and raises ValueError.
    """
    if distribution not in INITS:
        raise ValueError(f"init distribution {distribution!r}; expected one of {', '.join(INITS)}")
    if scale == 0 and len(shapes) > 1:
        raise ValueError("init scale 0 at depth ≥ 2 is a saddle (the gradient is zero for ever); give a scale > 0")
    weights = []
    for layer, (rows, columns) in enumerate(shapes, start=1):
        generator = stream(seed, "init", distribution, layer, rows, columns)
        if distribution == "normal":
            entries = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        else:
            entries = 2.0 * torch.rand(rows, columns, generator=generator, dtype=torch.float64) - 1.0
        weights.append(entries * (scale / math.sqrt(columns)))
    return weights


class DeepLinear(nn.Module):
    """f(x) = W_L ⋯ W_1 x, bias-free, as a torch module; x (n, d) → (n,).

    The engine trains stacks of these in closed form; this module is for autograd, tests and exploring.
    """

    def __init__(self, weights: Sequence[Tensor]):
        super().__init__()
        for first, second in zip(weights[:-1], weights[1:]):
            if first.shape[0] != second.shape[1]:
                raise ValueError(f"layers do not fit: {tuple(first.shape)} is followed by {tuple(second.shape)}")
        if weights[-1].shape[0] != 1:
            raise ValueError(f"the last layer has {weights[-1].shape[0]} rows; a binary classifier has 1")
        self.layers = nn.ParameterList([nn.Parameter(weight.clone()) for weight in weights])

    @property
    def depth(self) -> int:
        """Number of weight layers L."""
        return len(self.layers)

    def end_to_end(self) -> Tensor:
        """w = (W_L ⋯ W_1)^T, shape (d,)."""
        return end_to_end(list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.end_to_end()


def end_to_end(weights: Sequence[Tensor]) -> Tensor:
    """w = (W_L ⋯ W_1)^T of weights (…, out, in), input layer first; shape (…, d)."""
    product = weights[-1]
    for weight in reversed(weights[:-1]):
        product = product @ weight
    return product.squeeze(-2)
