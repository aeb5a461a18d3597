"""The compiled loops of a step against their twins in torch, and a whole run on either."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from mdcore.math import losses
from mdcore.math.engine import block, compiled, data_pass, torch_loops
from mdcore.math.engine import trainer as engine
from mdcore.math.engine.compiled import few_columns
from mdcore.math.engine.compiled.layers import _add_outer as add_outer
from mdcore.math.engine.compiled.points import _exp2 as exp2
from mdcore.math.engine.plans import CellPlan, StackPlan
from mdcore.math.engine.trainer import StackTrainer
from mdcore.math.potentials import Hypentropy, Lp, Quadratic, signed_power
from mdcore.math.step_rules import StepRule

DTYPES = (torch.float64, torch.float32)


def random(*shape, seed=0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def both(name: str, tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The arguments after a call of the compiled and of the plain function, and what they return, in front."""
    results = []
    for module in (compiled, torch_loops):
        copies = [tensor.clone() for tensor in tensors]
        answer = getattr(module, name)(*[module.view(tensor) for tensor in copies])
        results.append([torch.tensor(float("nan") if answer is None else float(answer)), *copies])
    return results


def assert_equal_to_rounding(name: str, tensors: list[torch.Tensor]) -> None:
    rounding = torch.finfo(tensors[0].dtype).eps
    for mine, twin in zip(*both(name, tensors), strict=True):
        torch.testing.assert_close(mine, twin, rtol=500 * rounding, atol=500 * rounding, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [1, 3, 16, 50, 203])
@pytest.mark.parametrize("points", [1, 7, 8, 9, 24, 67])
@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5, 7, 18])
def test_products_with_the_data(cells, points, d, dtype):
    A = random(points, d, seed=1, dtype=dtype)
    assert_equal_to_rounding("margins", [random(cells, d, dtype=dtype), A, random(cells, points, dtype=dtype)])
    weights = random(cells, points, seed=2, dtype=dtype)
    assert_equal_to_rounding("add_weighted_points", [weights, A, random(cells, d, seed=3, dtype=dtype)])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [1, 2, 3, 8])
@pytest.mark.parametrize("points", [1, 9, few_columns.CHUNK, few_columns.CHUNK + 3])
def test_products_with_data_of_few_columns(points, d, dtype):
    A, V = random(points, d, seed=1, dtype=dtype), random(5, points, seed=2, dtype=dtype)
    w, g, m = random(5, d, dtype=dtype), random(5, d, seed=3, dtype=dtype), random(5, points, seed=4, dtype=dtype)
    sums, rounding = g + V @ A, torch.finfo(dtype).eps
    few_columns.margins(w.numpy(), few_columns.laid_out(A), m.numpy())
    few_columns.add_weighted_points(V.numpy(), few_columns.laid_out(A), g.numpy())
    torch.testing.assert_close(m, w @ A.mT, rtol=500 * rounding, atol=500 * rounding)
    torch.testing.assert_close(g, sums, rtol=500 * rounding, atol=500 * rounding * math.sqrt(points))


@pytest.mark.parametrize("module", [compiled, torch_loops], ids=["compiled", "plain"])
def test_sums_begin_with_nothing(module):
    smallest, total, g = torch.ones(3), torch.ones(3), torch.ones(3, 2)
    module.begin(*map(module.view, (smallest, total, g)))
    assert (smallest == math.inf).all() and not total.any() and not g.any()


@pytest.mark.parametrize("module", [compiled, torch_loops], ids=["compiled", "plain"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_seen(module, bad):
    for place in range(3):
        x = torch.tensor([1e308, -1e308, 0.0], dtype=torch.float64)
        assert module.all_finite(module.view(x)) is True
        x[place] = bad
        assert module.all_finite(module.view(x)) is False


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("logistic", [True, False])
def test_the_scale_of_the_weights_and_the_risk(logistic, dtype):
    smallest = torch.tensor([-2.0, 0.0, 3.0, math.nan, math.inf], dtype=dtype)
    for module in (compiled, torch_loops):
        scale, risk = torch.zeros_like(smallest), torch.full_like(smallest, 5.0)
        module.finish(module.view(smallest), 70, logistic, *map(module.view, (scale, risk)))
        want = losses.weight_shift(smallest, "logistic" if logistic else "exponential") + math.log(70)
        assert torch.equal(scale[:3], want[:3]) and torch.isnan(scale[3]) and scale[4] == math.inf
        assert torch.equal(risk[:3], 5.0 - want[:3]) and torch.isnan(risk[3]) and risk[4] == -math.inf


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("logistic", [True, False])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_pass_cell_by_cell_is_margins_weights_and_their_sum(d, logistic, dtype):
    """To the bit, over two blocks of points, so that the scale of the first one's sums changes."""
    w, blocks = random(4, d, dtype=dtype), [random(points, d, seed=points, dtype=dtype) for points in (37, 70)]
    ends = []
    for cell_by_cell in (True, False):
        smallest, total, g = torch.empty(4, dtype=dtype), torch.empty(4, dtype=dtype), torch.empty(4, d, dtype=dtype)
        sums = [tensor.numpy() for tensor in (smallest, total, g)]
        compiled.begin(*sums)
        for points in blocks:
            columns, V = few_columns.laid_out(points), torch.empty(4, len(points), dtype=dtype)
            if cell_by_cell:
                few_columns.weigh_points(w.numpy(), columns, V.numpy(), *sums, logistic)
            else:
                few_columns.margins(w.numpy(), columns, V.numpy())
                compiled.weigh(V.numpy(), *sums, logistic)
                few_columns.add_weighted_points(V.numpy(), columns, sums[2])
            ends.append(V)
        ends += [smallest, total, g]
    assert len(ends) == 10 and all(torch.equal(mine, twin) for mine, twin in zip(ends[:5], ends[5:], strict=True))


def layers(depth: int, width: int, d: int, cells: int, dtype: torch.dtype, seed: int = 0):
    """A buffer of layers, left and right products, and g."""
    width = width if depth > 1 else 1
    entries = d if depth == 1 else width * d + (depth - 2) * width**2 + width
    buffer = random(cells, entries, seed=seed, dtype=dtype) / math.sqrt(width)
    left, right = (random(cells, depth - 1, width, seed=seed + i, dtype=dtype) for i in (1, 2))
    return buffer, left, right, random(cells, d, seed=seed + 3, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("width", "d"), [(1, 1), (4, 2), (5, 3), (7, 20), (50, 33)])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("cells", [1, 3])
def test_loops_over_the_layers(cells, depth, width, d, dtype):
    W, left, right, g = layers(depth, width, d, cells, dtype)
    s = random(cells, seed=9, dtype=dtype)
    assert_equal_to_rounding("ascend", [W, torch.zeros_like(W), s, left, right, g])
    assert_equal_to_rounding("left_products", [W, left, torch.zeros_like(g)])
    assert_equal_to_rounding("right_products", [W, g, right])
    assert_equal_to_rounding("entry_scale", [left, s])
    for q in (1.0, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0, 11.0):
        assert_equal_to_rounding("gradient_norm", [left, right, g, torch.full_like(s, q), s])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("module", [compiled, torch_loops], ids=["compiled", "plain"])
def test_the_products_are_those_of_the_layers(depth, module):
    """w = W_L ⋯ W_1, b_l and a_l multiplied out; Z + s b^T a^T is s times the gradient of b·(W_l a)."""
    W, left, right, g = layers(depth, 5, 7, 3, torch.float64)
    w = torch.zeros_like(g)
    module.left_products(*[module.view(t) for t in (W, left, w)])
    module.right_products(*[module.view(t) for t in (W, g, right)])
    per_layer = torch_loops.layers(W, depth - 1, 5, 7)
    for cell in range(3):
        product = torch.eye(1, dtype=torch.float64)
        for layer in range(depth - 1, -1, -1):
            product = product @ per_layer[layer][cell]
            torch.testing.assert_close(left[cell, layer - 1] if layer else w[cell], product[0])
        a = g[cell]
        for layer in range(depth - 1):
            a = per_layer[layer][cell] @ a
            torch.testing.assert_close(right[cell, layer], a)


@pytest.mark.parametrize("place", ["left", "right", "last", "g"])
@pytest.mark.parametrize("value", [1e-200, 1e200, math.nan, math.inf, 0.0])
def test_sums_out_of_range_are_told(value, place):
    """The compiled loops say so, and a block then takes the twin, which scales by the largest entry."""
    _, left, right, g = layers(3, 4, 6, 2, torch.float64)
    q = torch.full((2,), 2.0, dtype=torch.float64)
    {"left": left[1, 1], "right": right[1, 0], "last": right[1, 1], "g": g[1]}[place][:] = value
    computed = torch.zeros(2, dtype=torch.float64)
    assert not compiled.gradient_norm(*map(compiled.view, (left, right, g, q, computed)))
    assert torch_loops.gradient_norm(left, right, g, q, computed)
    for cell in range(2):
        norms = [math.hypot(*b) for b in left[cell].tolist()] + [1.0]
        each = [one * math.hypot(*a) for one, a in zip(norms, [g[cell].tolist(), *right[cell].tolist()], strict=True)]
        if math.isfinite(math.hypot(*each)):
            torch.testing.assert_close(computed[cell].item(), math.hypot(*each), rtol=1e-12, atol=0)
        else:
            assert not torch.isfinite(computed[cell])
    left[:, 0] = value
    assert not compiled.entry_scale(compiled.view(left), compiled.view(computed))
    torch_loops.entry_scale(left, computed)
    assert computed.isfinite().all() == math.isfinite(value)
    if math.isfinite(value):
        torch.testing.assert_close(computed, torch.full_like(computed, 2.0 * value), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "beside"])
@pytest.mark.parametrize(("width", "d"), [(1, 1), (4, 2), (8, 3), (7, 20), (50, 33)])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_mirror_step_is_ascent_inverse_maps_and_left_products(depth, width, d, in_place, dtype):
    """Every exponent in some cell and layer, scales of its own: the three parts one after the other, in torch."""
    cells, rounding = 4, torch.finfo(dtype).eps
    Z, left, right, g = layers(depth, width, d, cells, dtype)
    s = random(cells, seed=9, dtype=dtype)
    exponent = torch.tensor([0.5, 1.0, 2.0], dtype=dtype)[(torch.arange(cells)[:, None] + torch.arange(depth)) % 3]
    scale = random(cells, depth, seed=11, dtype=dtype).abs() + 0.5
    want_z, want_left, want_w = torch.empty_like(Z), left.clone(), torch.empty_like(g)
    torch_loops.ascend(Z, want_z, s, left, right, g)
    want_W = torch.empty_like(Z)
    shape = depth - 1, width, d
    for layer, (z, w) in enumerate(zip(torch_loops.layers(want_z, *shape), torch_loops.layers(want_W, *shape))):
        for cell in range(cells):
            w[cell] = scale[cell, layer] * signed_power(z[cell], exponent[cell, layer].item())
    torch_loops.left_products(want_W, want_left, want_w)
    z, W, w = Z if in_place else torch.zeros_like(Z), torch.zeros_like(Z), torch.zeros_like(g)
    work = torch.full((4, left.shape[2]), math.nan, dtype=dtype)
    compiled.mirror_step(*map(compiled.view, (Z, z, W, s, left, right, g, w, scale, exponent, work)))
    for mine, twin in ((z, want_z), (W, want_W), (left, want_left), (w, want_w)):
        torch.testing.assert_close(mine, twin, rtol=500 * rounding, atol=500 * rounding * (1.0 + twin.abs().sum()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "beside"])
def test_signed_powers_are_exact_everywhere(in_place, dtype, exponent):
    tiny = torch.finfo(dtype).smallest_normal
    edge = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, tiny, -tiny, tiny / 8, 1e-15, -1e-15], dtype=dtype)
    z = torch.cat([edge, random(990, dtype=dtype)]).unsqueeze(0)
    want = z.abs().pow(exponent).copysign(z)
    powers, nothing = torch.empty_like(z), z.new_zeros(1, 0, 1)
    still, one, before = z.new_zeros(1), z.new_ones(1, 1), z.clone()
    by_loop = [before, before if in_place else z.clone(), powers, still, nothing, nothing, torch.zeros_like(z)]
    compiled.mirror_step(*map(compiled.view, [*by_loop, torch.zeros_like(z), one, exponent * one, z.new_zeros(4, 1)]))
    for w in (powers, signed_power(z, exponent), signed_power(z, exponent, torch.empty_like(z))):
        torch.testing.assert_close(w, want, rtol=torch.finfo(dtype).eps, atol=0, equal_nan=True)
        assert np.array_equal(np.signbit(w[z == z].numpy()), np.signbit(want[z == z].numpy())) or w is powers


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("logistic", [True, False])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1e3, 1e6])
def test_weights_block_after_block(scale, logistic, dtype):
    """Blocks with falling and rising smallest margins; negative margins too."""
    by_module = {}
    for module in (compiled, torch_loops):
        state = [torch.full((5,), math.inf, dtype=dtype), torch.zeros(5, dtype=dtype), random(5, 3, dtype=dtype)]
        weights = []
        for number, shift in enumerate((0.0, -1.0, 2.0)):
            margins = scale * (random(5, 67, seed=number, dtype=dtype) + shift)
            module.weigh(*map(module.view, (margins, *state)), logistic)
            weights.append(margins)
            if number == 0:
                state[2] += 1.0
        by_module[module] = [*state, *weights]
    rounding = torch.finfo(dtype).eps
    for mine, twin in zip(by_module[compiled], by_module[torch_loops], strict=True):
        # an exponent of up to 1000 carries its own rounding into the weight
        torch.testing.assert_close(mine, twin, rtol=2000 * rounding, atol=torch.finfo(dtype).tiny, equal_nan=True)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_a_margin_that_is_no_number_is_told(bad):
    for module in (compiled, torch_loops):
        margins = random(2, 9)
        margins[1] = bad if math.isinf(bad) else margins[1]
        margins[1, 4] = bad
        smallest = torch.full((2,), math.inf, dtype=torch.float64)
        module.weigh(*map(module.view, (margins, smallest, torch.zeros(2), random(2, 3).float())), True)
        assert torch.isfinite(smallest).tolist() == [True, False]


def test_powers_of_two_to_rounding():
    x = torch.cat([random(2000, seed=3) * 200, torch.tensor([0.0, 0.5, -0.5, 1.0, 1003.0, -1003.0])]).double()
    powers = np.array([exp2(value) for value in x.tolist()])
    fused = not numba.config.DISABLE_JIT  # multiply-adds, which round once
    assert np.abs(powers / np.exp2(x.numpy()) - 1.0).max() < (4e-16 if fused else 4.5e-16)


@pytest.mark.parametrize("slack", [-5.0, 0.0, 1.0, 40.0])
def test_the_bound_of_the_active_set(slack):
    w, u = random(6, 20), torch.nn.functional.normalize(random(6, 20) + 0.3 * random(6, 20, seed=4))
    smallest = 0.5 * random(6, seed=8)
    smallest[2] = math.nan

    def answers(rows):
        parts = [tensor[rows] for tensor in (w, u, random(6, seed=5), smallest)]
        return [
            module.still_below_rounding(*map(module.view, parts[:3]), 1.5, module.view(parts[3]), slack)
            for module in (compiled, torch_loops)
        ]

    alone = [answers(slice(cell, cell + 1)) for cell in range(6)]  # so that one verdict does not hide another's
    assert all(one == twin for one, twin in alone) and all(alone[2])
    for pair in ([0, 1], [1, 3], [4, 5], [0, 2]):
        assert answers(pair) == [all(alone[cell][0] for cell in pair)] * 2


@pytest.mark.parametrize("module", [compiled, torch_loops], ids=["compiled", "plain"])
def test_the_bound_of_the_active_set_by_hand(module):
    """w = 2u + 3v, u ⊥ v: 2·10 − 1.5·3 − 1 = 14.5 is enough for a slack of 14.5, and for no more; in every cell."""
    w, u = torch.tensor([[2.0, 3.0, 0.0], [3.0, 0.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    parts = [*map(module.view, (w, u, torch.full((2,), 10.0))), 1.5, module.view(torch.ones(2))]
    assert module.still_below_rounding(*parts, 14.5)
    assert not module.still_below_rounding(*parts, 14.75)


@pytest.mark.parametrize("module", [compiled, torch_loops], ids=["compiled", "plain"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_steps_are_added_up_in_double_precision(module, dtype):
    """z = Σ c g, mass = Σ c Σ v, log Σ s of two steps; s = step·e^{log_scale}, and a refused step, 0, adds none."""
    c, v, shift, g = (random(2, *shape, seed=seed, dtype=dtype) for seed, shape in enumerate([(3,)] * 3 + [(3, 5)]))
    step = torch.tensor([[2.0, 0.0, 0.5], [0.25, 3.0, 0.0]], dtype=dtype)
    z, mass, log_time = random(3, 5, seed=7), random(3, seed=8), torch.tensor([-math.inf, 0.5, 1.0]).double()
    totals = [tensor.clone() for tensor in (z, mass, log_time)]
    for i in range(2):
        passed = {"log_scale": shift[i], "weight_sum": v[i], "g": g[i]}
        before = SimpleNamespace(**{name: module.view(value) for name, value in passed.items()})
        module.accumulate(*map(module.view, (c[i], step[i])), before, *map(module.view, totals))
    c, v, shift, g, step = (tensor.double() for tensor in (c, v, shift, g, step))
    z, mass = z + (c[:, :, None] * g).sum(0), mass + (c * v).sum(0)
    log_time = (log_time.exp() + (step * shift.exp()).sum(0)).log()
    for mine, want in zip(totals, (z, mass, log_time), strict=True):
        torch.testing.assert_close(mine, want, rtol=1e-6 if mine is totals[2] else 1e-14, atol=1e-14)


def test_an_outer_product_is_added_in_place():
    """By itself: only the compiled loop sees that two views are the same memory."""
    z, b, a = random(2, 3).numpy(), random(2, seed=1).numpy(), random(3, seed=2).numpy()
    want = z + 0.5 * np.outer(b, a)
    add_outer(z, 0.5, b, a)
    np.testing.assert_allclose(z, want, rtol=1e-14)


@pytest.mark.parametrize("rule", ["constant", "normalized", "adaptive"])
def test_a_run_is_the_same_on_either(monkeypatch, rule):
    A = random(50, 20, seed=5) + 0.6
    cells = [CellPlan((phi,) * depth, 1, 6) for phi in (Quadratic(), Lp(3.0), Lp(1.5)) for depth in (1, 2, 3)]
    plan = StackPlan(StepRule(rule, 0.05), 40, (40,))
    runs = []
    for name in ("compiled", "plain"):
        if name == "plain":
            for module in (block, data_pass, engine):
                monkeypatch.setattr(module, "loops_for", lambda tensor: torch_loops)
        trainer = StackTrainer(A, cells, plan)
        assert trainer.data_pass.loops is (compiled if name == "compiled" else torch_loops)
        trainer.advance()
        runs.append(trainer.now)
    torch.testing.assert_close(runs[0].w, runs[1].w, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(runs[0].g, runs[1].g, rtol=1e-7, atol=1e-9)


class Halved(Quadratic):
    """A potential whose inverse map is not its parent's: φ(w) = w²."""

    def mirror_map(self, w):
        return 2.0 * w

    def inverse_mirror_map(self, z, out=None):
        return torch.div(z, 2.0, out=out)


@pytest.mark.parametrize("depth", [1, 2])
def test_an_inverse_map_of_ones_own_is_taken(depth):
    """Beside cells whose maps the loops take themselves; several runs of rows in one block."""
    potentials = [Quadratic(), Halved(), Lp(3.0), Hypentropy(0.5), Lp(1.5), Lp(2.5)]
    cells = [CellPlan((phi,) * depth, 1, 6) for phi in potentials]
    trainer = StackTrainer(random(50, 20, seed=5) + 0.6, cells, StackPlan(StepRule("normalized", 0.5), 3, (3,)))
    (one,) = trainer.blocks
    assert [fused is not None for _, fused in one.runs] == [True, False, True, False, True, False]
    start = [z.clone() for z in one.Z]
    trainer.advance()
    for row, phi in enumerate(potentials):
        for z, w, before in zip(one.Z, one.W, start, strict=True):
            assert not torch.equal(z[row], before[row])
            torch.testing.assert_close(w[row], phi.inverse_mirror_map(z[row]), rtol=1e-14, atol=0)
            assert w[row].any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [3, 50, 203, 256, 257, 600])
def test_weighted_points_are_added_to_a_cell_in_one_order_whatever_is_trained_beside_it(d, dtype):
    """Three cells are taken at once, or one (many columns, few registers): a choice that changes no bit."""
    A, weights = random(67, d, seed=d, dtype=dtype), random(8, 67, seed=d, dtype=dtype)
    g = torch.zeros(8, d, dtype=dtype)
    compiled.add_weighted_points(*map(compiled.view, (weights, A, g)))
    for k in range(8):
        alone = torch.zeros_like(g[:1])
        compiled.add_weighted_points(*map(compiled.view, (weights[k : k + 1], A, alone)))
        assert torch.equal(alone[0], g[k])
