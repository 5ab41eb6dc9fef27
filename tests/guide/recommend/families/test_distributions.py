"""Recommendations for distributions and soft labels."""

import numpy as np
import torch

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import assert_ranks, assert_says, first, planted


def test_one_distribution_is_summed_and_a_batch_has_a_batchmean():
    assert first([0.2, 0.3, 0.5]).parameters == {"reduction": "sum"}
    assert first([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]).parameters == {"reduction": "batchmean"}
    assert first(planted("log-distributions")[0]).parameters == {
        "log_target": True,
        "reduction": "batchmean",
    }


def test_distributions_and_their_inputs():
    target = planted("distributions")[0]
    logits = torch.randn(500, 5, generator=torch.Generator().manual_seed(0))
    assert_ranks(recommend(target, logits), "cross_entropy", "kl_div")
    assert_ranks(recommend(target, logits.log_softmax(1)), "kl_div", "cross_entropy")
    half = torch.tensor(target).bfloat16()
    assert first(half).loss == "kl_div"
    maps = torch.tensor(target).reshape(5, 100, 5).movedim(2, 1)
    assert_says(first(maps), "500 rows of 5 probabilities")


def test_soft_labels_are_told_from_distributions():
    smoothed = 0.9 * np.eye(4)[np.arange(100) % 4] + 0.1 / 4
    found = first(smoothed)
    assert found.loss == "cross_entropy"
    assert_says(found, "label_smoothing=0.1", "soft labels")
    binary = first(np.where(planted("binary")[0] == 1, 0.95, 0.05))
    assert binary.loss == "binary_cross_entropy_with_logits"
    assert_says(binary, "two values, 0.05 and 0.95: smoothed labels")


def test_probabilities_into_kl_div_are_named():
    target = planted("distributions")[0]
    assert_says(first(target, target[::-1].copy()), "pass input.log()")
