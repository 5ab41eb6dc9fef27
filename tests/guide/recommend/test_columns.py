"""Data in any container, with holes, and with values that must be recoded."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import REGRESSION, assert_says, first, planted

NOISY = planted("5% gross outliers", 60)

CONTAINERS = {
    "tensor": torch.tensor,
    "tensor with a gradient": lambda values: torch.tensor(values, requires_grad=True),
    "list": list,
    "Series": pd.Series,
    "nullable Series": lambda values: pd.Series(values).astype("Float64"),
    "objects": lambda values: values.astype(object),
    "Decimals": lambda values: [Decimal(value) for value in values.tolist()],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_data_have_the_same_answer(container):
    wrap = CONTAINERS[container]
    assert recommend(*(wrap(values) for values in NOISY)) == recommend(*NOISY)


def test_a_missing_target_is_left_out_and_counted():
    target, prediction = NOISY
    holes = np.concatenate([target, [np.nan, np.nan]]), np.concatenate([prediction, [0.0, 1.0]])
    found, whole = first(*holes), first(target, prediction)
    assert found.parameters == whole.parameters
    assert found.evidence == [*whole.evidence, "2 of 62 targets are nan: mask=target.isfinite()"]


@pytest.mark.parametrize(
    "target, says",
    [
        ([1.5, -2.5, np.inf, 0.25], "1 of 4 targets is infinite: mask=target.isfinite()"),
        (pd.Series(["a", None, "b", "c"] * 9), "9 of 36 targets are missing: leave those rows out"),
        (pd.array([1, 0, pd.NA, 0] * 9, dtype="Int64"), "9 of 36 targets are nan: mask="),
        (pd.Categorical(["a", "b", None] * 9), "9 of 27 targets are missing"),
        ([3.0] * 9, "they are all alike: there is nothing to learn"),
        ([True] * 9, "every target is 1: with one value there is nothing to tell apart"),
        (2.5, "1 real numbers from 2.5 to 2.5"),
    ],
)
def test_what_is_odd_about_a_target_is_evidence(target, says):
    assert_says(first(target), says)


def test_a_missing_input_is_left_out_and_counted():
    target, prediction = NOISY
    found = first(target, np.where(np.arange(60) < 2, np.nan, prediction))
    assert_says(found, "2 values of the input are not finite and were left out")
    pairs, input = planted("pairs by angle")
    input[0][3] = np.nan
    assert_says(first(pairs, input), "1 of 500 pairs are not finite and were left out")


def test_a_column_and_a_vector_are_matched_and_named():
    target, prediction = NOISY
    found = first(target, prediction[:, None])
    assert found.parameters == first(target, prediction).parameters
    assert_says(found, "`input` is (60, 1) and `target` (60,)", "input.reshape(target.shape)")


def test_a_constant_prediction_and_perfect_ones_are_regressions():
    target = NOISY[0]
    assert first(target, np.zeros(60)).loss in REGRESSION
    assert_says(first(target, target), "too few different residuals to tell a law from")


@pytest.mark.parametrize(
    "target, loss, says",
    [
        ([1, 2, 3] * 20, "cross_entropy", "labels from 1 to 3: write target - 1"),
        ([5, 17, 200] * 20, "cross_entropy", "the labels are no indices"),
        ([-1, 0, 1] * 20, "cross_entropy", "the labels are no indices"),
        ([0, 255] * 20, "binary_cross_entropy_with_logits", "write (target == 255).float()"),
        (["no", "yes"] * 20, "binary_cross_entropy_with_logits", "(target == 'yes').float()"),
        (["a", "b", "c"] * 20, "cross_entropy", "strings, such as 'a'"),
        ([100, 300, 200, 700] * 5, "mse_loss", "20 whole numbers from 100 to 700"),
    ],
)
def test_values_that_must_be_recoded_say_how(target, loss, says):
    found = first(target)
    assert found.loss == loss
    assert_says(found, says)


@pytest.mark.parametrize(
    "value, loss", [(0, "binary_cross_entropy_with_logits"), (0.25, "mse_loss")]
)
def test_a_constant_is_what_its_value_is(value, loss):
    assert first([value] * 9).loss == loss
