"""Recommendations for pairs and triplets."""

import numpy as np
import pytest

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import assert_says, first, planted


def test_margins_are_in_the_unit_of_the_data():
    for name in ("preferences", "triplets", "pairs by distance"):
        target, input = planted(name)
        margin = first(target, input).parameters["margin"]
        larger = first(target, tuple(1000 * part for part in input)).parameters["margin"]
        assert larger == pytest.approx(1000 * margin, rel=1e-3)


def test_labels_0_and_1_of_pairs_become_signs():
    target, input = planted("pairs by angle")
    found = first((target + 1) // 2, input)
    assert found.loss == "cosine_embedding_loss"
    assert_says(found, "labels are 0 and 1: write 2 * target - 1")


@pytest.mark.parametrize("label", [1, -1])
def test_pairs_of_one_kind_are_too_few(label):
    for name in ("pairs by angle", "preferences"):
        target, input = planted(name)
        assert_says(first(np.full_like(target, label), input), f"every label is {label}: give")


def test_angle_and_distance_agree_on_vectors_of_length_1():
    target, input = planted("pairs by angle")
    unit = tuple(part / np.linalg.norm(part, axis=1, keepdims=True) for part in input)
    assert first(target, unit).loss == "cosine_embedding_loss"


def test_lengths_of_triplets_are_looked_at():
    _, vectors = planted("triplets")
    unit = tuple(part / np.linalg.norm(part, axis=1, keepdims=True) for part in vectors)
    assert_says(first(None, unit), "all vectors have length 1")
    stretch = np.random.default_rng(0).lognormal(size=(500, 1))
    own = recommend(None, tuple(stretch * part for part in vectors))[1]
    assert own.loss == "triplet_margin_with_distance_loss"
    assert_says(own, "a cosine distance would not see it")
    assert first(None, (vectors[0],) * 3).parameters == {}
