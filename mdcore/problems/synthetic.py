"""Synthetic two-class data: a Gaussian pair, and a planted geometry whose l_p directions are all known."""

from __future__ import annotations

import math

import numpy as np

from mdcore.problems.datasets import DataError, Dataset

SMALLEST_ENTRY = 0.4  # of |a_0| over the largest, in 2-D: l_1.5, l_2, l_3 directions 12.7° and 10.5° apart
CLEARANCE = 0.2  # least margin by which the other points lie beyond a_0, in units of the largest entry of a_0


def gaussian(dim: int, n: int, separation: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x_n = y_n μ + noise·g_n, ‖μ‖_2 = separation, g_n ~ N(0, I_d); X (n, d), y (n,).

    The first n//2 labels are +1, the rest −1. From `numpy.random.default_rng(seed)`, in this order:
    μ = standard_normal(d) rescaled, then standard_normal((n, d)).
    """
    rng = np.random.default_rng(seed)
    y = _labels(n)
    mu = rng.standard_normal(dim)
    mu *= separation / np.linalg.norm(mu)
    X = rng.standard_normal((n, dim))
    X *= noise  # in place: large data are held once
    X[: n // 2] += mu
    X[n // 2 :] -= mu
    return X, y


def planted(dim: int, n: int, separation: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data whose l_p max-margin direction is ψ_p(a_0) = sign(a_0)|a_0|^{1/(p−1)} for EVERY p in (1, ∞).

    Returns X (n, d), y (n,), a_0 (d,) = y_0 x_0; ‖a_0‖_2 = separation, so that γ_2 = separation and
    γ_p = ‖a_0‖_q, q = p/(p−1).

    Construction. Let a_0 have nonzero entries of distinct magnitudes and order the coordinates by falling
    |a_0j|. Rows a_n = y_n x_n = a_0 + u_n, where every partial sum U_k = Σ_{j≤k} sign(a_0j) u_nj is at
    least δ = CLEARANCE·max|a_0|: u_n = noise·N(0, I) + c a_0 with the smallest c ≥ 0 that does it, doubled,
    so that the points are reflected into the cone and do not pile up on its edge. In 2-D the cone is 135°
    wide.

    Proof. With s = 1/(p−1) > 0 and r_k = |a_0k|, summation by parts gives
        ⟨u, ψ_p(a_0)⟩ = Σ_k sign(a_0k) u_k r_k^s = Σ_{k<d} U_k (r_k^s − r_{k+1}^s) + U_d r_d^s ≥ δ r_1^s,
    so every other point lies strictly beyond a_0 for ψ_p(a_0), whatever p. Then w = ψ_p(a_0)/‖a_0‖_q^q has
    ⟨a_0, w⟩ = 1 and ⟨a_n, w⟩ > 1, and ∇(‖w‖_p^p/p) = λ a_0 with λ = ‖a_0‖_q^{−q(p−1)} > 0: the KKT
    conditions of min ‖w‖_p s.t. Aw ≥ 1, which has one solution as ‖·‖_p^p is strictly convex. ∎

    Magnitudes are 0.4^{x}, x from 0 to 1 in 2-D and to 1.75 from dim 3 on: l_1.5, l_2 and l_3 directions
    are then 5° and more apart. Signs and order of the coordinates, and the cloud, come from
    `numpy.random.default_rng(seed)`.
    """
    rng = np.random.default_rng(seed)
    y = _labels(n)
    magnitudes = SMALLEST_ENTRY ** np.linspace(0.0, 1.0 if dim == 2 else 1.75, dim)
    magnitudes *= separation / np.linalg.norm(magnitudes)
    cloud = noise * rng.standard_normal((n - 1, dim))
    # c such that partial sums of cloud + c·magnitudes reach δ
    lack = (CLEARANCE * magnitudes[0] - np.cumsum(cloud, axis=1)) / np.cumsum(magnitudes)
    push = 2.0 * np.maximum(0.0, lack.max(axis=1))
    rows = np.vstack([magnitudes, magnitudes + cloud + push[:, None] * magnitudes])
    rows = (rows * rng.choice([-1.0, 1.0], dim))[:, rng.permutation(dim)]
    return y[:, None] * rows, y, rows[0]


def _labels(n: int) -> np.ndarray:
    y = -np.ones(n)
    y[: n // 2] = 1.0
    return y


def synthetic_data(dataset: dict, seed: int) -> Dataset:
    """Points of one of the geometries, drawn from the seed."""
    geometry = dataset.get("geometry")
    if geometry not in ("gaussian", "planted"):
        raise DataError(f"dataset.geometry: got {geometry!r}; expected 'gaussian' or 'planted'")
    dim, n = _integer(dataset, "dim", 1 if geometry == "gaussian" else 2), _integer(dataset, "n", 2)
    separation, noise = _number(dataset, "separation"), _number(dataset, "noise")
    if separation == 0 and (geometry == "planted" or noise == 0):
        raise DataError("dataset.separation: got 0; expected more than 0, otherwise the classes are one")
    support = None
    if geometry == "gaussian":
        X, y = gaussian(dim, n, separation, noise, seed)
    else:
        X, y, a_0 = planted(dim, n, separation, noise, seed)
        support = {"support": a_0.tolist()}
    record = {
        "source": f"synthetic {geometry}",
        "dim": dim,
        "n": n,
        "separation": separation,
        "noise": noise,
        "seed": int(seed),
        "pca": None,
        "split": "all points train",
        "n_train": n,
        "n_test": 0,
        "standardisation": "none",
    }
    label = f"synthetic-{geometry}-d{dim}"
    return Dataset(label, X, y, np.empty((0, dim)), np.empty(0), record, support)


def _integer(mapping: dict, key: str, least: int) -> int:
    value = mapping.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"dataset.{key}: got {value!r}; expected a whole number ≥ {least}")
    return int(value)


def _number(mapping: dict, key: str) -> float:
    value = mapping.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise DataError(f"dataset.{key}: got {value!r}; expected a number ≥ 0")
    return float(value)
