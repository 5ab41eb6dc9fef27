"""cross_entropy of class probabilities: torch's results, and rows without mass."""

import itertools
import math

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.cross_entropy.calls import (
    BEYOND,
    ENGINES,
    EVERY_KERNEL,
    FLOATS,
    KERNELS,
    SHAPES,
    by_hand,
    labels,
    layouts,
    logits,
    on,
    options_of_probabilities,
    probabilities,
    results_of_both,
    torchs,
)
from tests.rowwise.cross_entropy.checks import (
    assert_confident_probabilities_do_not_cancel,
    assert_masked_probabilities_are_nothing,
    assert_probabilities_are_the_definitions,
)
from tests.rowwise.results import EXACT, INF, assert_all_same, results, upstream_of

PROBABLE = ("plain", "weight", "smoothed", "all smoothed", "together")


@pytest.mark.parametrize("name", PROBABLE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_probabilities_have_torchs_results(shape, name):
    input = logits(*shape)
    options = options_of_probabilities(name, shape[0] if len(shape) == 1 else shape[1])
    target = probabilities(input)
    for reduction in ("mean", "sum", "none"):
        ours = results(on("cpu"), input, target, reduction=reduction, **options)
        theirs = results(torchs, input, target, reduction=reduction, **options)
        assert_all_same(ours, theirs, EXACT, f"{shape} {name} {reduction}")


@ENGINES
@pytest.mark.parametrize("name", PROBABLE)
@pytest.mark.parametrize("shape", [(5,), *KERNELS], ids=str)
def test_class_probabilities_have_a_gradient_too(shape, name, engine):
    input = logits(*shape)
    options = options_of_probabilities(name, shape[0] if len(shape) == 1 else shape[1])
    target = probabilities(input)
    for reduction in ("mean", "sum", "none"):
        ours = results_of_both(on(engine), input, target, reduction=reduction, **options)
        theirs = results_of_both(torchs, input, target, reduction=reduction, **options)
        for a, b in zip(ours, theirs, strict=True):
            assert_all_same([a], [b], EXACT, f"{shape} {name} {reduction}")


@pytest.mark.parametrize("name", PROBABLE)
def test_class_probabilities_bend_as_torchs(name):
    input = logits(6, 7)
    target, options = probabilities(input), options_of_probabilities(name, 7)
    for reduction in ("mean", "none"):
        given = {**options, "curved": True, "reduction": reduction}
        ours = results_of_both(on("cpu"), input, target, **given)
        theirs = results_of_both(torchs, input, target, **given)
        for a, b in zip(ours, theirs, strict=True):
            assert_all_same([a], [b], EXACT, f"{name} {reduction}")


@ENGINES
@pytest.mark.parametrize("name", ["plain", "together", *BEYOND])
def test_class_probabilities_are_the_definitions(name, engine):
    assert_probabilities_are_the_definitions(name, engine)


@ENGINES
@EVERY_KERNEL
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str)
def test_one_hot_integers_and_bools_are_probabilities(dtype, shape, engine):
    input = logits(*shape)
    target = labels(input)
    one_hot = torch.nn.functional.one_hot(target, shape[1]).movedim(-1, 1)
    for name in ("plain", "smoothed"):
        options = options_of_probabilities(name, shape[1])
        ours = results(on(engine), input, one_hot.to(dtype), **options)
        assert_all_same(ours, results(torchs, input, target, **options), EXACT, f"{dtype} {name}")


def test_probabilities_of_every_layout_and_dim():
    input = logits(3, 5, 4, 6)
    masses = [mass for mass in layouts(probabilities(input)) if mass.stride(1)]
    for given, mass in itertools.product(layouts(input), masses):
        ours = results_of_both(on("cpu"), given, mass)
        theirs = results_of_both(torchs, given.contiguous(), mass.contiguous())
        for a, b in zip(ours, theirs, strict=True):
            assert_all_same([a], [b], EXACT, f"{given.stride()} {mass.stride()}")
    for dim in range(-4, 4):
        given, mass = input.movedim(1, dim), probabilities(input).movedim(1, dim)
        value, slope = results(on("cpu"), given, mass, dim=dim)
        expected = results(torchs, input, probabilities(input))
        assert_all_same([value, slope.movedim(dim, 1)], expected, EXACT, f"{dim}")


@ENGINES
@pytest.mark.parametrize("dtype", FLOATS[1:], ids=str)
@EVERY_KERNEL
def test_probabilities_in_low_precision(shape, dtype, engine):
    input, target = logits(*shape, dtype=dtype), probabilities(logits(*shape)).to(dtype)
    for reduction in ("mean", "none"):
        ours = results(on(engine), input, target, reduction=reduction)
        theirs = results(by_hand, input.double(), target.double(), reduction=reduction)
        assert_all_same(ours, theirs, max(torch.finfo(dtype).eps / 2, 2e-6), f"{shape} {dtype}")


def test_probabilities_of_another_type_are_promoted():
    input, target = logits(6, 5), probabilities(logits(6, 5))
    for a, b in itertools.permutations((torch.float64, torch.float32, torch.bfloat16), 2):
        value = F.cross_entropy(input.to(a), target.to(b))
        assert value.dtype == torch.promote_types(a, b)
        expected = by_hand(input.to(a), target.to(b))
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)


@ENGINES
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_class_without_mass_costs_nothing_however_impossible(dtype, engine):
    input, target = tensor([[0.0, 1.0, -INF]], dtype=dtype), tensor([[1.0, 0, 0]], dtype=dtype)
    value, by_input, by_target = results_of_both(on(engine), input, target, reduction="sum")
    scale = upstream_of(value).item()
    eps = 2 * torch.finfo(dtype).eps
    assert value.item() == pytest.approx(math.log1p(math.e), rel=eps)
    expected = tensor([[-math.e, math.e, 0.0]], dtype=torch.float64) / (1 + math.e) * scale
    torch.testing.assert_close(by_input.double(), expected, rtol=2 * eps, atol=eps)
    assert by_target[0, 0].item() == pytest.approx(value.item() * scale, rel=2 * eps)
    assert by_target[0, 2] == 0


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_confident_probabilities_do_not_cancel(dtype, engine):
    assert_confident_probabilities_do_not_cancel(dtype, engine)


@ENGINES
@pytest.mark.parametrize("how", ["masked", "weighted"])
def test_masked_probabilities_are_nothing(how, engine):
    assert_masked_probabilities_are_nothing(how, engine)


def test_indices_and_one_hot_differ_by_their_denominators_alone():
    # As torch's do: with indices the mean counts class weights, with probabilities rows.
    input, weight = logits(6, 3), tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    target = labels(input)
    one_hot = torch.nn.functional.one_hot(target, 3).double()
    by_index, by_mass = (F.cross_entropy(input, t, weight) for t in (target, one_hot))
    assert by_index.item() == pytest.approx(torchs(input, target, weight).item())
    assert by_mass.item() == pytest.approx(torchs(input, one_hot, weight).item())
    assert (by_mass * 6).item() == pytest.approx((by_index * weight[target].sum()).item())
    one_rule = F.cross_entropy(input, target, weight, normalizer=6)
    assert one_rule.item() == pytest.approx(by_mass.item())


def test_float_class_ids_are_read_as_probabilities_as_torch_reads_them():
    given = tensor([5.0, 3.0, 8.0]), tensor([2.0, 7.0, 1.0])
    value = F.cross_entropy(*given)
    assert value.item() == pytest.approx(41.55, rel=1e-4)
    assert value.item() == pytest.approx(torchs(*given).item())
