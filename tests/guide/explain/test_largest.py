"""Which elements pull the most, and where they are."""

import pytest
import torch
import torch.nn.functional as T

from onepass import explain
from tests.guide.explain.calls import normal
from tests.guide.explain.expected import Expected, assert_spread


def test_the_largest_show_what_the_tensors_hold_there():
    input, target = torch.zeros(4, 3), torch.zeros(4, 3)
    input[2, 1], target[2, 1] = 5.0, -2.0
    input[0, 2] = -1.0
    first, second = explain("mse_loss", input, target, reduction="sum").largest
    assert (first.place, first.numbers) == ((2, 1), {"input": 5.0, "target": -2.0})
    assert (first.loss, first.gradient, first.share) == (49.0, 14.0, 14 / 16)
    assert (second.place, second.gradient) == ((0, 2), -2.0)


def test_rows_show_the_number_of_the_true_class_and_lengths():
    logits, target = torch.tensor([[1.0, 2.0, 4.0], [9.0, 0.0, 0.0]]), torch.tensor([1, 0])
    numbers = explain("cross_entropy", logits, target).largest[0].numbers
    assert numbers == {"input at target": 2.0, "target": 1.0}
    labels = (logits > 1).float()
    numbers = explain("multilabel_soft_margin_loss", logits, labels).largest[0].numbers
    assert numbers == {"|input|": 9.0, "sum of target": 1.0}
    layer = torch.eye(3)  # as many features as classes
    shown = explain("linear_cross_entropy", logits, layer, target)
    assert shown.largest[0].numbers == {"|input|": pytest.approx(21**0.5), "target": 1.0}


def test_of_equal_gradients_the_larger_losses_come_first():
    input = torch.tensor([1.0, -7.0, 3.0, 0.0])
    shown = explain("l1_loss", input, torch.zeros(4))
    assert [element.place for element in shown.largest] == [(1,), (2,), (0,)]


def test_places_along_three_axes():
    logits = torch.zeros(2, 5, 4, 3)  # (N, C, H, W): the loss is of shape (2, 4, 3)
    logits[1, 0, 3, 2] = 30.0
    target = torch.ones(2, 4, 3, dtype=torch.int64)
    shown = explain("cross_entropy", logits, target)
    assert shown.shape == (2, 4, 3)
    assert shown.largest[0].place == (1, 3, 2)
    assert shown.largest[0].loss == pytest.approx(30)
    last = explain("cross_entropy", logits.movedim(1, -1), target, dim=-1)
    assert last.largest == shown.largest
    assert last.groups == shown.groups


def test_one_number_that_serves_many_elements_pulls_in_each():
    input, target = normal(4, 3), normal(3)
    whole = {"input": input, "target": target.expand(4, 3).clone()}
    shown = explain("mse_loss", input, target)
    assert_spread(shown.spread, Expected(T.mse_loss, whole))
    assert shown == explain("mse_loss", **whole)
    one = explain("mse_loss", input[0], input)
    assert one == explain("mse_loss", input[0].expand(4, 3).clone(), input)
    anchor, others = normal(1, 6), (normal(4, 6), normal(4, 6))
    shared = explain("triplet_margin_loss", anchor, *others)
    assert shared == explain("triplet_margin_loss", anchor.expand(4, 6).clone(), *others)
