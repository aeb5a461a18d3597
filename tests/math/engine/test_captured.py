"""Steps captured and replayed: as on a GPU, with a recorder in its stead, and on a GPU where there is one."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from recorded_graph import RecordedGraph, take_the_place_of_cuda

from mdcore.math.engine import block, cuda_graph, data_pass, torch_loops
from mdcore.math.engine import trainer as engine
from mdcore.math.engine.plans import CellPlan, StackPlan, log_spaced_epochs
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.math.step_rules import StepRule

EPOCHS = 90
POTENTIALS = [Quadratic(), LayerScaled(4.0), Lp(1.5), Lp(2.5), Lp(3.0), Scaled(), Hypentropy(0.5), Cosh(1.0)]
QUICK = [phi for phi in POTENTIALS if not isinstance(phi, Scaled)]  # its Newton steps take longer than all the rest
RULES = {
    "constant": StepRule("constant", 0.05),
    "normalized": StepRule("normalized", 0.3, 0.8),
    "annealed": StepRule("normalized", 0.3, 1.0, anneal=2.0, horizon=EPOCHS),
    "adaptive": StepRule("adaptive", 0.3),
    "loss_scaled": StepRule("loss_scaled", 0.01),
}
SOME_RULES = ["adaptive", *(pytest.param(name, marks=pytest.mark.slow) for name in RULES if name != "adaptive")]
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device: nothing runs on a GPU")


def data(n=40, d=18, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + torch.randn(n, d, generator=generator, dtype=torch.float64)


def cells(potentials=POTENTIALS, depths=(1, 2, 3)):
    return [
        CellPlan((phi,) * depth, seed=1, width=5, init_scale=0.3 if depth > 1 else 0.0)
        for phi in potentials
        for depth in depths
    ]


def train(A, plans, rule, device="cpu", **keys):
    plan = StackPlan(rule, EPOCHS, log_spaced_epochs(EPOCHS, 9), device=device, **keys)
    trainer = StackTrainer(A, plans, plan)
    while not trainer.done:
        trainer.advance(7 if trainer.epoch > 40 else None)  # odd lengths: a graph is two steps
    return trainer


def in_torch(monkeypatch):
    """The loops of a GPU on the CPU, every step launched."""
    for module in (block, data_pass, engine):
        monkeypatch.setattr(module, "loops_for", lambda tensor: torch_loops)


def assert_same(one, other, **tolerance):
    assert one.ended == other.ended and one.observer.diverged_at == other.observer.diverged_at
    torch.testing.assert_close(one.observer.predictors, other.observer.predictors, equal_nan=True, **tolerance)
    for name in ("log_inverse_loss", "gap", "balance_drift"):
        mine, twin = one.observer.values[name], other.observer.values[name]
        torch.testing.assert_close(mine, twin, equal_nan=True, **tolerance)


@pytest.mark.parametrize("loss", ["logistic", pytest.param("exponential", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOME_RULES)
def test_replayed_steps_are_the_launched_ones_to_the_bit(monkeypatch, name, loss):
    potentials = QUICK if loss == "logistic" else POTENTIALS
    rule, plans = RULES[name], cells(potentials, (1,) if name == "loss_scaled" else (1, 2, 3))
    with monkeypatch.context() as patch:
        take_the_place_of_cuda(patch)
        patch.setattr(cuda_graph, "WARM_UP", 10**9)  # never a graph
        launched = train(data(), plans, rule, loss=loss)
        assert RecordedGraph.made == 0
    with monkeypatch.context() as patch:
        take_the_place_of_cuda(patch)
        replayed = train(data(), plans, rule, loss=loss)
        assert RecordedGraph.made >= 1
    assert_same(replayed, launched, rtol=0, atol=0)
    assert torch.equal(replayed.gradient_sum, launched.gradient_sum) and torch.equal(replayed.h, launched.h)


@pytest.mark.parametrize("name", SOME_RULES)
def test_they_are_the_steps_of_the_processor_to_rounding(monkeypatch, name):
    """Against the compiled loops, whose steps are decided one by one; short steps, clear of the edge of stability."""
    shorter = 1e-4 if name == "adaptive" else 0.1  # it grows 80-fold in 90 steps
    rule = dataclasses.replace(RULES[name], eta=shorter * RULES[name].eta)
    smooth = [phi for phi in POTENTIALS if not (isinstance(phi, Scaled) or phi in (Lp(2.5), Lp(3.0)))]
    plans = cells(smooth, (1,) if name == "loss_scaled" else (1, 2, 3))
    by_processor = train(data(), plans, rule)
    take_the_place_of_cuda(monkeypatch)
    assert_same(train(data(), plans, rule), by_processor, rtol=1e-8, atol=1e-10)


def test_cells_that_diverge_leave_at_the_same_epoch(monkeypatch):
    """Steps so long that most cells overflow, between two looks and each in an epoch of its own."""
    A = torch.cat([data(), -data()[:15]])
    plans = [CellPlan((phi,) * 2, seed, 5) for seed in (1, 2) for phi in (Hypentropy(0.5), Quadratic(), Cosh(1.0))]
    keys = {"loss": "exponential", "separable": False}
    with monkeypatch.context() as patch:
        in_torch(patch)
        step_by_step = train(A, plans, StepRule("constant", 0.6), **keys)
    gone = step_by_step.observer.diverged_at
    assert len(set(gone.values())) >= 3 and len(gone) < len(plans)
    take_the_place_of_cuda(monkeypatch)
    replayed = train(A, plans, StepRule("constant", 0.6), **keys)
    assert RecordedGraph.made >= 3  # captured anew when cells have left
    assert replayed.observer.diverged_at == gone and replayed.ended == step_by_step.ended
    # products with fewer rows sum in another order, and these steps amplify that
    left = [cell for cell in range(len(plans)) if cell not in gone]
    actual, want = (trainer.observer.predictors[left] for trainer in (replayed, step_by_step))
    torch.testing.assert_close(actual, want, rtol=0.1, atol=0)


def test_cells_that_are_certified_leave(monkeypatch):
    A, plans = data(20, 30), cells((Quadratic(), Lp(1.5), Cosh(1.0)), (1, 2))
    with monkeypatch.context() as patch:
        in_torch(patch)
        step_by_step = train(A, plans, StepRule("normalized", 1.0), stop_gap=0.3)
    take_the_place_of_cuda(monkeypatch)
    replayed = train(A, plans, StepRule("normalized", 1.0), stop_gap=0.3)
    assert list(replayed.ended.values()) == ["stopped"] * 6 and RecordedGraph.made >= 2
    assert_same(replayed, step_by_step, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["annealed", "adaptive"])
@pytest.mark.parametrize("cut", [5, 30, 61])
@pytest.mark.slow
def test_a_restart_is_bit_identical(monkeypatch, name, cut):
    take_the_place_of_cuda(monkeypatch)
    plan = StackPlan(RULES[name], EPOCHS, log_spaced_epochs(EPOCHS, 9))
    whole, first, second = (StackTrainer(data(), cells(QUICK, (1, 3)), plan) for _ in range(3))
    while not whole.done:
        whole.advance()
    while first.epoch < cut:
        first.advance(cut - first.epoch)
    second.load_state_dict(first.state_dict())
    while not second.done:
        second.advance()
    assert_same(second, whole, rtol=0, atol=0)


class Peeking(Quadratic):
    """An inverse map that looks at its values, as a plug-in's may."""

    def inverse_mirror_map(self, z, out=None):
        return super().inverse_mirror_map(z if float(z.abs().sum()) >= 0 else -z, out)


def test_a_potential_that_reads_back_is_told_and_trained_all_the_same(monkeypatch):
    A, plans, rule = data(), cells((Peeking(), Lp(1.5)), (1, 2)), RULES["normalized"]
    take_the_place_of_cuda(monkeypatch)
    trainer = train(A, plans, rule)
    assert RecordedGraph.made == 0 and "Peeking()" in trainer.captured.why_not
    assert_same(trainer, train(A, cells((Quadratic(), Lp(1.5)), (1, 2)), rule), rtol=0, atol=0)


def test_two_steps_are_launched_before_a_graph_takes_two_at_a_time(monkeypatch):
    """Of 4 steps 2 are launched, of 3 more one: the graph begins in the one of two states that it was captured in."""
    take_the_place_of_cuda(monkeypatch)
    states, total, calls = (
        [SimpleNamespace(smallest=torch.ones(2), w=torch.ones(2, 3)) for _ in range(2)],
        torch.zeros(()),
        [],
    )

    def step(number):
        calls.append(1)
        total.add_(number)

    steps = cuda_graph.CapturedSteps(step, lambda: states[len(calls) % 2], 10, [Quadratic()])
    for most, launched in ((4, 2), (3, 3), (1, 4), (2, 4)):
        assert steps.take(most) == (most, [most] * 2)
        assert (steps.launched, RecordedGraph.made) == (launched, 1)
    assert float(total) == sum(range(11, 21)) and float(steps.number) == 20.0


def test_an_inverse_map_that_reads_back_is_named(monkeypatch):
    """By what torch says where the processor is made to wait; the mode is then what it was."""

    class Waits(Quadratic):
        def inverse_mirror_map(self, z, out=None):
            raise RuntimeError("called a synchronizing operation\nat line 3\nof a file")

    modes = ["warn"]
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    assert cuda_graph.reads_back([Quadratic(), Lp(1.5)], torch.ones(2)) == ""
    message = cuda_graph.reads_back([Quadratic(), Waits()], torch.ones(2))
    assert message == f"{Waits()!r}: called a synchronizing operation"
    assert modes == ["warn", *["error", "warn"] * 4]


def test_the_recorder_refuses_what_cuda_refuses():
    x = torch.arange(6.0)
    for peek in (
        lambda: x.sum().item(), lambda: bool((x > 2).any()), lambda: x.nonzero(), lambda: x[x > 2],
        lambda: torch.tensor([1.0, 2.0]),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="not permitted"):
            RecordedGraph(peek, None)


def test_the_recorder_does_nothing_until_it_is_replayed():
    x, y = torch.zeros(3), torch.ones(3)
    graph = RecordedGraph(lambda: x.add_(y * 2), None)
    assert x.tolist() == [0, 0, 0]
    y.mul_(5)
    graph.replay()
    graph.replay()
    assert x.tolist() == [20, 20, 20]


@on_a_gpu
@pytest.mark.parametrize("name", RULES)
def test_a_gpu_gives_the_same(name):
    """By the standard of the active set's test: within 100 times what another order of the points does."""
    rule, plans = RULES[name], cells(depths=(1,) if name == "loss_scaled" else (1, 2, 3))
    A = data()
    here, there = train(A, plans, rule), train(A, plans, rule, device="cuda")
    assert there.captured.why_not == "" and there.captured.graph is not None
    for cell in range(len(plans)):
        mine, twin = here.observer.predictors[cell], there.observer.predictors[cell]
        orders = [torch.randperm(len(A), generator=torch.Generator().manual_seed(s)) for s in range(2)]
        others = [train(A[order], [plans[cell]], rule).observer.predictors[0] for order in orders]
        length = torch.linalg.vector_norm(mine, dim=1)
        reordered = torch.stack([torch.linalg.vector_norm(other - mine, dim=1) / length for other in others]).amax(0)
        before_chaos = reordered.cummax(0).values < 1e-6
        error = torch.linalg.vector_norm(twin - mine, dim=1) / length
        assert (error <= 100 * reordered.cummax(0).values.clamp(min=1e-12))[before_chaos].all()
        assert math.isfinite(float(error[0]))


@on_a_gpu
def test_a_restart_on_a_gpu_is_bit_identical():
    plan = StackPlan(RULES["adaptive"], EPOCHS, log_spaced_epochs(EPOCHS, 9), device="cuda")
    whole, first, second = (StackTrainer(data(), cells(), plan) for _ in range(3))
    while not whole.done:
        whole.advance()
    while first.epoch < 30:
        first.advance(30 - first.epoch)
    second.load_state_dict(first.state_dict())
    while not second.done:
        second.advance()
    assert_same(second, whole, rtol=0, atol=0)
