"""One test over all potentials: the maps against autograd, each other, and Fenchel-Young."""

import math

import pytest
import torch

from mdcore.math.potentials import (
    BUILTIN,
    Cosh,
    Hypentropy,
    LayerScaled,
    Lp,
    Potential,
    Quadratic,
    Scaled,
    normalisation_exponent,
    potential,
    signed_power,
)

POTENTIALS = [
    Quadratic(), LayerScaled(4.0), Scaled(), Hypentropy(0.1), Hypentropy(3.0), Cosh(0.5), Cosh(2.0),
    *(Lp(p) for p in (1.05, 1.1, 1.5, 2.0, 2.5, 3.0, 6.0, 10.0, 20.0)),
]  # fmt: skip
IDS = [repr(phi) for phi in POTENTIALS]
each_potential = pytest.mark.parametrize("phi", POTENTIALS, ids=IDS)


def points(count=400, low=-6, high=1.5):
    """Weights of both signs over many decades, and zero."""
    generator = torch.Generator().manual_seed(0)
    size = 10 ** (low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64))
    sign = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    return torch.cat([torch.zeros(1, dtype=torch.float64), sign * size])


@each_potential
def test_mirror_map_is_the_gradient_of_the_value(phi):
    w = points(low=-2).requires_grad_()
    (gradient,) = torch.autograd.grad(phi.value(w), w)
    torch.testing.assert_close(phi.mirror_map(w.detach()), gradient, rtol=1e-9, atol=1e-12)


@each_potential
def test_inverse_map_is_the_gradient_of_the_conjugate(phi):
    w = points(low=-1, high=0.5)[1:]
    z = phi.mirror_map(w).requires_grad_()
    if isinstance(phi, Scaled):  # its conjugate goes through Newton, which autograd need not follow: differences
        h = 1e-6 * z.detach().abs()
        slope = (phi.conjugate_per_entry(z.detach() + h) - phi.conjugate_per_entry(z.detach() - h)) / (2 * h)
        torch.testing.assert_close(slope, w, rtol=1e-6, atol=1e-8)
    else:
        (gradient,) = torch.autograd.grad(phi.conjugate(z), z)
        torch.testing.assert_close(phi.inverse_mirror_map(z.detach()), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", [cls for cls in BUILTIN.values() if cls.quadratic_at is not None])
def test_where_a_potential_is_the_quadratic_one(cls):
    w = points()
    assert torch.equal(cls(**cls.quadratic_at).mirror_map(w), w)


@pytest.mark.parametrize(("name", "parameter"), [(c, k) for c, cls in BUILTIN.items() for k in cls.parameters])
@pytest.mark.parametrize("value", [0, -0.5, -math.inf, math.nan])
def test_parameters_out_of_range_are_refused(name, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter}.*expected"):
        potential(name, **{parameter: value})
    assert BUILTIN[name].parameters[parameter].per_layer is (name == "layer_scaled")


@pytest.mark.parametrize(
    ("given", "parameters", "message"),
    [
        ("lp", {}, r"^potential lp: got no parameter; expected p, a number > 1$"),
        ("lp", {"p": 1.5, "q": 2}, r"^potential lp: got p=1.5, q=2; expected p, a number > 1$"),
        ({"lp": None}, {}, r"^potential lp: got no parameter; expected p"),
        ("quadratic", {"p": 2}, r"^potential quadratic: got p=2; expected no parameter$"),
        ("quadratik", {}, r"^potential: got 'quadratik'; expected one of .*; did you mean 'quadratic'\?$"),
        (3, {}, r"^potential: got 3; expected one of .* of your own$"),
        ([], {}, r"^potential: got \[\]; expected"),
        ({}, {}, r"^potential: got {}; expected"),
        ({"lp": {"p": 2}, "scaled": None}, {}, r"^potential: got {'lp'.*; expected"),
        ({"lp": {"p": 2}}, {"p": 3}, r"^potential: got {'lp'.*; expected"),
    ],
)
def test_a_potential_that_is_none_is_told(given, parameters, message):
    with pytest.raises(ValueError, match=message):
        potential(given, **parameters)


def test_potentials_whose_state_cannot_be_compared_are_different():
    class Weighted(Quadratic):
        def __init__(self):
            super().__init__()
            self.weights = torch.ones(2)

    one, other = Weighted(), Weighted()
    assert one == one and one != other and Quadratic() == Quadratic() != one


def test_a_potential_by_its_name_or_as_grid_files_write_it():
    assert potential("lp", p=1.5) == potential({"lp": {"p": 1.5}}) == Lp(1.5)
    assert potential({"quadratic": None}) == potential("quadratic") == Quadratic()


def test_inverse_maps_that_are_powers_are_the_cheapest_and_newtons_the_dearest():
    """What plans rest on: the engine takes the inverse exponents 1, 2 and ½ inside its loops."""
    cost = {phi: type(phi).map_cost({"p": getattr(phi, "p", None)}) for phi in POTENTIALS}
    for phi, expected in cost.items():
        power = getattr(phi, "inverse_exponent", 0.0) in (0.5, 1.0, 2.0)
        assert (expected == 1.0) == power and expected >= 1.0
    assert max(cost, key=cost.get) == Scaled()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 0.7])
def test_signed_powers(exponent):
    z = torch.tensor([0.0, -math.inf, math.inf, -4.0, 9.0], dtype=torch.float64)
    expected = torch.sign(z) * z.abs() ** exponent
    for out in (None, torch.empty_like(z)):
        assert torch.equal(signed_power(z, exponent, out), expected)


@each_potential
def test_the_maps_invert_each_other(phi):
    w = points(low=-6, high=1.0)
    if isinstance(phi, Lp) and phi.p > 6:
        w = w[w.abs() > 1e-3]  # |w|^{p−1} would underflow: Z, not W, is the state
    back = phi.inverse_mirror_map(phi.mirror_map(w))
    torch.testing.assert_close(back, w, rtol=2e-12, atol=1e-300)


@each_potential
def test_inverse_map_is_odd_monotone_and_writes_into_out(phi):
    z = torch.sort(points(low=-12, high=1.0)).values
    w = phi.inverse_mirror_map(z)
    assert (w[1:] >= w[:-1]).all()
    torch.testing.assert_close(phi.inverse_mirror_map(-z), -w, rtol=0, atol=0)
    out, kept = torch.full_like(z, math.nan), z.clone()
    assert phi.inverse_mirror_map(z, out=out) is out
    torch.testing.assert_close(out, w, rtol=0, atol=0)
    torch.testing.assert_close(z, kept, rtol=0, atol=0)


@each_potential
def test_fenchel_young(phi):
    w, z = points(low=-2, high=0.5), phi.mirror_map(points(low=-2, high=0.5).flip(0))
    slack = phi.value_per_entry(w) + phi.conjugate_per_entry(z) - w * z
    scale = 1 + phi.value_per_entry(w).abs() + phi.conjugate_per_entry(z).abs()
    assert (slack >= -1e-12 * scale).all()
    tight = phi.value_per_entry(w) + phi.conjugate_per_entry(phi.mirror_map(w)) - w * phi.mirror_map(w)
    assert (tight.abs() <= 1e-12 * scale).all()


@each_potential
def test_bregman_divergence(phi):
    u, v = points(low=-1, high=0.5), points(low=-1, high=0.5).flip(0)
    assert phi.bregman(u, u).item() == pytest.approx(0.0, abs=1e-12)
    assert phi.bregman(u, v) > 0
    by_hand = sum(
        phi.value(a) - phi.value(b) - phi.mirror_map(b) * (a - b) for a, b in zip(u.unsqueeze(1), v.unsqueeze(1))
    )
    torch.testing.assert_close(phi.bregman(u, v), by_hand.squeeze(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("p", [1.1, 1.5, 2.0, 3.0, 10.0])
def test_lp_inverse_has_no_clamp(p):
    z = torch.tensor([1e-15, -1e-30, 1e-200], dtype=torch.float64)
    expected = [math.copysign(abs(x) ** (1 / (p - 1)), x) for x in z.tolist()]
    torch.testing.assert_close(
        Lp(p).inverse_mirror_map(z), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_scaled_inverse_to_machine_precision_from_1e_minus_90_to_1e150():
    r = torch.logspace(-90, 150, 4000, dtype=torch.float64)
    torch.testing.assert_close(Scaled().inverse_mirror_map(Scaled().mirror_map(r)), r, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lp(1.0),
        lambda: Lp(0.5),
        lambda: Lp(math.nan),
        lambda: Lp(math.inf),
        lambda: Hypentropy(0),
        lambda: Cosh(-1),
        lambda: LayerScaled(math.nan),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(ValueError, match="expected a finite number"):
        make()


def test_builtin_names_and_limits():
    assert set(BUILTIN) == {"quadratic", "layer_scaled", "lp", "scaled", "hypentropy", "cosh"}
    limits = {type(phi).name: phi.limit_p for phi in (Quadratic(), LayerScaled(2), Scaled(), Hypentropy(1), Cosh(1))}
    assert limits == {"quadratic": 2, "layer_scaled": 2, "scaled": 2, "hypentropy": 1, "cosh": math.inf}
    assert Lp(1.5).limit_p == 1.5


def test_the_base_class_says_what_is_missing():
    with pytest.raises(TypeError, match="mirror_map"):
        Potential().mirror_map(torch.zeros(1))


def test_normalisation_exponent_is_q_for_one_lp_and_2_otherwise():
    assert normalisation_exponent([Lp(1.5)] * 3) == pytest.approx(3.0)
    assert normalisation_exponent([Lp(1.5), Lp(3.0)]) == 2.0
    assert normalisation_exponent([Hypentropy(0.1)]) == 2.0
