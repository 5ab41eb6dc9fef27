"""Real numbers: the law that describes their residuals best decides, in nats."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onepass.guide.recommend.noise import UNLIKE, Noise
from onepass.guide.recommend.rule import Parameters, Reading, Rule, defaults, percent, rounded
from onepass.guide.recommend.signs import Signs, Variance

SPREADS = 0.25  # rank correlation of abs(residual) and abs(prediction) worth a word
LAWS = {"mse_loss": "normal", "l1_loss": "Laplace", "huber_loss": "contaminated normal"}
EPS = 1e-6  # the least variance of gaussian_nll_loss, if not told otherwise


def strength(signs: Signs) -> float:
    target, form = signs.target, signs.inputs.form
    if form == "variance":
        return 1.0
    if form not in ("none", "alike") or target.names:
        return 0.0
    if target.distinct <= 2:
        return 0.3
    if target.whole:
        return 0.55
    if target.smallest < 0 or target.largest > 1:
        return 0.9
    return 0.5 if target.largest > 0.5 else 0.65


def evidence(signs: Signs) -> Iterator[str]:
    target, noise = signs.target, signs.noise
    kind = "whole numbers" if target.whole else "real numbers"
    yield f"{target.count} {kind} from {target.smallest:.4g} to {target.largest:.4g}"
    if target.distinct == 1:
        yield "they are all alike: there is nothing to learn"
    if noise is None:
        yield "too few different residuals to tell a law from"
        return
    yield from _shape(noise)


def _shape(noise: Noise) -> Iterator[str]:
    if noise.scales > UNLIKE:
        yield (
            f"deviations of the columns differ {noise.scales:.3g} times, and the widest would take "
            f"nearly all of the gradient: divide each column by its own, as these numbers do"
        )
    if noise.logarithmic:
        yield "skewed: on the log scale the law is simpler; fit target.log(), as these numbers do"
    yield (
        f"{percent(noise.beyond)} of {_things(noise)} beyond 3 sigma = {3 * noise.sigma:.3g} (from "
        f"the MAD); skewness {noise.skewness:.2g}; excess kurtosis {noise.kurtosis:.2g}"
    )
    if abs(noise.median) > 0.5 * noise.sigma and noise.predicted:
        yield f"the median residual is {noise.median:.3g}: the predictions are biased"
    if not noise.predicted:
        yield "the residuals decide, not the target: with predictions as `input` this is surer"


def _things(noise: Noise) -> str:
    return "residuals" if noise.predicted else "targets (about their median)"


def doubt(signs: Signs) -> Iterator[str]:
    target = signs.target
    if target.distinct <= 2:
        yield "real numbers would take more than two values"
    elif target.whole:
        yield "takes them for amounts, with the same noise everywhere and no bound at 0"
    elif signs.rows and (signs.rows.probabilities or signs.rows.log_probabilities):
        yield "takes each element for itself: nothing makes its rows distributions"
    else:
        yield "every target lies in [0, 1], but predictions may leave it"


# --- losses ------------------------------------------------------------------------------------


def law(loss: str) -> Callable[[Signs], float]:
    """How well the law of a loss describes the residuals; without any, mse_loss is first."""

    def fits(signs: Signs) -> float:
        if signs.noise is None:
            return 1.0 if loss == "mse_loss" else 0.5
        return signs.noise.strength(loss) * (0.9 if explains(signs.variance) else 1.0)

    return fits


def won(loss: str) -> Callable[[Signs], Iterator[str]]:
    """What its law saves against the next, if it describes the residuals best."""

    def lines(signs: Signs) -> Iterator[str]:
        noise = signs.noise
        if noise is None or noise.strength(loss) < 1:
            return
        nats, other = min((nats, other) for other, nats in noise.nats.items() if other != loss)
        saved = nats - noise.nats[loss]
        if saved >= 0:
            yield f"a {LAWS[loss]} law saves {saved:.2g} nats per residual against a {LAWS[other]}"
        else:
            yield f"a {LAWS[other]} law would save {-saved:.2g} nats per residual: too little"

    return lines


def lost(loss: str, why: Callable[[Noise], str]) -> Callable[[Signs], Iterator[str]]:
    """What its law costs more than the best, and what that means."""

    def lines(signs: Signs) -> Iterator[str]:
        noise = signs.noise
        if noise is None:
            yield "no residuals speak for it"
            return
        difference = noise.nats[loss] - min(noise.nats.values())
        if difference > 0:
            yield f"its {LAWS[loss]} law costs {difference:.2g} nats per residual more"
        yield why(noise)

    return lines


def _mse_against(noise: Noise) -> str:
    return f"the largest 1% of {_things(noise)} make up {percent(noise.top)} of its value"


def _l1_against(noise: Noise) -> str:
    return (
        "fits the median, and its gradient is as large for a tiny error as for a large one; at "
        "normal noise it needs 57% more data than mse_loss"
    )


def _huber_against(noise: Noise) -> str:
    return (
        f"one more parameter, for the {percent(noise.beyond)} of {_things(noise)} beyond 3 sigma "
        f"(normal noise has 0.3%)"
    )


def delta(signs: Signs) -> Parameters:
    """Huber's delta: 1.345 sigma, on the scale on which the residuals were measured."""
    return {"delta": rounded(signs.noise.delta)} if signs.noise else {}


def beta(signs: Signs) -> Parameters:
    return {"beta": rounded(signs.noise.delta)} if signs.noise else {}


def turning(signs: Signs) -> Iterator[str]:
    yield from won("huber_loss")(signs)
    if signs.noise:
        yield f"turns linear at 1.345 sigma = {signs.noise.delta:.4g}: 95% efficient if normal"


def smooth(signs: Signs) -> float:
    return 0.8 * law("huber_loss")(signs)


def smooth_against(signs: Signs) -> Iterator[str]:
    yield "is huber_loss divided by beta: the same minimum, at another learning rate"


# --- a predicted variance ----------------------------------------------------------------------


def explains(variance: Variance | None) -> bool:
    """Whether the predicted variance describes the residuals better than a constant."""
    return variance is not None and variance.nats < variance.constant - 0.01


def predicted(signs: Signs) -> float:
    if signs.variance:
        return 1.0 if explains(signs.variance) else 0.5
    return 0.6 if signs.noise and signs.noise.spreads > SPREADS else 0.0


def predicted_evidence(signs: Signs) -> Iterator[str]:
    variance, noise = signs.variance, signs.noise
    if variance is None:
        if noise:
            yield f"abs(residual) grows with abs(prediction): rank correlation {noise.spreads:.2f}"
        return
    if variance.logarithmic:
        yield "the variance has negative values: read as its logarithm; pass var.exp()"
    if explains(variance):
        saved = variance.constant - variance.nats
        yield f"the predicted variance saves {saved:.2g} nats per residual against a constant one"
    yield f"residuals squared are {variance.factor:.3g} times the predicted variance (1 if right)"
    if variance.deviation > 0.03:
        yield f"its square would save {variance.deviation:.2g} nats: is it a standard deviation?"


def predicted_against(signs: Signs) -> Iterator[str]:
    if signs.variance is None:
        yield "the model must predict a variance, too, and none was given"
    elif not explains(signs.variance):
        difference = signs.variance.constant - signs.variance.nats
        yield f"the predicted variance saves {difference:.2g} nats per residual: nothing material"


def least_variance(signs: Signs) -> Parameters:
    """An eps below the variance of the noise, where that is so small that the default hides it."""
    if signs.noise is None or signs.noise.sigma**2 > 100 * EPS:
        return defaults(signs)
    return {"eps": rounded(1e-4 * signs.noise.sigma**2)}


READING = Reading(
    "real numbers",
    strength,
    evidence,
    doubt,
    (
        Rule("gaussian_nll_loss", predicted, predicted_evidence, predicted_against, least_variance),
        Rule("mse_loss", law("mse_loss"), won("mse_loss"), lost("mse_loss", _mse_against)),
        Rule("huber_loss", law("huber_loss"), turning, lost("huber_loss", _huber_against), delta),
        Rule("smooth_l1_loss", smooth, against=smooth_against, parameters=beta),
        Rule("l1_loss", law("l1_loss"), won("l1_loss"), lost("l1_loss", _l1_against)),
    ),
)
