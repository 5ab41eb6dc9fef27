"""Values outside an enforced domain are named with their place."""

import math

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from tests.errors.calls import NAN, X, assert_refused


def test_a_value_outside_an_enforced_domain_is_named_with_its_place():
    input = torch.full((2, 3), 0.5)
    input[1, 2] = 1.5
    said = (
        "binary_cross_entropy: every value of `input` must be a probability, in [0, 1]; got 1.5 "
        "at (1, 2){}. For logits there is binary_cross_entropy_with_logits."
    )
    target = torch.ones(2, 3)
    assert_refused(onepass.DomainError, said.format(""), F.binary_cross_entropy, input, target)
    input[0, 1] = input[0, 2] = -0.25
    said = said.replace("1.5 at (1, 2)", "-0.25 at (0, 1)").format(" and 2 more")
    assert_refused(onepass.DomainError, said, F.binary_cross_entropy, input, target)
    mask = input == 0.5
    assert F.binary_cross_entropy(input, target, mask=mask).item() == pytest.approx(math.log(2))
    mask[0, 1] = True
    said = said.replace(" and 2 more", "")
    assert_refused(onepass.DomainError, said, F.binary_cross_entropy, input, target, mask=mask)


def test_a_negative_variance_is_named_with_its_place():
    hint = "Let the model predict log-variances and give their exp()."
    row = tensor([1.0, -0.25, 1.0])
    for var, place, more in ((row, "(0, 1)", 3), (tensor(-0.25), "(0, 0)", 11)):
        assert_refused(
            onepass.DomainError,
            "gaussian_nll_loss: every value of `var` must be a variance, >= 0; got -0.25 at "
            f"{place} and {more} more. {hint}",
            F.gaussian_nll_loss, X, X, var,
        )  # fmt: skip
    said = "gaussian_nll_loss: `var` must be a variance, >= 0; got -2.0."
    assert_refused(onepass.DomainError, said, F.gaussian_nll_loss, X, X, -2.0)


def test_a_nan_that_is_no_fault_of_an_enforced_domain_raises_nothing():
    assert F.binary_cross_entropy(tensor([0.5, 0.5]), tensor([NAN, 1.0])).isnan()
    assert F.gaussian_nll_loss(tensor([NAN]), tensor([0.0]), tensor([1.0])).isnan()
    assert F.gaussian_nll_loss(tensor([0.0]), tensor([0.0]), tensor([NAN])).isnan()
