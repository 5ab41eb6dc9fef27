from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from scipy import stats
from sklearn import datasets

import onepass
import onepass.functional as F
from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.guide.recommend import Recommendation, noise, recommend, table
from onepass.guide.recommend.families import regression
from onepass.guide.recommend.ranking import READINGS

REGRESSION = {"mse_loss", "huber_loss", "smooth_l1_loss", "l1_loss", "gaussian_nll_loss"}
BINARY = {"binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"}


# Planted data: a generator and a size give a target and an input.


def residuals(draw):
    def planted(random, size):
        prediction = 3 * random.normal(size=size)
        return prediction + draw(random, size), prediction

    return planted


def outliers(random, size):
    """Normal noise, and every twentieth residual 10 to 50 sigmas off."""
    noise = random.normal(size=size)
    gross = noise[::20]
    gross += random.choice([-1, 1], gross.size) * random.uniform(10, 50, gross.size)
    return noise


def two_values(random, size, share, low=0):
    values = np.where(random.random(size) < share, 1, low)
    values[:2] = low, 1
    return values


def heteroscedastic(random, size):
    mean, variance = random.normal(size=size), np.exp(random.normal(size=size))
    return mean + np.sqrt(variance) * random.normal(size=size), (mean, variance)


def rates(random, size):
    log_rate = random.normal(1, 0.7, size)
    return random.poisson(np.exp(log_rate)), log_rate


def similar(random, size):
    """Pairs with the same direction, of different lengths, or with nothing in common."""
    first, other = random.normal(size=(2, size, 16))
    label = np.where(np.arange(size) % 2, 1, -1)
    alike = first * random.uniform(0.3, 3, (size, 1)) + 0.1 * other
    return label, (first, np.where(label[:, None] > 0, alike, other))


def near(random, size):
    """Pairs on few directions: those that belong together differ little in length, too."""
    direction = random.normal(size=(1, 16))
    first, other = (direction * random.uniform(1, 9, (size, 1)) for _ in range(2))
    label = np.where(np.arange(size) % 2, 1, -1)
    noise = 0.1 * random.normal(size=(size, 16))
    return label, (first, np.where(label[:, None] > 0, first, other) + noise)


def triplets(random, size):
    anchor, noise, negative = random.normal(size=(3, size, 16))
    return None, (anchor, anchor + 0.3 * noise, negative)


def preferences(random, size):
    label = two_values(random, size, 0.5, low=-1)
    return label, (label + random.normal(size=size), random.normal(size=size))


def distances(random, size):
    label = two_values(random, size, 0.5, low=-1)
    return label, np.abs(random.normal(size=size)) + (label < 0)


def several(*shares):
    return lambda random, size: ((random.random((size, len(shares))) < shares).astype(int), None)


def log_rows(random, size):
    return np.log(random.dirichlet(np.ones(5), size)), None


# What is planted, what must come first, and in which share of seeds it does, for 20, 100, 1000
# and 10,000 targets. A share below 1 says what cannot be told from so few.
PLANTED = {
    "normal noise": (residuals(lambda r, n: r.normal(size=n)), {"mse_loss"}, (0.85, 0.95, 1, 1)),
    "5% gross outliers": (residuals(outliers), {"huber_loss"}, (0.95, 1, 1, 1)),
    "Laplace noise": (residuals(lambda r, n: r.laplace(size=n)), {"l1_loss"}, (0.3, 0.65, 1, 1)),
    "normal target": (lambda r, n: (r.normal(5, 20, n), None), {"mse_loss"}, (0.85, 0.95, 1, 1)),
    "lognormal": (lambda r, n: (r.lognormal(size=n), None), {"mse_loss"}, (0.85, 0.9, 1, 1)),
    "heteroscedastic": (heteroscedastic, {"gaussian_nll_loss"}, (0.75, 1, 1, 1)),
    "counts": (lambda r, n: (r.poisson(3, n), None), {"poisson_nll_loss"}, (0.85, 0.95, 1, 1)),
    "rare counts": (lambda r, n: (r.poisson(1, n), None), {"poisson_nll_loss"}, (0.65, 1, 1, 1)),
    "many counts": (lambda r, n: (r.poisson(40, n), None), {"poisson_nll_loss"}, (0.85, 1, 1, 1)),
    "overdispersed counts": (
        lambda r, n: (r.negative_binomial(1.5, 0.1, n), None),
        {"poisson_nll_loss"},
        (0.75, 0.95, 1, 1),
    ),
    "counts and log-rates": (rates, {"poisson_nll_loss"}, (1, 1, 1, 1)),
    "shares": (
        lambda r, n: (r.beta(2, 3, n), None),
        {"binary_cross_entropy_with_logits"},
        (0.95, 1, 1, 1),
    ),
    "binary": (
        lambda r, n: (two_values(r, n, 0.4), None),
        {"binary_cross_entropy_with_logits"},
        (1, 1, 1, 1),
    ),
    "imbalanced": (
        lambda r, n: (two_values(r, n, 0.03), None),
        {"binary_cross_entropy_with_logits"},
        (1, 1, 1, 1),
    ),
    "-1 and 1": (
        lambda r, n: (two_values(r, n, 0.4, low=-1), None),
        {"soft_margin_loss"},
        (1, 1, 1, 1),
    ),
    "several labels": (several(0.5, 0.4, 0.3, 0.3, 0.3, 0.4), BINARY, (1, 1, 1, 1)),
    "several rare labels": (
        several(0.5, 0.1, 0.05, 0.3),
        {"binary_cross_entropy_with_logits"},
        (1, 1, 1, 1),
    ),
    "3 classes": (lambda r, n: (r.integers(0, 3, n), None), {"cross_entropy"}, (0.95, 1, 1, 1)),
    "10 classes": (lambda r, n: (r.integers(0, 10, n), None), {"cross_entropy"}, (0, 1, 1, 1)),
    "5 uneven classes": (
        lambda r, n: (r.choice(5, n, p=[0.1, 0.35, 0.1, 0.3, 0.15]), None),
        {"cross_entropy"},
        (0.05, 0.75, 1, 1),
    ),
    "names": (lambda r, n: (r.choice(list("abc"), n), None), {"cross_entropy"}, (0.9, 1, 1, 1)),
    "classes and logits": (
        lambda r, n: (r.integers(0, 10, n), r.normal(size=(n, 10))),
        {"cross_entropy"},
        (1, 1, 1, 1),
    ),
    "distributions": (lambda r, n: (r.dirichlet(np.ones(5), n), None), {"kl_div"}, (1, 1, 1, 1)),
    "log-distributions": (log_rows, {"kl_div"}, (1, 1, 1, 1)),
    "pairs by angle": (similar, {"cosine_embedding_loss"}, (0.85, 1, 1, 1)),
    "pairs by distance": (near, {"hinge_embedding_loss"}, (0.8, 1, 1, 1)),
    "distances": (distances, {"hinge_embedding_loss"}, (1, 1, 1, 1)),
    "preferences": (preferences, {"margin_ranking_loss"}, (1, 1, 1, 1)),
    "triplets": (triplets, {"triplet_margin_loss"}, (1, 1, 1, 1)),
}
SEEDS = {20: 40, 100: 40, 1000: 15, 10_000: 3}


def planted(name, size=500, seed=0):
    return PLANTED[name][0](np.random.default_rng([seed, size]), size)


def first(target, input=None):
    return recommend(target, input)[0]


def assert_says(recommendation, *texts):
    said = "\n".join(recommendation.evidence)
    for text in texts:
        assert text in said, said


def assert_ranks(recommendations, *losses):
    names = [recommendation.loss for recommendation in recommendations]
    assert names[: len(losses)] == list(losses), names


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


# Data sets that ship with scikit-learn


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


# Every loss and its parameters are legal on the data


def prediction_of(target, input, activation):
    """The input, if it is one prediction per target, or a draw of the target's shape."""
    if input is not None and not isinstance(input, tuple) and np.shape(input) == np.shape(target):
        return torch.as_tensor(input, dtype=torch.float64)
    return activation(torch.randn(np.shape(target), dtype=torch.float64))


def codes(target):
    return torch.from_numpy(np.unique(np.asarray(target), return_inverse=True)[1])


def elementwise(target, input, activation=lambda x: x, labels=None):
    values = torch.as_tensor(np.asarray(target), dtype=torch.float64)
    if labels is not None:
        values = codes(target).double() * (labels[1] - labels[0]) + labels[0]
    return prediction_of(target, input, activation), values


def classwise(target, input, activation=lambda x: x):
    """Logits and class indices, or probabilities of classes."""
    array = np.asarray(target)
    if array.dtype.kind == "f" and array.ndim > 1:
        return activation(torch.randn(array.shape, dtype=torch.float64)), torch.from_numpy(array)
    indices = torch.from_numpy(array) if array.dtype.kind == "i" else codes(target)
    if input is not None and np.ndim(input) > array.ndim:
        return activation(torch.as_tensor(input, dtype=torch.float64)), indices
    classes = int(indices.max()) + 1
    return activation(torch.randn(len(array), classes, dtype=torch.float64)), indices


def numbers(*parts):
    return tuple(torch.as_tensor(np.asarray(part), dtype=torch.float64) for part in parts)


def log_softmax(scores):
    return scores.log_softmax(1)


def compared_distance(target, input):
    if not isinstance(input, tuple):
        return elementwise(target, input, torch.abs)
    first, second, label = numbers(*input, target)
    return torch.pairwise_distance(first, second), label


def compared_scores(target, input):
    if not isinstance(input, tuple):
        return elementwise(target, input, labels=(-1, 1))
    first, second, label = numbers(*input, target)
    return first - second, label


TENSORS = {
    "gaussian_nll_loss": lambda y, x: (*numbers(x[0], y), *numbers(x[1])),
    "poisson_nll_loss": elementwise,
    "kl_div": lambda y, x: elementwise(y, x, log_softmax),
    "binary_cross_entropy": lambda y, x: elementwise(y, x, torch.sigmoid),
    "binary_cross_entropy_with_logits": lambda y, x: elementwise(
        y, x, labels=(0, 1) if -1 in np.asarray(y) else None
    ),
    "multilabel_soft_margin_loss": elementwise,
    "soft_margin_loss": compared_scores,
    "hinge_embedding_loss": compared_distance,
    "cross_entropy": classwise,
    "nll_loss": lambda y, x: classwise(y, x, log_softmax),
    "multi_margin_loss": classwise,
    "margin_ranking_loss": lambda y, x: numbers(*x, y),
    "cosine_embedding_loss": lambda y, x: numbers(*x, y),
    "triplet_margin_loss": lambda y, x: numbers(*x),
    "triplet_margin_with_distance_loss": lambda y, x: numbers(*x),
}
POINTS = dict.fromkeys(REGRESSION - {"gaussian_nll_loss"}, elementwise)


def predicted_mean(target, input):
    return elementwise(target, input[0] if isinstance(input, tuple) else input)


def computed(recommendation, target, input):
    make = (TENSORS | dict.fromkeys(POINTS, predicted_mean))[recommendation.loss]
    torch.manual_seed(0)
    arguments = recommendation.arguments(dtype=torch.float64)
    return getattr(F, recommendation.loss)(*make(target, input), **arguments)


@pytest.mark.parametrize("name", PLANTED)
def test_every_recommended_loss_can_be_called_with_what_is_suggested(name):
    target, input = planted(name)
    for recommendation in recommend(target, input):
        value = computed(recommendation, target, input)
        assert value.shape == ()
        assert value.isfinite()


def test_every_loss_of_the_catalogue_can_be_recommended():
    ruled = {rule.loss for reading in READINGS for rule in reading.rules}
    assert ruled == set(onepass.catalogue())


def test_a_suggestion_that_is_not_legal_would_be_noticed():
    wrong = Recommendation("huber_loss", {"delta": -1.0}, [], [])
    with pytest.raises(ParameterError, match="delta"):
        computed(wrong, *planted("normal noise"))


# Parameters


def test_delta_is_near_1_345_sigma_whatever_the_outliers():
    target, prediction = planted("5% gross outliers", 10_000)
    huber, smooth = recommend(7 * target, 7 * prediction)[:2]
    assert huber.parameters["delta"] == pytest.approx(7 * 1.345, rel=0.1)
    assert smooth.loss == "smooth_l1_loss"
    assert smooth.parameters["beta"] == huber.parameters["delta"]


def test_pos_weight_is_negatives_per_positive_of_what_is_rare():
    target = torch.tensor([1] * 5 + [0] * 95)
    assert first(target).parameters == {"pos_weight": 19.0}
    assert first(1 - target).parameters == {"pos_weight": rounded(5 / 95)}
    assert first(torch.tensor([1, 0, 0, 1, 0])).parameters == {}


def rounded(value):
    return float(f"{value:.4g}")


def test_rare_labels_have_pos_weights_of_their_own():
    target = torch.zeros(100, 3)
    target[:50, 0], target[:10, 1] = 1, 1
    assert first(target).parameters == {"pos_weight": [1.0, 9.0, 1.0]}


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


def test_rates_are_told_from_their_logarithms():
    target, log_rate = planted("counts and log-rates")
    assert first(target, log_rate).parameters == {"log_input": True}
    assert first(target, np.exp(log_rate)).parameters == {"log_input": False}
    assert first(target).parameters == {"log_input": True}
    assert_says(first(target, np.exp(log_rate)), "log_input=False: the input costs")


def test_eps_stays_below_a_tiny_variance():
    target, (mean, variance) = planted("heteroscedastic")
    found = first(1e-5 * target, (1e-5 * mean, 1e-10 * variance))
    assert found.loss == "gaussian_nll_loss"
    assert found.parameters["eps"] < 1e-13
    assert first(target, (mean, variance)).parameters == {}


def test_one_distribution_is_summed_and_a_batch_has_a_batchmean():
    assert first([0.2, 0.3, 0.5]).parameters == {"reduction": "sum"}
    assert first([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]).parameters == {"reduction": "batchmean"}
    assert first(planted("log-distributions")[0]).parameters == {
        "log_target": True,
        "reduction": "batchmean",
    }


def test_confident_scores_against_a_label_are_label_noise():
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 1000)
    label = np.where(np.arange(1000) % 20 == 0, (truth + 1) % 4, truth)
    found = first(label, 20 * np.eye(4)[truth])
    assert found.parameters == {"label_smoothing": 0.05}
    assert_says(found, "99% sure that 5.0% of the labels are wrong")
    assert first(truth, 20 * np.eye(4)[truth]).parameters == {}
    assert first(label, 20 * np.eye(4)[random.integers(0, 4, 1000)]).parameters == {}


def test_margins_are_in_the_unit_of_the_data():
    for name in ("preferences", "triplets", "pairs by distance"):
        target, input = planted(name)
        margin = first(target, input).parameters["margin"]
        larger = first(target, tuple(1000 * part for part in input)).parameters["margin"]
        assert larger == pytest.approx(1000 * margin, rel=1e-3)


# Evidence, and what speaks against


def test_evidence_is_in_numbers_that_scipy_agrees_with():
    target, prediction = planted("Laplace noise", 10_000)
    error = target - prediction
    found = first(target, prediction)
    assert_says(
        found,
        f"skewness {stats.skew(error):.2g}; excess kurtosis {stats.kurtosis(error):.2g}",
        f"beyond 3 sigma = {3 * stats.median_abs_deviation(error, scale='normal'):.3g}",
    )


def test_the_first_has_nothing_against_it_and_all_others_have():
    for name in PLANTED:
        best, *others = recommend(*planted(name))
        assert best.against == []
        assert all(other.evidence or other.against for other in others)
        assert all(other.against for other in others), name


def test_what_speaks_against_least_squares_is_what_outliers_cost_it():
    recommendations = recommend(*planted("5% gross outliers"))
    against = next(r.against for r in recommendations if r.loss == "mse_loss")
    assert "nats per residual more" in against[0]
    assert "the largest 1% of residuals make up" in against[1]


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


def test_probabilities_are_recognised_in_the_input():
    target = planted("binary")[0]
    logits = np.random.default_rng(0).normal(size=500)
    given = recommend(target, 1 / (1 + np.exp(-logits)))
    assert_ranks(given, "binary_cross_entropy", "binary_cross_entropy_with_logits")
    assert "pass the logits" in given[1].against[0]
    assert_ranks(recommend(target, logits), "binary_cross_entropy_with_logits")


def test_log_probabilities_and_probabilities_of_classes_are_recognised():
    target, logits = planted("classes and logits")
    log_probability = torch.tensor(logits).log_softmax(1)
    assert_ranks(recommend(target, log_probability), "nll_loss", "cross_entropy")
    softmaxed = first(target, log_probability.exp())
    assert softmaxed.loss == "cross_entropy"
    assert_says(softmaxed, "softmax is in the loss; pass the logits before it")


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


def test_one_hot_rows_are_classes():
    target = np.eye(4)[np.arange(100) % 4]
    assert_says(first(target), "each of 100 rows holds one 1 among 4")
    assert first(target).parameters == {}
    assert first(target.reshape(10, 10, 4)).parameters == {"dim": -1}


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


def test_labels_0_and_1_of_pairs_become_signs():
    target, input = planted("pairs by angle")
    found = first((target + 1) // 2, input)
    assert found.loss == "cosine_embedding_loss"
    assert_says(found, "labels are 0 and 1: write 2 * target - 1")


def test_many_classes_ask_for_the_whole_layer():
    target = np.random.default_rng(0).integers(0, 5000, 100)
    recommendations = recommend(target, np.zeros((100, 5000)))
    assert_ranks(recommendations, "cross_entropy", "linear_cross_entropy")
    assert "5000 logits in float32 take 20 kB a row" in recommendations[1].evidence[-1]


# Whatever holds the data


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


# Errors


@pytest.mark.parametrize(
    "target, input, error, says",
    [
        ([], None, ShapeError, "`target` is empty, its shape is (0,); give at least one value"),
        ([np.nan] * 3, None, DomainError, "all 3 values of `target` are missing or nan"),
        ([np.inf] * 3, None, DomainError, "no value of `target` is finite"),
        ([1.5, 2.5], [np.inf] * 2, DomainError, "no value of `input` is finite"),
        ([1e200, 1.0], None, DomainError, "Divide target by its unit first"),
        ([1j, 2.0], None, DtypeError, "Write target.real"),
        (torch.tensor([1j]), None, DtypeError, "got complex64"),
        (pd.to_datetime(["2024-01-01"]), None, DtypeError, "Write the time since a date"),
        (pd.to_timedelta(["1h"]), None, DtypeError, "numpy.timedelta64(1, 's')"),
        (np.array([b"a"]), None, DtypeError, "Convert target to numbers first"),
        ([1, "a", 2], None, DtypeError, "numbers or only strings"),
        (np.array([1, "a"], dtype=object), None, DtypeError, "such as 'a' at position 1"),
        ([{}, {}], None, DtypeError, "such as {} at position 0"),
        ([[1, 2], [3]], None, ShapeError, "rows of different lengths"),
        ([1.5, 2.5], [1.0] * 3, ShapeError, "`input` (3,) and `target` (2,) do not go together"),
        ([1.5, 2.5], [[1.0, 2.0]] * 2, ShapeError, "write (input[:, 0], input[:, 1])"),
        ([0, 5], [[1.0, 2.0]] * 2, DomainError, "`input` has scores of 2 classes, 0 to 1"),
        (["a", "b", "c"], [1.0] * 3, ShapeError, "give a score per class, of shape (N, 3)"),
        ([1.5], ["a"], DtypeError, "`input` holds strings, such as 'a'"),
        (None, None, DtypeError, "only triplets allow"),
        ([1], ([[1.0]],) * 3, ParameterError, "write recommend(None, (anchor, positive"),
        ([1], ([[1.0]],) * 4, ParameterError, "`input` is a tuple of 4"),
        (None, ([[1.0]], [[1.0]], [[1.0, 2.0]]), ShapeError, "must have one shape"),
        (None, ([[np.inf]],) * 3, DomainError, "every triplet has a value that is not finite"),
        ([1.5, 2], ([[1.0], [2]],) * 2, DomainError, "1 or -1; got 1.5, 2"),
        ([1, -1], ([np.inf] * 2,) * 2, DomainError, "every pair or its label is not finite"),
        ([1.5, 2], ([1.0], [2.0]), ShapeError, "give a mean and a variance of the target's shape"),
        ([1.5, 2, 3], ([1.0] * 3, [1.0] * 2), ShapeError, "give one per target, or one per row"),
        (list("abc"), ([1.0] * 3, [1.0] * 3), DtypeError, "belong to a target of numbers"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(target, input, error, says):
    with pytest.raises(error) as caught:
        recommend(target, input)
    assert str(caught.value).startswith("recommend: ")
    assert says in str(caught.value)


# Rarer forms of data


def test_a_single_row_of_scores_has_one_class():
    assert first([2], torch.randn(5)).loss == "cross_entropy"


def test_a_column_of_class_indices_is_to_be_squeezed():
    target, logits = planted("classes and logits")
    found = first(target[:, None], logits)
    assert found.loss == "cross_entropy"
    assert_says(found, "`target` is (500, 1): class indices have no such axis; squeeze it")


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


def test_probabilities_into_kl_div_are_named():
    target = planted("distributions")[0]
    assert_says(first(target, target[::-1].copy()), "pass input.log()")


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


def test_small_shares_may_be_real_numbers():
    best, *others = recommend(np.random.default_rng(0).beta(2, 40, 200))
    assert best.loss in REGRESSION
    against = next(r.against for r in others if r.loss == "binary_cross_entropy_with_logits")
    assert "right if 0 and 1 are bounds that nothing can pass" in against


@pytest.mark.parametrize(
    "value, loss", [(0, "binary_cross_entropy_with_logits"), (0.25, "mse_loss")]
)
def test_a_constant_is_what_its_value_is(value, loss):
    assert first([value] * 9).loss == loss


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


# Recommendations


def test_recommendations_are_json_and_deterministic():
    for name in PLANTED:
        recommendations = recommend(*planted(name))
        rows = [recommendation.as_dict() for recommendation in recommendations]
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows
        assert recommend(*planted(name)) == recommendations


def test_the_public_name_is_this_function():
    assert onepass.recommend is recommend


def test_the_call_is_code_that_runs():
    found = Recommendation("cross_entropy", {"weight": [1.0, 2.0], "dim": -1}, [], [])
    assert found.call == "F.cross_entropy(input, target, weight=torch.tensor([1.0, 2.0]), dim=-1)"
    scope = {"input": torch.randn(3, 2), "target": torch.tensor([0, 1, 1]), "F": F, "torch": torch}
    assert eval(found.call, scope).isfinite()


def rendered(recommendations, width=100):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table(recommendations))
    return " ".join(capture.get().split())


def test_the_table_says_a_thing_once():
    target = planted("10 classes")[0]
    recommendations = recommend(target)
    shown = rendered(recommendations, width=4000)
    lines = {line for r in recommendations for line in r.evidence}
    for line in lines:
        assert shown.count(f"+ {line}") == sum(other.startswith(line) for other in lines)
    assert all(f"- {line}" in shown for r in recommendations for line in r.against)
    assert shown.index("F.cross_entropy(") < shown.index("F.poisson_nll_loss(")


def test_the_table_shortens_a_long_weight():
    found = Recommendation("cross_entropy", {"weight": [1.0] * 9}, ["[bold]plain[/]"], [])
    assert "1.0, ... 3 more])" in rendered([found], width=4000)
    assert "[bold]plain[/]" in rendered([found])


# Measures, against scipy and scikit-learn


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
