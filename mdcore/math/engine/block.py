"""A block: cells of one depth and width, their layers held as batched tensors.

The gradient of the risk is a sum of outer products that factor through the data in one vector. With
g = A^T v ∈ R^d,  b_l = W_L ⋯ W_{l+1}  and  a_l = W_{l−1} ⋯ W_1 g,

    G_l = −∂R/∂W_l = b_l^T a_l^T,

so a step touches the data twice (A w and A^T v), whatever depth and width. The loops over entries are in `compiled/`
(CPU), with the inverse maps that are simple powers, and in `torch_loops.py` (GPU).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mdcore.math.engine import torch_loops
from mdcore.math.engine.loops import loops_for
from mdcore.math.potentials import Potential, PowerPotential, normalisation_exponent

Memory = Any  # a tensor's memory, as the functions of `loops` take it


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
    """All layers of K cells, (K, P) in one buffer.

    `layers` are views of it, each (K, out, in); `pieces` its parts with one potential each, (potential, rows, view);
    `memory` is the buffer as the loops take it.
    """

    def __init__(self, flat: Tensor, shapes: Sequence[torch.Size], segments: Sequence[Segment], loops: ModuleType):
        self.flat, self.memory = flat, loops.view(flat)
        ends = [0]
        for rows, columns in shapes:
            ends.append(ends[-1] + rows * columns)
        self.layers = [flat[:, start:end].view(-1, *shape) for start, end, shape in zip(ends, ends[1:], shapes)]
        self.pieces = [
            (phi, segment.rows, flat[segment.rows, ends[layers.start] : ends[layers.stop]])
            for segment in segments
            for phi, layers in segment.runs()
        ]


class Block:
    """K cells with layers Z_l, W_l of shape (K, out, in), input layer first.

    Parameters
    ----------
    potentials : for every cell its potentials, one per layer; equal ones stand side by side.
    weights : initial W_1 … W_L, each (K, out, in); Z = ∇φ(W) is taken once, here, and is the state from then on.

    `Memory` is what `loops.view` makes of a tensor.
    """

    def __init__(self, potentials: Sequence[tuple[Potential, ...]], weights: Sequence[Tensor]):
        for layer_potentials in potentials:
            if len(layer_potentials) != len(weights):
                raise ValueError(
                    f"{len(layer_potentials)} potentials for {len(weights)} layers; expected one per layer"
                )
        self.potentials = list(potentials)
        self.shapes = [weight.shape[1:] for weight in weights]
        flat = torch.cat([weight.flatten(1) for weight in weights], dim=1)
        self._allocate(flat.clone(), flat)
        for (phi, _, z), (_, _, w) in zip(self.z.pieces, self.w.pieces):
            z.copy_(phi.mirror_map(w))

    def _allocate(self, Z: Tensor, W: Tensor) -> None:
        """Segments, and buffers of a step, so that the loop allocates nothing of the layers' size."""
        self.segments: list[Segment] = []
        for row, layer_potentials in enumerate(self.potentials):
            if self.segments and self.segments[-1].potentials == layer_potentials:
                self.segments[-1].rows = slice(self.segments[-1].rows.start, row + 1)
            else:
                self.segments.append(Segment(layer_potentials, slice(row, row + 1)))
        self.loops = loops_for(Z)
        view = self.loops.view
        K, L, d, k = self.size, self.depth, self.shapes[0][1], self.shapes[0][0]
        self.z, self.w = (Entries(flat, self.shapes, self.segments, self.loops) for flat in (Z, W))
        self.spare = tuple(Entries(torch.zeros_like(flat), self.shapes, self.segments, self.loops) for flat in (Z, W))
        b, a = Z.new_zeros(2, K, L - 1, k)
        q = torch.cat([Z.new_full((segment.rows.stop - segment.rows.start,), segment.q) for segment in self.segments])
        self.factors = b, a, q  # b_1 … b_{L−1}, a_2 … a_L (K, L−1, k); q of the norm (K,)
        self.b, self.a, self.q = map(view, self.factors)
        self.g = view(Z.new_zeros(K, d))  # a_1 (K, d), until `gradient` brings one
        self.work = view(Z.new_zeros(4, k))  # room for `mirror_step`
        self.runs = self._runs(Z)

    def _runs(self, like: Tensor) -> list[tuple[slice, list[Memory] | None]]:
        """Neighbouring rows, with the scales and exponents (rows, L) of `mirror_step` where it can do their step."""
        powers_by_row = [_fused_powers(potentials, self.loops.FUSED_EXPONENTS) for potentials in self.potentials]
        runs: list[tuple[slice, list[Memory] | None]] = []
        row = 0
        for fused, group in itertools.groupby(powers_by_row, key=lambda powers: powers is not None):
            powers = list(group)
            both = [self.loops.view(like.new_tensor(part)) for part in zip(*powers)] if fused else None
            runs.append((slice(row, row + len(powers)), both))
            row += len(powers)
        return runs

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

    def end_to_end(self, out: Memory) -> None:
        """Write w = (W_L ⋯ W_1)^T into `out` (K, d), keeping every left product b_l."""
        self.loops.left_products(self.w.memory, self.b, out)

    def gradient(self, g: Memory) -> None:
        """Keep every right product a_l for g = A^T v (K, d), and g itself, not a copy: it must stay up to the step."""
        self.g = g
        self.loops.right_products(self.w.memory, self.g, self.a)

    def gradient_norm(self, out: Memory) -> None:
        """Write N = (Σ_l ‖G_l‖_q^q)^{1/q} over ALL layers into `out` (K,): ‖G_l‖_q = ‖b_l‖_q ‖a_l‖_q, of rank one."""
        if not self.loops.gradient_norm(self.b, self.a, self.g, self.q, out):  # it would over- or underflow
            b, a, q = self.factors
            torch_loops.gradient_norm(b, a, torch.as_tensor(self.g), q, torch.as_tensor(out))

    def entry_scale(self, out: Memory) -> None:
        """Write ‖W_L ⋯ W_2‖_2 into `out` (K,): the factor with which A^T v enters Z_1; 1 at depth 1."""
        if not self.loops.entry_scale(self.b, out):
            torch_loops.entry_scale(self.factors[0], torch.as_tensor(out))

    def step(self, coefficient: Memory, out: Memory, keep_old: bool = False) -> None:
        """Z_l ← Z_l + coefficient·G_l, W_l ← (∇φ_l)^{-1}(Z_l), then `end_to_end(out)`; coefficient (K,).

        `keep_old` allows one `undo`.
        """
        before = self.z.memory
        if keep_old:
            (self.z, self.w), self.spare = self.spare, (self.z, self.w)
        whole = before, self.z.memory, self.w.memory, coefficient, self.b, self.a, self.g, out
        for rows, powers in self.runs:
            old, z, w, c, b, a, g, product = whole if len(self.runs) == 1 else [entries[rows] for entries in whole]
            if powers is not None:
                self.loops.mirror_step(old, z, w, c, b, a, g, product, *powers, self.work)
                continue
            self.loops.ascend(old, z, c, b, a, g)
            for (phi, segment, dual), (_, _, primal) in zip(self.z.pieces, self.w.pieces):
                if rows.start <= segment.start < rows.stop:
                    phi.inverse_mirror_map(dual, out=primal)
            self.loops.left_products(w, b, product)

    def undo(self, rejected: Memory, out: Memory) -> None:
        """Put the cells `rejected` (K,) back to where the last step started, and their rows of `out` too."""
        kept, old = ([entries.memory for entries in both] for both in ((self.z, self.w), self.spare))
        self.loops.restore(kept, old, rejected, self.b, out)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all cells but `rows`."""
        index = torch.tensor(rows, device=self.z.flat.device)
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate(self.z.flat[index], self.w.flat[index])

    def state(self) -> dict[str, Any]:
        """Everything `load` needs to go on to the bit; the left products too, whose sums have no single order."""
        return {"Z": self.z.flat.clone(), "W": self.w.flat.clone(), "left": self.factors[0].clone()}

    def load(self, state: dict[str, Any], rows: Sequence[int]) -> None:
        """Inverse of `state`; `rows` are the cells of this block that the state holds."""
        self.potentials = [self.potentials[row] for row in rows]
        self._allocate(state["Z"].to(self.z.flat).clone(), state["W"].to(self.w.flat).clone())
        self.factors[0].copy_(state["left"])


def _fused_powers(potentials: Sequence[Potential], exponents: Sequence[float]) -> tuple[list[Any], list[Any]] | None:
    """(scales, exponents) of the inverse maps, one a layer, where all are simple powers with one of `exponents`."""
    for phi in potentials:
        if type(phi).inverse_mirror_map is not PowerPotential.inverse_mirror_map:  # a map of its own
            return None
    powers = [phi for phi in potentials if isinstance(phi, PowerPotential) and phi.inverse_exponent in exponents]
    if len(powers) < len(potentials):
        return None
    return [phi.inverse_scale for phi in powers], [phi.inverse_exponent for phi in powers]
