"""The proofs by themselves: no bound below what exact arithmetic gives, nothing said where nothing is proved."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from mdcore.problems.proofs import certificates, directions

INF = float("inf")
GAPS = [1e-15, 1e-9, 1e-4, 0.01, 0.3]


@pytest.mark.parametrize("p", [1.1, 1.5, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("gap", GAPS)
def test_distances_are_rounded_up(p, gap):
    with localcontext(prec=60):
        half, exponent = 1 - Decimal(gap) / 2, Decimal(max(p, 2.0))
        exact = 2 * ((1 - half**exponent) / Decimal(min(p - 1.0, 1.0))) ** (1 / exponent)
        found = Decimal(float(directions.distance_bound(gap, p)))
        assert min(exact, Decimal(2)) <= found <= exact * (1 + Decimal("1e-11"))


@pytest.mark.parametrize("gap", GAPS)
def test_angles_are_rounded_up(gap):
    slightly = 1 + 5e-13  # above the rounding of sin, below that of the bound
    for size in (0.5, 1.0, 3.0):
        for share in (gap, 0.9):
            angle = directions.angle_from_distance(share * size, size)
            assert np.sin(np.deg2rad(angle)) >= share * (1 + 5e-13 * (share == gap))
            assert angle == pytest.approx(np.rad2deg(np.arcsin(share)), rel=1e-11)
    exact = directions.angle_from_gap(gap, 2.0, 1.0, 5)  # arccos(1 − ε) = 2 arcsin √(ε/2)
    assert np.sin(np.deg2rad(exact) / 2) >= np.sqrt(gap / 2) * slightly
    assert exact == pytest.approx(np.rad2deg(2 * np.arcsin(np.sqrt(gap / 2))), rel=1e-11)


@pytest.mark.parametrize(("share", "angle"), [(1.0, 180.0), (np.nextafter(1.0, 0.0), 90.0), (1.5, 180.0), (0.0, 0.0)])
def test_a_distance_of_the_length_itself_says_nothing(share, angle):
    assert directions.angle_from_distance(2.0 * share, 2.0) == pytest.approx(angle, abs=1e-5)


def test_a_gap_of_one_says_nothing():
    assert directions.distance_bound(1.0, 3.0) == INF
    assert directions.angle_from_gap(1.0, 2.0, 1.0, 3) == directions.angle_from_gap(np.nan, 2.0, 1.0, 3) == 180.0
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
        ([[1.0, 1 - 5e-13]], 1.0),  # so could the distance of the second coordinate from the largest
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


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0, INF])
def test_the_angle_from_margins_by_hand(p):
    """Margins of diag(2, 1): optimum ∝ (½, 1) for every p, λ ∝ (z_1/2, z_2); |u_j| ≤ εZ/(λ_j a_j)."""
    A, w = np.diag([2.0, 1.0]), np.array([0.5, 1.0])
    z = np.array([1.0, 1.0]) if p == 1 else np.array([0.0, 1.0]) if p == INF else w ** (p - 1)
    lam = z / np.diag(A)
    lam, gap = lam / lam.sum(), 1e-6
    z = A.T @ lam
    Z = np.linalg.norm(z, p / (p - 1) if 1 < p < INF else {1.0: INF, INF: 1}[p])
    if p == INF:
        bounds = gap * Z / z[1]  # the first coordinate is free on no point of the margin
        assert directions.angle_from_margins(A, w, lam, p, gap) == 180.0 and bounds == pytest.approx(gap)
        return
    distance = np.linalg.norm(gap * Z / lam) / 1.0  # over the smallest singular value, 1
    size = np.linalg.norm(w) / np.linalg.norm(w, p)
    expected = np.rad2deg(np.arcsin(distance / size))
    assert directions.angle_from_margins(A, w, lam, p, gap) == pytest.approx(expected, rel=1e-7)


def test_null_vectors_are_given_for_rows_of_length_one():
    """The small entries are lost where λ is brought to the rows' sizes the wrong way round."""
    A = np.array([[1.0], [-1.9], [1.0], [-1.9]])
    assert certificates.has_positive_null(A, np.array([1.0, 1.0, 1e-3, 1e-3]))
    assert certificates.has_positive_null(1e30 * A, np.array([1.0, 1.0, 1e-3, 1e-3]))
