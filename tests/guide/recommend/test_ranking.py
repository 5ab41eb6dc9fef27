"""The right loss comes first, and what is against the others is said."""

from collections import Counter

import numpy as np
import pytest
from sklearn import datasets

import onepass
from onepass.guide.recommend import recommend
from onepass.guide.recommend.ranking import READINGS
from tests.guide.recommend.planted import (
    PLANTED,
    REGRESSION,
    assert_ranks,
    assert_says,
    first,
    planted,
)

SEEDS = {20: 40, 100: 40, 1000: 15, 10_000: 3}


@pytest.mark.parametrize("name", PLANTED)
def test_the_right_loss_comes_first_at_the_rate_that_is_stated(name):
    make, right, stated = PLANTED[name]
    for size, rate in zip(SEEDS, stated, strict=True):
        seeds = SEEDS[size]
        found = Counter(
            first(*make(np.random.default_rng([seed, size]), size)).loss for seed in range(seeds)
        )
        assert sum(found[loss] for loss in right) >= rate * seeds, (size, found)


@pytest.mark.parametrize("name", ["normal noise", "5% gross outliers", "Laplace noise"])
def test_however_few_residuals_stay_a_regression(name):
    for seed in range(100):
        assert first(*planted(name, 20, seed)).loss in REGRESSION


def test_diabetes_progression_is_a_regression_without_tails():
    recommendations = recommend(datasets.load_diabetes().target)
    assert_ranks(recommendations, "mse_loss", "huber_loss", "smooth_l1_loss", "l1_loss")
    assert_says(recommendations[0], "0.0% of targets", "skewness 0.44; excess kurtosis -0.89")
    assert recommendations[-1].loss == "poisson_nll_loss"  # 25 to 346, whole: but no counts


def test_digits_are_classes_and_their_pixels_counts():
    digits = datasets.load_digits()
    labels, pixels = recommend(digits.target), recommend(digits.data)
    assert_ranks(labels, "cross_entropy", "poisson_nll_loss", "mse_loss")
    assert_says(labels[0], "1797 labels of 10 classes", "what decides is whether 3 is more than 2")
    assert_ranks(pixels, "poisson_nll_loss")
    assert_says(pixels[0], "48.9% zeros", "overdispersed")


def test_wine_is_classes():
    assert_ranks(recommend(datasets.load_wine().target), "cross_entropy")


def test_breast_cancer_is_binary_and_pos_weight_is_discussed():
    found = first(datasets.load_breast_cancer().target)
    assert found.loss == "binary_cross_entropy_with_logits"
    assert found.parameters == {}
    assert_says(found, "62.7% of 569 targets are 1", "pos_weight=0.5938", "hardly needed")


def test_linnerud_has_amounts_in_unlike_columns_and_counts():
    linnerud = datasets.load_linnerud(as_frame=True)
    body, exercise = first(linnerud.target), first(linnerud.data)
    assert body.loss == "mse_loss"
    assert_says(body, "deviations of the columns differ 7.71 times")
    assert exercise.loss == "poisson_nll_loss"


def test_the_first_has_nothing_against_it_and_all_others_have():
    for name in PLANTED:
        best, *others = recommend(*planted(name))
        assert best.against == []
        assert all(other.evidence or other.against for other in others)
        assert all(other.against for other in others), name


def test_every_loss_of_the_catalogue_can_be_recommended():
    ruled = {rule.loss for reading in READINGS for rule in reading.rules}
    assert ruled == set(onepass.catalogue())
