"""Recommendations for yes and no."""

import numpy as np
import torch

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import REGRESSION, assert_ranks, first, planted, rounded


def test_pos_weight_is_negatives_per_positive_of_what_is_rare():
    target = torch.tensor([1] * 5 + [0] * 95)
    assert first(target).parameters == {"pos_weight": 19.0}
    assert first(1 - target).parameters == {"pos_weight": rounded(5 / 95)}
    assert first(torch.tensor([1, 0, 0, 1, 0])).parameters == {}


def test_rare_labels_have_pos_weights_of_their_own():
    target = torch.zeros(100, 3)
    target[:50, 0], target[:10, 1] = 1, 1
    assert first(target).parameters == {"pos_weight": [1.0, 9.0, 1.0]}


def test_probabilities_are_recognised_in_the_input():
    target = planted("binary")[0]
    logits = np.random.default_rng(0).normal(size=500)
    given = recommend(target, 1 / (1 + np.exp(-logits)))
    assert_ranks(given, "binary_cross_entropy", "binary_cross_entropy_with_logits")
    assert "pass the logits" in given[1].against[0]
    assert_ranks(recommend(target, logits), "binary_cross_entropy_with_logits")


def test_small_shares_may_be_real_numbers():
    best, *others = recommend(np.random.default_rng(0).beta(2, 40, 200))
    assert best.loss in REGRESSION
    against = next(r.against for r in others if r.loss == "binary_cross_entropy_with_logits")
    assert "right if 0 and 1 are bounds that nothing can pass" in against
