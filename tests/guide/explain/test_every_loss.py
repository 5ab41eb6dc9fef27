"""Any loss is explained with autograd's numbers, and its tensors are left as they are."""

import json
import warnings

import pytest
import torch
import torch.nn.functional as T

import onepass
import onepass.functional as F
from onepass import explain, nn
from tests.guide.correct import correct
from tests.guide.explain.calls import LOSSES, tensors_of
from tests.guide.explain.expected import Expected, assert_largest, assert_spread
from tests.guide.explain.fitting import assert_fits


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_shares_and_places_are_those_of_autograd(loss, reduction):
    tensors = tensors_of(loss)
    shown = explain(loss, **tensors, reduction=reduction)
    expected = Expected(getattr(T, loss), tensors, reduction)
    assert shown.loss == loss
    assert shown.reduction == reduction
    assert shown.shape == tuple(expected.losses.shape)
    assert (shown.elements, shown.counting) == (expected.losses.numel(),) * 2
    assert (shown.lost, shown.step) == (0, 1)
    assert_spread(shown.spread, expected)
    assert_largest(shown, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", LOSSES)
def test_any_correct_call_is_explained(loss, seed):
    """With masks, weights, half types, of any shape, whatever the rows that do not count hold."""
    tensors, options = correct(loss, seed)
    shown = explain(loss, *tensors, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = getattr(F, loss)(*tensors, **options).double().mean().item()
    assert shown.spread.value == pytest.approx(value, rel=1e-2, abs=1e-3, nan_ok=True)
    assert sum(element.share for element in shown.largest) <= 1 + 1e-9
    assert_fits(shown)
    assert json.loads(json.dumps(shown.as_dict(), allow_nan=False)) == shown.as_dict()


@pytest.mark.parametrize("loss", LOSSES)
def test_tensors_are_left_as_they_are(loss):
    tensors = tensors_of(loss)
    leaves = {n: t.clone().requires_grad_(t.is_floating_point()) for n, t in tensors.items()}
    first = next(iter(tensors))
    given = {**leaves, first: leaves[first] * 1.0}  # with a graph behind it, as a model makes it
    explain(loss, **given)
    assert all(torch.equal(leaf, tensors[name]) for name, leaf in leaves.items())
    assert all(leaf.grad is None for leaf in leaves.values())
    given[first].sum().backward()  # the graph is still there
    assert torch.equal(leaves[first].grad, torch.ones_like(leaves[first]))


def test_every_way_to_name_a_loss_explains_it_with_its_settings():
    tensors = tensors_of("huber_loss")
    expected = explain("huber_loss", **tensors, delta=0.3)
    for loss in (nn.HuberLoss(delta=0.3), torch.nn.HuberLoss(delta=0.3)):
        assert explain(loss, *tensors.values()) == expected
    assert explain(F.huber_loss, *tensors.values(), "mean", 0.3) == expected


def test_a_loss_of_ones_own():
    @onepass.pointwise
    def fourth(input, target):
        return (input - target) ** 4

    def plain(input, target, reduction):
        value = (input - target) ** 4
        return value.mean() if reduction == "mean" else value

    tensors = tensors_of("mse_loss")
    shown = explain(fourth, *tensors.values())
    assert_spread(shown.spread, Expected(plain, tensors))
    assert shown.relatives == ()
