"""A block: cells of one depth and width, their layers held as batched tensors.

The gradient of the risk is a sum of outer products that factor through the data in one vector. With
g = A^T v ∈ R^d,  b_l = W_L ⋯ W_{l+1}  and  a_l = W_{l−1} ⋯ W_1 g,

    G_l = −∂R/∂W_l = b_l^T a_l^T,

so a step touches the data twice (A w and A^T v), whatever depth and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdcore.math.metrics import p_norm
from mdcore.math.potentials import Potential, normalisation_exponent


@dataclass
class Segment:
    """Neighbouring rows of a block with the same potentials, one per layer."""

    potentials: tuple[Potential, ...]
    rows: slice

    @property
    def q(self) -> float:
        """Exponent of the gradient norm of the normalised step."""
        return normalisation_exponent(self.potentials)


class Block:
    """K cells with layers Z_l, W_l of shape (K, out, in), input layer first.

    Parameters
    ----------
    potentials : for every cell its potentials, one per layer; equal ones stand side by side.
    weights : initial W_1 … W_L, each (K, out, in); Z = ∇φ(W) is taken once, here, and is the state from then on.
    """

    def __init__(self, potentials: Sequence[tuple[Potential, ...]], weights: Sequence[Tensor]):
        for own in potentials:
            if len(own) != len(weights):
                raise ValueError(f"{len(own)} potentials for {len(weights)} layers; expected one per layer")
        self.potentials = list(potentials)
        self.W = [weight.clone() for weight in weights]
        self.Z = [weight.clone() for weight in weights]
        self._allocate()
        for segment in self.segments:
            for phi, z, w in zip(segment.potentials, self.Z, self.W):
                z[segment.rows] = phi.mirror_map(w[segment.rows])

    def _allocate(self) -> None:
        """Segments, and buffers of a step, so that the loop allocates nothing of the layers' size."""
        self.segments: list[Segment] = []
        for row, own in enumerate(self.potentials):
            if self.segments and self.segments[-1].potentials == own:
                self.segments[-1].rows = slice(self.segments[-1].rows.start, row + 1)
            else:
                self.segments.append(Segment(own, slice(row, row + 1)))
        self.exponents = [segment.q for segment in self.segments]
        self.spare_Z = [torch.zeros_like(z) for z in self.Z]
        self.spare_W = [torch.zeros_like(w) for w in self.W]
        K, like = self.size, self.Z[0]
        self.left = [like.new_ones(K, 1, z.shape[-2]) for z in self.Z]  # b_l
        self.right = [like.new_zeros(K, z.shape[-1], 1) for z in self.Z]  # a_l

    @property
    def size(self) -> int:
        """Number of cells K."""
        return len(self.potentials)

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.Z)

    def end_to_end(self, out: Tensor) -> None:
        """Write w = (W_L ⋯ W_1)^T into `out` (K, d), keeping every left product b_l."""
        if self.depth == 1:
            out.copy_(self.W[0].squeeze(1))
            return
        self.left[-2].copy_(self.W[-1])
        for layer in range(self.depth - 2, 0, -1):
            torch.bmm(self.left[layer], self.W[layer], out=self.left[layer - 1])
        torch.bmm(self.left[0], self.W[0], out=out.unsqueeze(1))

    def gradient(self, g: Tensor) -> None:
        """Keep every right product a_l for g = A^T v (K, d)."""
        self.right[0].copy_(g.unsqueeze(-1))
        for layer in range(1, self.depth):
            torch.bmm(self.W[layer - 1], self.right[layer - 1], out=self.right[layer])

    def gradient_norm(self) -> Tensor:
        """N = (Σ_l ‖G_l‖_q^q)^{1/q} over ALL layers, (K,): ‖G_l‖_q = ‖b_l‖_q ‖a_l‖_q as G_l has rank one."""
        norms = []
        for segment, q in zip(self.segments, self.exponents):
            rows = segment.rows
            layers = [_norm(a[rows].squeeze(2), q) for a in self.right]
            for number, b in enumerate(self.left[:-1]):
                layers[number] = layers[number] * _norm(b[rows].squeeze(1), q)
            norms.append(layers[0] if self.depth == 1 else _norm(torch.stack(layers, dim=-1), q))
        return norms[0] if len(norms) == 1 else torch.cat(norms)

    def entry_scale(self) -> Tensor:
        """‖W_L ⋯ W_2‖_2 (K,): the factor with which A^T v enters Z_1; 1 at depth 1."""
        return _norm(self.left[0].squeeze(1), 2.0)

    def step(self, coefficient: Tensor, keep_old: bool = False) -> None:
        """Z_l ← Z_l + coefficient·G_l, W_l ← (∇φ_l)^{-1}(Z_l); coefficient (K,). `keep_old` allows one `undo`."""
        if keep_old:
            self.Z, self.spare_Z = self.spare_Z, self.Z
            self.W, self.spare_W = self.spare_W, self.W
        old_Z = self.spare_Z if keep_old else self.Z
        s = coefficient.view(-1, 1, 1)
        for layer, (old, z, w, b, a) in enumerate(zip(old_Z, self.Z, self.W, self.left, self.right)):
            torch.addcmul(old, (b * s).mT, a.mT, out=z)
            for segment in self.segments:
                segment.potentials[layer].inverse_mirror_map(z[segment.rows], out=w[segment.rows])

    def undo(self, rejected: Tensor) -> None:
        """Put the cells of the mask `rejected` (K,) back to where the last step started."""
        for kept, old in zip(self.Z + self.W, self.spare_Z + self.spare_W):
            kept[rejected] = old[rejected]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all cells but `rows`."""
        index = torch.tensor(rows, device=self.Z[0].device)
        self.Z = [z[index] for z in self.Z]
        self.W = [w[index] for w in self.W]
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate()

    def state(self) -> dict:
        """Everything `load` needs to go on to the bit."""
        return {"Z": [z.clone() for z in self.Z], "W": [w.clone() for w in self.W]}

    def load(self, state: dict, rows: Sequence[int]) -> None:
        """Inverse of `state`; `rows` are the cells of this block that the state holds."""
        self.Z, self.W = state["Z"], state["W"]
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate()


def _norm(vectors: Tensor, q: float) -> Tensor:
    """‖·‖_q of rows (K, m), by the scaled sum only where the plain one over- or underflows."""
    plain = torch.linalg.vector_norm(vectors, ord=q, dim=-1)
    lost = ~torch.isfinite(plain) | (plain < 1e-100)
    return p_norm(vectors, q) if bool(lost.any()) else plain
