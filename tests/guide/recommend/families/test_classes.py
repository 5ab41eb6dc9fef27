"""Recommendations for classes, their scores and their axis."""

import numpy as np
import pytest
import torch

import onepass.functional as F
from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import assert_ranks, assert_says, first, planted, rounded


def test_class_weights_balance_the_classes():
    target = np.repeat([0, 1, 2], [600, 300, 30])
    found = first(target, np.zeros((930, 4)))
    assert found.loss == "cross_entropy"
    assert found.parameters["weight"] == [rounded(930 / (3 * n)) for n in (600, 300, 30)] + [1.0]
    weight = found.arguments()["weight"]
    assert weight.dtype is torch.float32
    assert weight[:3] @ torch.tensor([600.0, 300.0, 30.0]) == pytest.approx(930, rel=1e-3)


@pytest.mark.parametrize("ignored", [255, -1, -100])
def test_a_label_apart_is_ignored(ignored):
    target = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, ignored], 50))
    found = first(target)
    assert found.loss == "cross_entropy"
    assert found.parameters == ({} if ignored == -100 else {"ignore_index": ignored})
    assert_says(found, f"20.0% are {ignored}, which is no class")
    logits = torch.randn(250, 4)
    assert F.cross_entropy(logits, torch.tensor(target), **found.arguments()).isfinite()


def test_classes_on_the_last_axis_are_a_dim():
    target = torch.randint(0, 9, (4, 6), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(4, 6, 9)
    found = first(target, logits)
    assert found.parameters == {"dim": -1}
    assert F.cross_entropy(logits, target, **found.arguments()).isfinite()
    assert first(target, logits.movedim(-1, 1)).parameters == {}


def test_axes_that_could_both_be_classes_are_named():
    found = first(torch.arange(10).reshape(2, 5) % 5, torch.randn(2, 5, 5))
    assert found.parameters == {}
    assert_says(found, "classes may be axis 1 or the last of `input` (2, 5, 5)")


def test_confident_scores_against_a_label_are_label_noise():
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 1000)
    label = np.where(np.arange(1000) % 20 == 0, (truth + 1) % 4, truth)
    found = first(label, 20 * np.eye(4)[truth])
    assert found.parameters == {"label_smoothing": 0.05}
    assert_says(found, "99% sure that 5.0% of the labels are wrong")
    assert first(truth, 20 * np.eye(4)[truth]).parameters == {}
    assert first(label, 20 * np.eye(4)[random.integers(0, 4, 1000)]).parameters == {}


def test_log_probabilities_and_probabilities_of_classes_are_recognised():
    target, logits = planted("classes and logits")
    log_probability = torch.tensor(logits).log_softmax(1)
    assert_ranks(recommend(target, log_probability), "nll_loss", "cross_entropy")
    softmaxed = first(target, log_probability.exp())
    assert softmaxed.loss == "cross_entropy"
    assert_says(softmaxed, "softmax is in the loss; pass the logits before it")


def test_one_hot_rows_are_classes():
    target = np.eye(4)[np.arange(100) % 4]
    assert_says(first(target), "each of 100 rows holds one 1 among 4")
    assert first(target).parameters == {}
    assert first(target.reshape(10, 10, 4)).parameters == {"dim": -1}


def test_many_classes_ask_for_the_whole_layer():
    target = np.random.default_rng(0).integers(0, 5000, 100)
    recommendations = recommend(target, np.zeros((100, 5000)))
    assert_ranks(recommendations, "cross_entropy", "linear_cross_entropy")
    assert "5000 logits in float32 take 20 kB a row" in recommendations[1].evidence[-1]


def test_a_single_row_of_scores_has_one_class():
    assert first([2], torch.randn(5)).loss == "cross_entropy"


def test_a_column_of_class_indices_is_to_be_squeezed():
    target, logits = planted("classes and logits")
    found = first(target[:, None], logits)
    assert found.loss == "cross_entropy"
    assert_says(found, "`target` is (500, 1): class indices have no such axis; squeeze it")


def test_two_scores_are_classes_and_one_would_do():
    recommendations = recommend([0, 1] * 20, np.random.default_rng(0).normal(size=(40, 2)))
    assert_ranks(recommendations, "cross_entropy", "multi_margin_loss")
    against = next(r.against for r in recommendations if r.loss.endswith("with_logits"))
    assert "the input has 2 scores for each target, where it takes one" in against


def test_scores_that_are_not_finite_hide_no_labels():
    target, logits = planted("classes and logits")
    found = first(target, np.where(np.arange(10) == 0, np.nan, logits))
    assert found.loss == "cross_entropy"
    assert_says(found, "500 values of the input are not finite")
