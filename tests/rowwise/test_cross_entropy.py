"""cross_entropy: torch's results where they are right, the right ones where they are not."""

import copy
import io
import itertools
import math
import pickle
import re

import hypothesis
import mpmath
import pytest
import torch
from hypothesis import strategies as st
from torch import tensor
from torch.autograd import forward_ad

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.cross_entropy import (
    ADJACENT,
    ALONE,
    BEYOND,
    FEW,
    KERNELS,
    LAST,
    TORCHS,
    assert_a_class_out_of_range_raises,
    assert_bits_do_not_depend_on_threads,
    assert_confident_probabilities_do_not_cancel,
    assert_confident_rows_do_not_cancel,
    assert_labels_far_below_the_largest_are_exact,
    assert_large_logits_do_not_overflow,
    assert_masked_probabilities_are_nothing,
    assert_probabilities_are_the_definitions,
    assert_row_weights_weigh_and_count,
    assert_rows_are_the_definitions,
    assert_smoothing_asks_nothing_of_a_class_without_weight,
    assert_what_does_not_count_is_nothing,
    by_hand,
    definition,
    labels,
    logits,
    on,
    options_of,
    options_of_probabilities,
    probabilities,
    results_of_both,
)
from tests.rowwise.results import (
    EXACT,
    INF,
    NAN,
    REDUCTIONS,
    assert_all_same,
    class_weight,
    results,
    upstream_of,
)

torchs = torch.nn.functional.cross_entropy
ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
EVERY_KERNEL = pytest.mark.parametrize("shape", KERNELS, ids=["along", "few", "adjacent", "alone"])

SHAPES = [
    (5,), (1,), (7, 3), (4, 1), (300, 2), (64, 32), (9, 49), (33, 100), (5, 9000), (4, 3, 20),
    (2, 5, 4, 6), (3, 40, 17), (2, 100, 5, 5), (2, 1500, 20), (1, 1, 1), (2, 7, 3, 2, 2),
]  # fmt: skip


# Class indices against torch


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradient_are_torchs(shape, name):
    input = logits(*shape)
    options = options_of(name, shape[0] if len(shape) == 1 else shape[1])
    target = labels(input, options.get("ignore_index"))
    for reduction in ("mean", "sum", "none"):
        ours = results(on("cpu"), input, target, reduction=reduction, **options)
        theirs = results(torchs, input, target, reduction=reduction, **options)
        if theirs[0].isfinite().all():  # torch divides 0 by 0 if the only class has no weight
            assert_all_same(ours, theirs, EXACT, f"{shape} {name} {reduction}")
        else:
            assert ours[0].isnan().all()


@ENGINES
@pytest.mark.parametrize("name", ["plain", "kept", "weight", "smoothed"])
def test_a_row_without_a_batch_takes_a_target_with_one(name, engine):
    input, options = logits(5), options_of(name, 5)
    for label in (2, 4):
        for reduction in ("mean", "sum", "none"):
            given = {**options, "reduction": reduction}
            ours = results(on(engine), input, tensor([label]), **given)
            assert_all_same(ours, results(on(engine), input, tensor(label), **given))
            if name != "smoothed":  # which torch refuses here, as it does the gradient
                assert_all_same(ours[:1], [torchs(input, tensor([label]), **given)])


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("shape", [(5,), (7, 3), (9, 49), (4, 3, 20), (2, 5, 4, 6)], ids=str)
def test_second_derivatives_are_torchs(shape, name):
    input = logits(*shape)
    options = options_of(name, shape[0] if len(shape) == 1 else shape[1])
    target = labels(input, options.get("ignore_index"))
    for reduction in ("mean", "none"):
        ours = results(on("cpu"), input, target, curved=True, reduction=reduction, **options)
        theirs = results(torchs, input, target, curved=True, reduction=reduction, **options)
        assert_all_same(ours, theirs, EXACT, f"{shape} {name} {reduction}")


def layouts(tensor):
    """The same numbers in other places of memory."""
    yield tensor
    yield tensor.transpose(0, -1).contiguous().transpose(0, -1)
    yield torch.stack([tensor, tensor * NAN], -1)[..., 0]
    yield torch.cat([tensor * NAN, tensor])[tensor.shape[0] :]
    yield tensor.flip(0).flip(0)
    yield tensor[:1].expand_as(tensor)
    if tensor.dim() > 1:
        yield tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        yield tensor.movedim(1, 0).contiguous().movedim(0, 1)
        yield tensor[:, :1].expand_as(tensor)
    if tensor.dim() == 4:
        yield tensor.contiguous(memory_format=torch.channels_last)


def layouts_of_labels(target):
    """The same classes in other places of memory."""
    yield target
    yield target.transpose(0, -1).contiguous().transpose(0, -1)
    yield torch.stack([target, target + 99], -1)[..., 0]
    yield target[:1].expand_as(target)


@pytest.mark.parametrize(
    "shape",
    [(6,), (20, 3), (20, 60), (4, 3, 20), (4, 60, 20), (3, 5, 4, 6), (2, 60, 4, 6)],
    ids=str,
)
def test_every_layout_has_torchs_results(shape):
    for number, input in enumerate(layouts(logits(*shape))):
        target = labels(input, -100)
        for place in layouts_of_labels(target) if target.dim() and number < 2 else [target]:
            for reduction in ("mean", "none"):
                ours = results(on("cpu"), input, place, reduction=reduction)
                theirs = results(
                    torchs, input.contiguous(), place.contiguous(), reduction=reduction
                )
                assert_all_same(ours, theirs, EXACT, f"{shape} {input.stride()} {place.stride()}")


def test_channels_last_stays_channels_last():
    leaf = logits(2, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    F.cross_entropy(leaf, labels(leaf)).backward()
    assert leaf.grad.is_contiguous(memory_format=torch.channels_last)


INTEGERS = [
    torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32,
    torch.uint64,
]  # fmt: skip


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_any_integer_type_is_a_class_index(dtype, engine):
    input = logits(40, 120)
    target = labels(input, 119)
    for weight in (None, class_weight(120)):
        for reduction in REDUCTIONS:
            options = {"weight": weight, "ignore_index": 119, "reduction": reduction}
            ours = results(on(engine), input, target.to(dtype), **options)
            assert_all_same(
                ours, results(by_hand, input, target, **options), EXACT, f"{dtype} {reduction}"
            )


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize(
    "dtype, ignore_index", [(torch.uint8, -100), (torch.uint8, -256 + 7), (torch.int8, 256 + 7)]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_index_to_ignore_does_not_wrap_into_a_class(dtype, ignore_index, reduction, engine):
    input, target = logits(3, 200), tensor([156, 7, 0]).clamp(max=torch.iinfo(dtype).max)
    options = {"ignore_index": ignore_index, "reduction": reduction}
    ours = results(on(engine), input, target.to(dtype), **options)
    assert_all_same(ours, results(by_hand, input, target, reduction=reduction), EXACT)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 20), (20, 6, 4), (3, 4, 5, 6)], ids=str)
def test_dim_names_the_class_axis(shape):
    for dim in range(-len(shape), len(shape)):
        input = logits(*shape)
        target = labels(input, -100, dim=dim)
        moved = input.movedim(dim, 1)
        for name in ("plain", "everything"):
            options = {**options_of(name, moved.shape[1]), "ignore_index": -100}
            for reduction in REDUCTIONS:
                ours = results(on("cpu"), input, target, dim=dim, reduction=reduction, **options)
                value, slope = results(by_hand, moved, target, reduction=reduction, **options)
                assert_all_same(
                    ours, [value, slope.movedim(1, dim)], EXACT, f"{shape} {dim} {name}"
                )


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_a_single_row_has_one_axis_by_any_name(dim):
    input, target = logits(5), tensor(3)
    assert_all_same(
        results(on("cpu"), input, target, dim=dim), results(torchs, input, target), EXACT
    )


@st.composite
def calls(draw):
    """Logits of a generated shape and layout, labels of any integer type, a set of options."""
    rows = draw(st.lists(st.integers(1, 9), min_size=0, max_size=3))
    classes = draw(st.one_of(st.integers(1, 32), st.sampled_from([47, 48, 49, 64, 255, 1025])))
    seed = draw(st.integers(0, 2**31))
    shape = (*rows[:1], classes, *rows[1:])
    # Where all logits of a row are one, slopes are nothing but rounding.
    axis = min(1, len(shape) - 1)
    input = draw(st.sampled_from(list(layouts(logits(*shape, seed=seed)))))
    hypothesis.assume(input.stride(axis))
    options = options_of(draw(st.sampled_from(TORCHS + BEYOND)), classes)
    target = labels(input, options.get("ignore_index"), seed=seed)
    dtype = draw(st.sampled_from([torch.int64, torch.int32, torch.int16]))
    return input, target.to(dtype), options, draw(st.sampled_from(REDUCTIONS))


@pytest.mark.slow
@hypothesis.settings(
    max_examples=120, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(calls())
def test_generated_calls_have_the_definitions_results(call):
    input, target, options, reduction = call
    ours = results(on("cpu"), input, target, reduction=reduction, **options)
    theirs = results(by_hand, input, target, reduction=reduction, **options)
    if theirs[0].isfinite().all():
        assert_all_same(
            ours, theirs, EXACT, f"{input.shape} {input.stride()} {options} {reduction}"
        )
    else:  # nothing counts
        assert torch.equal(ours[0].nan_to_num(), theirs[0].nan_to_num())


@ENGINES
@pytest.mark.parametrize("name", TORCHS + BEYOND)
def test_rows_are_the_definitions(name, engine):
    assert_rows_are_the_definitions(name, engine)


@pytest.mark.parametrize("name", BEYOND)
@EVERY_KERNEL
def test_second_derivatives_are_the_definitions(shape, name):
    shape = tuple(min(size, 60) for size in shape)
    input, options = logits(*shape), options_of(name, shape[1])
    target = labels(input, options.get("ignore_index"))
    for reduction in ("mean", "none"):
        ours = results(on("cpu"), input, target, curved=True, reduction=reduction, **options)
        theirs = results(by_hand, input, target, curved=True, reduction=reduction, **options)
        assert_all_same(ours, theirs, 1e-11, f"{shape} {name} {reduction}")


@pytest.mark.parametrize("name", ["plain", "everything"])
@pytest.mark.parametrize("shape", [(3000, 3), (3, 17_000), (2, 262_144), (2, 2, 3000)], ids=str)
def test_more_rows_or_classes_than_a_tile_holds(shape, name):
    assert_rows_are_the_definitions(name, shapes=[shape])


@ENGINES
@pytest.mark.parametrize("shape", [LAST, ALONE], ids=["along", "alone"])
@pytest.mark.parametrize(
    "dtype, other",
    [
        (torch.float64, torch.float32),
        (torch.float64, torch.float16),
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, torch.float32),
    ],
    ids=str,
)
def test_class_weights_may_have_another_type_and_layout(dtype, other, shape, engine):
    input = logits(*shape, dtype=dtype)
    target = labels(input, -100)
    weight = class_weight(shape[1], other) / 2
    apart = torch.stack([weight, weight * NAN], -1)[:, 0]
    tolerance = {torch.float64: EXACT, torch.bfloat16: 0.01}.get(dtype, 1e-6)
    for reduction in REDUCTIONS:
        expected = results(by_hand, input, target, weight=weight, reduction=reduction)
        for placed in (weight, apart):
            ours = results(on(engine), input, target, weight=placed, reduction=reduction)
            assert_all_same(
                ours, expected, tolerance, f"{dtype} {other} {placed.stride()} {reduction}"
            )


@ENGINES
def test_many_half_class_weights_do_not_overflow(engine):
    input = torch.zeros(70_000, 2, dtype=torch.float16)
    weight = tensor([2.0, 2.0], dtype=torch.float16)
    value = on(engine)(input, torch.zeros(70_000, dtype=torch.int64), weight)
    assert value.item() == pytest.approx(math.log(2), rel=1e-3)


# Class probabilities


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


# Accuracy


def room_of(dtype, expected):
    """One rounding of the result, and what float32 arithmetic may lose before it."""
    eps = {torch.float64: 1e-13, torch.float32: 0.0}.get(dtype, torch.finfo(dtype).eps / 2)
    return (eps + (4e-6 if dtype is not torch.float64 else 0)) * expected.abs()


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype, name",
    [(d, "plain") for d in FLOATS[1:]] + [(d, "everything") for d in FLOATS[1:3]],
    ids=str,
)
@EVERY_KERNEL
def test_low_precision_is_the_definition_rounded_once(name, shape, dtype):
    input = logits(*shape, dtype=dtype)
    options = options_of(name, shape[1])
    if "weight" in options:
        options["weight"] = options["weight"].float()
    target = labels(input, options.get("ignore_index"))
    for reduction in ("sum", "none"):
        ours = results(on("cpu"), input, target, reduction=reduction, **options)
        theirs = results(by_hand, input.double(), target, reduction=reduction, **options)
        for a, b in zip(ours, theirs, strict=True):
            # The terms of smoothing, z_loss and softcap may cancel in a slope.
            parts = 2e-6 * b.abs().max().clamp(max=1) if name != "plain" else 0.0
            smallest = torch.finfo(dtype).tiny * torch.finfo(dtype).eps
            error = (a.double() - b).abs()
            assert (error <= room_of(dtype, b) + parts + smallest).all(), reduction


@pytest.mark.parametrize("dtype", FLOATS[1:], ids=str)
@pytest.mark.parametrize("classes, last", [(40, True), (1000, False), (4000, True)])
def test_many_small_exponentials_beside_large_ones_are_not_lost(classes, last, dtype):
    # The largest come first: each of the rest is less than the last digit of the sum so far.
    input = torch.full((64, classes), -16.0)
    input[:, 1], input[:, 0], target = 0.0, -3.0, torch.zeros(64, dtype=torch.int64)
    if not last:
        input, target = input.t().contiguous().unsqueeze(0), target.unsqueeze(0)
    input = input.to(dtype)
    ours = results(on("cpu"), input, target, reduction="none")
    exact = results(by_hand, input.double(), target, reduction="none")
    theirs = results(torchs, input, target, reduction="none")
    for a, b, c in zip(ours, exact, theirs, strict=True):
        room = (c.double() - b).abs() + room_of(dtype, b)
        room = room + torch.finfo(dtype).tiny * torch.finfo(dtype).eps
        assert ((a.double() - b).abs() <= room).all()


@ENGINES
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_confident_rows_do_not_cancel(dtype, engine):
    assert_confident_rows_do_not_cancel(dtype, engine)


def test_the_definition_of_these_tests_is_exact_for_confident_rows():
    mpmath.mp.dps = 300
    for ahead in (1e-9, 1.0, 30.0, 100.0, 500.0, -30.0):
        leaf = tensor([[ahead, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
        value, _ = definition(leaf, tensor([0]))
        (slope,) = torch.autograd.grad(value, leaf)
        x = [mpmath.mpf(ahead), mpmath.mpf(0), mpmath.mpf(-1)]
        whole = sum(map(mpmath.exp, x))
        others = mpmath.exp(x[1]) + mpmath.exp(x[2])
        assert value.item() == pytest.approx(float(mpmath.log(whole) - x[0]), rel=1e-13, abs=0)
        assert slope[0, 0].item() == pytest.approx(float(-others / whole), rel=1e-13, abs=0)
        assert slope[0, 1].item() == pytest.approx(
            float(mpmath.exp(x[1]) / whole), rel=1e-13, abs=0
        )


@ENGINES
@pytest.mark.parametrize(
    "dtype, row, loss, slope, rel",
    [
        (torch.float32, [30.0, 0.0, 0.0], 1.8715245e-13, -1.8715245e-13, 1e-6),
        (torch.bfloat16, [30.0, 0.0, 0.0], 1.8715245e-13, -1.8715245e-13, 4e-3),
        (torch.bfloat16, [8.0, 0.0], 3.3540637e-4, -3.3535013e-4, 4e-3),
        (torch.float16, [8.0, 0.0], 3.3540637e-4, -3.3535013e-4, 5e-4),
        (torch.float64, [100.0, 0.0], 3.720075976020836e-44, -3.720075976020836e-44, 1e-14),
    ],
)
def test_known_confident_rows(dtype, row, loss, slope, rel, engine):
    leaf = tensor([row], dtype=dtype, requires_grad=True)
    value = on(engine)(leaf, tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(loss, rel=rel, abs=0)
    assert leaf.grad[0, 0].item() == pytest.approx(slope, rel=rel, abs=0)


@ENGINES
def test_large_logits_do_not_overflow(engine):
    assert_large_logits_do_not_overflow(engine)


@ENGINES
def test_labels_far_below_the_largest_are_exact(engine):
    assert_labels_far_below_the_largest_are_exact(engine, shapes=[*KERNELS, (6, 10_000)])


@pytest.mark.parametrize("below", [-25.0, 0.0, 5.0, 15.0, 25.0, 40.0])
@pytest.mark.parametrize("offset", [0.0, 40.0, -40.0])
def test_float32_slopes_are_as_precise_wherever_the_label_stands(below, offset):
    input = logits(500, 300, dtype=torch.float32) + offset
    target = labels(input)
    input[torch.arange(500), target] -= below
    _, ours = results(on("cpu"), input, target, reduction="sum")
    _, theirs = results(by_hand, input.double(), target, reduction="sum")
    counting = theirs.abs() > 1e-3 * theirs.abs().max()
    assert ((ours - theirs).abs() <= 1e-6 * theirs.abs())[counting].all()


@ENGINES
@pytest.mark.parametrize("size", [1e8, -1e8, 1e30, 1e38])
def test_large_logits_are_taken_relative_to_the_largest(size, engine):
    for classes in (3, 100):
        row = torch.zeros(2, classes)
        row[0, 1], row[1, 2] = size, size
        for target in (tensor([1, 2]), tensor([0, 0])):
            for reduction in ("mean", "none"):
                ours = results(on(engine), row, target, reduction=reduction)
                theirs = results(by_hand, row, target, reduction=reduction)
                assert_all_same(ours, theirs, 1e-6, f"{size} {classes}")


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


@ENGINES
def test_known_mean_and_sum_of_random_samples(engine):
    torch.manual_seed(42)
    for _ in range(10):
        torch.randn(10, 3, 5, 7)
    input, target = torch.randn(10, 5), torch.randint(0, 5, (10,))
    mean, total = (on(engine)(input, target, reduction=r) for r in ("mean", "sum"))
    assert mean.item() == pytest.approx(1.5826647281646729, rel=2e-5)
    assert total.item() == pytest.approx(15.826647758483887, rel=2e-5)


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


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_more_rows_than_half_can_count(dtype, engine):
    count = 70_000
    input = torch.zeros(count, 4, dtype=dtype, requires_grad=True)
    value = on(engine)(input, torch.zeros(count, dtype=torch.int64))
    value.backward(tensor(32768.0, dtype=dtype))
    assert value.item() == pytest.approx(math.log(4), rel=torch.finfo(dtype).eps)
    eps = torch.finfo(dtype).eps
    assert input.grad[0, 0].item() == pytest.approx(-0.75 / count * 32768, rel=eps)
    assert input.grad[5, 3].item() == pytest.approx(0.25 / count * 32768, rel=eps)


# What does not count


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


# Reductions and weights of rows


@ENGINES
@pytest.mark.parametrize("name", ["plain", "weight", "everything"])
def test_row_weights_weigh_and_count(name, engine):
    assert_row_weights_weigh_and_count(engine, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32, torch.bool], ids=str)
@ENGINES
def test_row_weights_of_any_type(dtype, engine):
    input = logits(40, 5)
    target = labels(input, -100)
    weight = (torch.arange(40) % 3).to(dtype)
    for reduction in REDUCTIONS:
        ours = results(on(engine), input, target, sample_weight=weight, reduction=reduction)
        given = {"sample_weight": weight.double(), "reduction": reduction}
        assert_all_same(
            ours, results(by_hand, input, target, **given), EXACT, f"{dtype} {reduction}"
        )


@pytest.mark.slow
@EVERY_KERNEL
@pytest.mark.parametrize("name", TORCHS + BEYOND)
def test_engines_agree(name, shape):
    input, options = logits(*shape, seed=9), options_of(name, shape[1])
    target = labels(input, options.get("ignore_index"), seed=9)
    weight = torch.rand(target.shape, dtype=torch.float64)
    for reduction in REDUCTIONS:
        given = {**options, "reduction": reduction, "sample_weight": weight}
        cpu, eager = (results(on(e), input, target, **given) for e in ("cpu", "eager"))
        assert_all_same(cpu, eager, EXACT, f"{name} {shape} {reduction}")


@ENGINES
def test_micro_batches_with_a_normalizer_add_up_to_the_mean(engine):
    input = logits(9, 5, 4)
    target, weight = labels(input, -100), class_weight(5)
    count = weight[target[target != -100]].sum()
    whole = results(on(engine), input, target, weight=weight)
    leaf = input.clone().requires_grad_()
    for part in (slice(0, 1), slice(1, 4), slice(4, 9)):
        given = {"weight": weight, "normalizer": count}
        on(engine)(leaf[part], target[part], **given).backward()
    scale = upstream_of(whole[0])
    assert_all_same([whole[1]], [leaf.grad * scale], EXACT)


@ENGINES
def test_sample_weights_can_be_learnt(engine):
    input = logits(6, 5)
    target = labels(input, -100)
    weight = torch.rand(6, dtype=torch.float64, requires_grad=True)
    with onepass.engine("auto" if engine == "cpu" else engine):
        value = F.cross_entropy(input, target, sample_weight=weight)
        (slope,) = torch.autograd.grad(value, weight)
    (expected,) = torch.autograd.grad(by_hand(input, target, sample_weight=weight), weight)
    torch.testing.assert_close(slope, expected)


def test_class_weights_that_ask_for_a_gradient_get_one_or_are_refused():
    # torch refuses; a gradient that silently stays away would be worse than either.
    input, target = logits(6, 5).requires_grad_(), labels(logits(6, 5))
    weight = (class_weight(5) + 0.5).requires_grad_()
    try:
        value = F.cross_entropy(input, target, weight)
    except onepass.OnepassError as error:
        assert "weight" in str(error)  # noqa: PT017
        return
    (slope,) = torch.autograd.grad(value, weight, allow_unused=True)
    (expected,) = torch.autograd.grad(by_hand(input, target, weight=weight), weight)
    assert slope is not None
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("size_average, reduce, reduction", [
    (True, True, "mean"), (False, True, "sum"), (None, False, "none"), (False, None, "sum"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*size_average and reduce args")
def test_torchs_older_words_for_reductions(size_average, reduce, reduction):
    input = logits(6, 5)
    target = labels(input)
    given = {"size_average": size_average, "reduce": reduce}
    expected = torchs(input, target, reduction=reduction)
    torch.testing.assert_close(F.cross_entropy(input, target, **given), expected)


# Autograd


@EVERY_KERNEL
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_retained_graph_scales_nothing_twice(reduction, shape):
    input = logits(*shape)
    target, leaf = labels(input, -100), input.clone().requires_grad_()
    with onepass.engine("cpu"):
        value = F.cross_entropy(leaf, target, reduction=reduction)
        expected = by_hand(leaf, target, reduction=reduction)
        for factor in (3.0, 1.0, -0.5, 1.0):
            upstream = factor * torch.linspace(1, 2, value.numel()).reshape(value.shape).double()
            (found,) = torch.autograd.grad(value, leaf, upstream, retain_graph=True)
            (wanted,) = torch.autograd.grad(expected, leaf, upstream, retain_graph=True)
            assert_all_same([found], [wanted], EXACT, reduction)
            found.fill_(NAN)  # ours to change: the next backward makes its own


@EVERY_KERNEL
def test_none_takes_each_rows_own_upstream(shape):
    input = logits(*shape)
    target, leaf = labels(input, -100), input.clone().requires_grad_()
    each = on("cpu")(leaf, target, reduction="none")
    slopes = results(by_hand, input, target, reduction="sum")[1]
    slopes /= upstream_of(torch.zeros((), dtype=torch.float64))
    plain = torch.randn(each.shape, dtype=torch.float64)
    zero_first = plain.clone()
    zero_first[0] = 0
    for upstream in (
        plain,
        zero_first,
        torch.stack([plain, plain * NAN], -1)[..., 0],
        plain.transpose(0, -1).contiguous().transpose(0, -1),
        plain[:1].expand_as(plain),
    ):
        (found,) = torch.autograd.grad(each, leaf, upstream, retain_graph=True)
        assert_all_same([found], [slopes * upstream.unsqueeze(1)], EXACT)


@pytest.mark.parametrize("name", ["plain", "together", "everything"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck_of_both_orders(name, reduction):
    input = logits(4, 3, 2).requires_grad_()
    options = options_of(name, 3)
    target = labels(input, options.get("ignore_index"))

    def function(x):
        return F.cross_entropy(x, target, reduction=reduction, **options)

    assert torch.autograd.gradcheck(function, (input,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (input,))


@pytest.mark.parametrize("name", ["plain", "together", "everything"])
def test_transforms_agree(name):
    input, options = logits(6, 5), options_of(name, 5)
    target = labels(input, options.get("ignore_index"))
    slope = results(by_hand, input, target, reduction="sum", **options)[1]
    slope /= upstream_of(torch.zeros((), dtype=torch.float64))

    def total(x):
        return F.cross_entropy(x, target, reduction="sum", **options)

    def each(x):
        return F.cross_entropy(x, target, reduction="none", **options)

    def one(x, y):
        return F.cross_entropy(x, y, reduction="sum", **options)

    close = torch.testing.assert_close
    close(torch.func.grad(total)(input), slope)
    close(torch.func.jacrev(total)(input), slope)
    close(torch.func.jacfwd(total)(input), slope)
    direction = torch.randn(6, 5, dtype=torch.float64)
    value, along = torch.func.jvp(each, (input,), (direction,))
    close(value, each(input))
    close(along, (slope * direction).sum(1))
    upstream = torch.randn(6, dtype=torch.float64)
    close(torch.func.vjp(each, input)[1](upstream)[0], slope * upstream[:, None])
    close(torch.vmap(one)(input, target), each(input))
    close(torch.vmap(torch.func.grad(one))(input, target), slope)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(input, direction)
        value, along = forward_ad.unpack_dual(total(dual))
    close(along, (slope * direction).sum())
    by_reverse = torch.autograd.functional.hessian(total, input)
    close(torch.func.hessian(total)(input), by_reverse)
    close(torch.autograd.functional.hessian(total, input, vectorize=True), by_reverse)
    expected = torch.autograd.functional.hessian(
        lambda x: by_hand(x, target, reduction="sum", **options), input
    )
    close(by_reverse, expected)


def test_gradients_in_batches():
    input, target = logits(6, 5).requires_grad_(), labels(logits(6, 5))
    each = F.cross_entropy(input, target, reduction="none")
    upstream = torch.randn(3, 6, dtype=torch.float64)
    (found,) = torch.autograd.grad(each, input, upstream, is_grads_batched=True, retain_graph=True)
    for k in range(3):
        (expected,) = torch.autograd.grad(each, input, upstream[k], retain_graph=True)
        torch.testing.assert_close(found[k], expected)


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", ["plain", "together", "everything"])
def test_compile_traces_through_value_and_gradient(name, backend):
    input, options = logits(6, 5), options_of(name, 5)
    target = labels(input, options.get("ignore_index"))
    mask = torch.arange(6) > 0
    for given in ({}, {"mask": mask}, {"reduction": "none"}, {"reduction": "batchmean"}):
        compiled = torch.compile(F.cross_entropy, fullgraph=True, backend=backend)
        ours = results(compiled, input, target, **options, **given)
        assert_all_same(
            ours, results(by_hand, input, target, **options, **given), EXACT, f"{given}"
        )


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_module_is_the_module():
    module = nn.CrossEntropyLoss(class_weight(5), label_smoothing=0.1, dim=-1)
    input, target = logits(6, 5), labels(logits(6, 5))
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(input, target), module(input, target))


def test_without_a_gradient_there_is_no_graph():
    input, target = logits(300, 7).requires_grad_(), labels(logits(300, 7))
    expected = by_hand(input, target).item()
    with onepass.engine("cpu"):
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                value = F.cross_entropy(input, target)
            assert not value.requires_grad
            assert value.item() == pytest.approx(expected)
            assert value.is_inference() == (context is torch.inference_mode)
        assert not F.cross_entropy(input.detach(), target).requires_grad
    with torch.inference_mode():
        assert F.cross_entropy(input.clone(), target.clone()).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_computes_in_float32(dtype):
    input = logits(40, 5, dtype=dtype).requires_grad_()
    target = labels(input)
    exact = by_hand(input, target).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = F.cross_entropy(input, target)
        each = F.cross_entropy(input, target, reduction="none")
    assert value.dtype == each.dtype == torch.float32
    assert value.item() == pytest.approx(exact, rel=1e-6)
    value.backward()
    assert input.grad.dtype == dtype


@EVERY_KERNEL
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_change_in_place_raises(reduction, shape):
    leaf, target = logits(*shape).requires_grad_(), labels(logits(*shape))
    x = leaf * 1
    value = F.cross_entropy(x, target, reduction=reduction)
    target.add_(1)  # no class any more
    if reduction == "none":
        with pytest.raises(RuntimeError, match="inplace operation"):
            value.sum().backward()
    value = F.cross_entropy(x, labels(leaf), reduction="none")
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="inplace operation"):
        value.sum().backward()


# Modules


def test_a_module_is_copied_pickled_and_saved():
    module = nn.CrossEntropyLoss(
        class_weight(5), ignore_index=1, label_smoothing=0.1, z_loss=0.01, softcap=9.0
    )
    input, target = logits(6, 5), labels(logits(6, 5), 1)
    expected = module(input, target)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    fresh = nn.CrossEntropyLoss(
        torch.ones(5).double(), ignore_index=1, label_smoothing=0.1, z_loss=0.01, softcap=9.0
    )
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    rebuilt = type(module)(**module.config())
    again = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh, rebuilt]
    for other in again:
        assert torch.equal(other(input, target), expected)
        assert repr(other) == repr(module)
    assert again[0].weight is not module.weight
    assert "softcap=9.0" in repr(module)


def test_state_dicts_are_torchs():
    ours = nn.CrossEntropyLoss(torch.rand(5), label_smoothing=0.1)
    theirs = torch.nn.CrossEntropyLoss(torch.rand(5), label_smoothing=0.1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    input, target = torch.randn(6, 5), labels(logits(6, 5))
    torch.testing.assert_close(ours(input, target), theirs(input, target))
    assert list(nn.CrossEntropyLoss().state_dict()) == list(
        torch.nn.CrossEntropyLoss().state_dict()
    )


def test_the_loss_is_copied_and_pickled_as_functions_are():
    loss = onepass.catalogue()["cross_entropy"]
    assert copy.deepcopy(loss) is loss
    assert pickle.loads(pickle.dumps(loss)) is loss


# Threads and memory


def test_bits_do_not_depend_on_threads():
    assert_bits_do_not_depend_on_threads()


@EVERY_KERNEL
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_the_callers_tensors_never_change(name, shape):
    options = options_of(name, shape[1])
    for input in layouts(logits(*shape)):
        target = labels(input, options.get("ignore_index"))
        weights = torch.rand(target.shape, dtype=torch.float64)
        given = [input, target, weights, *(o for o in options.values() if torch.is_tensor(o))]
        before = [(t.clone(), t._version) for t in given]
        for reduction in REDUCTIONS:
            results(on("cpu"), input, target, sample_weight=weights, reduction=reduction, **options)
        for tensor_, (kept, version) in zip(given, before, strict=True):
            assert torch.equal(tensor_, kept)
            assert tensor_._version == version


@EVERY_KERNEL
def test_nothing_is_written_beside_the_gradient(shape, monkeypatch):
    from onepass.runtime.cpu import memory

    made = []

    def guarded(tensor):
        """The buffer asked for, between two fences."""
        count = tensor.numel()
        whole = torch.full((count + 128,), 7.0, dtype=tensor.dtype)
        made.append(whole)
        return whole[64 : 64 + count].as_strided(tensor.shape, tensor.stride(), 64)

    input, target = logits(*shape), labels(logits(*shape), -100)
    expected = results(on("cpu"), input, target)
    monkeypatch.setattr(memory, "like", guarded)
    ours = results(on("cpu"), input, target)
    assert torch.equal(ours[1], expected[1])
    assert made
    for whole in made:
        assert (whole[:64] == 7).all()
        assert (whole[-64:] == 7).all()


@ENGINES
@pytest.mark.parametrize("wrong", [None, -1, 10_000, -(2**40), 2**40, 2**63 - 1])
def test_a_class_out_of_range_raises_and_leaves_everything_as_it_was(wrong, engine):
    assert_a_class_out_of_range_raises(wrong, engine)


# Messages


def assert_refused(error, message, *tensors, **options):
    """The function, and the class where it takes the same, raise exactly this message."""
    with pytest.raises(error) as caught:
        F.cross_entropy(*tensors, **options)
    assert type(caught.value) is error
    assert str(caught.value) == message


X = torch.linspace(-1, 1, 20).reshape(4, 5)
Y = tensor([0, 1, 2, 4])


@ENGINES
@pytest.mark.parametrize(
    "target, options, said",
    [
        ([0, 1, 5, 2], {}, "-100; got 5 at (2,). {} write ignore_index=5."),
        ([0, -1, 1, -1], {}, "-100; got -1 at (1,) and 1 more. {} write ignore_index=-1."),
        (
            [0, 255, 1, 255], {"ignore_index": 3},
            "3; got 255 at (1,) and 1 more. {} write ignore_index=255.",
        ),
        ([1, 2, 3, 5], {}, "-100; got 5 at (3,). Classes count from 0: write target - 1."),
        ([-4, 1, 7, 2], {}, "-100; got -4 at (0,) and 1 more."),
    ],
    ids=["one", "minus one", "255", "from one", "two kinds"],
)  # fmt: skip
def test_a_class_out_of_range_is_named_with_its_place(target, options, said, engine):
    said = said.format("If that marks rows to skip,")
    said = f"cross_entropy: `target` must hold class indices in [0, 4] or ignore_index={said}"
    with onepass.engine(engine):
        for dtype in (torch.int64, torch.int32, torch.int16):
            for reduction in REDUCTIONS:
                assert_refused(
                    onepass.DomainError, said, X, tensor(target, dtype=dtype),
                    reduction=reduction, **options,
                )  # fmt: skip
        columns = X.t().repeat(3, 1, 8)
        labels_ = tensor(target).repeat(3, 8)
        with pytest.raises(onepass.DomainError) as caught:
            F.cross_entropy(columns, labels_, **options)
    first = next(k for k, label in enumerate(target) if f"got {label} at" in said)
    assert f"at (0, {first}) and " in str(caught.value)


def test_a_masked_class_out_of_range_is_not_looked_at():
    target = tensor([0, 99, -7, 2])
    counting = tensor([1.0, 0.0, 0.0, 1.0])
    for given in ({"mask": counting.bool()}, {"sample_weight": counting}):
        for engine in ("cpu", "eager"):
            ours = results(on(engine), X, target, **given)
            assert_all_same(ours, results(by_hand, X, tensor([0, 1, 1, 2]), **given), 1e-6)
    assert_refused(
        onepass.DomainError,
        "cross_entropy: `target` must hold class indices in [0, 4] or ignore_index=-100; got -7 "
        "at (2,). If that marks rows to skip, write ignore_index=-7.",
        X, tensor([0, 99, -7, 2]).clamp(max=4), mask=tensor([True, False, True, True]),
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape, target, options, wanted, axis, hint",
    [
        ((4, 5), (4, 1), {}, (4,), 1, " Did you mean target.squeeze(1)?"),
        ((4, 5), (1, 4), {}, (4,), 1, " Did you mean target.squeeze(0)?"),
        ((4, 5, 3), (4, 1, 3), {}, (4, 3), 1, " Did you mean target.squeeze(1)?"),
        ((5,), (2,), {}, (), 0, ""),
        ((5,), (1, 1), {}, (), 0, ""),
        ((2, 7, 50), (2, 7), {}, (2, 50), 1, " If the classes are on axis 2, write dim=-1."),
        ((50, 2, 7), (2, 7), {}, (50, 7), 1, " If the classes are on axis 0, write dim=0."),
        ((2, 50, 7), (2, 7), {"dim": -1}, (2, 50), 2,
         " If the classes are on axis 1, write dim=1."),
        ((4, 5), (5,), {}, (4,), 1, " If the classes are on axis 0, write dim=0."),
        ((4, 5), (3,), {}, (4,), 1, ""),
        ((4, 5), (4, 2), {}, (4,), 1, ""),
        ((4, 5), (), {}, (4,), 1, ""),
        ((4, 5, 3), (4,), {}, (4, 3), 1, ""),
    ],
    ids=str,
)  # fmt: skip
def test_targets_of_another_shape_show_what_to_write(shape, target, options, wanted, axis, hint):
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: `target` must hold a class index for every row of `input`, "
        f"{wanted} for input {shape} with {shape[axis]} classes on axis {axis}; got "
        f"{target}.{hint}",
        torch.zeros(shape), torch.zeros(target, dtype=torch.int64), **options,
    )  # fmt: skip


@pytest.mark.parametrize("shape, dim", [((4, 7), 1), ((4, 1), 1), ((5, 4), 0), ((3, 5), 1)])
def test_probabilities_of_another_shape_show_that_of_the_logits(shape, dim):
    logits_shape = (4, 5) if dim == 1 else (5, 3)
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: class probabilities in `target` must have the shape of the logits, "
        f"{logits_shape}; got {shape}. Class indices are integers.",
        torch.zeros(logits_shape), torch.zeros(shape), dim=dim,
    )  # fmt: skip


def test_probabilities_must_be_real():
    assert_refused(
        onepass.DtypeError,
        "cross_entropy: `target` must be real, got torch.complex64. "
        "Write target.real or target.abs().",
        X, X.softmax(1) + 0j,
    )  # fmt: skip


def test_a_single_number_has_no_classes():
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: `input` must have an axis of classes, got a single number.",
        tensor(1.0), tensor(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.bool, torch.complex64], ids=str
)
def test_class_indices_must_be_integers(dtype):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: class indices in `target` must be integers, got {dtype}. "
        "Write target.long().",
        X, Y.to(dtype),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (4,), (6,), (5, 1), (1, 5), (4, 5)], ids=str)
def test_a_weight_has_one_entry_for_each_class(shape):
    for target in (Y, torch.full((4, 5), 0.2)):
        assert_refused(
            onepass.ShapeError,
            "cross_entropy: `weight` must have one entry for each of the 5 classes, (5,); got "
            f"{shape}.",
            X, target, torch.ones(shape),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_a_weight_must_be_floating_point(dtype):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: `weight` must be floating point, got {dtype}. Write weight.float().",
        X, Y, torch.ones(5, dtype=dtype),
    )  # fmt: skip


@pytest.mark.parametrize(
    "tensors, name, thing",
    [
        (([[1.0]], Y), "input", "list: [[1.0]]"),
        ((None, Y), "input", "NoneType: None"),
        ((X, [0, 1, 2, 4]), "target", "list: [0, 1, 2, 4]"),
        ((X, 3), "target", "int: 3"),
        ((X, None), "target", "NoneType: None"),
        ((X, Y, [1.0, 2.0]), "weight", "list: [1.0, 2.0]"),
        ((X, Y, 2.0), "weight", "float: 2.0"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(tensors, name, thing):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: `{name}` must be a tensor, got {thing}. Write torch.as_tensor({name}).",
        *tensors,
    )


@pytest.mark.parametrize(
    "name, said, given",
    [
        ("label_smoothing", "a probability, in [0, 1]", (-0.1, 1.5, NAN, INF)),
        ("z_loss", "a number that is not negative, >= 0", (-1e-9, NAN, INF, -INF)),
        ("softcap", "a positive finite number, > 0", (0.0, -1.0, NAN, INF)),
    ],
)
def test_numbers_outside_their_domain_are_refused(name, said, given):
    for number in given:
        message = f"cross_entropy: `{name}` must be {said}; got {number!r}."
        assert_refused(onepass.ParameterError, message, X, Y, **{name: number})
        with pytest.raises(onepass.ParameterError) as caught:
            nn.CrossEntropyLoss(**{name: number})
        assert str(caught.value) == message
    for thing in (True, "1", [0.1]):
        message = (
            f"cross_entropy: `{name}` must be {said}; got {type(thing).__name__}: {thing!r}. "
            "It is one number for all elements."
        )
        assert_refused(onepass.ParameterError, message, X, Y, **{name: thing})
        with pytest.raises(onepass.ParameterError, match=rf"`{name}` must be"):
            nn.CrossEntropyLoss(**{name: thing})


@pytest.mark.parametrize("thing", [None, 1.0, True, "1", [1]], ids=repr)
@pytest.mark.parametrize("name", ["ignore_index", "dim"])
def test_indices_must_be_integers(name, thing):
    hint = f": write int({name})" if thing == 1.0 and thing is not True else ""
    message = (
        f"cross_entropy: `{name}` must be an integer, got {type(thing).__name__}: {thing!r}{hint}."
    )
    assert_refused(onepass.ParameterError, message, X, Y, **{name: thing})
    with pytest.raises(onepass.ParameterError) as caught:
        nn.CrossEntropyLoss(**{name: thing})
    assert str(caught.value) == message


@pytest.mark.parametrize("dim", [2, -3, 100])
def test_dim_must_be_an_axis(dim):
    for input, target in ((X, Y), (X, X.softmax(1))):
        message = f"cross_entropy: `dim` must be an axis of `input`, which has 2; got {dim}."
        assert_refused(onepass.ParameterError, message, input, target, dim=dim)
    message = f"cross_entropy: `dim` must be an axis of `input`, which has 1; got {dim}."
    assert_refused(onepass.ParameterError, message, X[0], Y[0], dim=dim)


@pytest.mark.parametrize(
    "given, hint", [("avg", " Did you mean 'mean'?"), ("Sum", " Did you mean 'sum'?"), ("?", "")]
)
def test_a_wrong_reduction_names_the_closest(given, hint):
    message = (
        f"cross_entropy: {given!r} is not a valid value for reduction: `reduction` must be one of "
        f"'none', 'mean', 'sum', 'batchmean'.{hint}"
    )
    for target in (Y, X.softmax(1)):
        assert_refused(onepass.ParameterError, message, X, target, reduction=given)
        mask = torch.ones(4, dtype=torch.bool)
        assert_refused(onepass.ParameterError, message, X, target, reduction=given, mask=mask)
    with pytest.raises(onepass.ParameterError) as caught:
        nn.CrossEntropyLoss(reduction=given)
    assert str(caught.value) == message.replace("cross_entropy", "CrossEntropyLoss", 1)


def test_weights_of_rows_are_refused_as_by_every_loss():
    for target in (Y, X.softmax(1)):
        assert_refused(
            onepass.DtypeError,
            "cross_entropy: `mask` must be a bool tensor, True where an element counts; got "
            "torch.float32. Write mask.bool(), or give numbers as sample_weight.",
            X, target, mask=torch.ones(4),
        )  # fmt: skip
        assert_refused(
            onepass.ShapeError,
            "cross_entropy: `sample_weight` must broadcast to the shape of the unreduced loss, "
            "(4,); got (4, 5).",
            X, target, sample_weight=torch.ones(4, 5),
        )  # fmt: skip
        assert_refused(
            onepass.ParameterError,
            "cross_entropy: `normalizer` replaces the denominator of reduction='mean', got "
            "reduction='sum'. Leave one of the two out.",
            X, target, normalizer=3, reduction="sum",
        )  # fmt: skip


def test_tensors_on_different_devices_are_named():
    said = "cross_entropy: all tensors must be on the same device, got cpu and for `{0}` meta. "
    said += "Write {0}.to('cpu')."
    meta = "meta"
    assert_refused(onepass.DeviceError, said.format("target"), X, Y.to(meta))
    assert_refused(onepass.DeviceError, said.format("target"), X, X.softmax(1).to(meta))
    assert_refused(onepass.DeviceError, said.format("weight"), X, Y, torch.ones(5, device=meta))
    weight = torch.ones(4, device=meta)
    assert_refused(onepass.DeviceError, said.format("sample_weight"), X, Y, sample_weight=weight)


def test_meta_tensors_have_a_shape_and_a_dtype():
    for target in (Y, X.softmax(1)):
        for reduction, shape in (("none", (4,)), ("mean", ()), ("sum", ())):
            value = F.cross_entropy(X.to("meta"), target.to("meta"), reduction=reduction)
            assert value.device.type == "meta"
            assert value.shape == shape
            assert value.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_logits_that_are_no_real_numbers_are_refused_in_our_words(dtype):
    with pytest.raises(onepass.DtypeError, match=rf"`input` must be .*{dtype}"):
        F.cross_entropy(X.to(dtype), Y)


SAME_PLACES = {
    "a class too large": ((X, Y + 1), {}),
    "a negative class": ((X, Y - 1), {}),
    "(N, 1)": ((X, Y[:, None]), {}),
    "rows": ((X, Y[:3]), {}),
    "weight": ((X, Y, torch.ones(4)), {}),
    "reduction": ((X, Y), {"reduction": "avg"}),
    "smoothing": ((X, Y), {"label_smoothing": 1.5}),
    "a target that is a list": ((X, [1]), {}),
    "float labels": ((X, Y.float()), {}),
    "devices": ((X, Y.to("meta")), {}),
    "an index of a string": ((X, Y), {"ignore_index": "1"}),
}


@pytest.mark.parametrize("tensors, options", SAME_PLACES.values(), ids=SAME_PLACES)
def test_what_catches_torchs_error_catches_ours(tensors, options):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        torchs(*tensors, **options)
    with pytest.raises(type(theirs.value)):
        F.cross_entropy(*tensors, **options)


assert LAST[1] > 24 > FEW[1] == 7
assert math.prod(ADJACENT[2:]) >= 16
assert ALONE[0] < 256
