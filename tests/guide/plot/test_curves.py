"""The curves are the loss, and its slope."""

import numpy as np
import pytest
import torch

import onepass
from onepass.guide.plot import plot
from tests.guide.plot.expected import EXPECTED, KINKS
from tests.guide.plot.own import entropy
from tests.guide.plot.pictures import curves, points

LOSSES = tuple(onepass.catalogue())


def test_all_losses_have_an_expectation():
    assert set(EXPECTED) == set(LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_value_curves_are_the_loss(name):
    drawn = curves(plot(name).axes[0])
    assert len(drawn) == len(EXPECTED[name])
    for line, expected in zip(drawn, EXPECTED[name], strict=True):
        x, y = points(line)
        assert len(x) > 400
        torch.testing.assert_close(y, expected(x), rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_curves_are_the_slope(name):
    drawn = curves(plot(name).axes[1])
    kinks = torch.tensor([k for found in KINKS.get(name, []) for k in found], dtype=torch.float64)
    for line, expected in zip(drawn, EXPECTED[name], strict=True):
        x, y = points(line)
        away = ((x[:, None] - kinks).abs() > 1e-3).all(1)
        slope = (expected(x + 1e-6) - expected(x - 1e-6)) / 2e-6
        torch.testing.assert_close(y[away], slope[away], rtol=1e-4, atol=1e-4)


def test_gradients_are_the_kernels_where_plain_torch_has_none():
    x, gradient = points(curves(plot(entropy).axes[1])[0])
    assert (gradient[x < 0] == 0).all()
    torch.testing.assert_close(gradient[x > 0.1], x[x > 0.1].log() + 1)
    assert x.min() < -2


def test_method_of_a_loss_is_the_function():
    by_method = onepass.catalogue()["huber_loss"].plot(delta=2)
    for one, other in zip(by_method.axes, plot("huber_loss", delta=2).axes, strict=True):
        for ours, theirs in zip(one.get_lines(), other.get_lines(), strict=True):
            assert np.array_equal(ours.get_xydata(), theirs.get_xydata(), equal_nan=True)
