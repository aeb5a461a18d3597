"""A block: cells of one depth, width and potential, their layers held as batched tensors.

The gradient of the risk is a sum of outer products that factor through the data in one vector. With
g = A^T v ∈ R^d,  b_l = W_L ⋯ W_{l+1}  and  a_l = W_{l−1} ⋯ W_1 g,

    G_l = −∂R/∂W_l = b_l^T a_l^T,

so a step touches the data twice (A w and A^T v), whatever depth and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mdcore.math.metrics import p_norm
from mdcore.math.potentials import Potential, normalisation_exponent


class Block:
    """K cells with layers Z_l, W_l of shape (K, out, in), input layer first.

    Parameters
    ----------
    potentials : one per layer.
    weights : initial W_1 … W_L, each (K, out, in); Z = ∇φ(W) is taken once, here, and is the state from then on.
    """

    def __init__(self, potentials: Sequence[Potential], weights: Sequence[Tensor]):
        if len(potentials) != len(weights):
            raise ValueError(
                f"{len(potentials)} potentials for {len(weights)} layers; expected one per layer"
            )
        self.potentials = list(potentials)
        self.W = [weight.clone() for weight in weights]
        self.Z = [phi.mirror_map(weight) for phi, weight in zip(self.potentials, self.W)]
        self.q = normalisation_exponent(self.potentials)
        self._allocate()

    def _allocate(self) -> None:
        """Buffers of a step, so that the loop allocates nothing of the layers' size."""
        self.spare_Z = [torch.zeros_like(z) for z in self.Z]
        self.spare_W = [torch.zeros_like(w) for w in self.W]
        rows = [z.shape[-2] for z in self.Z]
        K, like = len(self.Z[0]), self.Z[0]
        self.left = [like.new_ones(K, 1, row) for row in rows]  # b_l
        self.right = [like.new_zeros(K, z.shape[-1], 1) for z in self.Z]  # a_l

    @property
    def size(self) -> int:
        """Number of cells K."""
        return len(self.Z[0])

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.Z)

    def end_to_end(self, out: Tensor) -> None:
        """Write w = (W_L ⋯ W_1)^T into `out` (K, d), keeping every left product b_l."""
        for layer in range(self.depth - 1, 0, -1):
            torch.bmm(self.left[layer], self.W[layer], out=self.left[layer - 1])
        torch.bmm(self.left[0], self.W[0], out=out.unsqueeze(1))

    def gradient(self, g: Tensor) -> None:
        """Keep every right product a_l for g = A^T v (K, d)."""
        self.right[0].copy_(g.unsqueeze(-1))
        for layer in range(1, self.depth):
            torch.bmm(self.W[layer - 1], self.right[layer - 1], out=self.right[layer])

    def gradient_norm(self) -> Tensor:
        """N = (Σ_l ‖G_l‖_q^q)^{1/q} over ALL layers, (K,): ‖G_l‖_q = ‖b_l‖_q ‖a_l‖_q as G_l has rank one."""
        norms = [
            p_norm(b.squeeze(1), self.q) * p_norm(a.squeeze(2), self.q) for b, a in zip(self.left, self.right)
        ]
        return norms[0] if self.depth == 1 else p_norm(torch.stack(norms, dim=-1), self.q)

    def entry_scale(self) -> Tensor:
        """‖W_L ⋯ W_2‖_2 (K,): the factor with which A^T v enters Z_1; 1 at depth 1."""
        return torch.linalg.vector_norm(self.left[0], dim=(1, 2))

    def step(self, coefficient: Tensor, keep_old: bool = False) -> None:
        """Z_l ← Z_l + coefficient·G_l, W_l ← (∇φ_l)^{-1}(Z_l); coefficient (K,). `keep_old` allows one `undo`."""
        if keep_old:
            self.Z, self.spare_Z = self.spare_Z, self.Z
            self.W, self.spare_W = self.spare_W, self.W
        old_Z = self.spare_Z if keep_old else self.Z
        s = coefficient.view(-1, 1, 1)
        for phi, old, z, w, b, a in zip(self.potentials, old_Z, self.Z, self.W, self.left, self.right):
            torch.addcmul(old, (b * s).mT, a.mT, out=z)
            phi.inverse_mirror_map(z, out=w)

    def undo(self, rejected: Tensor) -> None:
        """Put the cells of the mask `rejected` (K,) back to where the last step started."""
        for kept, old in zip(self.Z + self.W, self.spare_Z + self.spare_W):
            kept[rejected] = old[rejected]

    def keep(self, rows: Tensor) -> None:
        """Drop all cells but `rows` (indices)."""
        self.Z = [z[rows].clone() for z in self.Z]
        self.W = [w[rows].clone() for w in self.W]
        self._allocate()

    def state(self) -> dict:
        """Everything `load` needs to go on to the bit."""
        return {"Z": [z.clone() for z in self.Z], "W": [w.clone() for w in self.W]}

    def load(self, state: dict) -> None:
        """Inverse of `state`."""
        self.Z = [z.clone() for z in state["Z"]]
        self.W = [w.clone() for w in state["W"]]
        self._allocate()
