"""Recommendations for counts, and what tells them from classes."""

import numpy as np

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import assert_says, first, planted


def test_rates_are_told_from_their_logarithms():
    target, log_rate = planted("counts and log-rates")
    assert first(target, log_rate).parameters == {"log_input": True}
    assert first(target, np.exp(log_rate)).parameters == {"log_input": False}
    assert first(target).parameters == {"log_input": True}
    assert_says(first(target, np.exp(log_rate)), "log_input=False: the input costs")


def test_counts_or_classes_are_ranked_both_ways():
    counts = recommend(planted("counts")[0])
    classes = recommend(planted("10 classes")[0])
    assert counts[0].loss == "poisson_nll_loss"
    assert "cross_entropy" in [r.loss for r in counts]
    assert classes[0].loss == "cross_entropy"
    assert "poisson_nll_loss" in [r.loss for r in classes]
    assert_says(counts[0], "the frequencies suggest counts")
    assert_says(classes[0], "the frequencies suggest class indices")


def test_an_input_decides_between_counts_and_classes():
    target = planted("10 classes")[0]
    scores = np.zeros((500, 10))
    assert "poisson_nll_loss" not in [r.loss for r in recommend(target, scores)]
    assert "cross_entropy" not in [r.loss for r in recommend(target, scores[:, 0] + 0.5)]


def test_a_matrix_of_whole_numbers_is_counts_rather_than_labels():
    recommendations = recommend(np.random.default_rng(0).integers(0, 9, (90, 4)))
    assert recommendations[0].loss == "poisson_nll_loss"
    against = next(r.against for r in recommendations if r.loss == "cross_entropy")
    assert "a row has 4 of them" in against


def test_gaps_speak_against_classes():
    recommendations = recommend([0] * 40 + [1] * 20 + [2] * 10 + [5] * 6 + [9] * 3)
    assert recommendations[0].loss == "poisson_nll_loss"
    against = next(r.against for r in recommendations if r.loss == "cross_entropy")
    assert "class labels would be 0, 1, 2, ... without gaps" in against
