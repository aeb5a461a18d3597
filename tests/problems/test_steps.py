"""How the solvers get there: in as many steps as were measured, so that a worse step shows though the end is exact."""

from itertools import islice

import numpy as np
import pytest
from scipy.special import expit

from mdcore.problems.proofs import certificates
from mdcore.problems.solvers import interior_point, logistic, separability, soft_margin


def rows(n, d, shift, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift / np.sqrt(d)


SEPARABLE = {"square": rows(60, 20, 5.0), "wide": rows(15, 100, 1.0), "many": rows(400, 10, 8.0)}
OVERLAPPING = {
    "clearly": rows(200, 5, 0.5),
    "in rows of all sizes": rows(60, 20, 0.5) * np.logspace(-2, 2, 60)[:, None],
    "nearly separable": rows(300, 3, 1.5),
}
PS = (1.05, 1.5, 2.0, 3.0, 20.0)
NEWTON_STEPS = {"square": (15, 14, 13, 14, 20), "wide": (13, 16, 12, 12, 32), "many": (25, 17, 19, 17, 16)}


@pytest.mark.parametrize(("p", "number"), list(zip(PS, range(5))))
@pytest.mark.parametrize("name", SEPARABLE)
def test_steps_of_the_interior_point(monkeypatch, name, p, number):
    A, lengths, step = SEPARABLE[name], [], interior_point._newton_step
    monkeypatch.setattr(interior_point, "_newton_step", lambda *at: (taken := step(*at), lengths.append(taken[1]))[0])
    start = separability.separability(A).w
    size = np.linalg.norm(start, p)
    solution = interior_point.solve(size / (A @ start).min() * A, p, 1.2 / size * start)
    assert solution.error <= 1e-13
    assert min(lengths) > 0 and max(lengths) <= 1
    steps = NEWTON_STEPS[name][number]  # of more than 20 the last are at the rounding, and the machine's
    assert abs(solution.steps - steps) <= (2 if steps <= 20 else 5)


@pytest.mark.parametrize(
    ("name", "C", "steps"),
    [("square", 1e-2, 10), ("square", 1.0, 10), ("square", 100.0, 12), ("wide", 1e-2, 9), ("wide", 1.0, 10),
     ("wide", 100.0, 11), ("many", 1e-2, 16), ("many", 1.0, 12), ("many", 100.0, 12)],
)  # fmt: skip
def test_steps_of_the_soft_margin(monkeypatch, name, C, steps):
    taken, step = [], soft_margin._newton_step
    monkeypatch.setattr(soft_margin, "_newton_step", lambda A, point: taken.append(point) or step(A, point))
    w, lam = soft_margin.solve(SEPARABLE[name], C)
    assert abs(certificates.soft_margin_gap(SEPARABLE[name], w, lam, C)) <= 1e-12
    assert abs(len(taken) - steps) <= 2
    for point in taken:
        assert min(part.min() for part in point[1:]) > 0
        assert point.lam + point.u == pytest.approx(np.ones(len(point.lam)), rel=1e-12)
        assert point.mean_product() == pytest.approx((point.s * point.lam + point.xi * point.u).mean() / 2, rel=1e-12)
    first = taken[0]  # s − ξ = Aw − 1, sξ = 1/4, λ = σ(−Aw) for logistic regression's w, kept off 0 and 1 by 1e-6
    margins = np.sqrt(C) * SEPARABLE[name] @ first.w
    assert first.s - first.xi == pytest.approx(margins - 1, abs=1e-9) and first.s * first.xi == pytest.approx(0.25)
    assert first.lam == pytest.approx(np.clip(expit(-margins), 1e-6, 1 - 1e-6), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "C", "steps"),
    [("square", 1.0, 11), ("square", 100.0, 15), ("wide", 1e-2, 5), ("many", 1e-2, 12), ("many", 100.0, 20),
     ("clearly", None, 6), ("in rows of all sizes", None, 28), ("nearly separable", None, 9)],
)  # fmt: skip
def test_steps_of_logistic_regression(name, C, steps):
    A = (SEPARABLE | OVERLAPPING)[name]
    fit = logistic.minimise(A, C)
    assert fit.relative <= 1e-13 and abs(fit.steps - steps) <= 3
    ridge, weight = (0.0, 1 / len(A)) if C is None else (1.0, C)
    lam = weight * expit(-(A @ fit.w))
    slope, terms = logistic.gradient(A, fit.w, ridge, weight)
    assert slope == pytest.approx(ridge * fit.w - lam @ A, abs=1e-13)
    assert terms == pytest.approx(np.linalg.norm(lam @ np.abs(A))) and fit.relative == np.linalg.norm(slope) / terms


@pytest.mark.parametrize(("name", "null"), [("clearly", 0), ("in rows of all sizes", 3), ("nearly separable", 1)])
def test_iterates_until_a_null_vector_is_near(name, null):
    U = logistic.row_space(separability._unit_rows(OVERLAPPING[name]))[0]
    assert next(i for i, (_, lam) in enumerate(separability._balance(U)) if separability._null(U, lam)) == null


@pytest.mark.parametrize("name", SEPARABLE)
def test_iterates_until_the_data_are_separated(name):
    U = logistic.row_space(separability._unit_rows(SEPARABLE[name]))[0]
    assert next(i for i, (margins, _) in enumerate(separability._balance(U)) if margins.min() > 0) <= 2
    assert len(list(separability._balance(U))) == 3  # margins beyond 1e30 end it


def test_each_iterate_is_a_newton_step_from_the_one_before():
    """The Hessian is U^T diag(f'') U with f'' = −λ'(m), here by central differences."""
    U = logistic.row_space(separability._unit_rows(OVERLAPPING["in rows of all sizes"]))[0]
    _, (margins, lam), (after, _) = islice(separability._balance(U), 3)
    bend = (separability._tail(margins - 1e-5) - separability._tail(margins + 1e-5)) / 2e-5
    newton, moved = np.linalg.solve(U.T @ (bend[:, None] * U), U.T @ lam), U.T @ (after - margins)
    assert moved / np.linalg.norm(moved) == pytest.approx(newton / np.linalg.norm(newton), abs=1e-6)


@pytest.mark.parametrize("shape", [(50, 4), (9, 4), (8, 4), (4, 9)])
def test_a_row_space_is_a_singular_value_decomposition(shape):
    A = rows(*shape, 1.0)
    A[:, -1] = 2 * A[:, 0]  # of rank one less
    U, sizes, V = logistic.row_space(A)
    rank = np.linalg.matrix_rank(A)
    assert U.shape == (len(A), rank) and V.shape == (A.shape[1], rank)
    assert sizes == pytest.approx(np.linalg.svd(A, compute_uv=False)[:rank])
    for product, wanted in ((U * sizes @ V.T, A), (U.T @ U, np.eye(rank)), (V.T @ V, np.eye(rank))):
        assert product == pytest.approx(wanted, abs=1e-12)
    assert [part.shape for part in logistic.row_space(np.zeros((3, 2)))] == [(3, 0), (0,), (2, 0)]


def test_the_line_minimum_is_where_the_slope_vanishes():
    """Σ λ(m_n + tΔ_n)Δ_n = 0: for margins ±1 and changes ∓1, at the middle; without end where nothing pulls back."""
    assert separability._line_minimum(np.array([-3.0, 1.0]), np.array([1.0, -1.0])) == pytest.approx(2.0, abs=1e-5)
    assert separability._line_minimum(np.array([-1.0, 0.5]), np.array([1.0, -1.0])) == pytest.approx(0.75, abs=1e-5)
    assert 1e11 < separability._line_minimum(np.zeros(2), np.ones(2)) <= 1e12
