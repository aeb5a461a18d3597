"""A pass over the data against the formulas, on both of its ways, and when points are left out of it."""

import math

import numpy as np
import pytest
import torch

from mdcore.math.engine import compiled, data_pass, torch_loops
from mdcore.math.engine.compiled import few_columns
from mdcore.math.engine.data_pass import ActiveSet, DataPass, Pass, products_for

LOSSES = ["logistic", "exponential"]


def data(n=200, d=17, shift=2.0, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal((n, d)) + shift / math.sqrt(d))


def passes(A, w, loss="logistic", **keys):
    of = DataPass(A, loss, **keys)
    now = Pass(A, len(w), of.loops.view)
    now.w.copy_(w)
    return of, now


@pytest.mark.parametrize("needs_risk", [True, False])
@pytest.mark.parametrize("ahead", [True, False], ids=["queued", "at once"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("d", [3, 17])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_a_pass_by_the_formulas(monkeypatch, scale, d, loss, ahead, needs_risk):
    monkeypatch.setattr(data_pass, "is_asynchronous", lambda tensor: ahead)  # steps that are queued, as on a GPU
    A = data(d=d)
    w = scale * torch.stack([torch.ones(d, dtype=torch.float64), torch.linspace(0.5, 2, d, dtype=torch.float64)])
    of, now = passes(A, w, loss)
    for _ in range(2):  # the second knows whether the first was early
        of.first(now, needs_risk)
    m = (w @ A.T).numpy()
    c = m.min(axis=1) if loss == "exponential" else np.maximum(m.min(axis=1), 0)
    shifted = m - c[:, None]
    weights = np.exp(-shifted) / (1 if loss == "exponential" else 1 + np.exp(-m))
    assert now.smallest.numpy() == pytest.approx(m.min(axis=1), rel=1e-12)
    assert now.log_scale.numpy() == pytest.approx(c + math.log(200), rel=1e-12)
    assert now.weight_sum.numpy() == pytest.approx(weights.sum(axis=1), rel=1e-9)
    assert now.g.numpy() == pytest.approx(weights @ A.numpy(), rel=1e-9, abs=1e-9)
    if needs_risk or loss == "exponential":
        terms = -m if loss == "exponential" else np.where(m < 36, np.log(np.logaddexp(0, -np.minimum(m, 36))), -m)
        top = terms.max(axis=1)
        risk = top + np.log(np.exp(terms - top[:, None]).mean(axis=1))
        assert now.log_risk.numpy() == pytest.approx(risk, rel=1e-11)


@pytest.mark.parametrize("sizes", [(300.0, 0.1), (0.1, 300.0, 0.1), (300.0, 300.0, 0.1)])
@pytest.mark.parametrize("asked", [True, False])
def test_the_risk_is_right_whatever_the_passes_before_were(sizes, asked):
    """The largest margins may fall again below where the weights stand for the losses."""
    A, ones = data(200, 17, 8.0), torch.ones(1, 17, dtype=torch.float64)
    of, now = passes(A, ones)
    for size in sizes[:-1]:
        now.w.copy_(size * ones)
        of.first(now, asked)
    now.w.copy_(sizes[-1] * ones)
    of.first(now, True)
    risk = torch.nn.functional.softplus(-(sizes[-1] * ones @ A.T)).mean().log()
    assert now.log_risk.item() == pytest.approx(risk.item(), rel=1e-11)


@pytest.mark.parametrize(("margin", "early"), [(40.0, True), (40.1, False), (math.nan, True)])
def test_a_pass_is_early_until_every_margin_is_above_forty(margin, early):
    of, now = passes(data(), torch.zeros(2, 17, dtype=torch.float64))
    now.smallest.copy_(torch.tensor([margin, 50.0]))
    assert of._is_early(now) is early
    assert DataPass(data(), "exponential")._is_early(now) is False


@pytest.mark.parametrize(
    ("n", "ahead", "active", "may"),
    [(65, False, True, True), (64, False, True, False), (65, True, True, False), (65, False, False, False)],
)
def test_when_points_may_be_left_out_at_all(monkeypatch, n, ahead, active, may):
    monkeypatch.setattr(data_pass, "is_asynchronous", lambda tensor: ahead)
    of = DataPass(data(n), "logistic", active)
    assert of.may_be_active is may
    assert of.slack == pytest.approx(math.log(n * 2.0**53))


def test_points_far_above_the_smallest_margin_are_left_out():
    """Kept: margins of the unit vector up to (1 + room) times the smallest and twice the slack over ‖w‖."""
    A, w = data(400, 17, 6.0), torch.ones(2, 17, dtype=torch.float64)
    w[1, 0] = 1.5
    least = (w @ A.T).amin(dim=1, keepdim=True)
    assert (least > 0).all()
    w = 300.0 * w / least
    of, now = passes(A, w)
    of.first(now, False)
    of.wait, of.room = 2, 0.3
    of._consider_active_set(now)
    assert of.active is None and of.wait == 1
    of._consider_active_set(now)
    m, length = (w @ A.T).numpy(), w.norm(dim=1).numpy()
    kept = ((m <= 1.3 * 300 + 2 * of.slack).any(axis=0)).nonzero()[0]
    assert 0 < len(kept) < 200 and of.active.points.tolist() == kept.tolist() and of.life == 0
    left = np.setdiff1d(np.arange(400), kept)
    assert of.active.direction.numpy() == pytest.approx((w / w.norm(dim=1, keepdim=True)).numpy())
    assert of.active.excluded_margin.numpy() == pytest.approx(m[:, left].min(axis=1) / length)
    assert of.active.excluded_norm == pytest.approx(np.linalg.norm(A.numpy()[left], axis=1).max())
    assert sum(size for size, _ in of.active_blocks) == len(kept)
    whole = now.g.clone()
    of(now, False)
    assert of.passes_saved == of.life == 1 and torch.allclose(now.g, whole, rtol=1e-13)


@pytest.mark.parametrize("why", ["early", "too many", "not finite"])
def test_no_point_is_left_out(why):
    A, w = data(400, 17, 6.0), torch.ones(1, 17, dtype=torch.float64)
    w = w * ((30.0 if why == "early" else 300.0) / (A @ w[0]).min())
    of, now = passes(A, w)
    of.first(now, False)
    of.wait, of.room = 1, 100.0 if why == "too many" else 0.3
    if why == "not finite":
        now.w[0, 0] = math.inf
    of._consider_active_set(now)
    assert of.active is None and (of.wait, of.patience) == (64, 128)


def test_a_set_that_lasts_is_made_smaller_and_one_that_does_not_larger():
    of, _ = passes(data(), torch.zeros(1, 17, dtype=torch.float64))
    assert (of.room, of.wait, of.patience, of.early) == (0.3, 64, 64, True)
    for life, room, after in ((32, 0.5, 0.35), (256, 0.025, 0.02), (31, 0.4, 0.6), (0, 0.9, 1.0)):
        of.life, of.room, of.wait, of.patience = life, room, 7, 256
        of._retire()
        assert of.room == pytest.approx(after) and of.wait == 0 and of.active is None
        assert of.patience == (64 if life >= 32 else 256)
    of.life, of.room, of.patience = 31, 1.0, 256  # no room left to give: it costs more than it saves
    of._retire()
    assert (of.room, of.wait, of.patience) == (1.0, 256, 512)
    of._be_patient()
    assert (of.wait, of.patience) == (512, 512)
    of.forget()
    assert (of.wait, of.patience, of.life, of.active_blocks) == (64, 64, 0, [])


def test_no_set_lasts_for_ever():
    A, w = data(400, 17, 6.0), torch.ones(1, 17, dtype=torch.float64)
    w = 300.0 * w / (A @ w[0]).min()
    of, now = passes(A, w)
    of.first(now, False)
    of.wait = 1
    of._consider_active_set(now)
    of.life = 254
    of(now, False)
    assert of.active is not None and of.life == 255
    of(now, False)
    assert of.active is None and of.passes_saved == 2 and of.room == pytest.approx(0.21)


@pytest.mark.parametrize(("slack", "holds"), [(1.19, True), (1.21, False)])
def test_the_bound_of_the_points_left_out_by_hand(slack, holds):
    """w = (3, 0.4), u = (1, 0), μ = 2, X = 2: 3·2 − 2·0.4 − min m = 5.2 − 4 = 1.2."""
    of, now = passes(data(70, 2), torch.tensor([[3.0, 0.4]], dtype=torch.float64))
    now.smallest.fill_(4.0)
    unit, least = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    active = ActiveSet(torch.arange(3), unit, least, 2.0)
    assert active.holds(now, slack, of.loops) is holds


def test_rows_are_put_back_and_dropped_with_everything_they_have():
    A = data()
    of, now = passes(A, torch.ones(3, 17, dtype=torch.float64))
    _, other = passes(A, torch.linspace(1, 2, 51, dtype=torch.float64).view(3, 17))
    for one in (now, other):
        of.first(one, True)
    mine, theirs = ({name: x.clone() for name, x in one.tensors().items()} for one in (now, other))
    now.put_back(torch.tensor([False, True, False]), other)
    for name, x in now.tensors().items():
        assert torch.equal(x[1], theirs[name][1]) and torch.equal(x[[0, 2]], mine[name][[0, 2]])
    now.keep(torch.tensor([1]))
    assert all(torch.equal(x[0], theirs[name][1]) and len(x) == 1 for name, x in now.tensors().items())
    now.load(mine)
    assert all(torch.equal(x, mine[name]) for name, x in now.tensors().items())


@pytest.mark.parametrize(("n", "d", "blocks"), [(1000, 17, 1), (12528, 17, 1), (12529, 17, 2), (130, 10**5, 3)])
def test_blocks_fit_the_cache(n, d, blocks):
    of = DataPass(torch.zeros(64, d, dtype=torch.float64), "logistic")
    parts = of._cache_blocks(torch.zeros(n, d, dtype=torch.float64))
    sizes = [size for size, _ in parts]
    assert len(parts) == blocks and sum(sizes) == n and max(sizes) - min(sizes) <= 1
    assert sizes == [len(block) for _, block in parts]


@pytest.mark.parametrize(
    ("d", "module"), [(1, few_columns), (8, few_columns), (9, torch_loops), (15, torch_loops), (16, compiled)]
)
def test_which_products_are_taken(d, module):
    assert DataPass(torch.zeros(64, d, dtype=torch.float64), "logistic").products is module
    assert products_for(torch_loops, d) is torch_loops  # as on a GPU
