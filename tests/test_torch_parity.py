"""Ours against torch's own losses: value, gradient, second derivative, kinks, layouts, options."""

import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onepass
from onepass.testing import Sample, draw, samples
from tests.twins import (
    LOSSES,
    REDUCTIONS,
    assert_same,
    assert_same_results,
    differentiated,
    functions,
    names,
)

EXACT = 1e-12  # relative; only where torch's result is finite (test_pitfalls.py has the rest)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_value_and_gradient_are_torchs_on_random_samples_and_on_every_kink(loss, reduction):
    ours, torchs = functions(loss.name)
    for sample in samples(loss):
        mine = differentiated(ours, sample, reduction=reduction)
        theirs = differentiated(torchs, sample, reduction=reduction)
        assert_same_results(mine, theirs, EXACT, f"{loss.name} {sample.options}")


def layouts(tensor):
    """The same numbers in another order of memory."""
    yield tensor
    yield tensor.transpose(0, -1).contiguous().transpose(0, -1)
    yield torch.stack([tensor, -tensor], -1)[..., 0]
    if tensor.dim() == 4:
        yield tensor.contiguous(memory_format=torch.channels_last)


@st.composite
def calls(draw_from):
    """A loss, tensors of a generated shape and layout, a setting of its options, a reduction."""
    loss = draw_from(st.sampled_from(LOSSES))
    shape = draw_from(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(draw_from(st.integers(0, 2**31)))
    tensors = []
    for name in loss.tensors:
        plain = draw(loss.domains[name], shape, generator)
        choices = list(layouts(plain))
        tensors.append(choices[draw_from(st.integers(0, len(choices) - 1))])
    options = {name: draw_from(st.booleans()) for name in loss.flags}
    for name in loss.parameters:
        domain = loss.domains[name]
        low = 0.01 if domain.low == 0 else -3.0
        options[name] = draw_from(st.floats(low, 3.0))
    if loss.name == "poisson_nll_loss" and not options["log_input"]:
        tensors[0] = tensors[0].abs()
    return Sample(loss, tuple(tensors), options), draw_from(st.sampled_from(REDUCTIONS))


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls())
def test_value_gradient_and_layout_are_torchs_for_generated_calls(call):
    sample, reduction = call
    ours, torchs = functions(sample.loss.name)
    mine = differentiated(ours, sample, reduction=reduction)
    theirs = differentiated(torchs, sample, reduction=reduction)
    assert_same_results(mine, theirs, EXACT, f"{sample.loss.name} {sample.options} {reduction}")


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_second_derivatives_are_torchs(loss):
    # torch adds 1e-12 to the denominators of binary_cross_entropy's, twice: compared for the
    # random sample alone, whose smallest probability is some 4e-5.
    smoothed = loss.name == "binary_cross_entropy"
    tolerance = 1e-7 if smoothed else EXACT
    ours, torchs = functions(loss.name)
    for sample in itertools.islice(samples(loss), 1 if smoothed else None):

        def curvature(function, sample=sample):
            _, slopes, leaves = differentiated(function, sample, True, reduction="mean")
            along = sum(
                (s * torch.sin(7 * s.detach() + 1)).sum() for s in slopes if s.requires_grad
            )
            if not isinstance(along, torch.Tensor):
                return [torch.zeros_like(leaf) for leaf in leaves]
            found = torch.autograd.grad(along, leaves, allow_unused=True)
            return [0 * x if f is None else f for f, x in zip(found, leaves, strict=True)]

        for a, b in zip(curvature(ours), curvature(torchs), strict=True):
            finite = b.isfinite()
            assert_same(a[finite], b[finite], tolerance, f"{loss.name} {sample.options}")


WEIGHTED = [
    "l1_loss", "mse_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
]  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", WEIGHTED)
def test_weight_divides_as_torchs(name, reduction):
    ours, torchs = functions(name)
    sample = next(iter(samples(onepass.catalogue()[name])))
    weight = torch.rand(sample.tensors[0].shape, dtype=torch.float64)
    mine = differentiated(ours, sample, reduction=reduction, weight=weight)
    theirs = differentiated(torchs, sample, reduction=reduction, weight=weight)
    assert_same_results(mine, theirs, EXACT, name)


def test_pos_weight_broadcasts_as_torchs():
    ours, torchs = functions("binary_cross_entropy_with_logits")
    sample = next(iter(samples(onepass.catalogue()["binary_cross_entropy_with_logits"])))
    pos_weight = torch.rand(sample.tensors[0].shape[1:], dtype=torch.float64) * 4
    for reduction in REDUCTIONS:
        mine = differentiated(ours, sample, reduction=reduction, pos_weight=pos_weight)
        theirs = differentiated(torchs, sample, reduction=reduction, pos_weight=pos_weight)
        assert_same_results(mine, theirs, EXACT, "pos_weight")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_error_in_low_precision_is_at_most_torchs_and_one_rounding(loss, dtype):
    ours, torchs = functions(loss.name)
    for sample in itertools.islice(samples(loss), 0, None, 2):
        rounded = sample.to(dtype)
        try:
            theirs = differentiated(torchs, rounded, reduction="none")
        except (RuntimeError, NotImplementedError):
            theirs = None  # torch has no kernel for this dtype
        mine = differentiated(ours, rounded, reduction="none")
        exact = differentiated(ours, rounded.to(torch.float64), reduction="none")
        for k, (a, b) in enumerate(zip((mine[0], *mine[1]), (exact[0], *exact[1]), strict=True)):
            rounding = torch.finfo(dtype).eps * b.abs() + 2 * torch.finfo(dtype).tiny
            if dtype is torch.float32 or theirs is None:
                # the formula itself is computed in float32, and may cancel there
                rounding = rounding + 8 * torch.finfo(torch.float32).eps * b.abs().clamp(min=1)
            room = torch.zeros(())
            if theirs is not None:
                room = ((theirs[0], *theirs[1])[k].double() - b).abs().nan_to_num(0)
            fits = b.isfinite() & (b.abs() < torch.finfo(dtype).max)
            assert ((a.double() - b).abs() <= room + rounding)[fits].all(), f"{loss.name} {k}"
