"""The compiled loops of a step against their twins in torch, and a whole run on either."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mdcore.math import block, compiled, data_pass, engine, plain
from mdcore.math.engine import CellPlan, StackPlan, StackTrainer
from mdcore.math.potentials import Lp, Quadratic, signed_power
from mdcore.math.step_rules import StepRule

DTYPES = (torch.float64, torch.float32)


def random(*shape, seed=0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def both(name: str, tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The arguments after a call of the compiled and of the plain function, and what they return, in front."""
    found = []
    for module in (compiled, plain):
        own = [tensor.clone() for tensor in tensors]
        answer = getattr(module, name)(*[module.view(tensor) for tensor in own])
        found.append([torch.tensor(float("nan") if answer is None else float(answer)), *own])
    return found


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


def layers(depth: int, width: int, d: int, cells: int, dtype: torch.dtype, seed: int = 0):
    """A buffer of layers, left and right products, and g."""
    width = width if depth > 1 else 1
    entries = d if depth == 1 else width * d + (depth - 2) * width**2 + width
    buffer = random(cells, entries, seed=seed, dtype=dtype) / math.sqrt(width)
    left, right = (random(depth - 1, cells, width, seed=seed + i, dtype=dtype) for i in (1, 2))
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
    for q in (1.1, 1.5, 2.0, 3.0, 11.0):
        assert_equal_to_rounding("gradient_norm", [left, right, g, torch.full_like(s, q), s])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("module", [compiled, plain], ids=["compiled", "plain"])
def test_the_products_are_those_of_the_layers(depth, module):
    """w = W_L ⋯ W_1, b_l and a_l multiplied out; Z + s b^T a^T is s times the gradient of b·(W_l a)."""
    W, left, right, g = layers(depth, 5, 7, 3, torch.float64)
    w = torch.zeros_like(g)
    module.left_products(*[module.view(t) for t in (W, left, w)])
    module.right_products(*[module.view(t) for t in (W, g, right)])
    per_layer = plain.layers(W, depth - 1, 5, 7)
    for cell in range(3):
        product = torch.eye(1, dtype=torch.float64)
        for layer in range(depth - 1, -1, -1):
            product = product @ per_layer[layer][cell]
            torch.testing.assert_close(left[layer - 1, cell] if layer else w[cell], product[0])
        a = g[cell]
        for layer in range(depth - 1):
            a = per_layer[layer][cell] @ a
            torch.testing.assert_close(right[layer, cell], a)


@pytest.mark.parametrize("place", ["left", "right", "g"])
@pytest.mark.parametrize("value", [1e-200, 1e200, math.nan, math.inf, 0.0])
@pytest.mark.parametrize("module", [compiled, plain], ids=["compiled", "plain"])
def test_sums_out_of_range_are_told(module, value, place):
    _, left, right, g = layers(3, 4, 6, 2, torch.float64)
    q = torch.full((2,), 2.0, dtype=torch.float64)
    {"left": left[1, 1], "right": right[0, 1], "g": g[1]}[place][:] = value
    arguments = [module.view(tensor) for tensor in (left, right, g, q, torch.zeros_like(q))]
    assert not module.gradient_norm(*arguments)
    left[0] = value
    assert not module.entry_scale(module.view(left), module.view(torch.zeros_like(q)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_signed_powers_are_exact_everywhere(dtype, exponent):
    tiny = torch.finfo(dtype).smallest_normal
    edge = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, tiny, -tiny, tiny / 8, 1e-15, -1e-15], dtype=dtype)
    z = torch.cat([edge, random(990, dtype=dtype)]).view(10, 100)[:, 1:]  # a view with gaps, as pieces of a block are
    found = signed_power(z, exponent, torch.empty_like(z))
    want = z.abs().pow(exponent).copysign(z)
    torch.testing.assert_close(found, want, rtol=torch.finfo(dtype).eps, atol=0, equal_nan=True)
    assert np.array_equal(np.signbit(found[z == z].numpy()), np.signbit(want[z == z].numpy()))


@pytest.mark.parametrize("rule", ["constant", "normalized", "adaptive"])
def test_a_run_is_the_same_on_either(monkeypatch, rule):
    A = random(50, 20, seed=5) + 0.6
    cells = [CellPlan((phi,) * depth, 1, 6) for phi in (Quadratic(), Lp(3.0), Lp(1.5)) for depth in (1, 2, 3)]
    plan = StackPlan(StepRule(rule, 0.05), 40, (40,))
    runs = []
    for name in ("compiled", "plain"):
        if name == "plain":
            monkeypatch.setattr(block, "compiled", plain)
            monkeypatch.setattr(data_pass, "compiled", plain)
            monkeypatch.setattr(engine, "compiled", plain)
        trainer = StackTrainer(A, cells, plan)
        assert trainer.data_pass.loops is (compiled if name == "compiled" else plain)
        trainer.advance()
        runs.append(trainer.now)
    torch.testing.assert_close(runs[0].w, runs[1].w, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(runs[0].g, runs[1].g, rtol=1e-7, atol=1e-9)
