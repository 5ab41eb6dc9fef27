"""Families of curves, alternatives, and the numbers that stand still."""

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import onepass
from onepass.guide.plot import plot
from onepass.guide.plot.draw import KINK
from tests.guide.plot.expected import EXPECTED, at
from tests.guide.plot.pictures import curves, legend_of, marks, points


def test_family_has_a_curve_for_each_value():
    figure = plot("huber_loss", delta=[0.5, 1, 2])
    for panel in figure.axes:
        drawn = curves(panel)
        assert len({line.get_color() for line in drawn}) == 3
        for line, delta in zip(drawn, (0.5, 1.0, 2.0), strict=True):
            assert line.get_label() == f"delta = {delta:g}"
    for line, delta in zip(curves(figure.axes[0]), (0.5, 1.0, 2.0), strict=True):
        x, y = points(line)
        torch.testing.assert_close(y, T.huber_loss(x, 0 * x, delta=delta, reduction="none"))
    assert legend_of(figure) == ["delta = 0.5", "delta = 1", "delta = 2", "kink"]


def test_families_cross_with_labels():
    figure = plot("binary_cross_entropy_with_logits", pos_weight=[1, 4])
    assert legend_of(figure) == [
        f"pos_weight = {weight}, target = {label}" for weight in (1, 4) for label in (0, 1)
    ]
    styles = [(line.get_color(), line.get_linestyle()) for line in curves(figure.axes[0])]
    assert len(set(styles)) == 4
    assert styles[0][0] == styles[1][0] != styles[2][0] == styles[3][0]
    x, y = points(curves(figure.axes[0])[3])
    weighted = T.binary_cross_entropy_with_logits(
        x, torch.ones_like(x), pos_weight=torch.tensor(4.0), reduction="none"
    )
    torch.testing.assert_close(y, weighted)


def test_tensors_that_stand_still_can_be_placed():
    figure = plot("gaussian_nll_loss", var=0.5, full=True)
    (line,) = curves(figure.axes[0])
    x, y = points(line)
    expected = T.gaussian_nll_loss(x, 0 * x, at(x, 0.5), full=True, reduction="none")
    torch.testing.assert_close(y, expected)
    assert figure.get_suptitle() == "gaussian_nll_loss\nfull = True, var = 0.5"


def test_number_of_classes_can_be_chosen():
    (two_classes, ten) = curves(plot("cross_entropy", classes=[2, 10]).axes[0])
    for line, others in ((two_classes, 1), (ten, 9)):
        x, y = points(line)
        torch.testing.assert_close(y, torch.log1p(others * torch.exp(-x)))


def test_values_may_be_a_tensor_or_an_array():
    for deltas in (torch.tensor([0.5, 2.0]), np.array([0.5, 2.0]), (0.5, 2.0)):
        assert len(curves(plot("huber_loss", delta=deltas).axes[0])) == 2


def test_title_says_what_holds_for_all_curves():
    assert plot("huber_loss", delta=2).get_suptitle() == "huber_loss\ndelta = 2"
    assert plot("mse_loss").get_suptitle() == "mse_loss"
    assert plot("soft_margin_loss", target=-1).get_suptitle() == "soft_margin_loss\ntarget = −1"


def test_alternatives_stand_on_the_same_axes():
    figure = plot("huber_loss", alternatives=["l1_loss", T.mse_loss])
    assert legend_of(figure) == ["huber_loss, delta = 1", "l1_loss", "mse_loss", "kink"]
    for line, name in zip(
        curves(figure.axes[0]), ("huber_loss", "l1_loss", "mse_loss"), strict=True
    ):
        x, y = points(line)
        torch.testing.assert_close(y, EXPECTED[name][0](x))


def test_one_alternative_needs_no_list():
    assert len(curves(plot("l1_loss", alternatives="mse_loss").axes[0])) == 2


def test_a_curve_under_another_one_is_wider():
    figure = plot("binary_cross_entropy_with_logits", alternatives=["soft_margin_loss"])
    ours, _, theirs, _ = curves(figure.axes[0])
    np.testing.assert_allclose(ours.get_ydata(), theirs.get_ydata(), atol=1e-9)
    assert ours.get_linewidth() > 1.3 * theirs.get_linewidth()


@pytest.mark.parametrize("home", [torch.nn, onepass.nn], ids=["torch.nn", "onepass.nn"])
def test_modules_keep_their_settings(home):
    figure = plot(home.HuberLoss(delta=2.0), alternatives=[home.SmoothL1Loss(beta=0.5)])
    assert legend_of(figure)[:2] == ["huber_loss, delta = 2", "smooth_l1_loss, beta = 0.5"]
    assert marks(figure.axes[0], KINK) == [-2, -0.5, 0.5, 2]


def test_settings_given_replace_those_of_a_module():
    assert marks(plot(torch.nn.HuberLoss(delta=2.0), delta=0.5).axes[0], KINK) == [-0.5, 0.5]
