"""Formulas of the mathematics against numbers worked out by hand or by numpy, and constants that results rest on."""

import math

import numpy as np
import pytest
import torch

from mdcore.math import certificate, losses, metrics, models
from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.optimizer import MirrorDescent
from mdcore.math.parameters import Choice, Integer, Number, one_of
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic
from mdcore.math.step_rules import RULES, Moment, Rule, StepRule

U = 2.0**-53


def vec(*entries):
    return torch.tensor(entries, dtype=torch.float64)


# the certificate's rounding


def test_a_lower_bound_keeps_the_rounding_of_the_margin_and_of_the_norm():
    """d = 3, largest row 8: |r| · 2(2d + 64)u + (d + 2)u · 8 · 1.01 = (140 |r| + 40.4)u."""
    for reached, room in ((0.0, 40.4), (1.0, 180.4), (-1.0, 180.4), (0.25, 75.4)):
        lower = certificate.lower_bound(vec(reached), 3, 8.0).item()
        assert (reached - lower) / U == pytest.approx(room, abs=1.1 if reached else 0.01)


@pytest.mark.parametrize("kappa", [0.0, 0.25])
def test_an_upper_bound_has_the_size_that_is_proved(kappa):
    """z = (3, 4), mass 2, largest row 8: ((1 + κ)5/2 + 8κ)(1 + 2(2d + 64)u), d = 2."""
    bound = certificate.upper_bound(vec(3, 4).expand(20, 2), vec(2.0).expand(20), 2.0, kappa, 8.0)[7].item()
    proved = (1 + kappa) * 2.5 + 8 * kappa
    assert (bound / proved - 1) / U == pytest.approx(136, abs=5)
    assert certificate.largest_row_norm(torch.stack([vec(3, 4), vec(-8, 0), vec(1, 1)]), 2.0) == pytest.approx(
        8 + 8 * 68 * U, abs=U
    )


def test_a_mass_near_underflow_bounds_nothing():
    for mass, bounded in ((1e-250, False), (1.0001e-250, True)):
        bound = certificate.upper_bound(vec(3, 4) * 1e-250, vec(mass)[0], 2.0, 0.0, 1.0)
        assert bool(torch.isfinite(bound)) is bounded
    assert certificate.upper_bound(vec(math.nan, 1), vec(1.0)[0], 2.0, 0.0, 1.0) == math.inf


@pytest.mark.parametrize(
    ("lower", "upper", "gap"), [(1.0, 2.0, 0.5 + 6 * U), (-2.0, 2.0, 2 + 8 * U), (0.0, 1.0, 1 + 4 * U)]
)
def test_a_gap_is_rounded_up(lower, upper, gap):
    assert certificate.certified_gap(vec(lower), vec(upper)).item() == gap


def test_rounding_is_claimed_up_to_a_tenth():
    k = 0.05 * 2**24  # points + points/64 + 8 where 2ku = 0.1 in float32
    points = int((k - 8) * 64 / 65)
    assert certificate.rounding_of_sums(points, 0, torch.float32) == pytest.approx(0.1, rel=1e-4)
    assert math.isinf(certificate.rounding_of_sums(points + 2, 0, torch.float32))


@pytest.mark.parametrize(("logged", "windows"), [(5, 5), (128, 128), (300, 128)])
def test_windows_start_all_along_the_run(logged, windows):
    A = torch.eye(3, dtype=torch.float64)
    kept = certificate.Certificates([2.0, None], A, "logistic", torch.float32, range(1, logged + 1))
    assert len(kept.starts) == windows and kept.starts[0] == 0 and kept.starts[-1] == logged - 1
    assert kept.starts.diff().max() <= math.ceil(logged / windows)
    assert kept.kappa == certificate.rounding_of_sums(3, 2 * logged, torch.float32)
    assert kept.kappa_single == certificate.rounding_of_sums(3, 0, torch.float64)
    assert kept.sums.shape == (2, windows, 3) and not kept.sums.any() and not kept.masses.any()
    assert kept.bound.isinf().all() and kept.z.isnan().all() and kept.largest == {2.0: pytest.approx(1.0)}


def test_a_window_sums_from_its_own_epoch_on():
    kept = certificate.Certificates([2.0], torch.eye(2, dtype=torch.float64), "logistic", torch.float64, (1, 2, 5))
    for index, z in enumerate([vec(1, 0), vec(2, 0), vec(4, 8)]):
        kept.add(index, torch.tensor([0]), z.unsqueeze(0), vec(10.0**index))
    assert kept.sums[0].tolist() == [[7, 8], [6, 8], [4, 8]] and kept.masses[0].tolist() == [111, 110, 100]


def test_a_cell_without_a_limit_leaves_the_others_their_certificates():
    """A = 1₂: the weights of w = (1, 1) are equal, so the bound is ‖(½, ½)‖_2, and w reaches it."""
    kept = certificate.Certificates([None, 2.0], torch.eye(2, dtype=torch.float64), "logistic", torch.float64, (1,))
    w = torch.ones(2, 2, dtype=torch.float64)
    certified = kept.certify(torch.tensor([0, 1]), w, w.clone())
    assert all(bool(values[0].isnan()) for values in certified.values())
    assert certified["margin_lp"][1].item() == pytest.approx(0.5**0.5) and 0 < certified["gap"][1].item() < 1e-12
    assert certified["gamma_bound"][1].item() == pytest.approx(0.5**0.5) and kept.rounding[1] == kept.kappa_single
    assert kept.z[1].tolist() == [0.5, 0.5] and kept.z[0].isnan().all()


def test_cells_are_certified_each_for_itself():
    """Exponential weights are λ ∝ e^{−m}; the gap is that of the rounded margin and bound, d = 2."""
    rng, ps = np.random.default_rng(0), [1.5, 2.0, 3.0]
    A, w = rng.random((5, 2)), np.array([[1.0, 2.0], [30.0, 20.0], [0.1, 0.3]])
    kept = certificate.Certificates(ps, torch.tensor(A), "exponential", torch.float64, (1,))
    certified = kept.certify(torch.arange(3), torch.tensor(w), torch.tensor(w @ A.T))
    for i, p in enumerate(ps):
        lam = np.exp(-(A @ w[i]))
        assert certified["gamma_bound"][i].item() == pytest.approx(np.linalg.norm(lam @ A, p / (p - 1)) / lam.sum())
        assert certified["margin_lp"][i].item() == pytest.approx((A @ w[i]).min() / np.linalg.norm(w[i], p))
        lower = certificate.lower_bound(certified["margin_lp"][i], 2, kept.largest[p])
        assert certified["gap"][i] == certificate.certified_gap(lower, certified["gamma_bound"][i])


# losses


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_weight_is_a_subnormal_number_and_normal_ones_are_kept(loss, dtype):
    info = torch.finfo(dtype)
    least = math.log2(info.max)  # of the exponents, 1024 or 128
    m = torch.tensor([[0.0, 0.9 * least, 2.0 * least]], dtype=dtype) * math.log(2)
    weights = losses.scaled_weights_(m, torch.zeros(1, 1, dtype=dtype), loss)[0]
    assert (weights >= info.tiny).all()
    assert math.log2(weights[1].item()) == pytest.approx(-0.9 * least, rel=1e-3)


# metrics


def test_layer_sums_of_the_conjugate_by_hand():
    """φ*(z) − φ*(0): z²/2; |z|³/3 for p = 1.5; β(cosh z − 1); zβ asinh(z/β) − β√(z² + β²) + β²."""
    z = np.array([[0.5, -2.0], [1.5, 0.0]])
    by_hand = {
        Quadratic(): z**2 / 2,
        LayerScaled(4.0): z**2 / 8,
        Lp(1.5): np.abs(z) ** 3 / 3,
        Hypentropy(0.3): 0.3 * (np.cosh(z) - 1),
        Cosh(2.0): 2 * z * np.arcsinh(z / 2) - 2 * np.sqrt(z**2 + 4) + 4,
    }
    sums = metrics.layer_potentials(list(by_hand), [torch.tensor(z)] * len(by_hand))
    assert sums.numpy() == pytest.approx([value.sum() for value in by_hand.values()], rel=1e-12)


def test_invariants_by_hand():
    """Σ_j φ*(Z_{l+1,ji}) − Σ_m φ*(Z_{l,im}) for each hidden neuron i, φ*(z) = z²/2."""
    Z1, Z2, Z3 = (
        np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        np.array([[1.0, -1.0], [2.0, 0.5]]),
        np.array([[3.0, 7.0]]),
    )
    invariants = metrics.balance_invariants([Quadratic()] * 3, [torch.tensor(Z) for Z in (Z1, Z2, Z3)])
    assert invariants.tolist() == [[(5 - 14) / 2, (1.25 - 77) / 2], [(9 - 2) / 2, (49 - 4.25) / 2]]


def test_balance_is_the_largest_over_the_smallest():
    assert metrics.max_over_min(torch.stack([vec(2, 1, 6), vec(3, 3, 3)])).tolist() == [6.0, 1.0]
    assert metrics.max_over_min(vec(2, 1, 6)).item() == 6.0
    assert metrics.max_over_min(torch.stack([vec(2, 0), vec(1, -1)])).isnan().all()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_alignment_is_a_mean_and_stable_rank_a_largest(scale):
    first = torch.stack([vec(2, 0), vec(0, 1)]) * scale  # left vector e_1, ‖·‖_F²/‖·‖_2² = 5/4
    second = torch.stack([vec(0, 1), vec(3, 0)]) * scale  # right vector e_1, left vector e_2, 10/9
    third = vec(0.6, 0.8).unsqueeze(0) * scale  # right vector (0.6, 0.8)
    aligned = [torch.diag(vec(1, 0)), torch.diag(vec(5, 0)), vec(3, 0).unsqueeze(0)]  # of rank one
    layers = [torch.stack(both) for both in zip((first, second, third), aligned)]
    alignment, rank = metrics.alignment_and_stable_rank(layers)
    assert alignment.tolist() == pytest.approx([(1 + 0.8) / 2, 1.0], rel=1e-12)
    assert rank.tolist() == pytest.approx([1.25, 1.0], rel=1e-12)
    alignment, rank = metrics.alignment_and_stable_rank(
        [
            torch.ones(4, 1, 3),
        ]
    )
    assert (
        alignment.tolist() == rank.tolist() == metrics.participation([torch.ones(4, 1, 3)], 3.0).tolist() == [1.0] * 4
    )


@pytest.mark.parametrize("shape", [(2, 5), (5, 2)])
def test_the_square_of_the_largest_singular_value(shape):
    W = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    square = metrics.top_singular_vectors(W)[1].item()
    assert square == pytest.approx((np.linalg.norm(W, 2) / W.abs().max().item()) ** 2, rel=1e-12)


def test_the_usual_exponents_have_colours_of_their_own():
    assert set(Lp(2.0).colours) == {1.1, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0}
    assert len(set(Lp.colours.values())) == 8


# models


def test_shapes_and_products_of_layers():
    assert models.layer_shapes(1, None, 5) == [(1, 5)]
    assert models.layer_shapes(2, 3, 5) == [(3, 5), (1, 3)]
    assert models.layer_shapes(4, 3, 5) == [(3, 5), (3, 3), (3, 3), (1, 3)]
    W = models.initial_weights(1, models.layer_shapes(3, 2, 4), 1.0)
    w = W[2].numpy() @ W[1].numpy() @ W[0].numpy()
    x = torch.ones(3, 4, dtype=torch.float64)
    assert models.DeepLinear(W)(x).tolist() == pytest.approx([w.sum()] * 3, rel=1e-12)
    assert models.end_to_end(W).numpy() == pytest.approx(w[0], rel=1e-12)


GOLDEN = {"normal": [0.09915487409310032, -0.5540523631940164], "uniform": [-0.17150429802254885, 0.15483388158077022]}


@pytest.mark.parametrize("distribution", GOLDEN)
def test_the_starts_are_the_ones_that_results_were_computed_from(distribution):
    W = models.initial_weights(7, [(2, 4), (1, 2)], 0.5, distribution)
    assert [W[0][1, 2].item(), W[1][0, 1].item()] == pytest.approx(GOLDEN[distribution], rel=1e-12)


# step rules


@pytest.mark.parametrize(
    ("t", "length"), [(1, 0.5), (4, 0.5 * 16 * 0.7**2), (10, 0.5 * 100 * 0.1**2), (11, 0.0), (12, 0.0)]
)
def test_lengths_of_annealed_steps(t, length):
    """η t^{a−1}(1 − (t − 1)/T)^c with η = ½, a = 3, c = 2, T = 10."""
    rule = StepRule("normalized", 0.5, 3.0, 2.0, 10)
    assert rule.length(t) == pytest.approx(length, abs=1e-13)
    assert rule.length(vec(t)).item() == pytest.approx(length, abs=1e-13)
    assert StepRule("normalized", 0.5, 2.0).length(t) == 0.5 * t


def test_coefficients_by_hand():
    norm, log_scale, log_risk, h = vec(4.0), vec(math.log(2)), vec(math.log(0.25)), vec(3.0)

    def coefficient(rule):
        return StepRule(rule, 0.5).coefficient(Moment(3, norm, log_scale, log_risk, h)).item()

    assert coefficient("constant") == pytest.approx(0.25)
    assert coefficient("normalized") == pytest.approx(0.125)
    assert coefficient("adaptive") == pytest.approx(0.75)
    assert coefficient("loss_scaled") == pytest.approx(1.0)


def test_a_moment_stays_what_it_was():
    with pytest.raises(AttributeError):
        Moment(1, vec(1.0), vec(0.0), vec(0.0), 1.0).t = 2


def test_what_the_rules_need():
    table = {name: (rule.adapts, rule.needs_norm, rule.needs_risk, rule.deepest) for name, rule in RULES.items()}
    assert table == {
        "constant": (False, False, False, None),
        "normalized": (False, True, False, None),
        "adaptive": (True, True, True, None),
        "loss_scaled": (False, False, True, 1),
    }
    for name, rule in RULES.items():
        step = StepRule(name, 1.0)
        assert (step.adapts, step.needs_norm, step.needs_risk) == (rule.adapts, rule.needs_norm, rule.needs_risk)
        assert [rule.parameters["eta"].check(name, "eta", eta) for eta in (1e-9, 1e12)] == [1e-9, 1e12]
        assert rule.parameters["eta"].default == (0.1 if name == "constant" else 1.0)
        for eta in (0.0, 1e12 + 1):
            with pytest.raises(ValueError, match="eta"):
                rule.parameters["eta"].check(name, "eta", eta)
    ranges = {"decay": (0.0, 10.0, 1.0), "anneal": (0.0, 100.0, 0.0)}
    for name, (least, most, default) in ranges.items():
        number = RULES["normalized"].parameters[name]
        assert [number.check("", name, x) for x in (least, most, number.default)] == [least, most, default]
        for wrong in (least - 1e-9, most + 1e-9):
            with pytest.raises(ValueError, match=name):
                number.check("", name, wrong)


@pytest.mark.parametrize(
    "arguments", [("constant", 0.0), ("constant", math.inf), ("constant", -1.0), ("normalized", 1.0, 1.0, 0.5)]
)
def test_rules_that_cannot_be_are_refused(arguments):
    with pytest.raises(ValueError, match=r"eta|horizon"):
        StepRule(*arguments)
    assert StepRule("normalized", 1.0, 1.0, 0.0).length(5) == StepRule("normalized", 1.0, 1.0, 0.5, 10).length(1) == 1.0


def test_a_rule_takes_what_its_class_declares():
    numbers = {"alpha": Number(above=0), "beta": Number(least=0, default=2.0), "gamma": Number()}
    Own = type("Own", (Rule,), {"parameters": numbers})
    rule = StepRule.of({"rule": "own", "alpha": 3, "gamma": 1}, 40, Own)
    assert rule == StepRule("own", 1.0, horizon=40, plug_in=Own, parameters={"alpha": 3.0, "beta": 2.0, "gamma": 1.0})
    values = {"eta": 1.0, "decay": 1.0, "anneal": 2.0}
    assert StepRule.of({"rule": "normalized", "anneal": 2}, 7) == StepRule("normalized", 1.0, 1.0, 2.0, 7, None, values)
    for given, message in (
        ({"z": 1, "a": 2}, "step rule own: unknown parameter 'a'; expected one of alpha, beta, gamma"),
        ({}, "step rule own: parameter alpha missing"),
    ):
        with pytest.raises(ValueError) as error:
            StepRule.of({"rule": "own", **given}, 40, Own)
        assert str(error.value) == message


def test_numbers_are_checked_at_both_ends():
    open_, closed = Number(above=0, below=2), Number(least=0, most=2)
    assert [closed.check("", "x", x) for x in (0, 1, 2)] == [0.0, 1.0, 2.0]
    assert open_.check("", "x", 1e-300) == 1e-300
    for number, wrong in [
        (open_, 0),
        (open_, 2),
        (closed, -1e-9),
        (closed, 2.1),
        (Number(), math.inf),
        (Number(), math.nan),
    ]:
        with pytest.raises(ValueError, match="expected a finite number"):
            number.check("", "x", wrong)
    assert (one_of(["a"]), one_of(["a", "b"])) == ("a", "one of a, b")
    assert (Choice(("a", "b")).expected, Integer(2, 5).expected) == ("one of a, b", "an integer ≥ 2")


# plans


def test_logged_epochs_are_evenly_spaced_in_log_t():
    assert StackPlan(StepRule("constant", 1.0), 9, (9,)).active_set
    assert log_spaced_epochs(1000, 4) == (1, 10, 100, 1000)
    assert log_spaced_epochs(1000, 1) == (1000,) and log_spaced_epochs(1000, 2) == (1, 1000)
    assert log_spaced_epochs(6, 50) == (1, 2, 3, 4, 5, 6) and log_spaced_epochs(1, 3) == (1,)
    assert CellPlan((Quadratic(),), 0, start=(torch.ones(1, 2),)) == CellPlan((Quadratic(),), 0)
    with pytest.raises(ValueError, match="last logged epoch"):
        StackPlan(StepRule("constant", 1.0), 10, (1, 9))
    with pytest.raises(ValueError, match="last logged epoch"):
        StackPlan(StepRule("constant", 1.0), 10, ())


def test_the_input_layer_decides_the_limit():
    cell = CellPlan((Lp(1.5), Quadratic()), seed=0, width=4)
    assert (cell.depth, cell.limit_p, cell.init_scale) == (2, 1.5, 0.3)


# the optimiser


def test_an_optimiser_takes_the_steps_of_its_rule():
    w = torch.nn.Parameter(vec(1.0, -2.0))
    optimiser = MirrorDescent([w], Lp(3.0))  # 0.1, constant
    w.grad = vec(1.0, 1.0)
    optimiser.step()
    z = vec(1.0 - 0.1, -4.0 - 0.1)
    torch.testing.assert_close(w.data, z.sign() * z.abs().sqrt(), rtol=1e-14, atol=0)
    with pytest.raises(ValueError, match="2 potentials for 1 parameters"):
        MirrorDescent([w], [Lp(3.0), Lp(3.0)])
    for rule in ("adaptive", "loss_scaled"):
        with pytest.raises(ValueError, match="closure"):
            MirrorDescent([w], Quadratic(), rule=rule).step()


def test_an_adaptive_optimiser_grows_and_halves_its_step():
    w = torch.nn.Parameter(vec(0.0))
    optimiser = MirrorDescent([w], Quadratic(), lr=1.0, rule="adaptive")

    def closure():
        optimiser.zero_grad()
        risk = torch.nn.functional.softplus(-w).sum() + torch.nn.functional.softplus(w - 4).sum()  # least at 2
        risk.backward()
        return risk.detach()

    path = []
    for _ in range(4):
        risk = optimiser.step(closure)
        path.append((w.item(), optimiser.param_groups[0]["lr"]))
    assert path[0] == (1.0, 1.05) and path[1] == pytest.approx((2.05, 1.05**2))
    assert path[2] == pytest.approx((2.05, 1.05**2 / 2)) and path[3] == pytest.approx((2.05, 1.05**2 / 4))
    assert risk.item() == pytest.approx(math.log1p(math.exp(-2.05)) + math.log1p(math.exp(-1.95)))


def test_a_parameter_that_was_changed_meanwhile_is_evaluated_again():
    w, calls = torch.nn.Parameter(vec(0.0)), []
    optimiser = MirrorDescent([w], Quadratic(), lr=1.0, rule="adaptive")

    def closure():
        optimiser.zero_grad()
        risk = torch.nn.functional.softplus(-w).sum()
        risk.backward()
        calls.append(w.item())
        return risk.detach()

    optimiser.step(closure)
    assert calls == [0.0, 1.0]
    optimiser.step(closure)  # the last trial's gradient is at hand
    assert calls == [0.0, 1.0, pytest.approx(2.05)]
    with torch.no_grad():
        w.fill_(-1.0)
    optimiser.step(closure)
    assert calls[3:] == [-1.0, pytest.approx(-1.0 + 1.05**2)]


def test_the_first_step_of_an_optimiser_is_number_one():
    w = torch.nn.Parameter(vec(0.0, 0.0))
    optimiser = MirrorDescent([w], Quadratic(), lr=0.5, rule="normalized", decay=3.0)  # s_t = t²/(2N)
    for t, moved in ((1, 0.5), (2, 2.5), (3, 7.0)):
        w.grad = vec(-3.0, 4.0)
        optimiser.step()
        assert optimiser.steps == t and w.tolist() == pytest.approx([0.6 * moved, -0.8 * moved])
