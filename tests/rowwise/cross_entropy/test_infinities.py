"""cross_entropy of what is infinite, nan, or not there at all."""

import math
import re

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from tests.rowwise.cross_entropy.calls import (
    ENGINES,
    EVERY_KERNEL,
    FLOATS,
    KERNELS,
    by_hand,
    labels,
    logits,
    on,
    options_of,
)
from tests.rowwise.results import EXACT, INF, NAN, assert_all_same, class_weight, results


@ENGINES
@EVERY_KERNEL
@pytest.mark.parametrize("name", ["plain", "weight", "z_loss"])
def test_logits_at_minus_infinity_are_classes_that_are_not_there(name, shape, engine):
    input = logits(*shape)
    options = options_of(name, shape[1])
    target = labels(input) % (shape[1] - 2)
    masked = input.clone()
    masked[:, -2:] = -INF
    if "weight" in options:
        options["weight"] = torch.cat([class_weight(shape[1] - 2), torch.ones(2).double()])
    fewer = {**options, "weight": options["weight"][:-2]} if "weight" in options else options
    for reduction in ("mean", "none"):
        value, slope = results(on(engine), masked, target, reduction=reduction, **options)
        kept = input[:, :-2].contiguous()
        expected = results(by_hand, kept, target, reduction=reduction, **fewer)
        assert_all_same([value, slope[:, :-2]], expected, EXACT, f"{name} {shape}")
        assert not slope[:, -2:].any()


@ENGINES
@EVERY_KERNEL
def test_a_softcap_flattens_infinities(shape, engine):
    input = logits(*shape)
    input[:, 0], input[:, 1] = -INF, INF
    target = labels(input)
    value, slope = results(on(engine), input, target, softcap=4.0, reduction="none")
    finite = torch.where(input.isinf(), input.sign() * 1e6, input)
    assert_all_same(
        [value, slope], results(by_hand, finite, target, softcap=4.0, reduction="none"), EXACT
    )
    assert not slope[:, :2].any()


@ENGINES
@pytest.mark.parametrize("classes", [3, 100])
def test_an_impossible_class_costs_infinity_with_a_finite_slope(classes, engine):
    input = torch.zeros(2, classes)
    input[:, 0] = -INF
    leaf = input.clone().requires_grad_()
    each = on(engine)(leaf, tensor([0, 1]), reduction="none")
    assert each[0] == INF
    assert each[1].item() == pytest.approx(math.log(classes - 1))
    (slope,) = torch.autograd.grad(each, leaf, torch.ones(2))
    row = torch.full((classes,), 1 / (classes - 1))
    row[0] = -1
    torch.testing.assert_close(slope[0], row)


@ENGINES
@pytest.mark.parametrize("classes", [2, 100])
def test_a_certain_class_costs_nothing_and_the_others_infinity(classes, engine):
    input = torch.zeros(2, classes)
    input[:, 0] = INF
    each = on(engine)(input, tensor([0, 1]), reduction="none")
    assert each.tolist() == [0, INF]
    leaf = input[:1].clone().requires_grad_()
    on(engine)(leaf, tensor([0])).backward()
    assert not leaf.grad.any()


@ENGINES
@EVERY_KERNEL
def test_a_nan_stays_a_nan_in_its_row_alone(shape, engine):
    input = logits(*shape)
    target = labels(input)
    clean = results(by_hand, input, target, reduction="none")
    hurt = input.clone()
    hurt[1, -1] = NAN
    rows = torch.zeros_like(target, dtype=torch.bool)
    rows[1] = True
    value, slope = results(on(engine), hurt, target, reduction="none")
    assert value[rows].isnan().all()
    assert slope.movedim(1, -1)[rows].isnan().all()
    assert_all_same([value[~rows]], [clean[0][~rows]], EXACT)
    assert_all_same([slope.movedim(1, -1)[~rows]], [clean[1].movedim(1, -1)[~rows]], EXACT)
    assert on(engine)(hurt, target).isnan()


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(5,), *KERNELS], ids=str)
def test_all_ignored_is_nan_without_a_gradient(shape, dtype, engine):
    input = logits(*shape, dtype=dtype)
    target = torch.full(labels(input).shape, -100)
    for reduction, value in (("mean", NAN), ("sum", 0.0), ("none", 0.0)):
        found, slope = results(on(engine), input, target, reduction=reduction)
        expected = torch.full_like(found, value)
        torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=0)
        assert not slope.any()
    assert on(engine)(input, target, normalizer=4) == 0


@ENGINES
def test_no_rows_are_a_mean_of_nothing(engine):
    for shape in ((0, 5), (0, 5, 3), (3, 5, 0)):
        input = torch.zeros(shape, requires_grad=True)
        target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
        with onepass.engine("auto" if engine == "cpu" else engine):
            assert F.cross_entropy(input, target).isnan()
            value = F.cross_entropy(input, target, reduction="sum")
            assert value == 0
            value.backward()
            assert input.grad.shape == shape
            assert F.cross_entropy(input, target, reduction="none").shape == target.shape


@ENGINES
def test_no_classes_are_refused(engine):
    said = "cross_entropy: `input` must have at least one class, on axis 1; got (3, 0)."
    for target in (torch.full((3,), -100), torch.zeros(3, 0)):
        with pytest.raises(onepass.ShapeError, match=re.escape(said)):
            on(engine)(torch.zeros(3, 0), target)
