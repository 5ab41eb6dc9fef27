"""Recommendations for numbers, their noise and its variance."""

import numpy as np
import pytest
from scipy import stats

from onepass.guide.recommend import recommend
from tests.guide.recommend.planted import assert_says, first, planted


def test_delta_is_near_1_345_sigma_whatever_the_outliers():
    target, prediction = planted("5% gross outliers", 10_000)
    huber, smooth = recommend(7 * target, 7 * prediction)[:2]
    assert huber.parameters["delta"] == pytest.approx(7 * 1.345, rel=0.1)
    assert smooth.loss == "smooth_l1_loss"
    assert smooth.parameters["beta"] == huber.parameters["delta"]


def test_eps_stays_below_a_tiny_variance():
    target, (mean, variance) = planted("heteroscedastic")
    found = first(1e-5 * target, (1e-5 * mean, 1e-10 * variance))
    assert found.loss == "gaussian_nll_loss"
    assert found.parameters["eps"] < 1e-13
    assert first(target, (mean, variance)).parameters == {}


def test_evidence_is_in_numbers_that_scipy_agrees_with():
    target, prediction = planted("Laplace noise", 10_000)
    error = target - prediction
    found = first(target, prediction)
    assert_says(
        found,
        f"skewness {stats.skew(error):.2g}; excess kurtosis {stats.kurtosis(error):.2g}",
        f"beyond 3 sigma = {3 * stats.median_abs_deviation(error, scale='normal'):.3g}",
    )


def test_what_speaks_against_least_squares_is_what_outliers_cost_it():
    recommendations = recommend(*planted("5% gross outliers"))
    against = next(r.against for r in recommendations if r.loss == "mse_loss")
    assert "nats per residual more" in against[0]
    assert "the largest 1% of residuals make up" in against[1]


def test_a_skewed_target_is_told_to_be_lognormal():
    found = first(planted("lognormal")[0])
    assert_says(found, "fit target.log()")
    target, prediction = planted("normal noise")
    assert "log" not in "".join(first(target + 100).evidence)
    multiplied = first(np.exp(target), np.exp(prediction))
    assert_says(multiplied, "fit target.log()", "of residuals")


@pytest.mark.parametrize("biased, says", [(5.0, True), (0.0, False)])
def test_a_bias_of_the_predictions_is_named(biased, says):
    target, prediction = planted("normal noise")
    evidence = "".join(first(target + biased, prediction).evidence)
    assert ("the predictions are biased" in evidence) is says


def test_noise_that_grows_with_the_prediction_asks_for_a_variance():
    random = np.random.default_rng(0)
    prediction = random.uniform(1, 10, 2000)
    target = prediction + 0.1 * prediction * random.normal(size=2000)
    found = next(r for r in recommend(target, prediction) if r.loss == "gaussian_nll_loss")
    assert "abs(residual) grows with abs(prediction)" in "".join(found.evidence)
    assert "none was given" in "".join(found.against)
    steady = recommend(prediction + random.normal(size=2000), prediction)
    assert "gaussian_nll_loss" not in [r.loss for r in steady]


DISGUISES = {
    "logarithm": (np.log, "read as its logarithm; pass var.exp()"),
    "standard deviation": (np.sqrt, "is it a standard deviation?"),
    "wrong scale": (lambda variance: 10 * variance, "residuals squared are 0.09"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_variance_in_disguise_is_recognised(disguise):
    disguised, says = DISGUISES[disguise]
    target, (mean, variance) = planted("heteroscedastic", 1000)
    found = first(target, (mean, disguised(variance)))
    assert found.loss == "gaussian_nll_loss"
    assert_says(found, says)


def test_a_variance_that_explains_nothing_is_not_first():
    target, prediction = planted("normal noise")
    variance = np.exp(np.random.default_rng(1).normal(size=500))
    best, *others = recommend(target, (prediction, variance))
    assert best.loss == "mse_loss"
    against = next(r.against for r in others if r.loss == "gaussian_nll_loss")
    assert "nothing material" in against[0]


def test_a_variance_is_one_per_target_or_one_per_row():
    target, (mean, variance) = planted("heteroscedastic")
    found = first(target, (mean, variance))
    assert first(target, (mean, variance[:, None])) == found
    rows = [values.reshape(100, 5) for values in (target, mean)]
    assert first(rows[0], (rows[1], np.ones(100))) == first(rows[0], (rows[1], np.ones((100, 5))))


def test_a_constant_variance_explains_nothing():
    target, prediction = planted("normal noise")
    assert first(target, (prediction, np.ones(500))).loss == "mse_loss"
    assert first(target, (prediction, 1.0)).loss == "mse_loss"


def test_perfect_predictions_say_nothing_of_a_variance():
    target = planted("normal target")[0]
    assert first(1e-170 * target, (0 * target, np.zeros(500))).loss == "mse_loss"
    evidence = first(target, (target, np.ones(500))).evidence
    assert "too few different residuals to tell a law from" in evidence
