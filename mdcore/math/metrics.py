"""What is measured of a predictor and of its layers. Angles in degrees; margins without units.

w (…, d) is an end-to-end predictor, A (n, d) the signed data y_n x_n, Z and W the layers, input layer first,
each (…, out, in) with the cells of a stack as leading axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mdcore.math.potentials import Potential


def unit(u: Tensor, dim: int = -1) -> Tensor:
    """u/‖u‖_2 along `dim`, safe for entries of 1e±300; NaN for the zero vector."""
    u = u / u.abs().amax(dim=dim, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(u, dim=dim, keepdim=True)
    return u / length


def angle(u: Tensor, v: Tensor) -> Tensor:
    """angle(u, v) = 2 atan2(‖û − v̂‖, ‖û + v̂‖) in degrees, [0, 180], along the last axis.

    Signed: an opposite vector is at 180°, not 0°. NaN where a vector is zero or not finite. Kahan's formula:
    arccos⟨û, v̂⟩ would lose everything below 1e-6 degrees in float64.
    """
    u, v = unit(u), unit(v)
    return torch.rad2deg(
        2.0 * torch.atan2(torch.linalg.vector_norm(u - v, dim=-1), torch.linalg.vector_norm(u + v, dim=-1))
    )


def p_norm(w: Tensor, p: float, dim: int = -1) -> Tensor:
    """‖w‖_p along `dim`, 1 ≤ p ≤ ∞, scaled by the largest entry so that no power overflows."""
    largest = w.abs().amax(dim=dim, keepdim=True)
    safe = torch.where(largest > 0, largest, torch.ones_like(largest))
    scaled: Tensor = torch.linalg.vector_norm(w / safe, ord=p, dim=dim)
    return largest.squeeze(dim) * scaled


def conjugate_exponent(p: float) -> float:
    """q = p/(p − 1): ∞ for p = 1, 1 for p = ∞."""
    if p == 1.0:
        return math.inf
    return 1.0 if math.isinf(p) else p / (p - 1.0)


def layer_potentials(potentials: Sequence[Potential], Z: Sequence[Tensor]) -> Tensor:
    """Σ over entries of φ_l*(Z_l) − φ_l*(0) ≥ 0, shape (…, L): φ* is least at 0, as an even φ has φ'(0) = 0.

    Without the constant the sum could be negative (cosh, φ*(0) = −β²) or count entries (hypentropy, φ*(0) = β).
    """
    sums = []
    for phi, z in zip(potentials, Z):
        at_zero = phi.conjugate_per_entry(torch.zeros((1, 1), dtype=z.dtype, device=z.device))
        sums.append((phi.conjugate_per_entry(z) - at_zero).sum(dim=(-2, -1)))
    return torch.stack(sums, dim=-1)


def max_over_min(values: Tensor) -> Tensor:
    """max/min along the last axis: the balance of layers, 1 when they are equal; NaN where one is not above 0."""
    least = values.amin(dim=-1)
    return torch.where(least > 0, values.amax(dim=-1) / least, math.nan)


def balance_invariants(potentials: Sequence[Potential], Z: Sequence[Tensor]) -> Tensor:
    """Σ_j φ*(Z_{l+1,ji}) − Σ_m φ*(Z_{l,im}) for every hidden neuron i of every hidden layer l, shape (…, L−1, k).

    Conserved along mirror flow, for any potentials (theory 5.3; Du et al. 2018 for the quadratic one).
    """
    phi_star = [phi.conjugate_per_entry(z) for phi, z in zip(potentials, Z)]
    return torch.stack([outer.sum(dim=-2) - inner.sum(dim=-1) for inner, outer in zip(phi_star, phi_star[1:])], dim=-2)


def top_singular_vectors(W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(u, σ², v) of the largest singular value of W (…, out, in): u (…, out), v (…, in), by the smaller Gram matrix."""
    W = W / W.abs().amax(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(W.dtype).tiny)
    rows, columns = W.shape[-2:]
    gram = W @ W.mT if rows <= columns else W.mT @ W
    values, vectors = torch.linalg.eigh(gram)
    top = vectors[..., -1]
    if rows <= columns:
        return top, values[..., -1], unit((top.unsqueeze(-2) @ W).squeeze(-2))
    return unit((W @ top.unsqueeze(-1)).squeeze(-1)), values[..., -1], top


def alignment_and_stable_rank(W: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Alignment: mean over l of |⟨v_{l+1}, u_l⟩|; stable rank: the largest ‖W_l‖_F²/‖W_l‖_2² over the layers.

    u_l is the LEFT top singular vector of layer l, v_{l+1} the RIGHT one of layer l+1 (Ji & Telgarsky 2019); both
    figures tend to 1. At depth 1 both are 1 by convention. Shapes (…,).
    """
    leading = W[0].shape[:-2]
    if len(W) == 1:
        one = torch.ones(leading, dtype=W[0].dtype, device=W[0].device)
        return one, one.clone()
    tops = [top_singular_vectors(layer) for layer in W]
    alignment = torch.stack([(inner[0] * outer[2]).sum(dim=-1).abs() for inner, outer in zip(tops, tops[1:])]).mean(
        dim=0
    )
    ranks = []
    for layer, (_, square, _) in zip(W, tops):
        scaled = layer / layer.abs().amax(dim=(-2, -1), keepdim=True)
        ranks.append(scaled.square().sum(dim=(-2, -1)) / square)
    return alignment, torch.stack(ranks).amax(dim=0)


def participation(W: Sequence[Tensor], p: float) -> Tensor:
    """(Σc)²/Σc² with c_i = ‖W_2[:,i]‖_p ‖W_1[i,:]‖_p: effective number of hidden neurons; 1 at depth 1. Shape (…,)."""
    if len(W) == 1:
        return torch.ones(W[0].shape[:-2], dtype=W[0].dtype, device=W[0].device)
    c = p_norm(W[1], p, dim=-2) * p_norm(W[0], p, dim=-1)
    c = c / c.amax(dim=-1, keepdim=True)
    return c.sum(dim=-1).square() / c.square().sum(dim=-1)
