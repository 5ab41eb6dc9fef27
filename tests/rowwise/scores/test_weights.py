"""Losses of scores with weights of rows and of classes."""

import torch

from onepass import functional as F
from tests.rowwise.results import REDUCTIONS, assert_all_same, class_weight
from tests.rowwise.scores.calls import (
    ENGINES,
    EVERY,
    F64,
    KERNELS,
    by_hand,
    classes_of,
    scores,
    targets,
)
from tests.rowwise.scores.checks import assert_row_weights_weigh_and_count


@ENGINES
@EVERY
def test_row_weights_weigh_and_count(name, engine):
    assert_row_weights_weigh_and_count(name, engine)


@EVERY
def test_a_row_weight_has_a_gradient_too(name):
    input = scores(30, 6)
    target, weight = targets(name, input), torch.rand(30, dtype=F64, requires_grad=True)
    for reduction in REDUCTIONS:
        given = {"sample_weight": weight, "reduction": reduction}
        value = getattr(F, name)(input, target, **given).sum()
        expected = by_hand(name)(input, target, **given).sum()
        assert_all_same(torch.autograd.grad(value, weight), torch.autograd.grad(expected, weight))


@EVERY
def test_a_class_weight_has_a_gradient_too(name):
    for shape in KERNELS:
        input = scores(*shape)
        target, classes = targets(name, input), classes_of(name, input)
        weight = (class_weight(classes) + 0.5).requires_grad_()
        for reduction in REDUCTIONS:
            found = getattr(F, name)(input, target, weight=weight, reduction=reduction).sum()
            expected = by_hand(name)(input, target, weight=weight, reduction=reduction).sum()
            assert_all_same(
                torch.autograd.grad(found, weight), torch.autograd.grad(expected, weight)
            )
