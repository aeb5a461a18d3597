"""Losses in the log domain against mpmath-free closed forms, autograd, and the far tail."""

import math

import pytest
import torch

from mdcore.math import losses

MARGINS = [-50.0, -3.0, -1e-9, 0.0, 1e-9, 0.5, 5.0, 30.0, 36.0]


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("m", MARGINS)
def test_log_loss_is_the_log_of_the_loss(loss, m):
    exact = math.log(math.log1p(math.exp(-m)) if loss == "logistic" else math.exp(-m))
    got = losses.log_loss(torch.tensor(m, dtype=torch.float64), loss).item()
    assert got == pytest.approx(exact, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("m", [41.0, 700.0, 1e4, 1e8])
def test_the_logistic_tail_is_exponential(m):
    assert losses.log_loss(torch.tensor(m, dtype=torch.float64), "logistic").item() == -m


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_weights_are_minus_the_slope_of_the_risk(loss):
    m = torch.linspace(-3, 9, 50, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(losses.log_risk(m, loss).exp(), m)
    torch.testing.assert_close(losses.log_weights(m.detach(), loss).exp(), -slope, rtol=1e-11, atol=0)


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("offset", [-2.0, 0.0, 3.0, 100.0, 800.0, 1e6])
def test_scaled_weights_agree_with_log_weights_and_do_not_underflow(loss, offset):
    m = offset + torch.linspace(0, 900, 200, dtype=torch.float64).unsqueeze(0)
    shift = losses.weight_shift(m.amin(dim=1), loss).unsqueeze(1)
    scaled = losses.scaled_weights_(m.clone(), shift, loss)
    expected = (losses.log_weights(m, loss) + shift + math.log(m.shape[1])).exp()
    torch.testing.assert_close(scaled, expected, rtol=1e-9, atol=1e-299)
    assert 0.5 <= scaled.max() <= 1.0


def test_a_risk_of_1e_minus_3000_is_kept_apart_from_zero():
    m = torch.full((1, 4), 7000.0, dtype=torch.float64)
    assert losses.log_risk(m, "logistic").item() == -7000.0


def test_losses_are_summed_along_the_last_axis():
    m = torch.linspace(-3, 9, 24, dtype=torch.float64).view(2, 3, 4)
    by_hand = [[sum(math.log1p(math.exp(-x)) for x in cell) for cell in cells] for cells in m.tolist()]
    torch.testing.assert_close(losses.logistic_sum(m), torch.tensor(by_hand, dtype=torch.float64))


def test_unknown_loss_is_refused():
    with pytest.raises(ValueError, match=r"hinge.*logistic, exponential"):
        losses.check_loss("hinge")
