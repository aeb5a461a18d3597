"""A block: cells of one depth and width, their layers held as batched tensors.

The gradient of the risk is a sum of outer products that factor through the data in one vector. With
g = A^T v ∈ R^d,  b_l = W_L ⋯ W_{l+1}  and  a_l = W_{l−1} ⋯ W_1 g,

    G_l = −∂R/∂W_l = b_l^T a_l^T,

so a step touches the data twice (A w and A^T v), whatever depth and width. What a call of torch costs counts here:
all layers lie in one buffer, so that an inverse mirror map is one call, and so do all b_l and a_l, for their norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdcore.math.metrics import p_norm
from mdcore.math.potentials import Potential, normalisation_exponent

SMALLEST, LARGEST = 1e-100, 1e100  # between them sums of powers keep all their digits, and so do their products


@dataclass
class Segment:
    """Neighbouring rows of a block with the same potentials, one per layer."""

    potentials: tuple[Potential, ...]
    rows: slice

    @property
    def q(self) -> float:
        """Exponent of the gradient norm of the normalised step."""
        return normalisation_exponent(self.potentials)

    def runs(self) -> list[tuple[Potential, slice]]:
        """Neighbouring layers of one potential."""
        starts = [i for i, phi in enumerate(self.potentials) if i == 0 or phi != self.potentials[i - 1]]
        return [(self.potentials[i], slice(i, j)) for i, j in zip(starts, [*starts[1:], len(self.potentials)])]


class Entries:
    """All layers of K cells, (K, P) in one buffer, and views of it: `layers`, each (K, out, in)."""

    def __init__(self, flat: Tensor, shapes: Sequence[torch.Size]):
        self.flat, self.shapes = flat, list(shapes)
        ends = [0]
        for rows, columns in shapes:
            ends.append(ends[-1] + rows * columns)
        self.ends = ends
        self.layers = [
            flat[:, start:end].view(-1, *shape) for start, end, shape in zip(ends, ends[1:], shapes)
        ]

    def pieces(self, segments: Sequence[Segment]) -> list[tuple[Potential, Tensor]]:
        """(potential, view of its entries) for every segment and run of layers."""
        return [
            (phi, self.flat[segment.rows, self.ends[layers.start] : self.ends[layers.stop]])
            for segment in segments
            for phi, layers in segment.runs()
        ]


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
        self.shapes = [weight.shape[1:] for weight in weights]
        flat = torch.cat([weight.flatten(1) for weight in weights], dim=1)
        self._allocate(flat.clone(), flat)
        for (phi, z), (_, w) in zip(self.z_pieces, self.w_pieces):
            z.copy_(phi.mirror_map(w))

    def _allocate(self, Z: Tensor, W: Tensor) -> None:
        """Segments, and buffers of a step, so that the loop allocates nothing of the layers' size."""
        self.segments: list[Segment] = []
        for row, own in enumerate(self.potentials):
            if self.segments and self.segments[-1].potentials == own:
                self.segments[-1].rows = slice(self.segments[-1].rows.start, row + 1)
            else:
                self.segments.append(Segment(own, slice(row, row + 1)))
        self.exponents = [segment.q for segment in self.segments]
        self._use(Entries(Z, self.shapes), Entries(W, self.shapes))
        self.spare = Entries(torch.zeros_like(Z), self.shapes), Entries(torch.zeros_like(W), self.shapes)
        K, L, d, k = self.size, self.depth, self.shapes[0][1], self.shapes[0][0]
        self.hidden = Z.new_zeros(2, L - 1, K, k)  # b_1 … b_{L−1}, and a_2 … a_L
        self.left = [*self.hidden[0].unsqueeze(2), Z.new_ones(K, 1, 1)]  # b_l, (K, 1, out)
        self.right = [Z.new_zeros(K, d, 1), *self.hidden[1].unsqueeze(3)]  # a_l, (K, in, 1)
        self.sums = Z.new_zeros(2 * L - 1, K)  # Σ|·|^q of a_1 = g, of b_1 … b_{L−1}, and of a_2 … a_L
        self.hidden_sums = self.sums[1:].view(2, L - 1, K)
        self.roots = torch.cat([Z.new_full((s.rows.stop - s.rows.start,), 1.0 / s.q) for s in self.segments])

    def _use(self, z: Entries, w: Entries) -> None:
        self.z, self.w = z, w
        self.z_pieces, self.w_pieces = z.pieces(self.segments), w.pieces(self.segments)

    @property
    def Z(self) -> list[Tensor]:
        """Dual layers, each (K, out, in)."""
        return self.z.layers

    @property
    def W(self) -> list[Tensor]:
        """Layers, each (K, out, in)."""
        return self.w.layers

    @property
    def size(self) -> int:
        """Number of cells K."""
        return len(self.potentials)

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.shapes)

    def end_to_end(self, out: Tensor) -> None:
        """Write w = (W_L ⋯ W_1)^T into `out` (K, d), keeping every left product b_l."""
        W = self.W
        if self.depth == 1:
            out.copy_(W[0].squeeze(1))
            return
        self.left[-2].copy_(W[-1])
        for layer in range(self.depth - 2, 0, -1):
            torch.bmm(self.left[layer], W[layer], out=self.left[layer - 1])
        torch.bmm(self.left[0], W[0], out=out.unsqueeze(1))

    def gradient(self, g: Tensor) -> None:
        """Keep every right product a_l for g = A^T v (K, d)."""
        self.right[0].copy_(g.unsqueeze(-1))
        for layer in range(1, self.depth):
            torch.bmm(self.W[layer - 1], self.right[layer - 1], out=self.right[layer])

    def gradient_norm(self) -> Tensor:
        """N = (Σ_l ‖G_l‖_q^q)^{1/q} over ALL layers, (K,): ‖G_l‖_q = ‖b_l‖_q ‖a_l‖_q as G_l has rank one."""
        for segment, q in zip(self.segments, self.exponents):
            rows = segment.rows
            torch.sum(_powers(self.right[0][rows], q), dim=(1, 2), out=self.sums[0, rows])
            if self.depth > 1:
                torch.sum(_powers(self.hidden[:, :, rows], q), dim=-1, out=self.hidden_sums[:, :, rows])
        if not _within(self.sums):
            return self._careful_norm()
        if self.depth == 1:
            return self.sums[0].pow(self.roots)
        b, a = self.hidden_sums
        total = torch.addcmul(a[-1], b[0], self.sums[0])
        if self.depth > 2:
            total += (b[1:] * a[:-1]).sum(dim=0)
        return total.pow_(self.roots)

    def _careful_norm(self) -> Tensor:
        """gradient_norm by scaled sums, which neither over- nor underflow."""
        norms = []
        for segment, q in zip(self.segments, self.exponents):
            rows = segment.rows
            layers = [
                p_norm(b[rows].squeeze(1), q) * p_norm(a[rows].squeeze(2), q) for b, a in zip(self.left, self.right)
            ]
            norms.append(p_norm(torch.stack(layers, dim=-1), q))
        return torch.cat(norms)

    def entry_scale(self) -> Tensor:
        """‖W_L ⋯ W_2‖_2 (K,): the factor with which A^T v enters Z_1; 1 at depth 1."""
        first = self.left[0].squeeze(1)
        plain = torch.linalg.vector_norm(first, dim=1)
        return plain if _within(plain) else p_norm(first, 2.0)

    def step(self, coefficient: Tensor, keep_old: bool = False) -> None:
        """Z_l ← Z_l + coefficient·G_l, W_l ← (∇φ_l)^{-1}(Z_l); coefficient (K,). `keep_old` allows one `undo`."""
        old = self.z
        if keep_old:
            spare, self.spare = self.spare, (self.z, self.w)
            self._use(*spare)
        s = coefficient.view(-1, 1, 1)
        for before, z, b, a in zip(old.layers, self.Z, self.left, self.right):
            torch.addcmul(before, (b * s).mT, a.mT, out=z)
        for (phi, z), (_, w) in zip(self.z_pieces, self.w_pieces):
            phi.inverse_mirror_map(z, out=w)

    def undo(self, rejected: Tensor) -> None:
        """Put the cells of the mask `rejected` (K,) back to where the last step started."""
        for kept, old in zip((self.z, self.w), self.spare):
            kept.flat[rejected] = old.flat[rejected]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all cells but `rows`."""
        index = torch.tensor(rows, device=self.z.flat.device)
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate(self.z.flat[index], self.w.flat[index])

    def state(self) -> dict:
        """Everything `load` needs to go on to the bit."""
        return {"Z": self.z.flat.clone(), "W": self.w.flat.clone()}

    def load(self, state: dict, rows: Sequence[int]) -> None:
        """Inverse of `state`; `rows` are the cells of this block that the state holds."""
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate(state["Z"].clone(), state["W"].clone())


def _powers(x: Tensor, q: float) -> Tensor:
    """|x|^q; torch's own vector_norm takes four times as long where q is not 2."""
    return x.square() if q == 2.0 else x.abs().pow_(q)


def _within(sums: Tensor) -> bool:
    """Whether all lie where nothing over- or underflows; False for NaN."""
    least, most = sums.aminmax()
    return bool(least > SMALLEST) and bool(most < LARGEST)
