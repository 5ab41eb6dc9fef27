"""Losses of scores in low precision, of many rows, and of long ones."""

import itertools

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.results import NAN, REDUCTIONS, assert_all_same, class_weight, results
from tests.rowwise.scores.calls import (
    BF16,
    ENGINES,
    EVERY,
    F16,
    F32,
    F64,
    INDEXED,
    KERNELS,
    OF_INDICES,
    by_hand,
    ignoring,
    on,
    options_of,
    scores,
    targets,
)


@pytest.mark.slow
@ENGINES
@EVERY
@pytest.mark.parametrize("dtype", [F32, BF16, F16], ids=str)
def test_low_precision_is_the_definition_rounded_once(dtype, name, engine):
    for shape in [(5,), *KERNELS]:
        input = scores(*shape, dtype=dtype)
        for options in options_of(name, input):
            target = targets(name, input, ignoring(options))
            target = target if name in INDEXED else target.to(dtype)
            for reduction in REDUCTIONS:
                ours = results(on(engine, name), input, target, reduction=reduction, **options)
                exact = results(by_hand(name), input.double(), target, reduction=reduction,
                                **options)  # fmt: skip
                for a, b in zip(ours, exact, strict=True):
                    assert a.dtype is dtype
                    room = torch.finfo(dtype).eps / 2 * b.abs() * (1 + 2e-3)
                    room = room + 4e-6 * b.abs().max() + torch.finfo(dtype).tiny
                    off = ~((a.double() - b).abs() <= room) & ~(a.isnan() & b.isnan())
                    assert not off.any(), f"{shape} {options} {reduction}"


@ENGINES
@OF_INDICES
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_more_rows_than_half_can_count(dtype, name, engine):
    rows = 70_000
    input = torch.full((rows, 2), -0.5, dtype=dtype)
    input[:, 1] = -1.0
    target = torch.zeros(rows, dtype=torch.int64)
    for weight in (None, torch.ones(2, dtype=dtype)):
        value, slope = results(on(engine, name), input, target, weight=weight)
        assert value.item() == {"nll_loss": 0.5, "multi_margin_loss": 0.25}[name]
        assert slope[:, 0].all()
        of_label = slope[:, 0].double().sum().item()
        expected = results(by_hand(name), input.double(), target)[1][:, 0].sum().item()
        assert of_label == pytest.approx(expected, rel=0.05)  # subnormal slopes of float16


@ENGINES
@pytest.mark.parametrize("dtype", [F32, F64, F16], ids=str)
@OF_INDICES
def test_class_weights_may_have_another_type_and_layout(dtype, name, engine):
    for shape, sort in itertools.product(KERNELS, (F32, F64, BF16)):
        input, weight = scores(*shape, dtype=sort), class_weight(shape[1], dtype)
        target = targets(name, input)
        spread = torch.stack([weight, weight * NAN], -1)[:, 0]
        ours = results(on(engine, name), input, target, weight=spread)
        plain = results(on(engine, name), input, target, weight=weight.to(F64))
        assert_all_same(ours, plain, 2e-3 if sort is BF16 else 1e-6)


@EVERY
def test_autocast_computes_in_float32(name):
    input = scores(30, 6, dtype=BF16)
    target = targets(name, input)
    target = target if name in INDEXED else target.to(BF16)
    with torch.autocast("cpu", dtype=BF16):
        for reduction in REDUCTIONS:
            value = getattr(F, name)(input, target, reduction=reduction)
            assert value.dtype is F32
            exact = by_hand(name)(input, target, reduction=reduction)
            torch.testing.assert_close(value, exact.float())


def test_a_long_row_is_summed_in_float64():
    input = torch.full((2, 3_000_000), 0.1)
    value = on("cpu", "multi_margin_loss")(input, tensor([0, 2_999_999]), margin=0.5)
    assert value.item() == pytest.approx(0.5 * (1 - 1 / 3_000_000), rel=1e-6)
