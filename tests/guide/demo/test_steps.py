"""A loss that is wrong is noticed at every step."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from onepass.guide.demo import report, steps, training
from tests.guide.demo.comparison import compared, rendered


class Off(nn.MSELoss):
    """One per mille off."""

    def forward(self, input, target):
        return 1.001 * super().forward(input, target)


class ValueOff(nn.MSELoss):
    """One per mille off, with the right gradient."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return loss + 0.001 * loss.detach()


class GradientOff(nn.MSELoss):
    """The gradient is one per cent off, the value right: it trains as well as the right loss."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return loss + 0.01 * (loss - loss.detach())


class OffOnce(nn.MSELoss):
    """One step of all has another gradient."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, input, target):
        loss = super().forward(input, target)
        self.calls += 1
        return loss + 0.01 * (loss - loss.detach()) if self.calls == 7 else loss


class ValueIsNan(nn.MSELoss):
    """The value of one step is nan; all gradients are right."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, input, target):
        loss = super().forward(input, target)
        self.calls += 1
        return loss + math.nan if self.calls == 7 else loss


class GradientIsNan(nn.MSELoss):
    """The value of the first step is right, its gradient is nan."""

    def forward(self, input, target):
        if input.requires_grad:
            input.register_hook(lambda gradient: gradient * torch.tensor(math.nan))
        return super().forward(input, target)


class OtherSign(nn.MSELoss):
    """The gradient leads uphill."""

    def forward(self, input, target):
        loss = super().forward(input, target)
        return 2 * loss.detach() - loss


class OtherDivisor(nn.MSELoss):
    """The mean divides by one less than there are."""

    def forward(self, input, target):
        return super().forward(input, target) * input.numel() / (input.numel() - 1)


class Signed(nn.HuberLoss):
    """It forgets that a difference may be below -delta."""

    def forward(self, input, target):
        difference = input - target
        linear = self.delta * (difference - self.delta / 2)
        return torch.where(difference < self.delta, difference.square() / 2, linear).mean()


WRONG = [Off, ValueOff, GradientOff, OffOnce, ValueIsNan, GradientIsNan, OtherSign, OtherDivisor]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_loss_that_is_wrong_is_noticed(monkeypatch, wrong):
    result = compared(monkeypatch, nn.MSELoss(), wrong())
    assert not result.difference.agrees
    assert not result.agrees
    shown = rendered(80, report.table([result]), report.summary([result]))
    assert "apart ✗" in shown
    assert "✗ 0 of 1 losses" in shown


def test_a_signed_difference_is_noticed(monkeypatch):
    result = compared(monkeypatch, nn.HuberLoss(delta=0.5), Signed(delta=0.5), "huber_loss")
    assert not result.difference.agrees


def test_the_same_loss_is_not_apart_at_all(monkeypatch):
    result = compared(monkeypatch, nn.MSELoss(), nn.MSELoss())
    assert result.difference == steps.Difference(0.0, 0.0)
    assert result.metric_difference == 0
    assert result.agrees
    assert "identical ✓" in rendered(80, report.table([result]))


def test_value_and_gradient_are_told_apart(monkeypatch):
    value = compared(monkeypatch, nn.MSELoss(), ValueOff()).difference
    assert value.gradient == 0
    assert 1e-4 < value.value < 1e-3  # of 1 and the loss
    gradient = compared(monkeypatch, nn.MSELoss(), GradientOff()).difference
    assert gradient.value == 0
    assert gradient.gradient == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_that_is_off_trains_as_well_and_only_the_steps_tell(monkeypatch):
    assert compared(monkeypatch, nn.MSELoss(), GradientOff()).learns_the_same


def test_a_parameter_without_a_gradient_has_zeros():
    parameter = nn.Parameter(torch.ones(2))
    assert torch.equal(steps.gradient(parameter), torch.zeros(2))


def test_the_scale_of_a_loss_does_not_change_how_far_gradients_are_apart():
    a = [torch.tensor([1.0, 2.0]), torch.tensor([[-4.0]])]
    b = [torch.tensor([1.0, 2.5]), torch.tensor([[-4.0]])]
    assert steps.of_gradients(a, b) == 0.125
    for scale in (2.0**-20, 2.0**20):
        assert steps.of_gradients(*([scale * part for part in parts] for parts in (a, b))) == 0.125


def test_gradients_that_vanish():
    zero, one, broken = torch.zeros(2), torch.ones(2), torch.tensor([0.0, math.nan])
    assert steps.of_gradients([zero], [zero]) == 0
    assert steps.of_gradients([zero], [one]) == math.inf
    assert math.isnan(steps.of_gradients([zero], [broken]))
    assert math.isnan(steps.of_gradients([broken], [zero]))


@pytest.mark.parametrize("numbers", [[math.nan, 1.0], [1.0, math.nan], [0.0, math.nan, 1.0]])
def test_nan_is_the_largest(numbers):
    assert math.isnan(steps.largest(numbers))


def test_nan_does_not_agree(results):
    result = results["mse_loss"]
    assert result.agrees
    for broken in (steps.Difference(math.nan, 0.0), steps.Difference(0.0, math.nan)):
        assert not broken.agrees
        assert not replace(result, difference=broken).agrees
    trajectory, before = result.ours.trajectory, result.ours.before
    for run in (training.Run(trajectory, before, math.nan), training.Run([], math.nan, math.nan)):
        assert not replace(result, ours=run).agrees
        assert not replace(result, theirs=run).agrees
