"""The proofs by themselves: no bound below what exact arithmetic gives, nothing said where nothing is proved."""

from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from mdcore.problems.proofs import certificates, directions, exact
from mdcore.problems.solvers import interior_point, logistic, max_margin

INF = float("inf")
GAPS = [1e-15, 1e-9, 1e-4, 0.01, 0.3]


@pytest.mark.parametrize("p", [1.1, 1.5, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("gap", GAPS)
def test_distances_are_rounded_up(p, gap):
    with localcontext(prec=60):
        half, exponent = 1 - Decimal(gap) / 2, Decimal(max(p, 2.0))
        exact = 2 * ((1 - half**exponent) / Decimal(min(p - 1.0, 1.0))) ** (1 / exponent)
        bound = Decimal(float(directions.distance_bound(gap, p)))
        assert min(exact, Decimal(2)) <= bound <= exact * (1 + Decimal("1e-11"))


@pytest.mark.parametrize("gap", GAPS)
def test_angles_are_rounded_up(gap):
    slightly = 1 + 5e-13  # above the rounding of sin, below that of the bound
    for size in (0.5, 1.0, 3.0):
        for share in (gap, 0.9):
            angle = directions.angle_from_distance(share * size, size)
            assert np.sin(np.deg2rad(angle)) >= share * (1 + 5e-13 * (share == gap))
            assert angle == pytest.approx(np.rad2deg(np.arcsin(share)), rel=1e-11, abs=0)
    exact = directions.angle_from_gap(gap, 2.0, 1.0, 5)  # arccos(1 − ε) = 2 arcsin √(ε/2)
    assert np.sin(np.deg2rad(exact) / 2) >= np.sqrt(gap / 2) * slightly
    assert exact == pytest.approx(np.rad2deg(2 * np.arcsin(np.sqrt(gap / 2))), rel=1e-11, abs=0)


def test_angles_are_exact_at_both_ends_and_for_all_sizes():
    e, nothing = np.array([1.0, 0.0]), [np.zeros(2), np.array([INF, 1.0]), np.array([1.0, np.nan])]
    with np.errstate(all="raise", under="ignore"):
        for v, degrees in (([1, 1], 45), ([-1, 1], 135), ([0, 7], 90), ([-1, 0], 180), ([1, 1e-9], np.rad2deg(1e-9))):
            for sizes in ((1.0, 1.0), (1e200, 1e-200), (1e-200, 1e200)):
                assert directions.angle(sizes[0] * e, sizes[1] * np.array(v)) == pytest.approx(
                    degrees, rel=1e-12, abs=0
                )
        assert all(np.isnan(directions.angle(*pair)) for v in nothing for pair in ((e, v), (v, e)))


@pytest.mark.parametrize("p", [1.5, 3.0])
def test_a_reference_that_its_points_do_not_determine_is_bound_by_its_gap(p):
    A, w = np.array([[1.0, 1.0]]), np.array([3.0, 3.003])
    gap, angle = directions.reference_angle(A, w, np.ones(1), p, True)
    assert angle == directions.angle_from_gap(gap, p, np.linalg.norm(w) / np.linalg.norm(w, p), 2) < 90.0


def test_coordinates_that_the_gap_bounds_loosely_are_bound_by_the_points():
    """z = (1, 0.99): 2ε/(1 − 0.99) = 0.02 rad for the second coordinate alone; by both points about ε."""
    A = np.array([[1.5, 0.49], [0.5, 1.49]])
    assert directions.angle_from_margins(A, np.array([1.0, 0.0]), np.array([0.5, 0.5]), 1.0, 1e-4) < 0.1


def test_points_of_small_weight_count():
    """Weights above 1e-9 of the largest, which is ½."""
    for small, least in ((1.5e-9, 0.0), (4e-10, 180.0)):
        lam = np.array([0.5, 0.5 - small, small])
        angle = directions.angle_from_margins(np.eye(3), np.ones(3), lam, 2.0, 1e-16)
        assert least <= angle <= max(least, 1e-4)


@pytest.mark.parametrize(("share", "angle"), [(1.0, 180.0), (np.nextafter(1.0, 0.0), 90.0), (1.5, 180.0), (0.0, 0.0)])
def test_a_distance_of_the_length_itself_says_nothing(share, angle):
    assert directions.angle_from_distance(2.0 * share, 2.0) == pytest.approx(angle, abs=1e-5)


def test_a_gap_of_one_says_nothing():
    assert directions.distance_bound(1.0, 3.0) == INF
    assert directions.angle_from_gap(1.0, 2.0, 1.0, 3) == directions.angle_from_gap(np.nan, 2.0, 1.0, 3) == 180.0
    assert directions.distance_bound(-1e-3, 3.0) == directions.angle_from_gap(-1e-3, 2.0, 1.0, 3) == 0.0  # rounding
    assert directions.angle_from_gap(directions.CONVERGED_GAP, 2.0, 1.0, 9) == pytest.approx(8.1, abs=0.02)  # not 1 %
    assert directions.distance_bound(np.nextafter(1.0, 0.0), 3.0) <= 2.0 * directions.ROUNDING
    for p in (0.5, 1.0, INF):
        assert directions.distance_bound(0.01, p) == INF


def test_a_distance_in_l_p_is_one_in_l_2_times_a_power_of_the_dimension():
    """p > 2: ‖v‖_2 ≤ d^{1/2 − 1/p} ‖v‖_p, with equality for v = (1, …, 1); p ≤ 2: ‖v‖_2 ≤ ‖v‖_p."""
    for p, factor in ((1.5, 1.0), (4.0, 16**0.25), (8.0, 16 ** (3 / 8))):
        distance = float(directions.distance_bound(1e-9, p)) * factor
        assert directions.angle_from_gap(1e-9, p, 1.0, 16) == directions.angle_from_distance(distance, 1.0)


@pytest.mark.parametrize(
    ("A", "p"),
    [
        ([[1.0, 0.0], [0.0, 4e-13]], 3.0),  # the smallest singular value could be a rounding error
        ([[1e6, 0.0], [0.0, 4e-7]], 3.0),
        ([[1.0, 1 - 5e-13]], 1.0),  # so could the distance of the second coordinate from the largest
        ([[1e3, 5e-10, 5e-10]], INF),
        ([[1.0, 5e-13, 5e-13]], INF),  # or the second and third coordinate itself
    ],
)
def test_what_could_be_rounding_proves_no_direction(A, p):
    A = np.array(A)
    lam = np.full(len(A), 1 / len(A))
    assert directions.angle_from_margins(A, np.ones(A.shape[1]), lam, p, 1e-17) == 180.0


@pytest.mark.parametrize("b", [1e-4, 0.01, 0.1])
def test_coordinates_of_the_largest_size_are_not_bounded_by_the_gap_in_l_1(b):
    """Margins 1 ± δb of w = (1 − b, b): the gap to the optimum (1, 0) is δb, however large the angle between them."""
    delta = 2.0**-36
    A, w = np.array([[1.0, 1.0 + delta], [1.0, 1.0 - delta]]), np.array([1.0 - b, b])
    gap, angle = directions.reference_angle(A, w, np.array([0.5, 0.5]), 1.0, True)
    assert gap == pytest.approx(delta * b, rel=1e-3)
    assert np.rad2deg(np.arctan2(b, 1 - b)) <= angle <= 10 * np.rad2deg(np.arctan2(b, 1 - b))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0])
def test_the_angle_from_margins_by_hand(p):
    """Margins of diag(2, 1): the optimum is ∝ (½, 1), z ∝ w^{p−1}, λ_j = z_j/a_j, and |a_j u_j| ≤ εZ/λ_j."""
    A, w, gap = np.diag([2.0, 1.0]), np.array([0.5, 1.0]), 1e-6
    lam = w ** (p - 1) / np.diag(A)
    lam = lam / lam.sum()
    Z = np.linalg.norm(A.T @ lam, p / (p - 1) if p > 1 else INF)
    share = np.linalg.norm(gap * Z / lam) * np.linalg.norm(w, p) / np.linalg.norm(w)  # the smallest singular value is 1
    angle = directions.angle_from_margins(A, w, lam, p, gap)
    assert (
        share * (1 + 1.5e-9) <= np.sin(np.deg2rad(angle)) <= share * (1 + 1e-8)
    )  # room for the rounding of both norms


def test_null_vectors_are_given_for_rows_of_length_one():
    """The small entries are lost where λ is brought to the rows' sizes the wrong way round."""
    A = np.array([[1.0], [-1.9], [1.0], [-1.9]])
    assert certificates.positive_null(A, np.array([1.0, 1.0, 1e-3, 1e-3])) is not None
    for size in (1e30, 1e-200):
        assert certificates.positive_null(size * A, np.array([1.0, 1.0, 1e-3, 1e-3])).sum() == pytest.approx(1)
    assert (
        certificates.positive_null(np.array([[1.0], [-1.0], [0.0]]), np.ones(3)) is not None
    )  # a point at 0 takes any weight
    assert certificates.positive_null(np.zeros((2, 3)), np.ones(2)) is not None
    assert list(certificates.powers_of_two(np.array([0.0, 1.0, 3.0, 0.75]))) == [1.0, 1.0, 0.5, 2.0]


@pytest.mark.parametrize("more", [[], [[0.0, 0.0]]])
def test_the_weights_of_a_null_vector_balance_the_points_as_they_are(more):
    """2 (1, 0) + 4 (0, 1000) + (−2, −4000) = 0; a point at 0 takes any weight."""
    A = np.array([[1.0, 0.0], [0.0, 1e3], [-2.0, -4e3], *more])
    lam = certificates.positive_null(
        A, np.array([2.0, 4.0, 1.0, 1.0])[: len(A)] * np.maximum(np.linalg.norm(A, axis=1), 1)
    )
    assert lam.sum() == pytest.approx(1.0) and lam.min() > 0
    assert lam[:3] / lam[2] == pytest.approx([2.0, 4.0, 1.0]) and list(lam[3:]) == [0.25] * len(more)


def test_columns_that_are_alike_count_once_and_weights_are_balanced_first():
    lam = certificates.positive_null(np.outer([1, -1, 1, -1], [1.0, 4.0, -0.5]), np.array([1.001, 1.0, 1.0, 1.0]))
    assert abs(lam @ [1, -1, 1, -1]) < 1e-15 and lam == pytest.approx([0.25] * 4, rel=1e-3)


@pytest.mark.parametrize(
    "A",
    [np.eye(2), np.ones((3, 1)), np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 3.0]]),
     np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])],
)  # fmt: skip
def test_of_separable_points_no_null_vector_is_proved(A):
    assert certificates.positive_null(A, np.arange(1.0, 1.0 + len(A))) is None


U = 2.0**-53


@pytest.mark.parametrize(("t", "proved"), [(12.0, False), (12.25, True)])
def test_a_null_vector_is_proved_down_to_the_rounding_of_its_own_sum(t, proved):
    """n = 4, |A|^Tλ = 2, σ = 2: proved where 1.01 · 2(n + 2)u|A|^Tλ/σ = 12.12 u is less than the smallest weight."""
    A = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert (certificates.positive_null(A, np.array([1.0, 1.0, t * U, t * U])) is not None) is proved


@pytest.mark.parametrize(("s", "proved"), [(10.0, False), (70.0, False), (75.0, True)])
def test_a_null_vector_is_proved_down_to_the_rounding_of_the_singular_value(s, proved):
    """σ_min = 2s, ‖A‖_F = 2, |A|^Tλ = (4, 4s): proved where 1.01 · 48 u/(2s − 8(n + d)2u) < 1, for s above 72.24 u."""
    A = np.array([[1.0, s * U], [-1.0, s * U], [1.0, -s * U], [-1.0, -s * U]])
    assert (certificates.positive_null(A, np.ones(4)) is not None) is proved


@pytest.mark.parametrize(("t", "proved"), [(16.0, False), (28.0, False), (28.5, True)])
def test_what_a_projection_leaves_counts_beside_its_rounding(monkeypatch, t, proved):
    """As above, without a projection: A^Tλ = 32 u, so that 1.01 · (32 + 24) u/2 = 28.28 u has to be less than t u."""
    monkeypatch.setattr(np.linalg, "qr", lambda A: (0 * A, None))
    A = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    lam = np.array([1.0 + 32 * U, 1.0, t * U, t * U])
    assert (certificates.positive_null(A, lam) is not None) is proved


@pytest.mark.parametrize("kappa", [0.25, 2.0**-20])
def test_the_bound_of_a_sum_is_the_one_that_is_proved(kappa):
    A = np.array([[3.0, 4.0], [8.0, 0.0], [1.0, 2.0]])  # largest length 8; ‖(3, 4)‖_2 = 5
    bound = exact.bound_of_sum(np.array([3.0, 4.0]), 2.0, kappa, A)
    proved = (1 + Decimal(kappa)) * 5 + Decimal(kappa) * 8
    assert proved <= bound <= proved * (1 + Decimal("1e-8"))
    assert 8.0 <= certificates.largest_row_norm(A, 2.0) <= 8.0 * (1 + 1e-8)


def test_many_points_on_the_margin_get_a_lower_bound_of_the_size_that_is_proved():
    """Beyond MOST_EXACT candidates: the computed margin less (d + 2)u · 1.01 |A||w|. Margins 1, |A||w| = 1001."""
    rng = np.random.default_rng(0)
    w = np.r_[rng.random(3) + 0.5, 500.0, -500.0]
    A = np.ones((300, 5))
    A[:, :3] = rng.random((300, 3))
    A[:, :3] /= (A[:, :3] @ w[:3])[:, None]
    least, lower_bound = min(exact.product(A, w)), exact.smallest_margin(A, w)
    assert lower_bound <= least and (A @ w).min() - lower_bound == pytest.approx(7 * U * 1.01 * 1001, rel=1e-3, abs=0)
    assert exact.smallest_margin(A[:64], w) == min(exact.product(A[:64], w))


@pytest.mark.parametrize("more", [-(2.0**-10), 2.0**-10])
def test_the_smallest_margin_is_found_among_all_that_rounding_leaves_open(more):
    """The second margin, 1 + more, cancels 2^60: what float64 makes of it could be anything within ±1000."""
    A = np.array([[1.0, 0.0, 0.0], [2.0**60, -(2.0**60), 1.0 + more]])
    assert exact.smallest_margin(A, np.ones(3)) == Fraction(min(1.0, 1.0 + more))
    assert exact.smallest_margin(np.zeros((2, 3)), np.ones(3)) == 0


def test_products_of_numbers_of_all_sizes_are_exact():
    A = np.array([[2.0**900, 0.0, 3.0, 2.0**-900], [0.0, 0.0, 0.0, 0.0]])
    w = np.array([2.0**-900, 1.0, 0.5, 2.0**900])
    assert exact.product(A, w) == [Fraction(7, 2), 0]
    assert exact.product(8.0 * np.eye(2), np.array([0.0, 5.0])) == [0, 40]


@pytest.mark.parametrize(
    ("least", "ridge"), [(0.5, 0.0), (-5e-15, 1e-14), (-5e-13, 1e-12), (-5e-11, 1e-10), (-5e-9, 1e-8)]
)
def test_the_least_ridge_that_makes_a_matrix_positive_is_added(least, ridge):
    factor, lower = interior_point._cholesky(np.diag([1.0, least]))
    assert not lower and np.diag(factor) ** 2 == pytest.approx([1.0, least + ridge], rel=1e-3, abs=0)


def test_a_newton_step_that_overshoots_is_halved_until_the_loss_falls():
    """f(w) = log(1 + e^{−w}) + log(1 + e^w) is even: from 1, a step of −8 ends at −7, −3, −1 and 0, −2^14 at 0 too."""
    A, w = np.array([[1.0], [-1.0]]), np.array([1.0])
    slope, _ = logistic.gradient(A, w, 0.0, 1.0)
    for weight, far in ((1.0, -8.0), (1e-20, -8.0), (1.0, -(2.0**14))):
        direction, objective = np.array([far]), partial(logistic._objective, 0.0, weight)
        new, margins = logistic._line_search(A, objective, (w, A @ w), direction, float(weight * slope @ direction))
        assert new == pytest.approx(0.0, abs=1e-15) and margins == pytest.approx(0.0, abs=1e-15)
    value = logistic._objective(2.0, 3.0, np.array([3.0, 4.0]), np.array([-1.0, 2.0]))
    assert value == pytest.approx(25 + 3 * np.log((1 + np.e) * (1 + np.e**-2)))
    objective = partial(logistic._objective, 1.0, 0.0)  # w²/2: to −3, −1 and 0
    new, _ = logistic._line_search(0 * A, objective, (w, 0 * w), np.array([-4.0]), -4.0)
    assert new == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(("room", "asked"), [(0, True), (-1, False)])
@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_the_ways_to_an_optimum(monkeypatch, p, room, asked):
    """From the start twice, from an end of [1, ∞], and from the conic solver's answer where that separates."""
    A = np.random.default_rng(0).standard_normal((30, 4)) + 2.0
    ends, starts = [], []
    monkeypatch.setattr(max_margin, "_interior", lambda A, p, w, above: starts.append(above) or (w, None, "interior"))
    monkeypatch.setattr(max_margin.polyhedral, "solve", lambda A, q: ends.append(q) or (np.ones(4), None))
    monkeypatch.setattr(max_margin, "SOLVE_WHOLE", 30 * 4**2 + room)
    for size, separates in ((0.5, True), (-1.0, False)):
        monkeypatch.setattr(
            max_margin.conic, "solve", lambda A, p, size=size: (size / A.sum(axis=1).min() * np.ones(4), 0)
        )
        ways = [who for *_, who in max_margin._ways(A, p, np.ones(4))]
        assert ways == ["interior"] * 3 + ["conic (clarabel)"] * asked + ["interior"] * (asked and separates)
    assert set(ends) == {1 if p < 2 else INF}
    assert starts[0] == 1.2 and all(1.0 < above <= (1.2 if p >= 2 else 1.3) for above in starts)


def test_a_margin_of_zero_has_no_gap():
    A = np.eye(2)
    assert exact.duality_gap(A, np.array([1.0, 0.0]), np.ones(2), 2.0) == INF
    assert exact.duality_gap(A, np.ones(2), np.ones(2), 2.0) <= 1e-15
    assert (
        exact.gap_between(Decimal(1), Decimal(1)) == pytest.approx(1e-40, rel=1e-9, abs=0)
        and exact.gap_between(Decimal(2), 1) == 0
    )
    for lam in ([1.0, -1e-9], [0.0, 0.0], [np.nan, 1.0]):
        assert exact.duality_gap(A, np.ones(2), np.array(lam), 2.0) == INF


def test_the_last_digits_are_rounded_outwards():
    """(3, 4) has length 5: each bound leaves 1 to 3 parts in 10^40."""
    A, v, one = np.array([[3.0, 4.0]]), np.array([3.0, 4.0]), Decimal(10) ** -40
    with localcontext(prec=60):
        low, high = exact.norm_bounds([Fraction(3), Fraction(4)], 2.0)
        assert 0.9 * 5 <= float((5 - low) / one) <= 1.1 * 5 and 0.9 * 5 <= float((high - 5) / one) <= 1.1 * 5
        for scale in (1.0, 2.0**-6):  # a margin of 25, and one below 1
            margin = 5 * Decimal(scale)
            assert 1.5 * 5 <= float((margin - exact.margin_lower_bound(scale * A, v, 2.0)) / one) / scale <= 3 * 5
            assert 1.5 * 5 <= float((-margin - exact.margin_lower_bound(-scale * A, v, 2.0)) / one) / scale <= 3 * 5
        assert 1.5 * 5 <= float((exact.bound_of_weights(A, np.ones(1), 2.0) - 5) / one) <= 3 * 5
        assert 1.5 * 5 <= float((exact.bound_of_sum(v, 2.0, 0.0, A) - 5) / one) <= 3 * 5


@pytest.mark.parametrize(
    ("p", "w", "violation"),
    [
        (INF, [1.0, 0.5], 0.5),  # z = (½, ½) should vanish where |w_j| is not the largest
        (INF, [1.0, -1.0 + 1e-12], 0.5),  # and have the sign of w
        (INF, [1.0, 1.0], 0.0),
        (1.0, [1.0, 0.0], 0.0),  # z = (1, 1) is a subgradient
        (1.0, [2.0, -1.0], 2.0),
        (3.0, [1.0, 1.0], 0.0),
        (1.5, [1.0, 1.0], 0.0),
        (2.0, [1.0, 0.0], np.sqrt((1 - 0.5**0.5) ** 2 + 0.5)),  # ∇‖w‖ = (1, 0), z = (1, 1)/√2
        (2.5, [1.0, 0.0], ((1 - 0.5**0.6) ** (5 / 3) + 0.5) ** 0.6),  # the same in norm q = 5/3: z = (1, 1)/2^0.6
        (1.5, [1.0, 0.0], ((1 - 0.5 ** (2 / 3)) ** 1.5 + 0.5) ** (2 / 3)),  # in norm p: ψ_p(z) = (1, 1)/2^{2/3}
    ],
)
def test_stationarity_by_hand(p, w, violation):
    kkt = certificates.max_margin_kkt(np.array([[1.0, 1.0]]), np.array(w), np.ones(1), p)
    assert kkt == pytest.approx(violation, abs=1e-9)


def test_a_negative_weight_counts_by_its_share_of_the_largest():
    assert certificates.max_margin_kkt(np.ones((2, 2)), np.ones(2), np.array([4.0, -1.0]), 2.0) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("A", "lam", "C", "violation"),  # w = A^Tλ, so that complementarity alone is violated
    [(np.eye(2), [3.0, 1.0], 6.0, 2 * 3 / 6), (np.eye(1) / 2, [1.0], 4.0, 0.75 * 3 / 4)],  # margins (3, 1); ¼
)
def test_complementarity_of_the_soft_margin_by_hand(A, lam, C, violation):
    lam = np.array(lam)
    assert certificates.soft_margin_kkt(A, A.T @ lam, lam, C) == pytest.approx(violation)


def test_stationarity_of_the_soft_margin_is_a_relative_length():
    """A^Tλ = 2w, both margins 1: ‖w − A^Tλ‖_2/‖w‖_2 = 1, however long w is; w = 0 = λ leaves margins of 0."""
    for size in (1.0, 10.0, 0.1):
        w = np.ones(2) / size
        assert certificates.soft_margin_kkt(size * np.eye(2), w, 2 * w / size, 400.0) == pytest.approx(1.0)
    assert certificates.soft_margin_kkt(np.eye(2), np.zeros(2), np.zeros(2), 4.0) == 1.0
    assert certificates.soft_margin_gap(np.eye(2), np.ones(2), 2 * np.ones(2), 4.0) == pytest.approx((1 - 4 + 4) / 1)
    for lam in ([5.0, 5.0], [1.0, -1e-9]):
        assert certificates.soft_margin_gap(np.eye(2), np.ones(2), np.array(lam), 4.0) == INF


def test_a_coordinate_at_zero_counts_by_its_size():
    assert certificates.max_margin_kkt(np.array([[1.0, -1.0]]), np.array([1.0, 0.0]), np.ones(1), INF) == 0.5
    assert certificates.max_margin_kkt(np.array([[1.0, 0.0]]), np.array([1.0, 0.0]), np.ones(1), INF) == 0.0


def test_margins_bounds_and_gaps_by_hand():
    A, w = np.array([[3.0, 4.0], [4.0, 3.0]]) / 100, np.array([0.1, 0.1])
    assert certificates.margin(A, w, 2.0) == pytest.approx(0.07 / 2**0.5)
    assert certificates.margin(A, 0 * w, 2.0) == -INF
    for lam, bound in (([0.1, 0.1], 0.07 / 2**0.5), ([0.1, 0.3], 394**0.5 / 400), ([0.0, 0.1], 0.05)):
        lam = np.array(lam)
        assert certificates.margin_bound(A, lam, 2.0) == pytest.approx(bound)
        assert certificates.max_margin_gap(A, w, lam, 2.0) == pytest.approx(1 - 0.07 / 2**0.5 / bound, abs=1e-12)
    for v, weights in ((-w, [1, 1]), (np.array([4.0, -3.0]), [1, 1]), (w, [1, -1e-9]), (w, [0, 0])):
        assert certificates.max_margin_gap(A, v, np.array(weights, float), 2.0) == INF


@pytest.mark.parametrize(
    ("sizes", "p", "length"),
    [
        ([3, -4, 5, 0], 3.0, 6),
        ([1, 4], 1.5, 9 ** (2 / 3)),
        ([], INF, 0),
        ([1, 1], 3.0, 2 ** (1 / 3)),
        ([0, 0], 3.0, 0),
        ([-2, 1], 1.0, 3),
    ],
)
def test_lengths_by_hand(sizes, p, length):
    low, high = exact.norm_bounds([Fraction(x) for x in sizes], p)
    assert float(low) == pytest.approx(length, rel=1e-15) == float(high) and low <= high
    assert certificates.norm(np.array(sizes, float), p) == pytest.approx(length)
    assert certificates.norm(np.array([*sizes, INF], float), p) == INF and certificates.norm(np.zeros(0), INF) == 0


def test_complementarity_and_the_soft_gap_by_hand():
    A, ones = np.array([[1.0, 1.0], [2.0, 2.0]]), np.ones(2)
    assert certificates.max_margin_kkt(A, ones, 2 * ones, 2.0) == pytest.approx(0.5)  # margins 1 and 2, by their mean λ
    for w, lam in ((-ones, ones), (0 * ones, ones), (ones, 0 * ones)):
        assert certificates.max_margin_kkt(A, w, lam, 2.0) == INF
    assert certificates.soft_margin_gap(np.eye(2) / 2, ones, ones, 4.0) == pytest.approx((1 + 4 - 2 + 0.25) / 5)
    for most in (4.0, 4.0 * (1 + 1e-15)):  # both ends are allowed
        assert certificates.soft_margin_gap(np.eye(2), ones, np.array([0.0, most]), 4.0) < INF
