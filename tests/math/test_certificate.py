"""The certificate is a bound: of the margin, always; of the direction, where it says so. Held to exact arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from mdcore.math.certificate import Certificates, rounding_of_sums, upper_bound
from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.metrics import angle
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.math.step_rules import StepRule
from mdcore.problems.proofs import certificates, directions, exact
from mdcore.problems.solvers.max_margin import max_margin
from mdcore.problems.solvers.separability import separability
from mdcore.training import measures
from mdcore.verification.claims import bounds

STACK = [
    (Quadratic(),), (Lp(1.1),), (Lp(1.5),), (Lp(3.0),), (Lp(10.0),), (Hypentropy(0.5),), (Cosh(1.0),), (Scaled(),) * 2,
    (Lp(1.5),) * 3, (Lp(3.0),) * 2, (LayerScaled(1.0), LayerScaled(4.0)), (Lp(1.5), Quadratic(), Hypentropy(0.5)),
]  # fmt: skip


def gaussian(n=40, d=8, seed=0):
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(d)
    return rng.standard_normal((n, d)) + 3.0 * centre / np.linalg.norm(centre)


def tiny_margin(size=1e-5):
    """Pairs of nearly opposite points of length 1: the margin is a 1e-5 of the points, all of A^Tλ cancels."""
    rng = np.random.default_rng(1)
    centre = np.array([1.0, 0.5, -0.7, 0.2, 0.9])
    x = rng.standard_normal((20, 5))
    x -= np.outer(x @ centre, centre) / (centre @ centre)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.vstack([x, -x]) + size * centre


DATA = {
    "gaussian": gaussian(),
    "twice": np.vstack([gaussian(12, 4)] * 3),
    "wide": gaussian(10, 40, 2),
    "tiny margin": tiny_margin(),
    "scaled": 1e6 * gaussian(30, 5, 3) * np.array([1.0, 1e-3, 1.0, 1e3, 1.0]),
}
RULES = {
    "normalized": StepRule("normalized", 1.0),
    "anneal 30": StepRule("normalized", 10.0, 1.0, anneal=30.0, horizon=300),
    "growing": StepRule("normalized", 1.0, 2.0, anneal=4.0, horizon=300),
    "adaptive": StepRule("adaptive", 1.0),
    "constant": StepRule("constant", 0.01),
}


def separable(A):
    verdict = separability(A)
    assert verdict.verdict == "separable"
    return verdict.w


_REFERENCES: dict = {}


def reference(name, p):
    if (name, p) not in _REFERENCES:
        _REFERENCES[name, p] = max_margin(DATA[name], p, separable(DATA[name]))
    return _REFERENCES[name, p]


def train(A, rule, dtype=torch.float64, log_points=30, epochs=300, stack=STACK, restart_at=None, active=True):
    cells = [CellPlan(phis, seed=0, width=5, init_scale=0.0 if len(phis) == 1 else 0.3) for phis in stack]
    plan = StackPlan(rule, epochs, log_spaced_epochs(epochs, log_points), dtype=dtype, active_set=active)
    trainer = StackTrainer(torch.from_numpy(A), cells, plan)
    while not trainer.done:
        trainer.advance(max_steps=50)
        if restart_at is not None and trainer.epoch >= restart_at:
            state, restart_at = trainer.state_dict(), None
            trainer = StackTrainer(torch.from_numpy(A), cells, plan)
            trainer.load_state_dict(state)
    return trainer


def held_to_the_exact_margin(name, trainer, most=8):
    """γ_p(w) ≤ γ_p* ≤ bound and gap ≥ the true share, without a tolerance, at about `most` logged epochs; how many."""
    A, held = DATA[name], 0
    for position, cell in enumerate(trainer.cells):
        best = reference(name, cell.limit_p)
        least = exact.margin_lower_bound(A, best.w, cell.limit_p)  # γ_p* is at least this
        values = {key: trainer.observer.values[key][position].numpy() for key in ("gamma_bound", "gap")}
        rows = int(trainer.observer.last[position]) + 1
        for row in {*range(0, rows, max(1, rows // most)), rows - 1} - {-1}:
            w = trainer.observer.predictors[position, row].numpy()
            if not np.isfinite(values["gap"][row]) or not w.any():
                continue
            assert values["gamma_bound"][row] >= least, (name, cell.potentials, row)
            missing = 1 - exact.margin_lower_bound(A, w, cell.limit_p) / least
            assert values["gap"][row] >= min(float(missing), 1.0) - 1e-30, (name, cell.potentials, row)
            held += 1
    return held


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    "name", ["tiny margin", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gaussian", "twice", "wide", "scaled"))]
)
def test_the_bound_is_never_below_the_exact_margin(name, dtype):
    for rule in ("normalized", "anneal 30"):
        trainer = train(DATA[name], RULES[rule], dtype)
        assert held_to_the_exact_margin(name, trainer) > 40


@pytest.mark.parametrize(
    "rule", ["anneal 30", *(pytest.param(r, marks=pytest.mark.slow) for r in RULES if r != "anneal 30")]
)
@pytest.mark.parametrize("log_points", [pytest.param(2, marks=pytest.mark.slow), 300])
def test_whatever_the_rule_and_the_logged_epochs(rule, log_points):
    assert held_to_the_exact_margin("gaussian", train(DATA["gaussian"], RULES[rule], log_points=log_points)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name, rule, log_points", list(itertools.product(DATA, RULES, [2, 120, 5000])))
def test_the_bound_holds_over_everything(name, rule, log_points, dtype):
    if log_points == 5000:
        rule = StepRule("normalized", 10.0, 1.0, anneal=30.0, horizon=5000)
        held_to_the_exact_margin(name, train(DATA[name], rule, dtype, log_points, 5000, stack=STACK[:4]), most=25)
    else:
        held_to_the_exact_margin(name, train(DATA[name], RULES[rule], dtype, log_points), most=25)


def test_a_resumed_run_has_the_certificates_of_one_that_was_not():
    whole, resumed = (train(DATA["gaussian"], RULES["adaptive"], restart_at=at) for at in (None, 150))
    for name in ("gap", "gamma_bound", "flow_time"):
        assert torch.equal(whole.observer.values[name].nan_to_num(), resumed.observer.values[name].nan_to_num())
    assert torch.equal(whole.observer.certificates.z.nan_to_num(), resumed.observer.certificates.z.nan_to_num())


def test_the_active_set_leaves_the_bound_a_bound():
    A = 0.8 + np.random.default_rng(0).standard_normal((600, 6))
    DATA["many"] = A[A.sum(axis=1) > 0.5]
    for phi in (Quadratic(), Scaled()):  # at depth 2 margins of 40 come soon
        trainer = train(DATA["many"], RULES["normalized"], epochs=400, stack=[(phi,) * 2])
        assert trainer.data_pass.passes_saved > 0
        assert held_to_the_exact_margin("many", trainer) > 0


def test_windows_are_sums_and_their_parts_are_found():
    """A window since a late epoch bounds better than all steps, and a difference of two sums is never taken."""
    A = torch.from_numpy(DATA["gaussian"])
    kept = Certificates([2.0], A, "logistic", torch.float64, log_spaced_epochs(1000, 3))
    good = torch.from_numpy(reference("gaussian", 2.0).lam)
    first = torch.zeros(1, dtype=torch.long)
    huge = 1e20 * torch.ones(len(A), dtype=torch.float64)
    for index, lam in enumerate((huge, good, good)):
        kept.add(index, first, (lam @ A).unsqueeze(0), lam.sum().reshape(1))
        w = torch.ones(1, A.shape[1], dtype=torch.float64)
        kept.certify(first, w, w @ A.mT)
    assert kept.bound[0] == pytest.approx(reference("gaussian", 2.0).margin, rel=1e-9)
    assert kept.bound[0] >= reference("gaussian", 2.0).margin


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_rounding_of_a_sum_is_covered_and_would_not_be_without(p):
    """Sums of A^Tλ in float32 against exact arithmetic: without κ some bounds are below ‖A^Tλ‖_q/Σλ, with it none."""
    rng, below = np.random.default_rng(3), 0
    A = tiny_margin(1e-6)
    largest = certificates.largest_row_norm(A, certificates.conjugate_exponent(p))
    kappa = rounding_of_sums(len(A), 1, torch.float32)
    for _ in range(40):
        lam = rng.random(len(A) // 2).astype(np.float32)
        lam = np.concatenate([lam, lam]) * (1 + 1e-6 * rng.random(len(A))).astype(np.float32)
        z, mass = np.zeros(A.shape[1], np.float32), np.float32(0)
        for weight, row in zip(lam, A.astype(np.float32)):
            z, mass = z + weight * row, mass + weight
        sums = torch.from_numpy(z).double(), torch.tensor(float(mass), dtype=torch.float64)
        true = exact.bound_of_weights(A, lam.astype(float), p)
        assert float(upper_bound(*sums, p, kappa, largest)) >= true
        below += float(upper_bound(*sums, p, 0.0, largest)) < float(true) * (1 - 1e-9)
    assert below > 0


def test_the_rounding_claims_nothing_where_it_could_be_large():
    assert math.isinf(rounding_of_sums(10**7, 0, torch.float32))
    assert rounding_of_sums(10**4, 10**5, torch.float64) < 1e-9


def test_the_rounding_has_the_size_that_is_proved():
    assert rounding_of_sums(6400, 5, torch.float32) == 2 * (6508 * 2.0**-24 + 9 * 2.0**-53)
    assert rounding_of_sums(64, 5, torch.float64) == 2 * (73 + 9) * 2.0**-53


def test_too_small_a_sum_bounds_nothing():
    z, mass = torch.ones(1, 3, dtype=torch.float64) * 1e-300, torch.tensor([1e-300], dtype=torch.float64)
    assert math.isinf(float(upper_bound(z, mass, 2.0, 0.0, 1.0)))


def test_flow_time_is_the_sum_of_the_steps():
    """s_t = η for the constant rule, so Σ s_t = ηt; for loss_scaled η/R_t, summed by hand from the logged losses."""
    A = DATA["gaussian"]
    trainer = train(A, StepRule("constant", 0.05), log_points=20, stack=STACK[:3] + STACK[8:10])
    epochs = torch.tensor(trainer.plan.log_epochs, dtype=torch.float64)
    torch.testing.assert_close(trainer.observer.values["flow_time"], 0.05 * epochs.expand(5, -1), rtol=1e-12, atol=0)
    times = trainer.observer.values
    torch.testing.assert_close(times["log_flow_time"].exp(), times["flow_time"], rtol=1e-12, atol=0)
    every = train(A, StepRule("loss_scaled", 0.01), log_points=300, stack=STACK[:1])
    risk = torch.cat([torch.tensor([math.log(2.0)], dtype=torch.float64), every.observer.values["loss"][0, :-1]])
    done = torch.cumsum(0.01 / risk[: every.plan.epochs], 0)
    logged = [epoch - 1 for epoch in every.plan.log_epochs]
    assert len(logged) < 300 or logged == list(range(300))
    if logged == list(range(300)):
        torch.testing.assert_close(every.observer.values["flow_time"][0], done, rtol=1e-9, atol=0)


def test_flow_time_counts_accepted_steps_only():
    A = np.random.default_rng(0).standard_normal((30, 4))  # overlapping: the risk, and with it the steps, stay finite
    trainer = train(A, StepRule("adaptive", 300.0), epochs=12, log_points=100, stack=[(Lp(1.5),) * 2])
    moved = trainer.observer.predictors[0].diff(dim=0).abs().amax(dim=1) > 0
    times = trainer.observer.values["flow_time"][0].diff()
    assert moved.any() and not moved.all() and torch.equal(times > 0, moved)


def test_the_logarithm_of_the_flow_time_goes_on_beyond_the_largest_double():
    trainer = train(DATA["gaussian"], StepRule("normalized", 1.0), epochs=2000, stack=[(Quadratic(),) * 2])
    values = trainer.observer.values
    assert math.isinf(values["flow_time"][0, -1]) and values["log_flow_time"][0, -1] > 1000
    # s_t = η/N_t with N_t of the order of R_t: the last steps make up the sum
    assert values["log_flow_time"][0, -1] == pytest.approx(float(values["log_inverse_loss"][0, -1]), rel=0.05)


# ---- exact arithmetic ------------------------------------------------------------------------------------------
def test_products_are_exact():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 5)) * 10.0 ** rng.integers(-150, 150, (6, 5))
    x = rng.standard_normal(5) * 10.0 ** rng.integers(-150, 150, 5)
    A[0, 0] = x[1] = 0.0
    by_hand = [sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row, x)), Fraction(0)) for row in A]
    assert exact.product(A, x) == by_hand


@pytest.mark.parametrize("p, power, total", [(1.5, 3, 35**2), (3.0, 3, 64 + 729), (2.0, 2, 16 + 81), (1.0, 1, 13)])
def test_norms_are_bracketed(p, power, total):
    """v = (4, −9): ‖v‖_1.5^3 = 35², ‖v‖_3^3 = 793, ‖v‖_2² = 97, ‖v‖_1 = 13, all exactly."""
    low, high = (Fraction(value) for value in exact.norm_bounds([Fraction(4), Fraction(-9)], p))
    assert low**power < total < high**power and (high - low) / low < Fraction(1, 10**38)


def test_the_last_word_agrees_with_floating_point_and_is_on_its_safe_side():
    for p in (1.0, 1.1, 1.5, 2.0, 3.0, 6.0, math.inf):
        best = reference("gaussian", p)
        float_gap = certificates.max_margin_gap(DATA["gaussian"], best.w, best.lam, p)
        assert best.gap >= 0 and best.gap == pytest.approx(float_gap, abs=1e-13)


def test_the_kept_sums_prove_the_last_gap_again():
    """From predictors, data and the kept z alone, in exact arithmetic, no larger than what the training said."""
    trainer = train(DATA["gaussian"], RULES["normalized"])
    for position in range(len(trainer.cells)):
        columns = {"gap": trainer.observer.values["gap"][position].numpy().copy()}
        reported = columns["gap"].copy()
        measures.verify_last_gap(trainer.observer, position, columns, DATA["gaussian"])
        assert np.array_equal(columns["gap"], reported, equal_nan=True)
        trainer.observer.certificates.z[position] *= 1.5  # a z that proves less
        measures.verify_last_gap(trainer.observer, position, columns, DATA["gaussian"])
        assert columns["gap"][-1] > reported[-1]


# ---- from a gap to a direction ---------------------------------------------------------------------------------
def degrees(u, v):
    return float(angle(torch.from_numpy(np.asarray(u, float)), torch.from_numpy(np.asarray(v, float))))


@pytest.mark.parametrize("p", [1.05, 1.1, 1.5, 2.0, 2.5, 3.0, 6.0, 20.0])
@pytest.mark.parametrize("gap", [1e-6, 1e-3, 0.01, 0.1, 0.5])
def test_no_unit_vector_of_that_gap_is_further_off(p, gap):
    """One point a: û* = ψ_p(a)/‖ψ_p(a)‖_p. All û with ⟨a, û⟩ ≥ (1 − gap)‖a‖_q, on a fine grid."""
    q = p / (p - 1)
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 200_001)
    for d in (2, 3):
        a = rng.standard_normal(d)
        best = np.sign(a) * np.abs(a) ** (1 / (p - 1))
        best /= np.linalg.norm(best, p)
        if d == 2:
            u = np.c_[np.cos(t), np.sin(t)]
        else:
            u = best + rng.standard_normal((200_000, 3)) * 10.0 ** rng.uniform(-4, 0.5, (200_000, 1))
        u /= np.linalg.norm(u, p, axis=1, keepdims=True)
        gaps = 1 - u @ a / np.linalg.norm(a, q)
        near = u[gaps <= gap]
        bound = directions.angle_from_gap(gap, p, np.linalg.norm(near, axis=1), d)
        lengths = np.linalg.norm(near, axis=1) * np.linalg.norm(best)
        true = np.rad2deg(np.arccos(np.clip(near @ best / lengths, -1, 1)))
        assert len(near) and (true <= bound + 1e-5).all()
        distance = np.linalg.norm(near - best, p, axis=1)
        assert (distance <= directions.distance_bound(gap, p) + 1e-9).all()


def test_the_bounds_have_the_numbers_of_the_theory():
    def at(gap, p, d=20):
        return float(directions.angle_from_gap(gap, p, d ** max(0.0, 0.5 - 1 / p), d))  # entries of one size

    assert at(0.01, 2.0) == pytest.approx(8.1, abs=0.05) and at(0.005, 2.0) == pytest.approx(5.7, abs=0.05)
    assert at(1.5e-4, 2.0) == pytest.approx(1.0, abs=0.01)
    assert at(1e-14, 3.0) == pytest.approx(0.003, abs=0.001)
    assert 3 < at(1e-14, 10.0) < 12 and at(1e-14, 50.0) == 180.0
    assert at(1.2, 2.0) == at(float("nan"), 2.0) == at(0.5, 1.0) == at(0.5, math.inf) == 180.0


@pytest.mark.parametrize("p", [1.0001, 1.1, 2.0, 3.0, 50.0])
def test_two_unit_vectors_are_at_most_two_apart(p):
    assert float(directions.distance_bound(0.999, p)) <= 2.0 * directions.ROUNDING
    assert math.isinf(float(directions.distance_bound(1.0, p))) and float(directions.distance_bound(0.0, p)) == 0.0


def test_powers_of_two_bring_sizes_to_between_one_and_two():
    sizes = np.array([1.0, 1.5, 2.0, 3e-300, 7e300, 0.0, 0.75])
    scaled = sizes * certificates.powers_of_two(sizes)
    assert ((scaled >= 1) & (scaled < 2))[sizes > 0].all() and certificates.powers_of_two(sizes)[5] == 1.0
    assert np.array_equal(scaled / certificates.powers_of_two(sizes), sizes)  # exactly


@pytest.mark.parametrize("p", [1.0, math.inf])
def test_the_residual_does_not_depend_on_the_units_of_the_data(p):
    best = reference("gaussian", p)
    A, right = DATA["gaussian"], certificates.max_margin_kkt(DATA["gaussian"], best.w, best.lam, p)
    turned = best.w + 0.1 * np.abs(best.w).max() * np.sin(np.arange(len(best.w)))
    wrong = certificates.max_margin_kkt(A, turned, best.lam, p)
    for unit in (2.0**-40, 2.0**40):
        assert certificates.max_margin_kkt(unit * A, best.w / unit, best.lam, p) == pytest.approx(right, abs=1e-12)
        assert certificates.max_margin_kkt(unit * A, turned / unit, best.lam, p) == pytest.approx(wrong, rel=1e-9)


@pytest.mark.parametrize("p", [1.0, math.inf])
def test_at_a_vertex_the_margins_bound_the_direction(p):
    """l_1 and l_∞: random vectors of nearly the largest margin lie within the bound of a unique optimum."""
    A = gaussian(30, 6, 4)
    best = max_margin(A, p, separable(A))
    assert best.unique and best.angle_bound < 0.1
    rng = np.random.default_rng(0)
    u = best.w + np.linalg.norm(best.w) * 10.0 ** rng.uniform(-9, -3, (4000, 1)) * rng.standard_normal((4000, 6))
    held = 0
    for w in u:
        gap = 1 - certificates.margin(A, w, p) / best.margin + best.gap
        bound = directions.angle_from_margins(A, w, best.lam, p, max(gap, best.gap))
        assert degrees(w, best.w) <= bound
        held += bound < 90
    assert held > 500


@pytest.mark.parametrize(
    ("A", "w", "p", "ratio"),
    [
        ([[1.0, 0.5]], [1.0, 0.0], 1.0, 5.0),  # |u_2| ≤ 4ε, so |u_1| ≤ ε + 4ε/2, over ‖w‖_2 = 1
        ([[1.0, 0.25]], [1.0, 1.0], math.inf, 1.25 * math.sqrt(17 / 2)),  # |u| ≤ (5ε/4, 5ε), over ‖w‖_2 = √2
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], 2.0, 2.0),  # |u_j| ≤ √2 ε
        ([[1.0, 0.0], [0.0, 2.0]], [1.0, 1.0], 2.0, math.sqrt(10)),  # each ⟨a_n, u⟩ ≤ √5 ε, smallest singular value 1
    ],
)
def test_what_the_margins_prove_by_hand(A, w, p, ratio):
    A, gap = np.array(A), 1e-5
    bound = directions.angle_from_margins(A, np.array(w), np.ones(len(A)) / len(A), p, gap)
    assert bound == pytest.approx(math.degrees(math.asin(ratio * gap)), rel=1e-6, abs=0)


def test_an_optimum_that_is_not_unique_has_no_direction():
    A = np.array([[1.0, 1.0], [2.0, 2.0]])  # every (t, 1 − t) has the same l_1 margin
    best = max_margin(A, 1.0, np.ones(2))
    assert not best.unique and math.isnan(best.angle_bound)


def test_a_reference_tells_when_its_gap_does_not_determine_its_direction():
    best = max_margin(DATA["gaussian"], 50.0, separable(DATA["gaussian"]))
    assert best.angle_bound > 1 and "direction is" in best.message
    assert max_margin(DATA["gaussian"], 2.0, separable(DATA["gaussian"])).message == ""


@pytest.mark.parametrize("p", [1.1, 1.5, 2.0, 3.0, 6.0])
def test_the_recorded_bound_covers_the_angle_on_planted_data(p):
    """û* = ψ_p(a_0) in closed form: no recorded angle_bound is below the true angle, whatever the step rule."""
    rng = np.random.default_rng(7)
    A = planted_data(rng, p)
    a_0 = A[0]
    best = np.sign(a_0) * np.abs(a_0) ** (1 / (p - 1))
    solved = max_margin(A, p, best)
    assert degrees(solved.w, best) <= solved.angle_bound
    for rule in RULES.values():
        trainer = train(A, rule, stack=[(Lp(p),), (Lp(p),) * 2])
        for position in range(2):
            path = trainer.observer.predictors[position]
            bounds = measures.angle_bound(path, trainer.observer.values["gap"][position].numpy(), solved)
            for w, bound in zip(path.numpy(), bounds):
                assert not np.isfinite(bound) or degrees(w, best) <= bound


def planted_data(rng, p):
    """One support vector, all others beyond it in the l_p direction that it determines."""
    a_0 = rng.uniform(0.5, 2.0, 6) * rng.choice([-1, 1], 6)
    w = np.sign(a_0) * np.abs(a_0) ** (1 / (p - 1))
    others = rng.standard_normal((30, 6))
    short = np.maximum(0.0, 1.2 * (a_0 @ w) - others @ w)
    return np.vstack([a_0, others + short[:, None] * w / (w @ w)])


# ---- the claims of `make verify` -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "claim, module, name, wrong",
    [
        ("the certificate is a bound", "mdcore.math.certificate", "upper_bound", lambda bound: bound * (1 - 1e-3)),
        ("no angle is larger than angle_bound", "mdcore.verification.claims.bounds", "angle_bound", lambda b: 0.9 * b),
    ],
)
@pytest.mark.slow
def test_the_claims_of_the_suite_fail_on_bounds_that_are_none(monkeypatch, claim, module, name, wrong):
    import importlib

    module = importlib.import_module(module)
    right = getattr(module, name)
    bounds.measured.cache_clear()
    monkeypatch.setattr(module, name, lambda *arguments: wrong(right(*arguments)))
    monkeypatch.setattr(bounds, "RULES", bounds.RULES[:1])
    monkeypatch.setattr(bounds, "EPOCHS", 60)
    judgement = next(each for each in bounds.CLAIMS.claims if each.name == claim).judge(None)
    bounds.measured.cache_clear()
    assert (
        judgement.verdict == "fail"
        and not judgement.measured.startswith("not measured")
        and " 0 of" not in judgement.measured
    )


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_without_rounding_the_bound_is_the_dual_norm_of_the_mean_weighted_point(p):
    A, lam = np.array([[3.0, -1.0], [0.5, 2.0], [1.0, 1.0]]), np.array([2.0, 5.0, 0.5])
    q = {1.0: np.inf, 1.5: 3.0, 2.0: 2.0, 3.0: 1.5, math.inf: 1.0}[p]
    bound = upper_bound(torch.tensor(lam @ A), torch.tensor(lam.sum()), p, 0.0, 1.0).item()
    assert bound == pytest.approx(np.linalg.norm((lam / lam.sum()) @ A, q), rel=1e-13)
