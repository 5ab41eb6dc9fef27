"""What torch's functions and autograd say of a loss, and that an explanation says the same."""

import math
import warnings

import pytest
import torch

from onepass.guide.explain.parts import TOPS

FIXED = ("target", "linear_weight")  # what no model predicts


class Expected:
    """The same by torch's own function and autograd: value, losses and pulls of the elements."""

    def __init__(self, function, tensors, reduction="mean", axis=-1, **options):
        leaves = {n: t.clone().requires_grad_(n not in FIXED) for n, t in tensors.items()}
        predictions = [leaf for leaf in leaves.values() if leaf.requires_grad]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kl_div's 'mean'
            value = function(**leaves, **options, reduction=reduction)
            self.losses = function(**leaves, **options, reduction="none").detach()
        self.slopes = torch.autograd.grad(value.sum(), predictions)
        self.value = value.mean().item()
        sizes = [slope.abs() for slope in self.slopes]
        if sizes[0].shape != self.losses.shape:
            sizes = [size.sum(axis) for size in sizes]
        self.pulls = sum(sizes)


def held(sizes, share):
    """What the largest share of all holds of their sum."""
    count = math.ceil(share * sizes.numel())
    return share_of(sizes.flatten().topk(count).values, sizes)


def share_of(part, sizes):
    return (part.sum() / sizes.sum()).item() if sizes.any() else 0.0


def assert_near(one, other):
    """The same structure, its numbers up to rounding."""
    if isinstance(one, dict | list):
        assert len(one) == len(other)
        keys = one if isinstance(one, dict) else range(len(one))
        for key in keys:
            assert_near(one[key], other[key])
    else:
        assert one == (pytest.approx(other) if isinstance(other, float) else other)


def assert_spread(spread, expected):
    assert spread.value == pytest.approx(expected.value)
    assert spread.elements == expected.losses.numel()
    for share, loss, gradient in zip(TOPS, spread.loss, spread.gradient, strict=True):
        assert loss == pytest.approx(held(expected.losses.abs(), share))
        assert gradient == pytest.approx(held(expected.pulls, share))
    for share, gradient in spread.curve:
        assert gradient == pytest.approx(held(expected.pulls, share - 1e-9))
    assert bool(spread.curve) == bool(expected.pulls.any())
    if spread.curve:
        assert spread.curve[0][0] == pytest.approx(1 / expected.losses.numel())
        assert spread.curve[-1] == pytest.approx((1, 1))


def assert_largest(shown, expected):
    order = expected.pulls.flatten().sort(descending=True).values[: len(shown.largest)]
    assert len(shown.largest) == min(10, int((expected.pulls > 0).sum()))
    for element, pull in zip(shown.largest, order, strict=True):
        assert abs(element.gradient) == pytest.approx(pull.item())
        assert expected.pulls[element.place].item() == pytest.approx(pull.item())
        assert element.loss == pytest.approx(expected.losses[element.place].item())
        assert element.share == pytest.approx((pull / expected.pulls.sum()).item())
