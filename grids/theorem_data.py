"""Data sets of the theorem grids that no built-in name gives."""

from __future__ import annotations

import numpy as np

from mdcore.problems.datasets import Dataset


def sign_of_mean(n: int, dim: int, seed: int) -> Dataset:
    """x_n ~ N(0, I_d), y = sign(Xμ), μ ~ N(0, I_d): separable by μ; X (n, dim).

    From `numpy.random.default_rng(seed)`: first μ, then X.
    """
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal(dim)
    X = rng.standard_normal((n, dim))
    return _dataset(f"sign-d{dim}", X, np.sign(X @ mu), "x ~ N(0, I), y = sign(Xμ)")


def quasi_separable(seed: int) -> Dataset:
    """Points in R^3 of which the first four can be separated and the last four, in span(e_1), overlap.

    Rows y_n x_n of the first: (0.5, 1, 0.3), (−1, 1.2, −0.2), (0.3, 0.8, 0.9), (0, 2, 1); of the last: ±e_1-multiples
    1, 2, −0.5, −1. The ray is orthogonal to e_1, the offset lies along e_1. `seed` changes nothing.
    """
    rows = np.array(
        [[0.5, 1, 0.3], [-1, 1.2, -0.2], [0.3, 0.8, 0.9], [0, 2, 1], [1, 0, 0], [2, 0, 0], [-0.5, 0, 0], [-1, 0, 0]]
    )
    y = np.array([1.0, -1.0] * 4)
    return _dataset("quasi-d3", y[:, None] * rows, y, "eight points by hand")


def _dataset(label: str, X: np.ndarray, y: np.ndarray, source: str) -> Dataset:
    nothing = np.empty((0, X.shape[1]))
    return Dataset(label, X, y, nothing, np.empty(0), {"source": source, "standardised": False})
