"""A stack of cells against numbers worked out by hand or by numpy: what is logged, summed up, kept, and taken back."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mdcore.math import losses, metrics
from mdcore.math.engine import observer
from mdcore.math.engine.block import Block
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Cosh, Lp, Quadratic
from mdcore.math.step_rules import StepRule


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_what_is_logged_is_recomputed_from_the_layers(loss):
    rng = np.random.default_rng(0)
    A, A_test = rng.standard_normal((30, 4)) + 0.6, rng.standard_normal((11, 4)) + 0.3
    potentials = [(Lp(1.5),), (Lp(1.5), Lp(3.0)), (Quadratic(),) * 3]
    plan = StackPlan(StepRule("normalized", 0.2), 40, (1, 7, 40), loss=loss)
    cells = [
        CellPlan(layer_potentials, seed, None if len(layer_potentials) == 1 else 5, 0.5)
        for seed in (3, 4)
        for layer_potentials in potentials
    ]
    trainer = StackTrainer(torch.tensor(A), cells, plan, torch.tensor(A_test))
    starts = {position: z.clone() for inside, block in zip(trainer.members, trainer.blocks) if block.depth > 1
              for position, z in zip(inside, metrics.balance_invariants(block.potentials[0], block.Z))}  # fmt: skip
    while not trainer.done:
        trainer.advance()
    logged = {name: values[:, -1].numpy() for name, values in trainer.observer.values.items()}
    rows = [(block, *at) for inside, block in zip(trainer.members, trainer.blocks) for at in enumerate(inside)]
    assert len(rows) == 6
    for block, row, position in rows:
        p = cells[position].limit_p
        W, Z = [layer[row].numpy() for layer in block.W], [layer[row].numpy() for layer in block.Z]
        w = np.linalg.multi_dot(W[::-1])[0] if len(W) > 1 else W[0][0]
        m = A @ w
        risk = np.mean(np.logaddexp(0, -m) if loss == "logistic" else np.exp(-m))
        expected = {
            "loss": risk,
            "log_inverse_loss": -np.log(risk),
            "train_accuracy": np.mean(m > 0),
            "test_accuracy": np.mean(A_test @ w > 0),
            "weight_norm": np.linalg.norm(w),
            "margin_l2": m.min() / np.linalg.norm(w),
            "margin_lp": m.min() / np.linalg.norm(w, p),
            "norm_balance": 1.0,
            "norm_balance_frobenius": 1.0,
            "balance_drift": 0.0,
            "layer_alignment": 1.0,
            "stable_rank": 1.0,
            "participation": 1.0,
        }
        if len(W) > 1:
            star = [
                np.abs(z) ** phi.q / phi.q if isinstance(phi, Lp) else z**2 / 2
                for phi, z in zip(block.potentials[0], Z)
            ]
            sums, frobenius = [x.sum() for x in star], [np.linalg.norm(x) for x in W]
            now = np.stack([outer.sum(axis=0) - inner.sum(axis=1) for inner, outer in zip(star, star[1:])])
            svds = [np.linalg.svd(layer) for layer in W]
            c = np.linalg.norm(W[1], p, axis=0) * np.linalg.norm(W[0], p, axis=1)
            expected |= {
                "norm_balance": max(sums) / min(sums),
                "norm_balance_frobenius": max(frobenius) / min(frobenius),
                "balance_drift": np.abs(now - starts[position].numpy()).max() / sum(sums),
                "layer_alignment": np.mean([abs(o[2][0] @ i[0][:, 0]) for i, o in zip(svds, svds[1:])]),
                "stable_rank": max((s[1] ** 2).sum() / s[1][0] ** 2 for s in svds),
                "participation": c.sum() ** 2 / (c**2).sum(),
            }
        actual = {name: logged[name][position] for name in expected}
        assert actual == pytest.approx(expected, rel=1e-9, abs=1e-14), position
        assert trainer.observer.predictors[position, -1].numpy() == pytest.approx(w, rel=1e-12)
    assert trainer.observer.last.tolist() == [2] * 6 and not trainer.observer.closed.any()


def test_without_a_limit_participation_is_in_l_2():
    class Unknown(Quadratic):
        limit_p = None

    A, cell = torch.tensor(np.random.default_rng(0).standard_normal((9, 4))), CellPlan((Unknown(),) * 2, 1, 3)
    trainer = StackTrainer(A, [cell], StackPlan(StepRule("constant", 0.1), 1, (1,)))
    trainer.advance()
    first, second = (layer[0] for layer in trainer.blocks[0].W)
    c = second.norm(dim=0) * first.norm(dim=1)
    torch.testing.assert_close(trainer.observer.values["participation"][0, 0], c.sum() ** 2 / (c**2).sum())


@pytest.mark.parametrize("eta", [1e3, 1e-30])
def test_a_step_that_does_not_lower_the_risk_is_taken_back(eta):
    """It raises it, or is too short to change a weight; no step, no part of the certificate and no time."""
    A = torch.tensor(np.random.default_rng(0).standard_normal((20, 4)))
    cells = [CellPlan((phi,) * depth, 1, 3) for depth in (1, 2) for phi in (Quadratic(), Lp(3.0))]
    trainer = StackTrainer(torch.cat([A, -0.9 * A]), cells, StackPlan(StepRule("adaptive", eta), 9, (9,)))
    before = [(block.Z[0].clone(), block.W[-1].clone()) for block in trainer.blocks], trainer.now.w.clone()
    trainer.advance(1)
    assert trainer.h.tolist() == [eta / 2] * 4 and torch.equal(trainer.now.w, before[1])
    assert not trainer.gradient_sum.any() and not trainer.mass.any()
    assert (trainer.log_flow_time == -math.inf).all()
    for block, (Z, W) in zip(trainer.blocks, before[0], strict=True):
        assert torch.equal(block.Z[0], Z) and torch.equal(block.W[-1], W)


def test_what_the_certificate_sums_up_by_hand():
    """λ = Σ_t s_t ‖W_L ⋯ W_2‖ v_t with v_n = 1/(1 + e^{m_n})/n; the flow time of constant steps is η a step."""
    A = np.random.default_rng(0).standard_normal((20, 4))
    plan = StackPlan(StepRule("constant", 0.25), 9, (9,))
    trainer = StackTrainer(torch.tensor(A), [CellPlan((Quadratic(),) * L, 1, 3) for L in (1, 2, 3)], plan)
    lam = np.zeros((3, 20))
    for _ in range(3):
        for cell, block in enumerate(trainer.blocks):
            *rest, first = (layer[0].numpy() for layer in block.W[::-1])
            left = np.linalg.multi_dot([np.eye(1), *rest, np.eye(len(first))])
            lam[cell] += 0.25 * np.linalg.norm(left) / (1 + np.exp(A @ (left @ first)[0])) / 20
        assert trainer.advance(1) is False
    assert trainer.mass.numpy() == pytest.approx(lam.sum(axis=1), rel=1e-12)
    assert trainer.gradient_sum.numpy() == pytest.approx(lam @ A, rel=1e-10)
    assert trainer.log_flow_time.exp().numpy() == pytest.approx([0.75] * 3, rel=1e-12)


def test_where_all_cells_diverge_the_run_is_over():
    A = torch.tensor(np.random.default_rng(0).standard_normal((20, 4)))
    plan = StackPlan(StepRule("constant", 1e9), 50, (50,), loss="exponential", separable=False)
    trainer = StackTrainer(torch.cat([A, -A]), [CellPlan((Cosh(1.0),) * 2, 1, 3)], plan)
    assert trainer.advance() and trainer.done and trainer.ended == {0: "diverged"}
    assert trainer.observer.last.tolist() == [-1]  # nothing was logged


def test_a_cell_stops_at_the_gap_that_was_asked_for_and_keeps_its_layers():
    """A gap of exactly `stop_gap` is small enough. A companion is trained on, but its history has ended."""
    A = torch.tensor(np.random.default_rng(0).standard_normal((20, 4))).abs()
    cells = [CellPlan((Quadratic(),), 1, companion_of=(1,)), CellPlan((Quadratic(),) * 2, 1, 3, 10.0)]
    epochs = tuple(range(20, 201, 20))
    whole = StackTrainer(A, cells, StackPlan(StepRule("normalized", 1.0), 200, epochs))
    while not whole.done:
        assert whole.advance() is True
    gaps = whole.observer.values["gap"]
    stop = gaps[0, 4].item()
    assert (gaps[0, :4] > stop).all() and (gaps[1, :6] > stop).all()
    trainer = StackTrainer(A, cells, StackPlan(StepRule("normalized", 1.0), 200, epochs, stop_gap=stop))
    while trainer.epoch < 120:
        trainer.advance()
        if trainer.epoch == 100:
            layers, w = trainer.observer.layers[0].clone(), trainer.now.w[0].clone()
    assert trainer.ended == {0: "stopped"} and trainer.observer.last.tolist() == [4, 5]
    assert torch.equal(trainer.observer.layers[0], layers) and not torch.equal(trainer.now.w[0], w)


@pytest.mark.parametrize("room", [0, -1])
def test_layers_are_kept_up_to_a_size(monkeypatch, room):
    """Layers of 4 and of 3·4 + 3 numbers of 8 bytes."""
    monkeypatch.setattr(observer, "MOST_LAYERS", 8 * 19 + room)
    cells = [CellPlan((Quadratic(),), 1), CellPlan((Quadratic(),) * 2, 1, 3)]
    trainer = StackTrainer(torch.ones(5, 4), cells, StackPlan(StepRule("constant", 1.0), 1, (1,)))
    assert (trainer.observer.layer_bytes, trainer.observer.keeps_layers) == (8 * 19, room == 0)
    assert trainer.advance() and trainer.observer.layers.keys() == ({0, 1} if room == 0 else set())


def test_a_run_of_single_cells_goes_on_where_it_was():
    A = torch.tensor(np.random.default_rng(0).standard_normal((20, 4)))
    cells = [CellPlan((Quadratic(),), 1), CellPlan((Lp(3.0),) * 2, 1, 3)]
    plan = StackPlan(StepRule("normalized", 0.1), 4, (4,))
    whole, other = (StackTrainer(A, cells, plan) for _ in range(2))
    whole.advance(2)
    other.load_state_dict(whole.state_dict())
    assert other.advance() and whole.epoch == 2
    whole.advance()
    assert torch.equal(whole.observer.predictors, other.observer.predictors)


def test_no_more_steps_are_queued_than_up_to_the_next_logged_epoch():
    """As on a GPU, whose steps are taken many at a time: of those asked for, two are done."""
    trainer = StackTrainer(
        torch.ones(5, 2), [CellPlan((Quadratic(),), 1)], StackPlan(StepRule("constant", 1.0), 9, (4, 9))
    )
    asked = []
    trainer.captured = SimpleNamespace(take=lambda most: asked.append(most) or (min(2, most), [2]))
    assert [trainer.advance(), trainer.advance(3), trainer.advance()] == [True, False, True]
    assert asked == [4, 2, 3, 1, 2] and trainer.epoch == 9


def test_points_are_left_out_and_cells_share_a_block_where_they_may():
    A, phi = torch.ones(65, 2), Quadratic()

    def trainer(**settings):
        cells = [CellPlan((phi,), 1, 7), CellPlan((phi, phi), 1, 3), CellPlan((phi,), 2), CellPlan((phi, phi), 1, 2)]
        return StackTrainer(A, cells, StackPlan(StepRule("constant", 1.0), 1, (1,), **settings))

    assert trainer().members == [[0, 2], [1], [3]]  # the width says nothing at depth 1
    flags = [trainer(separable=s, active_set=a).data_pass.may_be_active for s in (True, False) for a in (True, False)]
    assert flags == [True, False, False, False]


def test_segments_of_a_block():
    """Neighbouring rows of the same potentials, with the q of each row; a step is in place unless it may be undone."""
    potentials = [(phi,) for phi in (Lp(3.0), Lp(3.0), Quadratic(), Lp(1.5), Lp(1.5), Lp(1.5))]
    block = Block(potentials, [torch.ones(6, 1, 4, dtype=torch.float64)])
    assert [segment.rows for segment in block.segments] == [slice(0, 2), slice(2, 3), slice(3, 6)]
    assert block.q.tolist() == pytest.approx([1.5, 1.5, 2, 3, 3, 3])
    state = block.z
    for keep_old in ({}, {"keep_old": True}):
        block.step(np.zeros(6), np.zeros((6, 4)), **keep_old)
        assert (block.z is state) == (not keep_old)


def test_every_layer_has_a_potential():
    for layer_potentials in ((Quadratic(),), (Quadratic(),) * 3):
        with pytest.raises(ValueError, match=f"{len(layer_potentials)} potentials for 2 layers"):
            Block([layer_potentials], [torch.ones(1, 3, 4), torch.ones(1, 1, 3)])


@pytest.mark.parametrize("size", [1e-200, 1e-120, 1.0, 1e120, 1e200])
def test_left_products_of_any_size_scale_the_certificate(size):
    """‖b_1‖ = 5 size, b_2 = 1; ‖a_1‖ = ‖g‖ = 2, a_2 = (4, 4, 4); sums out of range are scaled."""
    weights = [torch.ones(2, 3, 4, dtype=torch.float64), size * torch.tensor([[[3.0, 4.0, 0.0]]] * 2).double()]
    block, w, scale, norm = Block([(Quadratic(),) * 2] * 2, weights), np.zeros((2, 4)), *np.zeros((2, 2))
    block.end_to_end(w)
    block.gradient(np.ones((2, 4)))
    block.entry_scale(scale)
    block.gradient_norm(norm)
    assert norm == pytest.approx([math.hypot(10.0 * size, 48**0.5)] * 2, rel=1e-12, abs=0)
    assert scale == pytest.approx([5.0 * size] * 2, rel=1e-12, abs=0) and w == pytest.approx(
        np.full((2, 4), 7.0 * size), abs=0
    )
