"""What residuals are like: robust scale, tails, and the law of noise that describes them best.

Least squares, absolute error and Huber's loss are negative log-likelihoods in disguise: of normal
noise, of Laplace's, and of normal noise with a share of outliers (Tukey's contaminated normal, to
which Huber's loss is the minimax answer). So the laws compete on the residuals, in nats per
residual, and each parameter a law fits costs log(n) / 2 nats (Schwarz's criterion, BIC).

Tukey (1960), A survey of sampling from contaminated distributions. Huber (1964),
doi:10.1214/aoms/1177703732. Schwarz (1978), doi:10.1214/aos/1176344136.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIGMA_OF_MAD = 1.4826  # standard deviation of normal noise in units of its MAD
EFFICIENT = 1.345  # Huber's delta in sigmas: 95% of least squares' efficiency at normal noise
MATERIAL = 0.03  # nats per residual: what a law must save to displace the normal one
UNLIKE = 3  # times the deviation of another column, from where on each is divided by its own
SKEWED = 1  # skewness called high; below it a logarithm is not worth its trouble
LEAST = 1e-100  # a deviation whose square does not vanish
MOST = 100_000  # residuals that the laws are fitted to, evenly spaced in their order
ROUNDS = 60  # of expectation and maximisation
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Noise:
    """Measured facts about residuals, or about a target about its median.

    Units are those of the target or of its logarithm, and of no unit if columns were divided by
    their deviations; `nats`, per residual, are of the target in any case, so that laws compare.
    """

    predicted: bool  # residuals of predictions, not a target about its median
    logarithmic: bool  # of the logarithms
    scales: float  # largest deviation of a column over the least; beyond UNLIKE, units are those
    median: float
    sigma: float  # SIGMA_OF_MAD times the MAD
    beyond: float  # share of residuals further than 3 sigma from the median
    skewness: float
    kurtosis: float  # in excess of the normal law's
    top: float  # share of the squared error that the largest 1% of the residuals hold
    spreads: float  # Spearman's correlation of abs(residual) with abs(prediction)
    nats: dict[str, float]  # the loss, and what its law costs, fitted parameters included

    @property
    def delta(self) -> float:
        """Where Huber's loss turns linear."""
        return EFFICIENT * self.sigma

    @property
    def best(self) -> float:
        """Nats of the best law; the normal one may cost MATERIAL more before it loses."""
        return min(self.handicapped(loss) for loss in self.nats)

    def handicapped(self, loss: str) -> float:
        return self.nats[loss] - MATERIAL * (loss == "mse_loss")

    def strength(self, loss: str) -> float:
        """1 for the best law; what is above 0.4 halves with each MATERIAL that one costs more."""
        return 0.4 + 0.6 * 2.0 ** ((self.best - self.handicapped(loss)) / MATERIAL)


def noise_of(target: Array, centre: Array, *, predicted: bool, scales: float = 1.0) -> Noise | None:
    """The noise of a target about its centre, finite and of one axis, on the simpler scale.

    None if there is none: fewer than 3 residuals, or all of them alike.
    """
    if target.size < 3:
        return None
    plain = _measure(target, centre, predicted, scales, logarithmic=False)
    if plain is None or abs(plain.skewness) < SKEWED or min(target.min(), centre.min()) <= 0:
        return plain
    logarithmic = _measure(target, centre, predicted, scales, logarithmic=True)
    if logarithmic is None or abs(logarithmic.skewness) >= abs(plain.skewness):
        return plain
    return logarithmic if logarithmic.best < plain.best - MATERIAL else plain


def _measure(
    target: Array, centre: Array, predicted: bool, scales: float, *, logarithmic: bool
) -> Noise | None:
    residuals = np.log(target) - np.log(centre) if logarithmic else target - centre
    deviation = float(residuals.std())
    if deviation <= max(1e-12 * float(np.abs(target).max()), LEAST):
        return None
    median = float(np.median(residuals))
    centred = residuals - median
    sizes = np.abs(centred)
    sigma = SIGMA_OF_MAD * float(np.median(sizes)) or deviation  # more than half are alike
    standard = (residuals - residuals.mean()) / deviation
    jacobian = float(np.log(target).mean()) if logarithmic else 0.0
    return Noise(
        predicted=predicted,
        logarithmic=logarithmic,
        scales=scales,
        median=median,
        sigma=sigma,
        beyond=float((sizes > 3 * sigma).mean()),
        skewness=float((standard**3).mean()),
        kurtosis=float((standard**4).mean()) - 3,
        top=_top_share(residuals**2),
        spreads=rank_correlation(sizes, np.abs(centre)) if predicted else 0.0,
        nats={loss: nats + jacobian for loss, nats in _laws(centred, sigma).items()},
    )


def _laws(centred: Array, sigma: float) -> dict[str, float]:
    """What each law costs on residuals around their median, in nats per residual."""
    count = centred.size
    if count > MOST:
        centred = np.sort(centred)[np.linspace(0, count - 1, MOST).round().astype(int)]
    fitted = {
        "mse_loss": (normal_nats(float(centred.var())), 2),
        "l1_loss": (1 + math.log(2 * float(np.abs(centred).mean())), 2),
        "huber_loss": (contaminated_nats(centred, sigma), 4),
    }
    price = math.log(count) / (2 * count)
    return {loss: nats + parameters * price for loss, (nats, parameters) in fitted.items()}


def normal_nats(variance: float) -> float:
    """Entropy of normal noise, which is what its law costs on residuals of this variance."""
    return 0.5 * (LOG_2PI + 1 + math.log(variance))


def contaminated_nats(centred: Array, sigma: float) -> float:
    """Nats per residual under normal noise with a share of wider normal noise, both around one
    centre: fitted by expectation and maximisation from the robust scale (Dempster, Laird and Rubin
    (1977), doi:10.1111/j.2517-6161.1977.tb01600.x).
    """
    squares = centred**2
    # or it would settle on a few residuals that are alike
    least = max((0.3 * sigma) ** 2, 1e-12 * float(squares.mean()))
    far = squares > 9 * sigma**2
    share = max(float(far.mean()), 1 / centred.size)
    narrow = max(sigma**2, least)
    wide = max(float(squares[far].mean()) if far.any() else 0.0, 9 * narrow)
    nats = math.inf
    for _ in range(ROUNDS):
        inner = np.log1p(-share) - 0.5 * (math.log(narrow) + squares / narrow)
        outer = math.log(share) - 0.5 * (math.log(wide) + squares / wide)
        both = np.logaddexp(inner, outer)
        before, nats = nats, 0.5 * LOG_2PI - float(both.mean())
        if before - nats < 1e-6:
            break
        outlying = np.exp(outer - both)
        share = min(max(float(outlying.mean()), 1 / centred.size), 0.5)
        narrow = max(float(((1 - outlying) * squares).sum() / (1 - outlying).sum()), least)
        wide = max(float((outlying * squares).sum() / outlying.sum()), narrow)
    return nats


def _top_share(costs: Array) -> float:
    """Share of the sum that the largest 1% hold, one at least."""
    largest = max(1, costs.size // 100)
    return float(np.partition(costs, -largest)[-largest:].sum() / costs.sum())


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's, ties in one rank without gaps; 0 if one of them is constant."""
    ranks = [np.unique(values, return_inverse=True)[1].astype(float) for values in (first, second)]
    if min(float(rank.std()) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
