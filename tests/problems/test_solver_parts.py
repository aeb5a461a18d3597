"""Parts of the solvers by themselves: what they answer at the edges, what they say, which way they take."""

from types import SimpleNamespace

import numpy as np
import pytest

from mdcore.problems import baselines, datasets
from mdcore.problems.proofs import certificates
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


def rows(n, d, shift, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift / np.sqrt(d)


@pytest.mark.parametrize(
    ("gap", "unique", "angle", "message"),
    [
        (1e-7, True, 0.1, ""),
        (2e-7, True, 0.1, "relative duality gap 2.00e-07 is above 1e-07: not exact, γ is known to that share only; "
                          "the data are badly scaled or almost not separable"),
        (1e-9, True, 0.25, "its direction is proven to 0.25° only"),
        (1e-9, True, 180.0, "its direction is not proven: a gap of 1.0e-09 says nothing of it in this norm"),
        (1e-9, False, np.nan, "the l_3 optimum may not be unique: one of them is given, angles to it may mislead"),
    ],
)  # fmt: skip
def test_what_a_reference_says_of_itself(gap, unique, angle, message):
    assert max_margin._message(3.0, gap, unique, angle) == message


def test_the_best_of_the_ways_is_taken(monkeypatch):
    errors = {"first": 0.5, "second": 0.1, "third": 0.3}
    monkeypatch.setattr(max_margin, "_ways", lambda A, p, start: iter([(start, None, who) for who in errors]))
    for exact_one, taken in ((None, "second"), ("first", "first"), ("third", "third")):
        next_errors = iter([1e-10 if who == exact_one else error for who, error in errors.items()])
        monkeypatch.setattr(interior_point, "error", lambda *arguments, next_errors=next_errors: next(next_errors))
        assert max_margin._solve(np.eye(2), 3.0, np.ones(2))[2] == taken
        assert len(list(next_errors)) == (2 if taken == "first" else 0)  # an exact one ends the search


def test_the_interior_point_starts_from_a_norm_and_a_margin_of_its_own_choice(monkeypatch):
    """Whatever the sizes of the data and of the start are: the answer is that of the data as they were given."""
    A, start, asked = rows(9, 3, 12.0), np.array([2.0, 3.0, 4.0]), []
    monkeypatch.setattr(
        interior_point, "solve", lambda *at: asked.append(at) or SimpleNamespace(w=at[2], lam=np.ones(9), steps=7)
    )
    w, _, who = max_margin._interior(A, 3.0, start, 1.3)
    ((scaled, p, begun),) = asked
    assert p == 3.0 and np.linalg.norm(begun, 3) == pytest.approx(1.3) == (scaled @ begun).min()
    assert A @ w == pytest.approx(scaled @ begun) and who == "interior point, 7 steps"


@pytest.mark.parametrize("least", [-0.5, 0.0, 0.5])
def test_the_interior_point_starts_from_the_conic_answer_only_where_that_separates(monkeypatch, least):
    A = np.eye(2)
    monkeypatch.setattr(max_margin, "_interior", lambda A, p, start, above: (start, None, "interior"))
    monkeypatch.setattr(max_margin.conic, "solve", lambda A, p: (np.array([1.0, least]), np.ones(2)))
    ways = [who for _, _, who in max_margin._ways(A, 3.0, np.ones(2))]
    assert ways == ["interior"] * 3 + ["conic (clarabel)"] + ["interior"] * (least > 0)


@pytest.mark.parametrize(("A", "p", "answer"), [
    ([[1.0, 1.0]], INF, True),  # |w_1| = |w_2|
    ([[2.0, 1.0]], 1, True),  # w_2 = 0
    ([[1.0, 1.0]], 1, False),
    ([[1.0, 0.0]], INF, False),  # w_2 is free, and in no row
    ([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, -1.0]], INF, True),  # w_3 is free, and the rows tell it
])  # fmt: skip
def test_what_the_multipliers_determine_at_any_scale_of_data_and_multipliers(A, p, answer):
    A = np.array(A)
    for size in (1e-6, 1e-3, 1.0, 1e3, 1e6):
        for share in (1e-6, 1.0, 1e6):
            lam = np.full(len(A), share)
            assert polyhedral.determined(size * A, p, lam) is answer


def test_a_row_without_weight_determines_nothing():
    A = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    for share in (1e-5, 1.0, 1e5):
        assert polyhedral.determined(A, INF, share * np.array([1.0, 0.0])) is False


def test_the_refined_multipliers_are_the_least_squares_ones_and_not_negative():
    A = np.array([[1.0, 2.0], [2.0, 1.0], [-10.0, 5.0]])
    _, lam = polyhedral._refine(A, 1, np.array([0.3, 0.4]), np.ones(3))
    wanted = np.linalg.lstsq(A.T, np.ones(2), rcond=None)[0]
    assert wanted.min() < 0 and lam == pytest.approx(np.maximum(0.0, wanted))


@pytest.mark.parametrize("margin", [0.0, -0.5])
def test_a_start_that_does_not_separate_is_refused(margin):
    with pytest.raises(ValueError, match=f"smallest margin {margin:g}; expected a w with every margin above 0"):
        max_margin.max_margin(np.array([[1.0, 0.0], [0.0, margin]]), 2.0, np.ones(2))
    assert max_margin.max_margin(np.eye(2), 2.0, np.array([0.5, 0.25])).margin == pytest.approx(0.5**0.5)


def interior_run(monkeypatch, errors, lengths, p=2.0, start=(0.6, 0.8)):
    """(answer, what each Newton step was given) of a solve whose errors and lengths of steps are given here."""
    A, asked, given = np.array([[1.0, 0.0], [0.0, 1.5], [3.0, 4.0]]), iter(errors), []

    def step(A, p, point, mu):
        given.append((A, p, point, mu))
        number = float(len(given))
        w = point.w * (1 + 1e-3 * number)
        return interior_point._Point(w, point.s + number, point.lam), lengths[len(given) - 1]

    monkeypatch.setattr(interior_point, "error", lambda A, w, lam, p: next(asked))
    monkeypatch.setattr(interior_point, "_newton_step", step)
    monkeypatch.setattr(interior_point, "MAX_STEPS", len(errors))
    return interior_point.solve(A, p, np.array(start)), given


STALL, LOST = interior_point.STALL, interior_point.LOST


@pytest.mark.parametrize(
    ("errors", "steps", "least"),
    [
        ([1.0, 0.5, 1e-14, 1e-16], 2, 1e-14),  # exact
        ([0.05] + [0.06] * 9 * STALL, STALL + 1, 0.05),  # no better for long
        ([0.1] + [0.2] * 9 * STALL, STALL + 1, 0.1),
        ([0.05, *[0.04] * STALL, 0.027, *[0.5] * 9 * STALL], 2 * STALL + 2, 0.027),  # 0.027: better by enough
        ([0.05, *[0.04] * STALL, 0.028, *[0.5] * 9 * STALL], STALL + 1, 0.028),  # 0.028: not by enough
        ([0.101] + [0.2] * (LOST + 9), LOST + 1, 0.101),  # far from the optimum it is given longer
        ([0.101] * LOST + [0.09] * 9 * STALL, LOST + STALL + 1, 0.09),
    ],
)
def test_when_the_interior_point_ends_and_which_point_it_takes(monkeypatch, errors, steps, least):
    answer, given = interior_run(monkeypatch, errors, [1.0] * len(errors))
    assert (answer.steps, answer.error, len(given)) == (steps, least, steps)


@pytest.mark.parametrize(
    ("length", "shrink"), [(1.0, 0.05), (0.91, 0.05), (0.9, 0.2), (0.51, 0.2), (0.5, 0.6), (0.1, 0.6)]
)
def test_how_the_interior_point_begins_and_how_far_its_target_falls(monkeypatch, length, shrink):
    _, given = interior_run(monkeypatch, [0.5, 0.4, 1e-15], [length, length])
    (_, p, first, mu), (_, _, second, later) = given
    assert p == 2.0 and first.s == pytest.approx([0.1, 0.2, 4.0])  # margins 0.6, 1.2, 5 less 1, and at least 0.1
    assert first.lam == pytest.approx(1 / (3 + 2 * 2) / np.array([0.1, 0.2, 4.0]))
    assert mu == pytest.approx(0.3 * first.s @ first.lam / 3)
    assert later == pytest.approx(shrink * second.s @ second.lam / 3)


@pytest.mark.parametrize(("size", "scaled"), [(0.5, True), (0.89, True), (0.91, False), (1.09, False), (1.2, True)])
@pytest.mark.parametrize("p", [1.5, 3.0])
def test_the_unit_of_length_keeps_the_norm_near_one(monkeypatch, size, scaled, p):
    """min ‖w‖_p^p/p s.t. Aw ≥ 1 in units of `size`: A size times, w one size-th, λ one size^p-th; margins stay."""
    start = size * np.array([0.6, 0.8]) / np.linalg.norm([0.6, 0.8], p)
    answer, given = interior_run(monkeypatch, [0.5, 0.4, 1e-15], [1.0, 1.0], p, start)
    unit = size if scaled else 1.0
    A, _, point, _ = given[0]
    assert A[2] == pytest.approx(unit * np.array([3.0, 4.0])) and point.w == pytest.approx(start / unit)
    s = np.maximum(np.array([1.0, 1.5, 1.0]) * [start[0], start[1], 3 * start[0] + 4 * start[1]] - 1, 0.1)
    assert point.s == pytest.approx(s) and point.lam == pytest.approx(1 / 7 / s / unit**p)
    assert answer.w == pytest.approx(start * 1.001 * 1.002)  # in the unit of the data


@pytest.mark.parametrize(("room", "words"), [(0, ""), (-1, "working set of ")])
def test_only_large_problems_are_solved_on_a_working_set(monkeypatch, room, words):
    A = rows(900, 4, 12.0)
    monkeypatch.setattr(max_margin, "SOLVE_WHOLE", 900 * 4**2 + room)
    solution = max_margin.max_margin(A, 2.0, separability.separability(A).w)
    assert words in solution.solver and ("working set" in solution.solver) is bool(words)
    assert solution.gap <= 1e-10 and (A @ solution.w).min() == pytest.approx(1)
    assert list(max_margin._closest(np.array([3.0, 1.0, 2.0, 0.5]), 2)) == [1, 3]


def test_multipliers_are_not_negative(monkeypatch):
    answer = SimpleNamespace(status=0, x=np.ones(1), ineqlin=SimpleNamespace(marginals=np.array([1e-12, -2.0])))
    monkeypatch.setattr(linear_program, "linprog", lambda *arguments, **keys: answer)
    x, lam, tolerance = linear_program.solve(np.ones(1), np.ones((2, 1)), np.ones(2), (0, None))
    assert (list(x), list(lam), tolerance) == ([1.0], [0.0, 2.0], 1e-10)
    answer = SimpleNamespace(x=[1.0, 1.0, 1.0], z=[-1e-12, 2.0, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(conic.clarabel, "DefaultSolver", lambda *arguments: SimpleNamespace(solve=lambda: answer))
    assert list(conic.solve(np.ones((2, 1)), 3.0)[1]) == [0.0, 2.0]


def test_a_flat_hessian_gives_a_descent_direction_all_the_same():
    A = np.array([[1.0, 1.0], [-2.0, -2.0], [3.0, 3.0]])
    slope, _ = logistic.gradient(A, np.zeros(2), 0.0, 1.0)
    direction = logistic._newton_direction(A, np.zeros(3), slope, 0.0, 1.0)
    assert direction @ slope < 0 and A.T @ (A @ direction) / 4 == pytest.approx(-slope)


def test_newton_directions_solve_their_equations():
    A, w = rows(30, 4, 0.5), np.full(4, 0.3)
    slope, _ = logistic.gradient(A, w, 2.0, 0.7)
    m = A @ w
    hessian = 2.0 * np.eye(4) + sum(0.7 / (2 + 2 * np.cosh(x)) * np.outer(a, a) for a, x in zip(A, m))
    assert hessian @ logistic._newton_direction(A, m, slope, 2.0, 0.7) == pytest.approx(-slope)


@pytest.mark.parametrize("C", [None, 1.0])
def test_the_gradient_that_is_told_is_the_one_that_is_left(C):
    A = rows(200, 5, 0.5)
    fit = baselines.logistic_regression(A, C)
    ridge, weight = (0.0, 1 / 200) if C is None else (1.0, C)
    slope, size = logistic.gradient(A, fit.w, ridge, weight)
    assert fit.gap == np.linalg.norm(slope) > 0 and fit.kkt == fit.gap / size
    assert baselines.logistic_regression(np.zeros((3, 2)), None).kkt == 0.0


@pytest.mark.parametrize("C", [None, 1.0])
def test_a_logistic_minimiser_that_missed_its_target_says_so(monkeypatch, C):
    A = rows(200, 5, 0.5)
    exact, minimise = baselines.logistic_regression(A, C), logistic.minimise
    monkeypatch.setattr(logistic, "minimise", lambda *at: (fit := minimise(*at))._replace(w=(1 + 1e-8) * fit.w))
    missed = baselines.logistic_regression(A, C)
    assert exact.message == "" and 1e-10 < missed.kkt < 1e-7
    assert missed.message == f"relative gradient {missed.kkt:.2e} > 1e-10: not exact"


@pytest.mark.parametrize(("proved", "asked"), [(True, 1), (False, separability.ATTEMPTS)])
def test_a_null_vector_is_asked_for_its_proof_until_there_is_one(monkeypatch, proved, asked):
    calls = []
    monkeypatch.setattr(certificates, "positive_null", lambda A, lam: calls.append(1) or (lam if proved else None))
    result = separability._separability(rows(200, 5, 0.5))
    assert len(calls) == asked and (separability.EDGE in result.message) is not proved


def test_a_verdict_scales_w_to_one_and_leaves_zero_alone():
    none, some = np.zeros(3, bool), np.array([True, False, True])
    assert list(separability._verdict(none, np.zeros(2), "").w) == [0.0, 0.0]
    for size in (4.0, 0.5):
        result = separability._verdict(some, size * np.array([0.125, -1.0]), "how")
        assert (result.verdict, result.value, result.message) == ("quasi-separable", 2.0, "how")
        assert list(result.w) == [0.125, -1.0]
    assert separability._verdict(~none, np.ones(2), "").verdict == "separable"
    assert list(separability.separability(np.zeros((4, 2))).lam) == [0.25] * 4


def test_a_w_separates_however_small_its_margins_are(monkeypatch):
    monkeypatch.setattr(separability, "_balance", lambda U: iter([(np.full(2, 0.5), np.full(2, 0.4))]))
    assert separability._separability(np.eye(2)).message == "certified by a separating w"


def test_a_step_goes_almost_to_the_boundary_and_no_further_than_its_end():
    ones = np.ones(2)
    point = soft_margin._Point(ones, ones, ones, ones, ones)
    for change, length in ((1.0, 1.0), (-0.5, 1.0), (-2.0, 0.4975), (-0.995, 1.0), (0.0, 1.0)):
        move = soft_margin._Point(-9 * ones, ones, ones, np.array([1.0, change]), ones)
        assert point.longest(move) == pytest.approx(length)
        path = interior_point._Point(ones, ones, ones)
        assert interior_point._to_boundary(path, path._replace(lam=np.array([1.0, change]))) == pytest.approx(length)


@pytest.mark.parametrize("p", [1.2, 3.0])
def test_the_error_of_a_pair_is_its_gap_or_a_share_of_its_residual(p):
    A = rows(20, 3, 8.0)
    w, lam = np.array([1.0, 2.0, 1.5]), np.linspace(0.1, 1.0, 20)
    gap, kkt = certificates.max_margin_gap(A, w, lam, p), certificates.max_margin_kkt(A, w, lam, p)
    assert interior_point.error(A, w, lam, p) == max(gap, 1e-4 * kkt) == gap
    best = max_margin.max_margin(A, p, w)
    gap, kkt = certificates.max_margin_gap(A, best.w, best.lam, p), certificates.max_margin_kkt(A, best.w, best.lam, p)
    assert interior_point.error(A, best.w, best.lam, p) == max(gap, 1e-4 * kkt)


S = soft_margin.STALL


@pytest.mark.parametrize(
    ("gaps", "steps", "taken"),
    [
        ([1.0, 0.5, 1e-15, 1e-16], 2, 2),  # exact
        ([1.0, 1e-14, 1e-16], 1, 1),  # exact to the last bit of the tolerance
        ([1e-7] + [1.1e-7] * 9 * S, S + 1, 0),  # no better for long, and good already
        ([1e-6] + [1.1e-6] * 9 * S, 4 * S + 1, 0),  # not good yet: it is given longer
        ([1e-7, *[0.71e-7] * S, 0.4e-7, *[1.0] * 9 * S], 2 * S + 2, S + 1),  # 0.71: better, and not by enough
        ([1e-7, *[1.1e-7] * S, 0.69e-7, *[1.0] * 9 * S], 2 * S + 2, S + 1),  # 0.69 is by enough
        ([1e-7, 1e-7, *[1.0] * 9 * S], S + 1, 0),  # of equal ones the first
    ],
)
def test_when_the_soft_margin_ends_and_which_point_it_takes(monkeypatch, gaps, steps, taken):
    """The gaps of its points are given here; λ above C is brought back to it."""
    made = [soft_margin._Point(np.full(2, float(k)), *[np.full(3, 1.5)] * 4) for k in range(len(gaps))]
    asked = iter(gaps)
    points = iter(made)
    count = []
    monkeypatch.setattr(soft_margin, "MAX_STEPS", len(gaps))
    monkeypatch.setattr(soft_margin, "_start", lambda A: next(points))
    monkeypatch.setattr(soft_margin, "_newton_step", lambda A, point: count.append(1) or next(points))
    monkeypatch.setattr(soft_margin, "soft_margin_gap", lambda A, w, lam, C: next(asked))
    w, lam = soft_margin.solve(np.ones((3, 2)), 4.0)
    assert (len(count), w[0] / 2) == (steps, taken) and list(lam) == [4.0] * 3


@pytest.mark.parametrize("size", [0.1, 1.0, 1e3])
def test_the_soft_margin_starts_inside_of_its_bounds(monkeypatch, size):
    """From the logistic minimiser at the same C, whose weights may be 0 or 1 to the last bit."""
    A, asked = rows(30, 2, 0.0), []
    w = size * np.array([1.0, -0.5])
    monkeypatch.setattr(logistic, "minimise", lambda *at: asked.append(at[1]) or SimpleNamespace(w=w))
    point = soft_margin._start(A)
    assert asked == [1.0] and np.array_equal(point.w, w)
    for each in (point.s, point.xi, point.lam, point.u):
        assert (each > 0).all()
    assert point.lam + point.u == pytest.approx(np.ones(30), abs=0) and (point.lam < 1).all()
    assert point.s - point.xi == pytest.approx(A @ w - 1) and point.s * point.xi == pytest.approx(np.full(30, 0.25))


def test_soft_margin_newton_steps_solve_the_linearised_conditions(monkeypatch):
    """One step from a point that meets no condition: the predictor's equations hold where its step is taken in full."""
    A, rng = rows(12, 3, 1.0), np.random.default_rng(1)
    s, lam, xi = (rng.random(12) + 0.5 for _ in range(3))
    point = soft_margin._Point(rng.standard_normal(3), s, lam / 2, xi, 1 - lam / 2)
    moves = []
    monkeypatch.setattr(soft_margin._Point, "longest", lambda self, move: moves.append(move) or 0.2)
    soft_margin._newton_step(A, point)
    predictor, move = moves
    for change in (predictor, move):
        assert change.w - A.T @ change.lam == pytest.approx(-(point.w - A.T @ point.lam))
        assert A @ change.w + change.xi - change.s == pytest.approx(-(A @ point.w + point.xi - 1 - point.s))
        assert change.u == pytest.approx(-change.lam)
    assert point.s * predictor.lam + point.lam * predictor.s == pytest.approx(-point.s * point.lam)
    assert point.xi * predictor.u + point.u * predictor.xi == pytest.approx(-point.xi * point.u)
    now = point.mean_product()
    ahead = point.step(0.2, predictor).mean_product()
    assert ahead < 0.9 * now
    mu = now * (ahead / now) ** 3
    corrected = (point.s * move.lam + point.lam * move.s, point.xi * move.u + point.u * move.xi)
    wanted = (
        mu - point.s * point.lam - predictor.s * predictor.lam,
        mu - point.xi * point.u - predictor.xi * predictor.u,
    )
    for actual, right in zip(corrected, wanted):
        assert actual == pytest.approx(right)


def test_interior_newton_steps_solve_the_linearised_conditions(monkeypatch):
    """The moves that are considered: infeasibility, products and the tangent of the curve, each to first order."""
    A, rng = rows(12, 3, 3.0), np.random.default_rng(2)
    point = interior_point._Point(np.array([0.5, 0.3, 0.4]), rng.random(12) + 0.5, rng.random(12) / 12 + 0.01)
    p, mu, moves, wanted = 3.0, 0.02, [], interior_point._to_boundary
    monkeypatch.setattr(interior_point, "_to_boundary", lambda at, move: moves.append(move) or wanted(at, move))
    (off_curve, r_p, r_s), curvature, eta = interior_point._residuals(A, p, point, mu)
    interior_point._newton_step(A, p, point, mu)
    assert eta == pytest.approx(3 ** (2 / 3 - 1)) and r_p == pytest.approx(A @ point.w - 1 - point.s)
    assert r_s == pytest.approx(point.s * point.lam - mu)
    for move in moves[:2]:
        assert A @ move.w - move.s == pytest.approx(-r_p)
        tangent = curvature * move.w - A.T @ move.lam
        assert tangent == pytest.approx(-off_curve / np.sqrt(eta) * (eta + curvature))
    first, second = moves[:2]
    length = wanted(point, first)
    assert point.s * first.lam + point.lam * first.s == pytest.approx(-r_s)
    assert point.s * second.lam + point.lam * second.s == pytest.approx(-r_s - length**2 * first.s * first.lam)


def test_points_at_zero_leave_no_offset():
    A = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    solution = quasi.ray_and_offset(A, np.array([True, False, True]))
    assert list(solution.offset) == [0.0, 0.0] and solution.offset_gradient == 0.0
    assert solution.ray == pytest.approx([1.0, 1.0]) and solution.margin == pytest.approx(0.5**0.5)


def test_quasi_separable_data_need_no_linear_program(monkeypatch):
    rest, beside = rows(20, 3, 0.5), np.hstack([rows(20, 3, 0.5, 1), np.abs(rows(20, 2, 1.0, 2)) + 0.1])
    A = np.vstack([np.hstack([rest, np.zeros((20, 2))]), beside])
    monkeypatch.setattr(separability, "separability_lp", lambda A: pytest.fail("asked the linear program"))
    split, tried = separability._split, []
    monkeypatch.setattr(separability, "_split", lambda *at: tried.append(at) or split(*at))
    result = separability.separability(A)
    assert (result.verdict, result.value) == ("quasi-separable", 20.0) and not result.strict[:20].any()
    assert len(tried) == 1 and tried[0][0] @ tried[0][2] == pytest.approx(tried[0][1])  # at the tenth step, by its w
    assert separability._split(A, np.ones(40), np.ones(5)) is None  # nothing to tell the parts by
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for size in (1.5, 9.0):
        assert separability._split(corner, size * np.array([0.0, 1.0, 1.0]), np.full(2, size)).value == 2.0
    three = np.array([[1.0, 0.0], [-1.0, 0.0], [5.0, 1.0]])
    assert separability._split(three, np.array([0.0, 0.0, 9.0]), np.array([0.0, 9.0])).value == 1.0


def test_projections_are_repeated_against_rounding():
    """w is 1 off the rest's plane and 1e10 in it; U is orthonormal to six digits, and U^Tλ = 0 means λ_1 = 0."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    A = np.vstack([np.eye(4)[:2], -np.eye(4)[:2], np.eye(4)[2:]]) @ turn
    w, certified = separability._check(A, np.arange(6) > 3, np.array([1e10, 1e10, 1.0, 1.0]) @ turn)
    assert certified and np.abs(A[:4] @ w).max() <= 1e-14 and A[4:] @ w == pytest.approx(np.ones(2), rel=1e-5)
    assert not separability._null(np.array([[1 - 1e-6], [0.0]]), np.ones(2))


@pytest.mark.parametrize(
    ("message", "w", "taken"),
    [
        ("proved", [1.0, 2.0], True),
        ("proved", [1.0, 1e308], True),
        (separability.EDGE, [1.0, 2.0], False),
        ("proved", [INF, 2.0], False),
    ],
)
def test_a_second_attempt_counts_where_it_proves_something(monkeypatch, message, w, taken):
    """Its columns are of one size, and its w is brought back to theirs."""
    first = separability.Separability("overlapping", 0.0, np.zeros(2, bool), np.zeros(2), separability.EDGE)
    second, asked = separability.Separability("separable", 2.0, np.ones(2, bool), np.array(w), message), []
    monkeypatch.setattr(separability, "_separability", lambda A: asked.append(A) or (first, second)[len(asked) - 1])
    result = separability.separability(np.array([[1.0, 8.0], [1.0, -8.0]]))
    assert np.array_equal(asked[1], [[1.0, 1.0], [1.0, -1.0]])
    assert result.verdict == ("separable" if taken else "overlapping")
    assert list(result.w) == ([1.0 / max(1.0, w[1] / 8), w[1] / 8 / max(1.0, w[1] / 8)] if taken else [0.0, 0.0])


def test_what_is_positive_is_so_beyond_rounding():
    """A λ above 1e-9 of the largest entry; a margin above 0, which that of a point at 0 never is."""
    for small, null in ((1e-9, True), (0.5 * 1e-9, False), (4e-10, False)):
        assert separability._null(np.zeros((2, 0)), np.array([0.5, small])) is null
    assert not separability._strictly_positive(np.array([[1.0, 1.0], [0.0, 0.0]]), np.ones(2))
    assert not separability._strictly_positive(np.array([[0.1, 0.2, -0.3]]), np.full(3, 2.0**20))
    for times, positive in ((32, False), (128, True)):  # 8 ε d (1 + 1) = 64 ε
        row = np.array([[1.0, -1.0, 0.0, times * np.finfo(float).eps]])
        assert separability._strictly_positive(row, np.ones(4)) is positive


def test_rows_of_all_sizes_get_length_one_and_a_point_at_zero_stays():
    unit_rows = separability._unit_rows(np.array([[-6e200, 8e200], [-6e-200, -8e-200], [0.0, 0.0], [3.0, -4.0]]))
    assert unit_rows == pytest.approx(np.array([[-0.6, 0.8], [-0.6, -0.8], [0.0, 0.0], [0.6, -0.8]]))


def test_points_at_zero_have_no_gradient():
    fit = logistic.minimise(np.zeros((3, 2)), 1.0)
    assert (list(fit.w), fit.relative) == ([0.0, 0.0], 0.0)


def test_large_data_are_factorised_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    A, lam = rng.standard_normal((60, 5)) + 1.0, rng.random(60)
    whole = logistic.row_space(A), separability._gram(A, lam), logistic.gradient(A, np.ones(5), 0.5, 2.0)
    verdict = separability.separability(A)
    monkeypatch.setattr(datasets, "PART", 36)  # seven rows
    assert [len(part) for part in datasets.in_parts(A)] == [7] * 8 + [4]
    U, sizes, V = logistic.row_space(A)
    np.testing.assert_allclose(U * sizes @ V.T, A, atol=1e-12)
    np.testing.assert_allclose(sizes, whole[0][1], rtol=1e-12)
    np.testing.assert_allclose(separability._gram(A, lam), whole[1], rtol=1e-12)
    for actual, before in zip(logistic.gradient(A, np.ones(5), 0.5, 2.0), whole[2]):
        np.testing.assert_allclose(actual, before, rtol=1e-12)
    assert separability.separability(A).verdict == verdict.verdict
