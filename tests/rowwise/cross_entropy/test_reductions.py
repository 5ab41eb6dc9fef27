"""Reductions of cross_entropy and the weights of its rows."""

import pytest
import torch

import onepass
from onepass import functional as F
from tests.rowwise.cross_entropy.calls import (
    BEYOND,
    ENGINES,
    EVERY_KERNEL,
    TORCHS,
    by_hand,
    labels,
    logits,
    on,
    options_of,
    torchs,
)
from tests.rowwise.cross_entropy.checks import assert_row_weights_weigh_and_count
from tests.rowwise.results import (
    EXACT,
    REDUCTIONS,
    assert_all_same,
    class_weight,
    results,
    upstream_of,
)


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
