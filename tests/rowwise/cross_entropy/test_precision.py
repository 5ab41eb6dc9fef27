"""cross_entropy in every precision, also of confident rows and of large logits."""

import math

import mpmath
import pytest
import torch
from torch import tensor

from tests.rowwise.cross_entropy.calls import (
    ENGINES,
    EVERY_KERNEL,
    FLOATS,
    KERNELS,
    by_hand,
    definition,
    labels,
    logits,
    on,
    options_of,
    torchs,
)
from tests.rowwise.cross_entropy.checks import (
    assert_confident_rows_do_not_cancel,
    assert_labels_far_below_the_largest_are_exact,
    assert_large_logits_do_not_overflow,
)
from tests.rowwise.results import assert_all_same, results


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
def test_known_mean_and_sum_of_random_samples(engine):
    torch.manual_seed(42)
    for _ in range(10):
        torch.randn(10, 3, 5, 7)
    input, target = torch.randn(10, 5), torch.randint(0, 5, (10,))
    mean, total = (on(engine)(input, target, reduction=r) for r in ("mean", "sum"))
    assert mean.item() == pytest.approx(1.5826647281646729, rel=2e-5)
    assert total.item() == pytest.approx(15.826647758483887, rel=2e-5)


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
