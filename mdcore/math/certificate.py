"""The certificate of a run: proven bounds of the largest l_p margin, from the weights that its steps gave the points.

For any weights λ ≥ 0, λ ≠ 0, of the training points, by weak duality and Hölder's inequality,

    γ_p(w) = min_n (Aw)_n/‖w‖_p  ≤  γ_p*  ≤  ‖A^Tλ‖_q/Σλ,        gap = 1 − γ_p(w) Σλ/‖A^Tλ‖_q.

Every λ here is a sum of terms that are not negative, only ever added: the weights of one logged epoch, or of all the
steps since one. A difference of two long sums would cancel, and bound nothing. What rounding may do to the two sides
is proven in `rounding_of_sums`, `norm_rounding` and `certified_gap`, and both sides are moved outwards by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mdcore.math import losses
from mdcore.math.metrics import conjugate_exponent, p_norm

UNIT = torch.finfo(torch.float64).eps / 2  # u: a float64 operation errs by at most this share of its result
MOST_WINDOWS = 128  # windows that are kept; with more logged epochs, not every one of them starts a window
LEAST_MASS = 1e-250  # Σλ below which a product may have lost digits to underflow


def rounding_of_sums(points: int, additions: int, dtype: torch.dtype) -> float:
    """κ such that computed sums z of g_t = A^T v_t and m of Σ v_t satisfy, for some λ ≥ 0 and every coordinate j,

        |z_j − (A^Tλ)_j| ≤ κ (|A|^Tλ)_j   and   |m − Σλ| ≤ κ Σλ.

    λ is the exact combination Σ_t c_t v_t of the weights v_t ≥ 0 and the factors c_t ≥ 0 as they were stored, times
    the factors by which blocks of points were rescaled, which were the same for g_t and Σ v_t. In a sum of `points`
    products in arithmetic of unit roundoff u, in whatever order and with or without fused operations, a term passes
    at most `points` + 2 roundings; rescaling a partial sum adds one for each block of at least 64 points, and the
    cast of the data to `dtype` one more: with k = points + points/64 + 8 the error is at most ku/(1 − ku) of the sum
    of absolute values (Higham 2002, section 3.1). The sums over t are in float64, where c_t g_t is added in at most
    `additions` roundings of unit UNIT. Both together stay below 2(ku + (additions + 4)·UNIT) while that is ≤ 0.1;
    beyond, nothing is claimed: inf.
    """
    unit = torch.finfo(dtype).eps / 2
    bound = 2.0 * ((points + points / 64 + 8) * unit + (additions + 4) * UNIT)
    return bound if bound <= 0.1 else math.inf


def norm_rounding(dim: int) -> float:
    """ρ such that `p_norm` of d = `dim` float64 entries is off by at most the share ρ, for every p in [1, ∞].

    Scaling by the largest entry errs by u an entry, a power by a few u, and by u times its exponent for the error of
    the scaled entry, which the root takes back; the sum of d non-negative terms adds (d − 1)u, the root a few u. The
    exponent q = p/(p − 1) is itself rounded: |∂ log‖z‖_q/∂ log q| ≤ log d, which is below 44 for any d that fits a
    memory. (2d + 64)u covers the sum of these.
    """
    return (2 * dim + 64) * UNIT


def largest_row_norm(A: Tensor, q: float) -> float:
    """a = max_n ‖a_n‖_q over the rows of A (n, d) float64, not rounded down."""
    return float(p_norm(A, q).amax()) * (1.0 + norm_rounding(A.shape[1]))


def upper_bound(z: Tensor, mass: Tensor, p: float, kappa: float, largest: float) -> Tensor:
    """A number ≥ γ_p* from computed sums z (…, d) and mass (…,) whose rounding is κ (`rounding_of_sums`).

    Let a = max_n ‖a_n‖_q (`largest`). From |z − A^Tλ| ≤ κ|A|^Tλ follows ‖A^Tλ‖_q ≤ ‖z‖_q + κ a Σλ, and from
    |mass − Σλ| ≤ κ Σλ that 1/Σλ ≤ (1 + κ)/mass, so

        γ_p* ≤ ‖A^Tλ‖_q/Σλ ≤ (1 + κ)‖z‖_q/mass + κ a.

    The last factor covers the norm's own rounding. inf where mass is too small or anything is not a number.
    """
    norms = p_norm(z, conjugate_exponent(p))
    bound = ((1.0 + kappa) * norms / mass + kappa * largest) * (1.0 + 2.0 * norm_rounding(z.shape[-1]))
    return torch.where((mass > LEAST_MASS) & torch.isfinite(bound), bound, math.inf)


def lower_bound(reached: Tensor, dim: int, largest: float) -> Tensor:
    """A number ≤ γ_p(w) from min(Aw)/‖w‖_p as computed in float64 (`reached`), a = `largest`, d = `dim`.

    A product ⟨a_n, w⟩ of d terms is off by at most (d + 2)u|a_n|^T|w| ≤ (d + 2)u a ‖w‖_p (Hölder), the norm by ρ.
    """
    return reached - reached.abs() * 2.0 * norm_rounding(dim) - (dim + 2) * UNIT * largest * 1.01


def certified_gap(lower: Tensor, upper: Tensor) -> Tensor:
    """gap = 1 − lower/upper, rounded up: at least the missing share of the largest margin."""
    return 1.0 - lower / upper + 4.0 * UNIT * (1.0 + (lower / upper).abs())


class Certificates:
    """The best certificates of the K cells of a stack while it trains.

    Parameters
    ----------
    ps : for every cell the p of its limit, or None where there is none to certify.
    A : (n, d) signed data in float64.
    loss, dtype : of the training.
    log_epochs : the logged epochs.

    Candidates at a logged epoch: the weights of that epoch alone, computed anew in float64; and the sums of the
    steps' weights since the epoch before any of `starts`. `bound` (K,) is the smallest so far, `z` (K, d) the
    A^Tλ that gave it, with Σλ = 1, and `rounding` (K,) its κ.
    """

    def __init__(self, ps: Sequence[float | None], A: Tensor, loss: str, dtype: torch.dtype, log_epochs: Sequence[int]):
        self.ps, self.A, self.loss = list(ps), A, loss
        n, d = A.shape
        count = min(len(log_epochs), MOST_WINDOWS)
        self.starts = torch.linspace(0, len(log_epochs) - 1, count).round().long().unique()  # type: ignore[no-untyped-call]  # torch's own
        self.sums = torch.zeros((len(self.ps), len(self.starts), d), dtype=torch.float64)
        self.masses = torch.zeros((len(self.ps), len(self.starts)), dtype=torch.float64)
        self.bound = torch.full((len(self.ps),), math.inf, dtype=torch.float64)
        self.z = torch.full((len(self.ps), d), math.nan, dtype=torch.float64)
        self.rounding = torch.full((len(self.ps),), math.nan, dtype=torch.float64)
        self.largest = {p: largest_row_norm(A, conjugate_exponent(p)) for p in set(self.ps) if p is not None}
        self.kappa = rounding_of_sums(n, log_epochs[-1] + len(log_epochs), dtype)
        self.kappa_single = rounding_of_sums(n, 0, torch.float64)

    def add(self, index: int, positions: Tensor, z: Tensor, mass: Tensor) -> None:
        """Take in what the steps since the logged epoch before number `index` have summed: z (k, d), mass (k,)."""
        begun = int((self.starts <= index).sum())
        self.sums[positions, :begun] += z.cpu().unsqueeze(1)
        self.masses[positions, :begun] += mass.cpu().unsqueeze(1)

    def certify(self, positions: Tensor, w: Tensor, margins: Tensor) -> dict[str, Tensor]:
        """margin_lp, gamma_bound and gap (k,) of the predictors w (k, d) with margins Aw (k, n), in float64."""
        c = losses.weight_shift(margins.amin(dim=1, keepdim=True), self.loss)
        weights = losses.scaled_weights_(margins.clone(), c, self.loss)
        single, masses = (weights @ self.A).cpu(), weights.sum(dim=1).cpu()
        smallest, w = margins.amin(dim=1).cpu(), w.cpu()
        reached = torch.full_like(smallest, math.nan)
        lower = reached.clone()
        for row, position in enumerate(positions.tolist()):
            p = self.ps[position]
            if p is None:
                continue
            reached[row] = smallest[row] / p_norm(w[row], p)
            lower[row] = lower_bound(reached[row], w.shape[1], self.largest[p])
            self._improve(position, p, single[row : row + 1], masses[row : row + 1], self.kappa_single)
            self._improve(position, p, self.sums[position], self.masses[position], self.kappa)
        bound = torch.where(torch.isnan(reached), math.nan, self.bound[positions])
        return {"margin_lp": reached, "gamma_bound": bound, "gap": certified_gap(lower, bound)}

    def _improve(self, position: int, p: float, sums: Tensor, masses: Tensor, kappa: float) -> None:
        bounds = upper_bound(sums, masses, p, kappa, self.largest[p])
        best = int(bounds.argmin())
        if bounds[best] < self.bound[position]:
            self.bound[position] = bounds[best]
            self.z[position], self.rounding[position] = sums[best] / masses[best], kappa

    def state_dict(self) -> dict[str, Any]:
        """Everything summed and found so far."""
        return {name: getattr(self, name) for name in ("sums", "masses", "bound", "z", "rounding")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        vars(self).update(state)
