"""The tests are tested: each mutant is a mistake, and the check named beside it must catch it."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import reduce as folded
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from onepass import testing
from onepass.define import Pointwise
from onepass.formula import differentiate, operations
from onepass.pointwise.binary import soft_margin_loss
from onepass.pointwise.ranking import margin_ranking_loss
from onepass.pointwise.regression import huber_loss, l1_loss, mse_loss
from onepass.printers import cpu as printer
from onepass.printers import kernel as printed_kernel
from onepass.runtime import autograd, eager, reduce
from onepass.runtime.cpu import elements, kernels, operands
from onepass.testing import Sample, samples
from tests.twins import REDUCTIONS, assert_same_results, differentiated

pytestmark = pytest.mark.usefixtures("by_python")  # whose way the mutants change

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], Any]


def results_are_torchs(sample: Sample) -> None:
    """The comparison of test_torch_parity.py."""
    torchs = getattr(torch.nn.functional, sample.loss.name)
    for reduction in REDUCTIONS:
        ours = differentiated(sample.loss, sample, reduction=reduction)
        theirs = differentiated(torchs, sample, reduction=reduction)
        assert_same_results(ours, theirs, 1e-12, reduction)


def fresh(loss: Pointwise) -> Pointwise:
    """The same loss, nothing traced or compiled yet, and always by its own kernel."""
    return Pointwise(loss.formula, loss.domains)


def prove(check: Callable[[Sample], None], loss: Pointwise) -> None:
    for sample in samples(loss):
        check(sample)


# Mutants: each patches one thing, or returns a formula that is wrong.


def gradient_of_the_wrong_sign(patch):
    def wrong(value, leaves):
        return [-slope for slope in differentiate.differentiate(value, leaves)]

    patch.setattr(import_module("onepass.define.pointwise"), "differentiate", wrong)


def subgradient_of_one_side(patch):
    abs_ = operations.OPERATIONS["abs"]
    one_side = replace(abs_, slopes=lambda y, x: (operations.where(x >= 0, 1.0, -1.0),))
    patch.setitem(operations.OPERATIONS, "abs", one_side)


def where_that_multiplies_by_a_mask(patch):
    patch.setattr(differentiate, "_scaled", lambda upstream, slope: upstream * slope)


def huber_that_compares_the_signed_difference(patch):
    def huber_loss(input, target, *, delta: float = 1.0):
        error = input - target
        size = torch.abs(error)
        return torch.where(error < delta, 0.5 * error * error, delta * (size - 0.5 * delta))

    return huber_loss


def hinge_of_the_other_side_of_its_kink(patch):
    def margin_ranking_loss(input1, input2, target, *, margin: float = 0.0):
        return torch.relu(-target * (input1 - input2) + margin)

    return margin_ranking_loss


def sample_weight_dropped(patch):
    patch.setattr(reduce, "product", lambda a, b: a)


def mean_over_the_number_of_elements(patch):
    patch.setattr(reduce, "_sum", lambda weight: torch.tensor(float(weight.numel())))


def mask_one_off(patch):
    right = reduce.weighted

    def wrong(loss, shape, device, weighting, *weight, **counts):
        if weighting.mask is not None:
            weighting = weighting._replace(mask=weighting.mask.roll(1))
        return right(loss, shape, device, weighting, *weight, **counts)

    patch.setattr(reduce, "weighted", wrong)


def kernel_that_multiplies_what_is_masked_by_zero(patch):
    patch.setattr(printed_kernel, "where", lambda condition, a, b: b)


def definition_that_multiplies_what_is_masked_by_zero(patch):
    def wrong(call, tensors):
        value = eager._guarded(call, tensors)
        return value if call.weight is None else call.weight * value

    patch.setattr(eager, "_of_elements", wrong)


def upstream_applied_twice(patch):
    right = autograd.OnePass.backward

    def wrong(ctx, upstream):
        gradients = right(ctx, upstream)[2:]
        return None, None, *(g if g is None else g * upstream for g in gradients)

    patch.setattr(autograd.OnePass, "backward", staticmethod(wrong))


def upstream_forgotten(patch):
    right = autograd.OnePass.backward
    wrong = staticmethod(lambda ctx, upstream: right(ctx, torch.ones_like(upstream)))
    patch.setattr(autograd.OnePass, "backward", wrong)


def upstream_of_the_first_element_for_all(patch):
    right = elements.gradients

    def wrong(call, tensors, needs_grad, upstream, lost):
        return right(call, tensors, needs_grad, upstream.flatten()[0].expand(upstream.shape), lost)

    patch.setattr(elements, "gradients", wrong)


def sums_in_half_precision(patch):
    right = elements.value_and_gradients

    def wrong(call, *others):
        value, gradients = right(call, *others)
        if call.dtype.itemsize == 2:
            values, _ = elements.values(call, others[0])
            value = folded(torch.add, values.flatten()) / operands.divisor_of(call)
        return value, gradients

    patch.setattr(elements, "value_and_gradients", wrong)


def in_kernel_text(patch, was, becomes):
    patch.setattr(
        elements, "text", lambda *arguments: printer.text(*arguments).replace(was, becomes)
    )


def last_element_of_a_run_skipped(patch):
    in_kernel_text(patch, "min(run + 1024, count)", "min(run + 1024, count) - 1")


def last_element_of_each_full_block_skipped(patch):
    shorter = "min(run + 1024 - (run % 16384 == 15360), count)"
    in_kernel_text(patch, "min(run + 1024, count)", shorter)


def slopes_scaled_twice(patch):
    in_kernel_text(patch, " * scale\n", " * scale * scale\n")


def sums_that_depend_on_threads(patch):
    def wrong(partials):
        threads = torch.get_num_threads()
        parts = [np.float32(sum(partials[k::threads])) for k in range(threads)]
        return float(sum(parts, np.float32(0)))

    patch.setattr(kernels, "sum", wrong, raising=False)


def wide_sums_that_depend_on_threads(patch):
    def wrong(partials):
        threads = torch.get_num_threads()
        return float(sum(sum(partials[k::threads]) for k in range(threads)))

    patch.setattr(kernels, "sum", wrong, raising=False)


def buffer_scaled_again_by_a_second_backward(patch):
    right = autograd.OnePass.backward

    def wrong(ctx, upstream):
        kept = ctx.gradients
        found = right(ctx, upstream)
        ctx.gradients = kept
        return found

    patch.setattr(autograd.OnePass, "backward", staticmethod(wrong))


def weight_dropped_from_slopes(patch, each):
    right = printed_kernel._outputs

    def wrong(kernel, results):
        outputs = right(kernel, results)
        if kernel.each is each:
            bare = right(replace(kernel, weight=None), results)
            outputs |= {name: bare[name] for name in kernel.gradients}
        return outputs

    patch.setattr(printed_kernel, "_outputs", wrong)


def weight_dropped_from_the_slopes_of_none(patch):
    weight_dropped_from_slopes(patch, each=True)


def weight_dropped_from_the_gradient_of_the_mean(patch):
    weight_dropped_from_slopes(patch, each=False)


def batchmean_that_ignores_the_mask(patch):
    patch.setattr(reduce, "rows_that_count", lambda counting, shape: float(shape[0]))


def subgradient_of_a_tie_too_steep(patch):
    def wrong(y, a, b):
        share = operations.where(a > b, 1.0, operations.where(a == b, 3.0, 0.0))
        return share, 1.0 - share

    maximum = replace(operations.OPERATIONS["maximum"], slopes=wrong)
    patch.setitem(operations.OPERATIONS, "maximum", maximum)


def kink_with_a_subgradient_of_its_own(patch):
    def insensitive(input, target):
        size = torch.abs(input - target)
        steep = torch.where(size == 1.345, 5.0, 0.0)
        return torch.maximum(size, 0 * size + 1.345) + steep * (input - input.detach())

    return insensitive


def operands_in_another_order(patch):
    patch.setattr(elements, "aligned", lambda tensor, shape, stride: tensor.contiguous())


def guarded(input, target):
    return torch.where(input > 0, torch.log(input) * target, target * target)


def insensitive(input, target):
    size = torch.abs(input - target)
    return torch.maximum(size, 0 * size + 1.345)


INSENSITIVE = Pointwise(insensitive, {})
DEFINITION = testing.value_and_gradient_are_those_of_the_definition
WEIGHTS = testing.sample_weights_weigh_and_count
MASKED = testing.what_is_masked_out_counts_nothing
SLOPE = testing.gradient_is_the_slope_of_the_value
THREADS = testing.threads_do_not_change_a_bit
TWICE = testing.backward_twice_gives_the_same

MUTANTS: list[tuple[Mutation, Callable[[Sample], None], Pointwise]] = [
    (gradient_of_the_wrong_sign, DEFINITION, mse_loss),
    (gradient_of_the_wrong_sign, SLOPE, soft_margin_loss),
    (gradient_of_the_wrong_sign, results_are_torchs, huber_loss),
    (subgradient_of_one_side, DEFINITION, l1_loss),
    (subgradient_of_one_side, results_are_torchs, l1_loss),
    (where_that_multiplies_by_a_mask, SLOPE, Pointwise(guarded, {})),
    (huber_that_compares_the_signed_difference, results_are_torchs, huber_loss),
    (hinge_of_the_other_side_of_its_kink, results_are_torchs, margin_ranking_loss),
    (sample_weight_dropped, WEIGHTS, mse_loss),
    (mean_over_the_number_of_elements, WEIGHTS, mse_loss),
    (mean_over_the_number_of_elements, MASKED, mse_loss),
    (mask_one_off, MASKED, mse_loss),
    (kernel_that_multiplies_what_is_masked_by_zero, MASKED, mse_loss),
    (definition_that_multiplies_what_is_masked_by_zero, MASKED, mse_loss),
    (upstream_applied_twice, DEFINITION, mse_loss),
    (upstream_forgotten, DEFINITION, mse_loss),
    (upstream_forgotten, results_are_torchs, mse_loss),
    (upstream_of_the_first_element_for_all, DEFINITION, mse_loss),
    (sums_in_half_precision, DEFINITION, mse_loss),
    (last_element_of_a_run_skipped, DEFINITION, mse_loss),
    (slopes_scaled_twice, DEFINITION, mse_loss),
    (last_element_of_each_full_block_skipped, THREADS, mse_loss),
    (sums_that_depend_on_threads, THREADS, mse_loss),
    (wide_sums_that_depend_on_threads, THREADS, mse_loss),
    (buffer_scaled_again_by_a_second_backward, TWICE, mse_loss),
    (weight_dropped_from_the_slopes_of_none, WEIGHTS, mse_loss),
    (weight_dropped_from_the_gradient_of_the_mean, WEIGHTS, mse_loss),
    (batchmean_that_ignores_the_mask, WEIGHTS, mse_loss),
    (subgradient_of_a_tie_too_steep, DEFINITION, INSENSITIVE),
    (subgradient_of_a_tie_too_steep, SLOPE, INSENSITIVE),
    (kink_with_a_subgradient_of_its_own, SLOPE, INSENSITIVE),
    (operands_in_another_order, testing.memory_order_does_not_matter, mse_loss),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutate, check, loss",
    MUTANTS,
    ids=[f"{mutate.__name__}-{check.__name__}" for mutate, check, _ in MUTANTS],
)
def test_a_mutant_is_caught(mutate, check, loss, monkeypatch):
    prove(check, fresh(loss))
    formula = mutate(monkeypatch)
    mutant = Pointwise(formula, loss.domains) if inspect.isfunction(formula) else fresh(loss)
    with pytest.raises(AssertionError):
        prove(check, mutant)


# Losses that torch has an operation of its own for: the properties run their kernels all the same.

KERNEL_MUTANTS: list[tuple[Mutation, Callable[[Sample], None]]] = [
    (gradient_of_the_wrong_sign, DEFINITION),
    (gradient_of_the_wrong_sign, SLOPE),
    (upstream_applied_twice, DEFINITION),
    (upstream_forgotten, DEFINITION),
    (upstream_of_the_first_element_for_all, DEFINITION),
    (sums_in_half_precision, DEFINITION),
    (last_element_of_a_run_skipped, DEFINITION),
    (last_element_of_each_full_block_skipped, THREADS),
    (slopes_scaled_twice, DEFINITION),
    (sums_that_depend_on_threads, THREADS),
    (wide_sums_that_depend_on_threads, THREADS),
    (kernel_that_multiplies_what_is_masked_by_zero, MASKED),
    (mean_over_the_number_of_elements, MASKED),
    (mask_one_off, MASKED),
    (sample_weight_dropped, WEIGHTS),
    (weight_dropped_from_the_slopes_of_none, WEIGHTS),
    (weight_dropped_from_the_gradient_of_the_mean, WEIGHTS),
    (batchmean_that_ignores_the_mask, WEIGHTS),
]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [mse_loss, huber_loss], ids=lambda loss: loss.name)
@pytest.mark.parametrize(
    "mutate, check",
    KERNEL_MUTANTS,
    ids=[f"{mutate.__name__}-{check.__name__}" for mutate, check in KERNEL_MUTANTS],
)
def test_a_mutant_of_a_loss_that_torch_fuses_is_caught(mutate, check, loss, monkeypatch):
    assert loss.torch_op is not None
    monkeypatch.setattr(loss, "kernels", {})
    monkeypatch.setattr(loss, "_traced", {})
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        prove(check, loss)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [mse_loss, huber_loss], ids=lambda loss: loss.name)
def test_what_torch_fuses_has_the_properties_that_catch_its_mutants(loss):
    for check in {check for _, check in KERNEL_MUTANTS}:
        prove(check, loss)
