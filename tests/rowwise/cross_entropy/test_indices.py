"""cross_entropy of class indices: torch's results, in every layout and with every option."""

import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import tensor

from onepass import functional as F
from tests.rowwise.cross_entropy.calls import (
    ALONE,
    BEYOND,
    ENGINES,
    EVERY_KERNEL,
    LAST,
    SHAPES,
    TORCHS,
    by_hand,
    labels,
    layouts,
    logits,
    on,
    options_of,
    torchs,
)
from tests.rowwise.cross_entropy.checks import assert_rows_are_the_definitions
from tests.rowwise.results import EXACT, NAN, REDUCTIONS, assert_all_same, class_weight, results


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
