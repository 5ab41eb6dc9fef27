"""Data with something planted in them, and what is said of it."""

import numpy as np

from onepass.guide.recommend import recommend

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


def rounded(value):
    return float(f"{value:.4g}")
