"""MirrorDescent as a torch optimizer: groups, schedulers, state_dict to the bit, closures, any module."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

import mdcore
from mdcore.math.optimizer import MirrorDescent
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.math.step_rules import ADAPTIVE_SHRINK

POTENTIALS = [Quadratic(), LayerScaled(4.0), Lp(1.5), Lp(3.0), Scaled(), Hypentropy(0.5), Cosh(1.0)]
RULES = {
    "constant": {"lr": 0.05},
    "normalized": {"lr": 0.05, "rule": "normalized"},
    "annealed": {"lr": 0.5, "rule": "normalized", "anneal": 5, "decay": 1.5, "horizon": 40},
    "adaptive": {"lr": 0.1, "rule": "adaptive"},
    "loss_scaled": {"lr": 0.01, "rule": "loss_scaled"},
}
SCHEDULERS = {
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5),
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12),
}


def network(seed=0) -> nn.Module:
    """Convolution, biases, a ReLU: nothing of it is a deep linear network."""
    torch.manual_seed(seed)
    parts = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 16, 5), nn.ReLU(), nn.Linear(5, 1)
    return nn.Sequential(*parts).double()


def closure_of(model, optimizer):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(12, 1, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.where(X[:, 0, 0, 0] > 0, 1.0, -1.0).double()

    def closure():
        optimizer.zero_grad()
        risk = nn.functional.softplus(-y * model(X).squeeze(1)).mean()
        risk.backward()
        return risk

    return closure


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("phi", POTENTIALS, ids=repr)
def test_one_step_is_the_definition(phi):
    model = network()
    optimizer = MirrorDescent(model.parameters(), phi, lr=0.01)
    before = weights(model)
    closure_of(model, optimizer)()
    expected = [phi.inverse_mirror_map(phi.mirror_map(w) - 0.01 * p.grad) for w, p in zip(before, model.parameters())]
    optimizer.step()
    for parameter, right in zip(model.parameters(), expected):
        torch.testing.assert_close(parameter.detach(), right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("rule", RULES)
def test_a_reload_goes_on_to_the_bit(rule, scheduler):
    """Weights, optimizer and scheduler through torch.save and a weights_only torch.load, into objects made anew."""

    def made(seed):
        model = network(seed)
        optimizer = MirrorDescent(model.parameters(), {"lp": {"p": 3}}, **RULES[rule])
        return model, optimizer, SCHEDULERS[scheduler](optimizer)

    def train(model, optimizer, schedule, steps):
        closure = closure_of(model, optimizer)
        for _ in range(steps):
            optimizer.step(closure)
            schedule.step()

    whole = made(0)
    train(*whole, 5)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in whole], file)
    train(*whole, 6)
    again = made(7)
    closure_of(*again[:2])()
    for part, state in zip(again, torch.load(io.BytesIO(file.getvalue()), weights_only=True)):
        part.load_state_dict(state)
    assert again[1].steps == 5
    train(*again, 6)
    assert again[1].steps == whole[1].steps == 11
    for one, other in zip(weights(whole[0]), weights(again[0])):
        assert torch.equal(one, other)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers_set_the_step_length(scheduler):
    """Twin: SGD with the same scheduler, down to lr = 0."""
    models = network(), network()
    optimizers = MirrorDescent(models[0].parameters(), lr=0.2), torch.optim.SGD(models[1].parameters(), lr=0.2)
    schedules = [SCHEDULERS[scheduler](optimizer) for optimizer in optimizers]
    for _ in range(13):
        for model, optimizer, schedule in zip(models, optimizers, schedules):
            optimizer.step(closure_of(model, optimizer))
            schedule.step()
    for one, other in zip(weights(models[0]), weights(models[1])):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_groups_have_their_own_lr_and_potential():
    model, twin = network(), network()
    first, rest = list(model.parameters())[:1], list(model.parameters())[1:]
    groups = [{"params": first, "lr": 0.03, "potential": {"lp": {"p": 1.5}}}, {"params": rest}]
    optimizer = MirrorDescent(groups, "quadratic", lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.1]
    sgd = torch.optim.SGD(list(twin.parameters())[1:], lr=0.1)
    mirror = MirrorDescent(list(twin.parameters())[:1], Lp(1.5), lr=0.03)
    for _ in range(5):
        optimizer.step(closure_of(model, optimizer))
        closure_of(twin, MirrorDescent(twin.parameters()))()
        sgd.step()
        mirror.step()
    for one, other in zip(weights(model), weights(twin)):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    extra = nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [extra], "potential": "scaled"})
    assert optimizer.param_groups[-1]["step"] == 5 and isinstance(optimizer.potentials[-1], Scaled)


def test_weights_that_somebody_else_has_changed_are_taken_over():
    model = network()
    optimizer = MirrorDescent(model.parameters(), Lp(1.5), lr=0.01)
    optimizer.step(closure_of(model, optimizer))
    model.load_state_dict(network(3).state_dict())
    fresh = network(3)
    other = MirrorDescent(fresh.parameters(), Lp(1.5), lr=0.01)
    for each, its in ((model, optimizer), (fresh, other)):
        its.step(closure_of(each, its))
    for one, two in zip(weights(model), weights(fresh)):
        assert torch.equal(one, two)


@pytest.mark.parametrize("rule", RULES)
def test_a_copy_goes_on_like_the_original(rule):
    model = network()
    optimizer = MirrorDescent(model.parameters(), Hypentropy(0.5), **RULES[rule])
    optimizer.step(closure_of(model, optimizer))
    both = (model, optimizer), copy.deepcopy((model, optimizer))
    for each, its in both:
        for _ in range(3):
            its.step(closure_of(each, its))
    for one, two in zip(weights(both[0][0]), weights(both[1][0])):
        assert torch.equal(one, two)


def test_parameters_without_a_gradient_stay_and_no_gradient_is_no_step():
    model = network()
    frozen = next(model.parameters())
    frozen.requires_grad_(False)
    optimizer = MirrorDescent(model.parameters(), Lp(3.0), rule="normalized")
    before = frozen.clone()
    optimizer.step(closure_of(model, optimizer))
    assert torch.equal(frozen, before) and frozen not in optimizer.state
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = weights(model)
    optimizer.step()
    MirrorDescent(model.parameters(), Lp(3.0), lr=0.0).step(closure_of(model, optimizer))
    for one, other in zip(weights(model), before):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_the_adaptive_rule_lets_no_risk_rise_and_moves_lr():
    model = network()
    optimizer = MirrorDescent(model.parameters(), lr=0.5, rule="adaptive")
    risks = [optimizer.step(closure_of(model, optimizer)).item() for _ in range(20)]
    assert all(later <= earlier for earlier, later in zip(risks, risks[1:]))
    assert optimizer.param_groups[0]["lr"] != 0.5


def test_the_adaptive_rule_refuses_a_step_that_leaves_the_risk_as_it_is():
    w = nn.Parameter(torch.ones(2))
    optimizer = MirrorDescent([w], lr=0.5, rule="adaptive")
    optimizer.step(lambda: 1.0 + 0.0 * w.sum())
    assert optimizer.param_groups[0]["lr"] == 0.5 * ADAPTIVE_SHRINK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"potential": "lpp"}, "did you mean 'lp'"),
        ({"potential": "lp"}, "expected p"),
        ({"potential": ["quadratic"]}, "1 potentials for 6 parameters"),
        ({"lr": -1.0}, "lr: got -1.0; expected a finite number ≥ 0"),
        ({"lr": float("nan")}, "lr: got nan"),
        ({"lr": float("inf")}, "lr: got inf"),
        ({"rule": "adam"}, "step rule 'adam'; expected one of"),
        ({"rule": "normalized", "anneal": 5}, "needs the horizon"),
    ],
)
def test_a_wrong_argument_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        mdcore.MirrorDescent(network().parameters(), **arguments)
