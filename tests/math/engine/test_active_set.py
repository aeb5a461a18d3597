"""The active set changes nothing beyond what summing the points in another order does."""

import math

import pytest
import torch

from mdcore.math.engine import compiled
from mdcore.math.engine.data_pass import DataPass, Pass
from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.math.step_rules import StepRule

EPOCHS = 400
POTENTIALS = [Quadratic(), LayerScaled(4.0), Lp(1.5), Lp(3.0), Scaled(), Hypentropy(0.5), Cosh(1.0)]
SOME = [Lp(1.5), Cosh(1.0)]  # one with an inverse map inside of the loops, one with its own: the rest is slow
RULES = [
    StepRule("normalized", 1.0, 1.0),
    StepRule("normalized", 5.0, 1.0, anneal=3.0, horizon=EPOCHS),
    StepRule("adaptive", 1.0),
    StepRule("constant", 0.1),
    StepRule("loss_scaled", 0.1),
]


def data(n=600, d=6):
    generator = torch.Generator().manual_seed(0)
    A = 0.8 + torch.randn(n, d, generator=generator, dtype=torch.float64)
    return A[A.sum(dim=1) > 0.5]


def train(A, potentials, rule, active):
    cell = CellPlan(tuple(potentials), 0, 5, 0.0 if len(potentials) == 1 else 0.3)
    plan = StackPlan(rule, EPOCHS, log_spaced_epochs(EPOCHS, 25), active_set=active)
    trainer = StackTrainer(A, [cell], plan)
    while not trainer.done:
        trainer.advance()
    return trainer


def difference(a, b):
    """Largest difference of two runs' predictors at the logged epochs, relative to the predictor's length."""
    size = torch.linalg.vector_norm(b, dim=-1).clamp(min=1e-300)
    return torch.linalg.vector_norm(a - b, dim=-1) / size


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.rule}{rule.anneal or ''}")
@pytest.mark.parametrize("depth", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "phi", [phi if phi in SOME else pytest.param(phi, marks=pytest.mark.slow) for phi in POTENTIALS], ids=repr
)
def test_active_set_is_exact_to_rounding(phi, depth, rule):
    if rule.rule == "loss_scaled" and depth > 1:
        rule = StepRule("constant", 0.02)  # loss_scaled is for depth 1 only
    if isinstance(phi, Hypentropy):
        rule = StepRule(rule.rule, 0.1 * rule.eta, rule.decay, rule.anneal, rule.horizon)  # W grows like sinh(Z)
    A = data()
    orders = [torch.randperm(len(A), generator=torch.Generator().manual_seed(s)) for s in range(2)]
    dense = train(A, [phi] * depth, rule, active=False).observer.predictors[0]
    with_set = train(A, [phi] * depth, rule, active=True)
    others = [train(A[order], [phi] * depth, rule, active=False).observer.predictors[0] for order in orders]
    reordered = torch.stack([difference(other, dense) for other in others]).amax(dim=0).cummax(dim=0).values
    got = difference(with_set.observer.predictors[0], dense)
    # rounding is amplified at the edge of stability, alike for both: compare up to where it has become visible
    before_chaos = reordered < 1e-6
    assert before_chaos.sum() >= 5
    assert (got <= 100 * reordered.clamp(min=1e-13))[before_chaos].all()
    if rule.rule == "normalized" and not rule.anneal and phi.limit_p == 2.0 and depth > 1:  # margins of 40 come soon
        assert with_set.data_pass.passes_saved >= 20  # else the comparison says nothing


def a_pass(A, w):
    """A pass that is to be made at `w` (K, d)."""
    now = Pass(A, len(w), compiled.view)
    now.w.copy_(w)
    return now


def late_pass(A, w, active=True, loss="logistic"):
    """A pass at `w` (K, d) with an active set chosen at w."""
    passes, now = DataPass(A, loss, active), a_pass(A, w)
    passes.first(now, True)
    passes.wait = 1
    passes(now, True)
    return passes, now


def separator(A, scale):
    w = torch.linalg.lstsq(A, torch.ones(len(A), 1, dtype=A.dtype)).solution.squeeze(1)
    w = w / (A @ w).amin()
    assert (A @ w).amin() > 0
    return scale * w.unsqueeze(0)


def test_the_active_set_is_dropped_when_the_bound_fails():
    A = data()
    passes, _ = late_pass(A, separator(A, 3e4))
    assert passes.active is not None and len(passes.active.points) < len(A) / 2
    other = separator(A, 3e4)
    other[0, 0] *= -0.5  # far from where the set was chosen
    now, full = a_pass(A, other), a_pass(A, other)
    passes(now, True)
    assert passes.passes_saved == 0
    DataPass(A, "logistic", active=False).first(full, True)
    for name, value in full.tensors().items():
        torch.testing.assert_close(getattr(now, name), value, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float64, 53), (torch.float32, 24)])
def test_a_point_is_left_out_only_where_all_of_them_weigh_less_than_half_a_unit_in_the_last_place(dtype, bits):
    """n e^{−slack} = 2^{−bits}: were every point left out at the least distance, the sum would round to itself."""
    A = data().to(dtype)
    assert len(A) * math.exp(-DataPass(A, "logistic").slack) == pytest.approx(2.0**-bits, rel=1e-12, abs=0)


@pytest.mark.parametrize("excess", [9.0, 15.0, 25.0, 35.0, 60.0])
def test_points_that_weigh_something_are_summed(excess):
    """A second cluster lies `excess` above the smallest margin of 20: it weighs e^{−excess} of the first."""
    generator = torch.Generator().manual_seed(0)
    near = torch.nn.functional.normalize(torch.randn(100, 6, generator=generator, dtype=torch.float64))
    near[:, 0], near[:, 1:] = 1.0, 1e-3 * near[:, 1:]
    far = near[torch.arange(500) % 100].clone()
    far[:, 0] *= 1 + excess / 20.0
    A = torch.cat([near, far])
    w = torch.zeros(1, 6, dtype=torch.float64)
    w[0, 0] = 20.0
    passes, now = late_pass(A, 100 * w, loss="exponential")  # chosen where the second cluster is far below rounding
    assert passes.active is not None and len(passes.active.points) == 100
    now.w.copy_(w)
    passes(now, True)
    weights = torch.exp(20.0 - A @ w[0])
    expected = torch.tensor(
        [math.fsum(column) for column in (weights.unsqueeze(1) * A).mT.tolist()], dtype=torch.float64
    )
    off = torch.linalg.vector_norm(now.g[0] / now.weight_sum[0] - expected / weights.sum())
    assert off <= 1e-14 * torch.linalg.vector_norm(expected / weights.sum())
    assert (passes.passes_saved == 1) == (excess == 60.0)


def test_the_active_set_is_not_used_early_or_on_overlapping_data():
    A = data()
    assert late_pass(A, separator(A, 1.0))[0].active is None  # margins below 40
    overlapping = torch.cat([A, -A[:100]])
    assert late_pass(overlapping, separator(A, 3e4))[0].active is None


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0, 1e4, 1e12])
@pytest.mark.parametrize("n", [50, 30_000])  # one block, and several
def test_a_pass_against_the_formula(loss, scale, n):
    generator = torch.Generator().manual_seed(2)
    A = 1.0 + 0.2 * torch.randn(n, 12, generator=generator, dtype=torch.float64)
    w = scale * (1 + 0.1 * torch.rand(3, 12, generator=generator, dtype=torch.float64))
    passes, now = DataPass(A, loss, active=False), a_pass(A, w)
    passes.first(now, True)
    for jump in (1.0, 1.3, 0.7):  # the scale to expect changes from pass to pass
        now.w.copy_(jump * w)
        passes(now, True)
        margins = now.w @ A.mT
        slopes = torch.nn.functional.logsigmoid(-margins) if loss == "logistic" else -margins
        weights = (slopes - math.log(n) + now.log_scale.unsqueeze(1)).exp()
        torch.testing.assert_close(now.weight_sum, weights.sum(dim=1), rtol=1e-7, atol=0)
        torch.testing.assert_close(now.g, weights @ A, rtol=1e-7, atol=0)
        torch.testing.assert_close(now.smallest, margins.amin(dim=1))
        exact = torch.logsumexp(
            torch.nn.functional.softplus(-margins).log() if scale < 5 and loss == "logistic" else slopes, 1
        )
        torch.testing.assert_close(now.log_risk, exact - math.log(n), rtol=1e-9, atol=1e-12 if scale > 5 else 1e-9)


@pytest.mark.parametrize("rule", [StepRule("normalized", 1.0), StepRule("adaptive", 1.0)], ids=lambda rule: rule.rule)
def test_a_restart_with_an_active_set_is_bit_identical(rule):
    A, cells = data(), [CellPlan((phi,) * 2, 0, 5) for phi in (Quadratic(), Lp(1.5))]
    plan = StackPlan(rule, 1500, log_spaced_epochs(1500, 25))
    whole, broken = StackTrainer(A, cells, plan), StackTrainer(A, cells, plan)
    while not whole.done:
        whole.advance()
    cuts, sets = (300, 700, 1100), []
    for cut in cuts:
        while broken.epoch < cut:
            broken.advance(max_steps=cut - broken.epoch)
        state = broken.state_dict()
        sets.append(state["data_pass"]["active"] is not None)
        broken = StackTrainer(A, cells, plan)
        broken.load_state_dict(state)
    while not broken.done:
        broken.advance(max_steps=7)
    assert any(sets)
    torch.testing.assert_close(broken.observer.predictors, whole.observer.predictors, rtol=0, atol=0)
