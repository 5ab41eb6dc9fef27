"""Laws of noise cost what scipy says."""

import numpy as np
import pytest
from scipy import stats

from onepass.guide.recommend import noise
from onepass.guide.recommend.families import regression


def test_laws_cost_what_scipy_says():
    error = np.random.default_rng(0).laplace(size=2000)
    error -= np.median(error)
    found = noise.noise_of(error, np.zeros(2000), predicted=True)
    price = np.log(2000) / 2000
    assert found.nats["mse_loss"] - price == pytest.approx(
        -stats.norm(*stats.norm.fit(error)).logpdf(error).mean()
    )
    assert found.nats["l1_loss"] - price == pytest.approx(
        -stats.laplace(*stats.laplace.fit(error)).logpdf(error).mean()
    )


def test_the_contaminated_normal_law_is_found():
    random = np.random.default_rng(0)
    error = np.where(random.random(20_000) < 0.1, 8, 1) * random.normal(size=20_000)
    density = 0.9 * stats.norm.pdf(error) + 0.1 * stats.norm.pdf(error, scale=8)
    truth = -np.log(density).mean()
    assert noise.contaminated_nats(error, 1.1) == pytest.approx(truth, abs=1e-3)
    assert noise.contaminated_nats(error, 1.1) <= truth


def test_a_logarithm_costs_what_its_jacobian_says():
    target = np.random.default_rng(0).lognormal(sigma=1.2, size=1000)
    centre = np.full(1000, np.median(target))
    found = noise.noise_of(target, centre, predicted=False)
    shape, _, scale = stats.lognorm.fit(target, floc=0)
    truth = -stats.lognorm(shape, scale=scale).logpdf(target).mean()
    assert found.logarithmic
    assert found.nats["mse_loss"] - np.log(1000) / 1000 == pytest.approx(truth, abs=1e-6)


def test_rank_correlation_is_spearmans():
    first, second = np.random.default_rng(0).normal(size=(2, 300))
    second += first
    truth = stats.spearmanr(first, second).statistic
    assert noise.rank_correlation(first, second) == pytest.approx(truth)
    assert noise.rank_correlation(first, np.ones(300)) == 0


def test_large_data_are_fitted_on_even_quantiles():
    error = np.random.default_rng(0).normal(size=300_000)
    few = noise.noise_of(error[:100_000], np.zeros(100_000), predicted=True)
    many = noise.noise_of(error, np.zeros(300_000), predicted=True)
    assert many.nats["mse_loss"] == pytest.approx(few.nats["mse_loss"], abs=0.01)
    assert many.strength("mse_loss") == 1


def test_every_law_has_a_name():
    assert (
        regression.LAWS.keys()
        == noise.noise_of(np.arange(9.0), np.zeros(9), predicted=True).nats.keys()
    )
