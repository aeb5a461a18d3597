"""References are exact by certificates of their own, agree with other solvers, and are kept safely."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from mdcore.problems import baselines, cache, references
from mdcore.problems.datasets import Dataset, load_dataset
from mdcore.problems.proofs import certificates, exact
from mdcore.problems.solvers import (
    conic,
    interior_point,
    linear_program,
    logistic,
    max_margin,
    polyhedral,
    quasi,
    separability,
    soft_margin,
)

INF = float("inf")
PS = (1.05, 1.1, 1.5, 2.0, 3.0, 6.0, 20.0)
ALL_PS = (1.0, *PS, INF)
G20 = {"name": "synthetic", "geometry": "gaussian", "dim": 20, "n": 60, "separation": 2.5, "noise": 1.0}
MNIST = {"name": "mnist", "source": "bundled", "path": None, "test_fraction": 0.0}


def degrees(u, v) -> float:
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def dataset(A: np.ndarray) -> Dataset:
    """Any rows a_n as a data set: half of the labels are −1."""
    y = np.where(np.arange(len(A)) % 2, -1.0, 1.0)
    return Dataset("rows", y[:, None] * A, y, np.empty((0, A.shape[1])), np.empty(0), {})


def solve(A: np.ndarray, p: float) -> max_margin.MaxMargin:
    return max_margin.max_margin(A, p, separability.separability(A).w)


def gaussian_rows(n: int, d: int, shift: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal(d)
    return shift * mu / np.linalg.norm(mu) + rng.standard_normal((n, d))


PROBLEMS = {
    "G20": lambda: load_dataset(G20).A,
    "G20 seed 3": lambda: load_dataset(G20, seed=3).A,
    "planted": lambda: load_dataset({**G20, "geometry": "planted", "dim": 2}).A,
    "more coordinates than points": lambda: gaussian_rows(15, 100, 0.1),
    "one point": lambda: gaussian_rows(1, 3, 1.0),
    "one coordinate": lambda: np.abs(gaussian_rows(30, 1, 1.0)) + 0.1,
    "duplicates": lambda: np.repeat(load_dataset(G20).A, 3, axis=0),
    "badly scaled coordinates": lambda: load_dataset(G20).A * np.logspace(-3, 3, 20),
    "huge": lambda: 1e8 * load_dataset(G20).A,
    "tiny": lambda: 1e-8 * load_dataset(G20).A,
    "hundreds of points": lambda: gaussian_rows(600, 60, 4.0),
}


@pytest.fixture(scope="module")
def mnist():
    """Rows of the pairs of theory 9.2, 1,000 images each."""
    pairs = {("0v1", 50): [0, 1], ("0v1", 200): [0, 1], ("3v5", 50): [3, 5], ("3v5", 200): [3, 5]}
    return {key: load_dataset(MNIST, digits, key[1]).A for key, digits in pairs.items()}


# certificates


@pytest.mark.parametrize("p", ALL_PS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_multipliers_bound_any_margin(p, seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((8, 4)) + 1
    w, lam = rng.standard_normal(4), rng.random(8)
    assert certificates.margin(A, w, p) <= certificates.margin_bound(A, lam, p) * (1 + 1e-12)
    naive = (A @ w).min() / np.linalg.norm(w, p)
    assert certificates.margin(A, w, p) == pytest.approx(naive, rel=1e-12)
    assert certificates.max_margin_gap(A, w, lam, p) == pytest.approx(
        1 - naive / (np.linalg.norm(A.T @ lam, certificates.conjugate_exponent(p)) / lam.sum()) if naive > 0 else np.inf
    )


def test_norms_do_not_overflow():
    assert certificates.norm(np.full(4, 1e200), 20.0) == pytest.approx(1e200 * 4**0.05)
    assert certificates.norm(np.full(4, 1e-200), 2.0) == pytest.approx(2e-200, abs=0)
    assert certificates.norm(np.zeros(3), 3.0) == 0


@pytest.mark.parametrize("p", ALL_PS)
def test_certificates_see_a_wrong_answer(p):
    A = load_dataset(G20).A
    best = solve(A, p)
    rng = np.random.default_rng(0)
    turned = best.w + 0.02 * np.linalg.norm(best.w) * rng.standard_normal(20) / np.sqrt(20)
    assert certificates.max_margin_gap(A, turned, best.lam, p) > 1e-5
    assert certificates.max_margin_kkt(A, turned, best.lam, p) > 1e-4
    other = best.lam + 0.01 * rng.random(60)
    assert certificates.max_margin_gap(A, best.w, other / other.sum(), p) > 1e-6
    assert certificates.max_margin_kkt(A, best.w, other, p) > 1e-4
    assert certificates.max_margin_gap(A, best.w, best.lam - 0.01, p) == INF  # λ below 0 certifies nothing
    assert certificates.max_margin_kkt(A, best.w, best.lam - 0.01, p) > 1e-3
    assert certificates.max_margin_gap(A, -best.w, best.lam, p) == INF
    assert certificates.max_margin_kkt(A, -best.w, best.lam, p) == INF


@pytest.mark.parametrize("p", ALL_PS)
def test_each_optimality_condition_counts_by_itself(p):
    A = np.array([[1.0, 2.0], [1.0, 2.0]])
    best = solve(A, p)
    w = best.w
    assert certificates.max_margin_kkt(A, w, np.array([0.5, 0.5]), p) <= 1e-7
    assert certificates.max_margin_kkt(A, w, np.array([2.0, -1.0]), p) >= 0.5 - 1e-12  # sign of λ alone
    turned = np.array([3.0, -1.0])  # on both margins: stationarity alone
    assert certificates.max_margin_kkt(A, turned, np.array([0.5, 0.5]), p) > 0.1
    far = np.vstack([A[:1], 2 * A[1:]])  # the second point is off the margin: complementarity alone
    for size in (1.0, 2.0):  # of λ, which does not matter
        assert certificates.max_margin_kkt(far, w, np.array([0.0, size]), p) == pytest.approx(1, abs=1e-6)


# the interior point's own geometry


@pytest.mark.parametrize("p", [1.01, 1.5, 2.0, 3.0, 20.0])
@pytest.mark.parametrize("mu", [1.0, 1e-3])
def test_central_curve_is_the_derivative_of_the_smoothed_power(p, mu):
    x = np.array([0.1, 1.0, 3.0])
    w, z, slope_w, slope_z = interior_point.central_curve(x, p, mu)

    def h(w):  # naive: minimise over log τ
        low = np.log(abs(w)) + 1e-9

        def value(t):
            tau = np.exp(t)
            return tau**p / p - mu * (np.log(tau**2 - w**2) + (p - 1) * t)

        return minimize_scalar(value, bounds=(low, low + 8), method="bounded", options={"xatol": 1e-11}).fun

    for i in range(3):
        step = 1e-4 * w[i]
        assert (h(w[i] + step) - h(w[i] - step)) / (2 * step) == pytest.approx(z[i], rel=1e-4)
    step = 1e-5
    after, before = (
        interior_point.central_curve(x + step, p, mu),
        interior_point.central_curve(x - step, p, mu),
    )
    assert np.allclose((after[0] - before[0]) / (2 * step), slope_w, rtol=1e-7)
    assert np.allclose((after[1] - before[1]) / (2 * step), slope_z, rtol=1e-7)


@pytest.mark.parametrize("p", [1.05, 1.5, 3.0, 20.0])
def test_central_curve_tends_to_the_power(p):
    x = np.array([40.0, 50.0])
    w, z, _, _ = interior_point.central_curve(x, p, 1e-18)
    assert np.allclose(z, w ** (p - 1), rtol=1e-12)


@pytest.mark.parametrize("p", [1.001, 1.05, 1.5, 3.0, 20.0, 100.0])
@pytest.mark.parametrize("mu", [1e-1, 1e-5, 1e-15])
@pytest.mark.parametrize("eta", [1e-3, 1.0, 1e3])
def test_nearest_point_solves_its_equation(p, mu, eta):
    r = np.array([-2.0, -1e-3, 0.0, 1e-12, 0.5, 1.0, 1.5])
    with np.errstate(invalid="raise", divide="raise"):  # at r = 0 too
        w, curvature = interior_point.nearest_on_curve(r, p, mu, eta)
    z = eta * (r - w)
    assert (np.sign(w) == np.sign(r)).all()
    assert (np.abs(w) <= np.abs(r) * (1 + 1e-12)).all()
    assert (curvature > 0).all()
    # (w, z) lies on the curve: τ from w and z, then both of its equations
    for wi, zi in zip(w, z, strict=True):
        if wi == 0 or abs(zi) < 1e-9 * eta * abs(wi):  # z is lost in r − w there
            continue
        tau = np.sqrt(wi**2 + 2 * mu * wi / zi)
        assert tau**p == pytest.approx(mu * (p - 1) + tau**2 * zi / wi, rel=1e-5 * max(1, p / 10))


# l_p max-margin


@pytest.mark.parametrize("p", ALL_PS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_max_margin_is_certified(name, p):
    A = PROBLEMS[name]()
    best = solve(A, p)
    assert -1e-12 <= best.gap <= 1e-9
    assert best.kkt <= 1e-6
    assert best.lam.min() >= 0
    assert best.lam.sum() == pytest.approx(1)
    assert (A @ best.w).min() == pytest.approx(1, rel=1e-12)
    assert best.margin == pytest.approx(1 / np.linalg.norm(best.w, p), rel=1e-9)
    assert best.gap == pytest.approx(certificates.max_margin_gap(A, best.w, best.lam, p), abs=1e-13)
    assert "not exact" not in best.message


@pytest.mark.parametrize(("p", "gamma"), [(2.0, 1.09806), (1.5, 0.77135), (3.0, 1.59028)])
def test_G20_has_the_margins_of_theory(p, gamma):
    assert solve(load_dataset(G20).A, p).margin == pytest.approx(gamma, abs=5e-6)


@pytest.mark.parametrize(("p", "angle"), [(1.5, 14.65), (3.0, 13.19)])
def test_G20_has_the_angles_of_theory(p, angle):
    A = load_dataset(G20).A
    assert degrees(solve(A, p).w, solve(A, 2.0).w) == pytest.approx(angle, abs=0.005)


@pytest.mark.parametrize("p", [1.01, *PS, 100.0])
@pytest.mark.parametrize("dim", [2, 3, 20])
def test_planted_direction_is_the_closed_form(dim, p):
    data = load_dataset({**G20, "geometry": "planted", "dim": dim}, seed=1)
    a_0 = np.array(data.planted["support"])
    best = solve(data.A, p)
    q = p / (p - 1)
    assert degrees(best.w, np.sign(a_0) * np.abs(a_0) ** (1 / (p - 1))) <= 1e-6
    assert best.margin == pytest.approx(np.linalg.norm(a_0, q), rel=1e-12)
    assert best.lam[0] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("key", "gamma"), [(("0v1", 50), 0.47989), (("0v1", 200), 0.72857), (("3v5", 200), 0.26358)])
def test_mnist_has_the_margins_of_theory(mnist, key, gamma):
    best = solve(mnist[key], 2.0)
    assert best.margin == pytest.approx(gamma, abs=5e-6)
    assert best.gap <= 1e-10


@pytest.mark.parametrize("p", [1.05, 1.5, 3.0, 20.0])
@pytest.mark.parametrize("key", [("0v1", 50), ("3v5", 200)])
def test_mnist_references_are_exact(mnist, key, p):
    best = solve(mnist[key], p)
    assert -1e-12 <= best.gap <= 1e-9
    assert best.kkt <= 1e-6


@pytest.mark.parametrize("p", PS)
@pytest.mark.parametrize("seed", range(3))
def test_a_conic_solver_finds_the_same_direction(p, seed):
    A = load_dataset(G20, seed=seed).A
    ours = solve(A, p)
    assert "interior point" in ours.solver
    theirs, _ = conic.solve(A * ours.margin, p)  # scaled for its sake: the optimum has norm 1
    assert certificates.margin(A, theirs, p) <= ours.margin * (1 + 1e-12)
    assert degrees(ours.w, theirs) <= 1e-3


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_sequential_quadratic_programming_finds_the_same_direction(p):
    A = load_dataset({**G20, "dim": 5, "n": 40}, seed=2).A
    ours = solve(A, p)
    unit = A * ours.margin
    answer = minimize(
        lambda w: np.sum(np.abs(w) ** p) / p,
        1.5 * separability.separability(A).w / (unit @ separability.separability(A).w).min(),
        jac=lambda w: np.sign(w) * np.abs(w) ** (p - 1),
        constraints={"type": "ineq", "fun": lambda w: unit @ w - 1, "jac": lambda w: unit},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    assert degrees(ours.w, answer.x) <= 1e-3


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, INF])
def test_a_growing_working_set_finds_what_all_points_find(monkeypatch, p):
    A = gaussian_rows(4000, 30, 7.0)
    start = separability.separability(A).w
    whole = max_margin.max_margin(A, p, start)
    assert "working set" not in whole.solver
    monkeypatch.setattr(max_margin, "SOLVE_WHOLE", 0)
    monkeypatch.setattr(max_margin, "_closest", lambda margins, count: np.argsort(margins)[: min(count, 20)])
    grown = max_margin.max_margin(A, p, start)
    assert "working set" in grown.solver
    assert grown.gap <= 1e-9
    assert degrees(grown.w, whole.w) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("d", "shift"), [(200, 4.0), (784, 3.5)])
def test_twelve_thousand_points_are_exact(d, shift):
    A = gaussian_rows(12_000, d, shift)
    start = max_margin.max_margin(A, 2.0, separability.separability(A).w).w
    for p in (1.1, 1.5, 2.0, 3.0, 20.0):
        best = max_margin.max_margin(A, p, start)
        assert -1e-12 <= best.gap <= 1e-9, p
        assert best.kkt <= 1e-6, p
        assert "working set" in best.solver, p


@pytest.mark.parametrize("p", [1.5, 3.0])
def test_an_inexact_answer_says_so(monkeypatch, p):
    A = load_dataset(G20).A
    exact = interior_point.solve
    monkeypatch.setattr(interior_point, "solve", lambda *arguments: exact(*arguments, tol=1e-3))
    monkeypatch.setattr(conic, "solve", lambda A, p: (np.full(20, np.nan), np.ones(60)))
    best = solve(A, p)
    assert best.gap > 1e-7
    assert f"gap {best.gap:.2e} is above 1e-07: not exact" in best.message


FAILED = interior_point.Solution(-np.ones(20), np.ones(60), INF, 0)


@pytest.mark.parametrize("p", [1.1, 3.0, 20.0])
def test_where_the_interior_point_fails_the_conic_solver_steps_in(monkeypatch, p):
    A = load_dataset(G20).A
    expected = solve(A, p)
    monkeypatch.setattr(interior_point, "solve", lambda *arguments: FAILED)
    best = solve(A, p)
    assert "clarabel" in best.solver
    assert best.gap <= 1e-9
    assert degrees(best.w, expected.w) <= 1e-3


def test_where_all_fail_the_start_is_left_with_its_true_gap(monkeypatch):
    A = load_dataset(G20).A
    monkeypatch.setattr(interior_point, "solve", lambda *arguments: FAILED)
    monkeypatch.setattr(conic, "solve", lambda A, p: (np.full(20, np.nan), np.full(60, np.nan)))
    best = solve(A, 1.5)
    assert (A @ best.w).min() == pytest.approx(1)
    assert 1e-3 < best.gap < 1
    assert "not exact" in best.message


@pytest.mark.parametrize("p", [1.001, 50.0, 100.0, 1000.0])
def test_extreme_exponents_are_exact_too(p):
    assert solve(load_dataset(G20).A, p).gap <= 1e-9


@pytest.mark.parametrize(
    ("rows", "p", "unique"),
    [
        ([[1.0, 1.0]], 1.0, False),  # every w ≥ 0 with sum 1
        ([[1.0, 1.0]], INF, True),
        ([[1.0, 0.0]], 1.0, True),
        ([[1.0, 0.0]], INF, False),  # the second coordinate is free in [−1, 1]
        ([[1.0, 0.0], [0.0, 1.0]], 1.0, True),
        ([[1.0, 0.0]], 2.0, True),
    ],
)
def test_optima_that_may_not_be_unique_are_marked(rows, p, unique):
    best = solve(np.array(rows), p)
    assert best.unique is unique
    assert ("may not be unique" in best.message) is not unique


@pytest.mark.parametrize("p", [0.5, 0.0, -1.0, float("nan")])
def test_exponents_below_1_are_refused(p):
    with pytest.raises(ValueError, match="p: got"):
        solve(load_dataset(G20).A, p)


def test_a_start_that_does_not_separate_is_refused():
    with pytest.raises(ValueError, match="must be separable"):
        max_margin.max_margin(np.eye(2), 2.0, np.array([1.0, -1.0]))


@pytest.mark.parametrize("p", [1.0, INF])
def test_linear_programs_are_refined_beyond_their_tolerance(monkeypatch, p):
    """HiGHS may miss by 1e-7; by how much it does depends on the machine, so an error of its own is added here."""
    A = gaussian_rows(99, 36, 3.0) * np.logspace(-3, 3, 36)
    rng, exact = np.random.default_rng(0), linear_program.solve

    def off(*problem):
        x, lam, rest = exact(*problem)
        return x * (1 + 1e-9 * rng.standard_normal(len(x))), lam * (1 + 1e-9 * rng.standard_normal(len(lam))), rest

    monkeypatch.setattr(linear_program, "solve", off)
    assert solve(A, p).gap <= 1e-10
    monkeypatch.setattr(polyhedral, "_refine", lambda A, p, w, lam: (w, lam))
    assert solve(A, p).gap > 1e-9


def test_linear_programs_without_an_optimum_raise():
    with pytest.raises(ArithmeticError, match="not solved by HiGHS"):
        linear_program.solve(np.array([-1.0]), np.array([[0.0]]), np.array([1.0]), (0, None))


# separability


def quasi_rows(n=40, d=6, k=3, seed=0, turned=True) -> np.ndarray:
    """The first half of the rows overlap in a k-dimensional space, the rest can be separated off it."""
    rng = np.random.default_rng(seed)
    half = n // 2
    rest = np.hstack([rng.standard_normal((half, k)), np.zeros((half, d - k))])
    beside = np.hstack([rng.standard_normal((half, k)), rng.random((half, d - k)) + 0.1])
    A = np.vstack([rest, beside])
    return A @ np.linalg.qr(rng.standard_normal((d, d)))[0] if turned else A


VERDICTS = {
    "separable": (lambda: load_dataset(G20).A, "separable", 60),
    "overlapping": (lambda: gaussian_rows(200, 5, 0.5), "overlapping", 0),
    "quasi": (lambda: quasi_rows(), "quasi-separable", 20),
    "quasi, axes": (lambda: quasi_rows(turned=False), "quasi-separable", 20),
    "quasi, more": (lambda: quasi_rows(400, 20, 12, seed=1), "quasi-separable", 200),
    "opposite points": (lambda: np.array([[1.0, 0.0], [-1.0, 0.0]]), "overlapping", 0),
    "opposite and one more": (lambda: np.array([[1.0, 0.0], [-1.0, 0.0], [5.0, 1.0]]), "quasi-separable", 1),
    "a point at 0": (lambda: np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), "quasi-separable", 2),
    "all at 0": (lambda: np.zeros((3, 2)), "overlapping", 0),
    "one point": (lambda: np.array([[0.0, -3.0]]), "separable", 1),
    "overlapping, rows of all sizes": (
        lambda: gaussian_rows(112, 2, 0.5) * np.logspace(-2, 2, 112)[:, None], "overlapping", 0),
    "rank 1": (lambda: np.outer([1.0, 2.0, 3.0], [1.0, -1.0]), "separable", 3),
    "rank 1, opposite": (lambda: np.outer([1.0, 2.0, -3.0], [1.0, -1.0]), "overlapping", 0),
    "rows of all sizes": (lambda: load_dataset(G20).A * np.logspace(-100, 100, 60)[:, None], "separable", 60),
    "thin": (lambda: np.hstack([np.vstack([(B := gaussian_rows(50, 3, 0)), -B]), np.full((100, 1), 1e-9)]),
             "separable", 100),
    "thinner than rounding": (lambda: np.hstack([np.vstack([(B := gaussian_rows(50, 3, 0)), -B]),
                                                 np.full((100, 1), 1e-18)]), "separable", 100),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "by"),
    [(name, separability.separability) for name in VERDICTS]
    + [(name, separability.separability_lp) for name in VERDICTS if not name.startswith("thin")],  # rounding, to an LP
)
def test_separability_counts_the_points_that_can_be_inside(name, by):
    make, verdict, value = VERDICTS[name]
    A = make()
    result = by(A)
    assert (result.verdict, result.value) == (verdict, value)
    assert result.strict.sum() == value
    if result.strict.any():
        margins = A @ result.w
        assert (margins[result.strict] > 0).all()
        assert np.abs(margins[~result.strict]).max(initial=0) <= 1e-9 * margins[result.strict].max()
    assert "tolerance" not in result.message and "edge" not in result.message
    assert "certified" in result.message or verdict == "quasi-separable" or not A.any()


@pytest.mark.parametrize("size", [1e-13, 1e-14, 1e-15, 1e-16, 1e-100])
def test_a_hair_of_a_column_is_not_rounded_away(size):
    """w = (0, 1) separates exactly: nothing may be certified that says otherwise, whatever the column's size."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 1)), np.sign(rng.standard_normal(40))
    result = separability.separability(y[:, None] * np.c_[x, y * size])
    assert result.verdict == "separable" and result.message == "certified by a separating w"


@pytest.mark.parametrize("size", [1e-3, 1e-12, 1e-15, 1e-17])
def test_no_null_vector_is_certified_where_a_w_separates(size):
    """As above, the hair spread over two columns by a rotation: scaling columns does not bring it back."""
    x = np.random.default_rng(1).standard_normal(40)
    turn = np.array([[np.cos(1.0), np.sin(1.0)], [-np.sin(1.0), np.cos(1.0)]])
    A = np.c_[x, np.full(40, size)] @ turn
    if min(exact.product(A, turn.T @ [0.0, 1.0])) > 0:  # rounding has left it separable
        assert certificates.positive_null(A, np.ones(40)) is None
    result = separability.separability(A)
    assert result.verdict == "separable" or "double precision" in result.message


def test_a_null_vector_is_certified_of_data_that_overlap():
    A = np.random.default_rng(0).standard_normal((50, 4))
    A = np.hstack([A, -2.0 * A[:, :1], np.zeros((50, 1))])  # dependent columns, one of them empty
    assert separability.separability(A).message == "certified by λ > 0 with A^Tλ = 0"
    assert certificates.positive_null(A[:4], np.ones(4)) is None  # no more points than columns


@pytest.mark.parametrize("pair", ["0v1", "3v5"])
@pytest.mark.parametrize("pca", [50, 200])
def test_mnist_pairs_are_as_theory_says(mnist, pair, pca):
    result = separability.separability(mnist[pair, pca])
    overlap = (pair, pca) == ("3v5", 50)
    assert result.verdict == ("overlapping" if overlap else "separable")
    assert result.value == (0 if overlap else 1000)


def test_the_LP_agrees_on_mnist(mnist):
    assert separability.separability_lp(mnist["3v5", 50]).value == 0
    assert separability.separability_lp(mnist["0v1", 50]).value == 1000


@pytest.mark.parametrize("name", ["separable", "overlapping", "quasi"])
def test_the_verdict_survives_what_does_not_change_it(name):
    make, verdict, value = VERDICTS[name]
    A = make()
    rng = np.random.default_rng(1)
    mixed = rng.permutation(A * rng.uniform(0.1, 10, (len(A), 1))) @ rng.standard_normal((A.shape[1], A.shape[1]))
    result = separability.separability(mixed)
    assert (result.verdict, result.value) == (verdict, value)


@pytest.mark.parametrize("name", ["separable", "overlapping", "quasi"])
def test_without_a_certificate_the_LP_decides(monkeypatch, name):
    make, verdict, value = VERDICTS[name]
    monkeypatch.setattr(separability, "_strictly_positive", lambda *arguments: False)
    monkeypatch.setattr(separability, "_null", lambda *arguments: False)
    result = separability.separability(make())
    assert (result.verdict, result.value) == (verdict, value)
    assert "linear program" in result.message
    assert (
        f"value {value:g}" in result.message and "tolerance" in result.message
    )  # and it says that nothing but the LP stands behind it


def test_a_margin_of_rounding_size_separates_nothing():
    w = np.ones(3)
    rounding, real = np.array([[0.1, 0.2, -0.3]]), np.array([[0.1, 0.2, -0.2]])
    assert (rounding @ w).item() > 0  # 5.6e-17, where the exact sum is 0
    assert not separability._strictly_positive(rounding, w)
    assert separability._strictly_positive(real, w)


@pytest.mark.parametrize("name", VERDICTS)
def test_a_null_vector_certifies_overlap_alone(name):
    make, verdict, _ = VERDICTS[name]
    A = make()
    if not A.any():
        return
    U, _, _ = logistic.row_space(separability._unit_rows(A))
    null_vectors = [lam for _, lam in separability._balance(U) if separability._null(U, lam)]
    assert verdict != "overlapping" or null_vectors
    assert any(certificates.positive_null(A, lam) is not None for lam in null_vectors) is (verdict == "overlapping")
    for lam in null_vectors:
        near = lam - U @ (U.T @ lam)
        assert near.min() > 0
        assert np.abs(U.T @ near).max() <= 1e-12


@pytest.mark.parametrize("m", [-1e20, -1e3, -1.0, 0.0, 1e-9, 1.0, 1e3, 1e20])
def test_the_slow_tail_is_the_derivative_of_the_conjugate_barrier(m):
    lam, rest = separability._tail(np.array([m, -m]))
    assert min(lam, rest) > 0
    assert lam + rest == pytest.approx(1, abs=1e-15)
    assert 1 / lam - 1 / rest == pytest.approx(m, rel=1e-9, abs=1e-9)  # maximises −mλ + log λ + log(1 − λ)


def test_almost_separable_data_need_no_LP(monkeypatch):
    monkeypatch.setattr(separability, "separability_lp", lambda A: pytest.fail("asked the LP"))
    for shift in np.linspace(1.0, 4.0, 13):  # from overlapping to separable, through the narrow place between
        A = gaussian_rows(600, 20, shift)
        result = separability.separability(A)
        assert result.verdict in ("overlapping", "separable")


# SVM and logistic regression


@pytest.mark.parametrize("C", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("name", ["overlapping", "overlapping, rows of all sizes", "quasi", "separable"])
def test_soft_margin_is_certified(name, C):
    A = VERDICTS[name][0]()
    svm = baselines.soft_margin(A, C)
    assert svm.kind == "soft-margin"
    assert svm.C == C and svm.unique
    assert -1e-12 <= svm.gap <= 1e-10
    assert svm.kkt <= 1e-7
    assert svm.message == ""


@pytest.mark.parametrize(
    ("w", "lam", "violation"),
    [
        ([0.5, 1.0], [0.5, 1.0], 0.5 * (4 - 0.5) / 4),  # a margin below 1 where λ is not C
        ([3.0, 1.0], [3.0, 1.0], 2 * 3 / 4),  # one above 1 where λ is not 0
        ([1.0, 1.0], [1.0, 2.0], 1 / np.sqrt(2)),  # w is not A^Tλ
        ([1.0, 1.0], [1.0, 1.0], 0.0),
    ],
)
def test_each_condition_of_the_soft_margin_by_hand(w, lam, violation):
    kkt = certificates.soft_margin_kkt(np.eye(2), np.array(w), np.array(lam), 4.0)
    assert kkt == pytest.approx(violation, abs=1e-15)


@pytest.mark.parametrize("C", [0.01, 1.0])
def test_liblinear_without_intercept_finds_the_same_svm(C):
    data = dataset(gaussian_rows(200, 5, 0.5))
    machine = LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=1_000_000)
    theirs = machine.fit(data.X_train, data.y_train).coef_[0]
    ours = baselines.soft_margin(data.A, C)
    assert degrees(ours.w, theirs) <= 0.05  # liblinear's own precision

    def objective(w):
        return 0.5 * w @ w + C * np.maximum(0, 1 - data.A @ w).sum()

    assert objective(ours.w) <= objective(theirs) * (1 + 1e-12)


def test_soft_margin_certificate_sees_an_intercept():
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, -1.0], 100)
    X = rng.standard_normal((200, 5)) + 0.5 * y[:, None] + 2.0  # not centred: an intercept pays
    A = y[:, None] * X
    with_intercept = LinearSVC(loss="hinge", C=1.0, tol=1e-8, max_iter=1_000_000).fit(X, y).coef_[0]
    ours = baselines.soft_margin(A, 1.0)
    assert degrees(ours.w, with_intercept) > 2
    _, lam = soft_margin.solve(A, 1.0)
    assert certificates.soft_margin_gap(A, with_intercept, lam, 1.0) > 1e-3
    assert certificates.soft_margin_kkt(A, with_intercept, lam, 1.0) > 1e-2


def test_logistic_minimiser_has_the_numbers_of_theory(mnist):
    A = mnist["3v5", 50]
    fit = baselines.logistic_regression(A, None)
    assert fit.kind == "unregularised"
    assert np.linalg.norm(fit.w) == pytest.approx(9.687, abs=5e-4)
    assert np.logaddexp(0, -A @ fit.w).mean() == pytest.approx(0.08800, abs=5e-6)
    assert fit.gap <= 1e-12
    assert fit.gap == pytest.approx(np.linalg.norm(A.T @ expit(-A @ fit.w)) / 1000, abs=1e-16)


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", ["separable", "quasi", "overlapping"])
def test_regularised_logistic_regression_is_scikit_learns(name, C):
    data = dataset(VERDICTS[name][0]())
    ours = baselines.logistic_regression(data.A, C)
    theirs = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    coefficients = theirs.fit(data.X_train, data.y_train).coef_[0]
    assert np.allclose(ours.w, coefficients, rtol=1e-6, atol=1e-9)
    assert ours.kkt <= 1e-12
    assert (ours.kind, ours.C, ours.message) == ("l2", C, "")


def test_flat_directions_get_the_least_norm():
    A = gaussian_rows(200, 3, 0.3)
    embedded = np.hstack([A, A[:, :1], np.zeros((200, 1))])  # a copied and an empty coordinate
    fit = baselines.logistic_regression(embedded, None)
    assert fit.kkt <= 1e-10
    assert fit.w[4] == 0
    assert fit.w[0] == pytest.approx(fit.w[3])


@pytest.mark.parametrize(("C", "unique"), [(None, False), (1.0, True)])
def test_a_minimiser_beside_others_is_said_to_be(C, unique):
    """A coordinate that occurs twice: w and w + v with Av = 0 have one and the same loss; with l2 only one is least."""
    A = gaussian_rows(200, 3, 0.3)
    assert baselines.logistic_regression(A, C).unique
    fit = baselines.logistic_regression(np.hstack([A, A[:, :1]]), C)
    assert fit.unique is unique
    other = fit.w + np.array([1.0, 0, 0, -1.0])
    assert np.allclose(np.hstack([A, A[:, :1]]) @ other, np.hstack([A, A[:, :1]]) @ fit.w)


# quasi-separable data


def test_ray_and_offset_by_hand():
    # The x axis overlaps: margins 1, −1, −1, risk smallest at tanh: σ(−x) = 2σ(x), x = −log 2.
    # Off it, y ≥ 1/1 for the closer point: the ray is (0, 1).
    A = np.array([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [3.0, 1.0], [-5.0, 2.0]])
    solution = quasi.ray_and_offset(A, separability.separability(A).strict)
    assert np.allclose(solution.ray, [0, 1], atol=1e-12)
    assert np.allclose(solution.offset, [-np.log(2), 0], atol=1e-12)
    assert solution.margin == pytest.approx(1)
    assert solution.gap <= 1e-10
    assert "p ≠ 2" in solution.message


def test_gradient_descent_follows_ray_and_offset():
    A = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [3.0, 1.0, 0.2], [-5.0, 0.3, 2.0]])
    solution = quasi.ray_and_offset(A, separability.separability(A).strict)
    w = np.zeros(3)
    rate = 1.0
    for step in range(3000):  # steps grow with the loss of the separable part, as theory allows
        w += rate * A.T @ (expit(-A @ w) / 5)
        along = np.exp(min(solution.ray @ w / (solution.ray @ solution.ray), 30))
        w += 0.1 * along * (np.eye(3) - np.diag([1.0, 0, 0])) @ A.T @ (expit(-A @ w) / 5) * (step > 100)
    span, off = w[0], w * [0, 1, 1]
    assert span == pytest.approx(solution.offset[0], abs=2e-2)
    assert degrees(off, solution.ray) < 3


@pytest.mark.parametrize("strict", [[True] * 3, [False] * 3])
def test_ray_and_offset_need_both_parts(strict):
    with pytest.raises(ValueError, match="quasi-separable"):
        quasi.ray_and_offset(np.eye(3), np.array(strict))


# all of them together, kept on disk


@pytest.mark.parametrize(
    ("name", "svm", "logreg", "ps", "has_quasi"),
    [
        ("separable", "hard-margin", "l2", {1.5, 2.0, INF}, False),
        ("overlapping", "soft-margin", "unregularised", set(), False),
        ("quasi", "soft-margin", "l2", set(), True),
    ],
)
def test_each_verdict_has_its_references(tmp_path, name, svm, logreg, ps, has_quasi):
    data = dataset(VERDICTS[name][0]())
    for cached in (None, tmp_path, tmp_path):
        solved = references.solve_references(data, [2, 1.5, INF, 2.0], 1.0, 10.0, cached)
        assert solved.separability == VERDICTS[name][1]
        assert solved.separability_value == VERDICTS[name][2]
        assert solved.n == len(data.A)
        assert set(solved.max_margin) == ps
        assert (solved.svm.kind, solved.logreg.kind) == (svm, logreg)
        assert (None if svm == "hard-margin" else 1.0) == solved.svm.C
        assert (None if logreg == "unregularised" else 10.0) == solved.logreg.C
        assert (solved.quasi is not None) is has_quasi
    if name == "separable":
        assert np.array_equal(solved.svm.w, solved.max_margin[2.0].w)


@pytest.mark.parametrize("ps", [[1.5, 2.0, 3.0], [3.0], [1.0, INF]])
def test_each_reference_is_of_its_own_exponent_and_the_svm_of_two(ps):
    """By the conditions of the optimum of that exponent, whatever the others are."""
    data = small()
    solved = references.solve_references(data, ps, 1.0, 1.0, None)
    for p, best in solved.max_margin.items():
        assert best.p == p and certificates.max_margin_gap(data.A, best.w, best.lam, p) <= 1e-10
        others = [q for q in ps if q != p]
        assert all(certificates.margin(data.A, w, p) < (1 - 1e-6) * best.margin
                   for w in (solved.max_margin[q].w for q in others))  # fmt: skip
    hard = solve(data.A, 2.0)
    assert np.linalg.norm(solved.svm.w) == pytest.approx(1 / hard.margin, rel=1e-9)


@pytest.mark.parametrize(
    ("C", "ps"),
    [
        ((0.0, 1.0), [2]),
        ((1.0, -1.0), [2]),
        ((1.0, np.nan), [2]),
        ((1.0, 1.0), [0.9]),
        ((1.0, 1.0), [0.5, 2]),
        ((1.0, 1.0), [np.nan]),
    ],
)
def test_impossible_requests_are_refused(C, ps):
    with pytest.raises(ValueError, match=r"got .*expected"):
        references.solve_references(load_dataset(G20), ps, *C, None)


def test_overlapping_data_refuse_an_exponent_below_one_too():
    """Where no max-margin is solved, nobody else would look at it."""
    with pytest.raises(ValueError, match=r"p: got 0.9; expected a number ≥ 1"):
        references.solve_references(dataset(VERDICTS["overlapping"][0]()), [0.9], 1.0, 1.0, None)
    assert references.solve_references(dataset(VERDICTS["overlapping"][0]()), [1.0], 1.0, 1.0, None).max_margin == {}


def small():
    return load_dataset({**G20, "dim": 4, "n": 12}, seed=1)


def flat(solved: references.References) -> list:
    parts = [solved.separability, solved.separability_value, solved.svm.w, solved.svm.gap, solved.logreg.w]
    for best in solved.max_margin.values():
        parts += [
            best.p,
            best.w,
            best.margin,
            best.gap,
            best.kkt,
            best.lam,
            best.solver,
            best.unique,
            best.message,
        ]
    return parts


def same(one: references.References, other: references.References) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


@pytest.mark.parametrize(("name", "files"), [("separable", 4), ("overlapping", 3), ("quasi", 4)])
def test_a_second_call_solves_nothing_whatever_the_verdict(tmp_path, monkeypatch, name, files):
    data = dataset(VERDICTS[name][0]())
    first = references.solve_references(data, [2, INF], 1.0, 1.0, tmp_path)
    for solver in ("separability", "max_margin", "soft_margin", "logistic_regression", "ray_and_offset"):
        monkeypatch.setattr(references, solver, lambda *arguments: pytest.fail("solved again"))
    assert same(first, references.solve_references(data, [2, INF], 1.0, 1.0, tmp_path))
    assert len(list(tmp_path.iterdir())) == files


def test_a_second_call_solves_nothing(tmp_path, monkeypatch):
    data = small()
    first = references.solve_references(data, [1.5, 2, INF], 1.0, 1.0, tmp_path)
    for solver in ("separability", "max_margin", "soft_margin", "logistic_regression", "ray_and_offset"):
        monkeypatch.setattr(references, solver, lambda *arguments: pytest.fail("solved again"))
    assert same(first, references.solve_references(data, [1.5, 2, INF], 1.0, 1.0, tmp_path))
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 5
    assert all(name.endswith(".npz") and not name.startswith(".") for name in names)


def test_what_decides_an_answer_is_in_the_name(monkeypatch):
    base = ["print", "svm", {"C": "1.0"}]
    names = {cache.key_name(*base)}
    for position, other in enumerate(["other", "logreg", {"C": "2.0"}]):
        names.add(cache.key_name(*base[:position], other, *base[position + 1 :]))
    monkeypatch.setattr(cache, "SOLVER_VERSION", 99)
    names.add(cache.key_name(*base))
    assert len(names) == 5


def test_other_data_and_other_C_are_solved_for_themselves(tmp_path):
    data, other = small(), load_dataset({**G20, "dim": 4, "n": 12}, seed=2)
    first = references.solve_references(data, [2], 1.0, 1.0, tmp_path)
    assert not np.allclose(references.solve_references(other, [2], 1.0, 1.0, tmp_path).svm.w, first.svm.w)
    assert not np.allclose(references.solve_references(data, [2], 1.0, 5.0, tmp_path).logreg.w, first.logreg.w)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_solved_again(tmp_path, share):
    data = small()
    first = references.solve_references(data, [1.5, 2], 1.0, 1.0, tmp_path)
    for path in tmp_path.iterdir():
        raw = path.read_bytes()
        path.write_bytes(raw[: int(share * len(raw))])
        assert cache.read(path) is None
    assert same(first, references.solve_references(data, [1.5, 2], 1.0, 1.0, tmp_path))
    assert all(cache.read(path) is not None for path in tmp_path.iterdir())


def test_a_flipped_byte_is_never_believed(tmp_path):
    path = tmp_path / "one.npz"
    record = {"w": np.arange(5.0), "gap": 1e-9, "solver": "interior point", "unique": True}
    cache.write(path, record)
    raw = path.read_bytes()
    for position in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        cached_record = cache.read(path)  # some bytes of the archive carry nothing: then the record is whole
        assert cached_record is None or (np.array_equal(cached_record.pop("w"), record["w"]) and cached_record == {
            key: value for key, value in record.items() if key != "w"
        }), position  # fmt: skip


def test_a_whole_archive_with_other_numbers_is_not_believed(tmp_path):
    path = tmp_path / "one.npz"
    cache.write(path, {"w": np.arange(5.0), "gap": 1e-9})
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "w": arrays["w"] + 1})
    assert cache.read(path) is None
    np.savez(path, **{key: value for key, value in arrays.items() if key != "gap"})
    assert cache.read(path) is None


def test_a_pickle_in_an_archive_is_never_opened(tmp_path):
    class Opened(Exception):
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    path = tmp_path / "one.npz"
    np.savez(path, w=np.array([Opened()], dtype=object))
    assert cache.read(path) is None and not (tmp_path / "opened").exists()


def test_a_record_that_does_not_fit_is_solved_again(tmp_path):
    path = tmp_path / "new" / "folders" / "one.npz"
    cache.write(path, {"w": np.zeros(3)})
    assert np.array_equal(cache.cached(path, lambda: pytest.fail("solved again"))["w"], np.zeros(3))  # any fits
    answer = cache.cached(path, lambda: {"w": np.ones(4)}, lambda record: record["w"].shape == (4,))
    assert np.array_equal(answer["w"], np.ones(4))
    assert np.array_equal(cache.read(path)["w"], np.ones(4))


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        cache.write(tmp_path / "one.npz", {"w": np.zeros(3)})
    assert not list(tmp_path.iterdir())


def _solve_in_process(directory, barrier, queue):
    barrier.wait()
    queue.put(flat(references.solve_references(small(), [1.5, 2, 3], 1.0, 1.0, directory)))


def test_two_processes_may_solve_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_solve_in_process, args=(tmp_path, barrier, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    assert all(np.array_equal(a, b) for a, b in zip(*answers, strict=True))
    assert all(cache.read(path) is not None for path in tmp_path.iterdir())
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npz"]
