"""What does not count in cross_entropy is nothing, whatever it holds."""

import math

import pytest
import torch
from torch import tensor

from tests.rowwise.cross_entropy.calls import (
    ENGINES,
    EVERY_KERNEL,
    FLOATS,
    by_hand,
    labels,
    logits,
    on,
)
from tests.rowwise.cross_entropy.checks import (
    assert_smoothing_asks_nothing_of_a_class_without_weight,
    assert_what_does_not_count_is_nothing,
)
from tests.rowwise.results import (
    EXACT,
    INF,
    NAN,
    REDUCTIONS,
    assert_all_same,
    class_weight,
    results,
)


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("how", ["ignored", "masked", "weighted"])
@pytest.mark.parametrize("name", ["plain", "weight", "everything"])
def test_what_does_not_count_is_nothing(how, name, engine):
    assert_what_does_not_count_is_nothing(how, engine, name)


@pytest.mark.parametrize("dtype", FLOATS[1:], ids=str)
@EVERY_KERNEL
def test_ignored_rows_of_every_type_have_no_gradient(dtype, shape):
    input = logits(*shape, dtype=dtype)
    target = labels(input, -100)
    out = target == -100
    input = torch.where(out.unsqueeze(1), NAN, input)
    for reduction in REDUCTIONS:
        value, slope = results(on("cpu"), input, target, reduction=reduction)
        assert value.isfinite().all()
        assert slope.isfinite().all()
        assert not slope.movedim(1, -1)[out].any()
        assert slope.movedim(1, -1)[~out].any()


@ENGINES
def test_an_ignored_row_of_minus_infinity_has_no_gradient(engine):
    leaf = tensor([[1.0, 2.0], [-INF, -INF]], requires_grad=True)
    value = on(engine)(leaf, tensor([0, -100]))
    value.backward()
    assert value.item() == pytest.approx(math.log1p(math.e))
    p = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(leaf.grad, tensor([[-p, p], [0, 0]]))


@ENGINES
@EVERY_KERNEL
def test_rows_of_a_class_without_weight_are_nothing(shape, engine):
    clean = logits(*shape)
    target, weight = labels(clean), class_weight(shape[1])  # the first class has none
    target.flatten()[:20:2] = 0
    out = target == 0
    assert 0 < out.sum() < out.numel()
    hurt = torch.where(out.unsqueeze(1), tensor([NAN, INF]).repeat(shape[0])[: shape[0]].reshape(
        -1, *(1 for _ in shape[1:])), clean)  # fmt: skip
    for reduction in REDUCTIONS:
        ours = results(on(engine), hurt, target, weight=weight, reduction=reduction)
        theirs = results(by_hand, clean, target, weight=weight, reduction=reduction)
        assert_all_same(ours, theirs, EXACT, f"{shape} {reduction}")
        assert not ours[1].movedim(1, -1)[out].any()


@ENGINES
def test_smoothing_asks_nothing_of_a_class_without_weight(engine):
    assert_smoothing_asks_nothing_of_a_class_without_weight(engine)


@ENGINES
def test_second_derivatives_of_what_does_not_count_are_zero(engine):
    input = logits(8, 5)
    input[::2] = NAN
    target = labels(input)
    target[::2] = -100
    for options in ({}, {"label_smoothing": 0.1}, {"z_loss": 0.1}):
        found = results(on(engine), input, target, curved=True, **options)
        kept = results(by_hand, input[1::2], target[1::2], curved=True, **options)
        assert not found[2][::2].any()
        assert_all_same([found[0], found[1][1::2]], kept[:2], EXACT)
