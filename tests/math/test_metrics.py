"""Metrics against closed forms and numpy."""

import math

import numpy as np
import pytest
import torch

from mdcore.math import metrics
from mdcore.math.models import DeepLinear, end_to_end, initial_weights, layer_shapes
from mdcore.math.potentials import Cosh, Hypentropy, LayerScaled, Lp, Quadratic, Scaled
from mdcore.training.measures import equal_loss_angles


def vec(*entries):
    return torch.tensor(entries, dtype=torch.float64)


@pytest.mark.parametrize("degrees", [0.0, 1e-9, 1e-4, 30.0, 90.0, 150.0, 179.9999, 180.0])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_angle_is_signed_and_exact_at_both_ends(degrees, scale):
    radians = math.radians(degrees)
    got = metrics.angle(scale * vec(1, 0), 3 * vec(math.cos(radians), math.sin(radians))).item()
    assert got == pytest.approx(degrees, rel=1e-6, abs=2e-14 if degrees < 1 else 1e-6)


def test_an_opposite_vector_is_at_180_degrees():
    assert metrics.angle(vec(1, 2, 3), vec(-1, -2, -3)).item() == 180.0


def test_angle_of_the_zero_vector_is_not_a_number():
    assert metrics.angle(vec(0, 0), vec(1, 0)).isnan()


@pytest.mark.parametrize("p", [1.0, 1.1, 2.0, 3.0, 20.0, math.inf])
@pytest.mark.parametrize("scale", [1e-250, 1.0, 1e250])
def test_p_norm_does_not_overflow(p, scale):
    w = np.array([0.3, -1.2, 0.0, 2.5])
    assert metrics.p_norm(torch.tensor(scale * w), p).item() == pytest.approx(
        scale * np.linalg.norm(w, p), rel=1e-12, abs=0
    )
    assert metrics.p_norm(torch.zeros(3, dtype=torch.float64), p).item() == 0.0


def test_conjugate_exponents():
    pairs = ((1.0, math.inf), (math.inf, 1.0), (2.0, 2.0), (3.0, 1.5), (1.5, 3.0))
    assert [(p, metrics.conjugate_exponent(p)) for p, _ in pairs] == list(pairs)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(3, 2), (4, 5), (1, 4)], r"\(3, 2\) is followed by \(4, 5\)"),
        ([(3, 2), (4, 3), (1, 3)], r"\(4, 3\) is followed by \(1, 3\)"),
        ([(3, 2), (3, 3), (2, 3)], "the last layer has 2 rows"),
    ],
)
def test_layers_that_do_not_fit_are_refused(shapes, words):
    with pytest.raises(ValueError, match=words):
        DeepLinear([torch.zeros(*shape) for shape in shapes])
    assert DeepLinear([torch.zeros(3, 2), torch.zeros(1, 3)]).depth == 2


@pytest.mark.parametrize("shape", [(7, 30), (30, 7), (1, 12), (6, 6)])
def test_top_singular_vectors_against_svd(shape):
    W = torch.randn(3, *shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    u, _, v = metrics.top_singular_vectors(W)
    U, _, Vh = torch.linalg.svd(W)
    torch.testing.assert_close((u * U[..., 0]).sum(-1).abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close((v * Vh[:, 0]).sum(-1).abs(), torch.ones(3, dtype=torch.float64))


def test_alignment_uses_the_right_vector_of_the_outer_and_the_left_of_the_inner_layer():
    u, v, t = (metrics.unit(x) for x in (vec(1, 2, 0), vec(0, 1, 1, 1), vec(1, 0, 0)))
    inner = 5 * torch.outer(u, v)  # left vector u
    aligned, crossed = 2 * u.unsqueeze(0), 2 * metrics.unit(vec(2, -1, 0)).unsqueeze(0)
    assert metrics.alignment_and_stable_rank([inner, aligned])[0].item() == pytest.approx(1.0)
    assert metrics.alignment_and_stable_rank([inner, crossed])[0].item() == pytest.approx(0.0, abs=1e-12)
    middle = torch.outer(t, u)  # a layer between: right vector u, left vector t
    alignment, rank = metrics.alignment_and_stable_rank([inner, middle, t.unsqueeze(0)])
    assert alignment.item() == pytest.approx(1.0) and rank.item() == pytest.approx(1.0)


def test_stable_rank_of_an_orthogonal_layer_is_its_size():
    Q = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    assert metrics.alignment_and_stable_rank([Q, vec(1, 0, 0, 0, 0).unsqueeze(0)])[1].item() == pytest.approx(5.0)


def test_participation_counts_equal_neurons():
    W1 = torch.zeros(6, 4, dtype=torch.float64)
    W1[:3] = 1.0
    W2 = torch.ones(1, 6, dtype=torch.float64)
    assert metrics.participation([W1, W2], 1.5).item() == pytest.approx(3.0)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_participation_of_unequal_neurons_by_hand(p, scale):
    W1, W2 = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.0]]), np.array([[2.0, -1.0, 3.0], [1.0, 0.0, -1.0]])
    norm = {"in": [(a**p + b**p) ** (1 / p) for a, b in ((1, 2), (3, 4), (0.5, 0))],
            "out": [(a**p + b**p) ** (1 / p) for a, b in ((2, 1), (1, 0), (3, 1))]}  # fmt: skip
    c = [a * b for a, b in zip(norm["in"], norm["out"])]
    expected = sum(c) ** 2 / sum(x**2 for x in c)
    ones = torch.ones(3, 2, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    stack = [torch.stack([scale * torch.tensor(W), one]) for W, one in zip((W1, W2 / scale**0.5), ones)]
    assert metrics.participation(stack, p).tolist() == pytest.approx([expected, 3.0], rel=1e-12)


@pytest.mark.parametrize(
    "phi", [Quadratic(), LayerScaled(3.0), Lp(1.5), Lp(3.0), Hypentropy(0.5), Cosh(1.0), Scaled()], ids=repr
)
def test_invariants_do_not_move_along_the_flow(phi):
    """With Ż_l = G_l the invariants have no first-order change: one Euler step changes them by O(t^{1+ν}), ν > 0."""
    W = initial_weights(0, layer_shapes(3, 5, 7), 1.0)
    for w in W:
        w.requires_grad_()
    A = torch.randn(9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    risk = torch.nn.functional.softplus(-(A @ end_to_end(W))).mean()
    G = [-g for g in torch.autograd.grad(risk, W)]
    Z = [phi.mirror_map(w.detach()) for w in W]
    start = metrics.balance_invariants([phi] * 3, Z)

    def drift(t, layers):
        moved = metrics.balance_invariants([phi] * 3, [z + t * g for z, g in zip(Z, layers)])
        return (moved - start).abs().max().item() / t

    assert drift(1e-9, G) < 1e-3 * drift(1e-9, [g.sign() * g.abs().mean() for g in G])
    if not isinstance(phi, Scaled):  # ν = 1 where the inverse map is smooth at these weights
        assert drift(1e-3, G) / drift(5e-4, G) == pytest.approx(2.0, rel=0.1)


def test_the_same_seed_and_shapes_give_the_same_start():
    first, again = (initial_weights(3, layer_shapes(3, 4, 6), 0.3) for _ in range(2))
    for a, b in zip(first, again):
        assert torch.equal(a, b)
    other = initial_weights(4, layer_shapes(3, 4, 6), 0.3)
    assert not torch.equal(first[0], other[0])
    assert first[0].std().item() == pytest.approx(0.3 / math.sqrt(6), rel=0.5)
    assert initial_weights(0, [(50, 20), (1, 50)], 1.0, "uniform")[0].abs().max() <= 1 / math.sqrt(20)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_every_layer_has_a_random_stream_of_its_own(distribution):
    """Also layers of one shape: no number is drawn twice, in no layer, seed or stack of layers."""
    layers = [layer for seed in range(3) for layer in initial_weights(seed, layer_shapes(6, 5, 5), 1.0, distribution)]
    entries = torch.cat([layer.flatten() for layer in layers])
    assert len(entries.unique()) == len(entries) == 3 * (5 * 25 + 5)
    shares = torch.stack([layer.flatten() for layer in layers if layer.shape == (5, 5)])
    likeness = torch.corrcoef(shares) - torch.eye(len(shares), dtype=torch.float64)
    assert likeness.abs().max() < 0.75  # 105 pairs of 25 independent entries; one stream twice: 1


def test_zero_start_is_refused_where_it_is_a_saddle():
    with pytest.raises(ValueError, match="saddle"):
        initial_weights(0, layer_shapes(2, 3, 4), 0.0)
    assert not initial_weights(0, layer_shapes(1, None, 4), 0.0)[0].any()


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize(
    ("start", "separates"), [((-9e3, -9e3), False), ((-5, 4), False), ((1, 0.4), True), ((0.8, 4), True)]
)
def test_two_paths_at_equal_loss_are_read_where_the_level_is_reached(start, separates, loss):
    """One interval leads from `start` far beyond the level of the other path."""
    A = torch.tensor([[1.0, 0.2], [0.3, 1.0], [0.8, 0.7]], dtype=torch.float64)

    def level(w):
        m = w @ A.T
        log_loss = -m if loss == "exponential" else torch.nn.functional.softplus(-m).log().where(m < 30, -m)
        return (math.log(len(A)) - torch.logsumexp(log_loss, -1)).numpy()

    deep = torch.tensor([start, (3000.0, 2900.0)], dtype=torch.float64)
    linear = torch.tensor([(0.2, 0.2), (40.0, 40.0)], dtype=torch.float64)
    angle = equal_loss_angles(deep, level(deep), linear, level(linear))[-1]
    assert math.isnan(angle) != separates
    if separates:
        segment = deep[0] + torch.linspace(0, 1, 200001, dtype=torch.float64)[:, None] * (deep[1] - deep[0])
        first = segment[int(np.argmax(level(segment) >= level(linear)[1]))]
        assert angle == pytest.approx(float(metrics.angle(first, linear[1])), abs=0.3)
    assert equal_loss_angles(linear, level(linear), linear, level(linear))[-1] == 0


@pytest.mark.parametrize(("depth", "width", "dim"), [(2, None, 3), (2, 0, 3), (3, -1, 3), (0, 4, 3), (1, None, 0)])
def test_shapes_that_no_network_has_are_refused(depth, width, dim):
    with pytest.raises(ValueError, match=r"at least 1|needs width ≥ 1"):
        layer_shapes(depth, width, dim)
    assert layer_shapes(3, 1, 1) == [(1, 1)] * 3
