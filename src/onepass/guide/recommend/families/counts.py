"""Whole numbers >= 0 that count something."""

from __future__ import annotations

from collections.abc import Iterator

from onepass.guide.recommend.rule import Parameters, Reading, Rule, always, percent
from onepass.guide.recommend.signs import Counting, Signs

LARGE = 1000  # a mean beyond which overdispersed whole numbers are amounts, not counts


def strength(signs: Signs) -> float:
    counting, target = signs.counting, signs.target
    if counting is None or target.names or target.boolean or target.distinct < 2:
        return 0.0
    if signs.inputs.form not in ("none", "alike"):
        return 0.0
    if target.distinct == 2:
        return 0.15
    if not _plausible(counting, signs):
        return 0.2
    if signs.labels and signs.labels.ignored is not None:
        return 0.4
    matrix = target.columns > 1 or signs.inputs.form == "alike"
    return 0.9 if matrix or counting.rare < counting.uniform else 0.6


def _plausible(counting: Counting, signs: Signs) -> bool:
    """Counts reach down to nearly nothing, or vary as little as Poisson's law has it."""
    target = signs.target
    poisson = counting.dispersions[0] >= 0.4 and counting.dispersions[1] <= 1.8
    near = target.mean * max(0.05, 3 / target.count)  # the least of n exponentials: their mean / n
    small = target.smallest <= max(1, near) and target.mean < LARGE
    return counting.step == 1 and (small or poisson)


def evidence(signs: Signs) -> Iterator[str]:
    counting, target = signs.counting, signs.target
    if counting is None:
        return
    yield (
        f"{target.count} whole numbers from {target.smallest:g} to {target.largest:g}; variance "
        f"over mean {counting.dispersion:.3g} (1 for Poisson's law), "
        f"{percent(counting.zeros)} zeros"
    )
    if counting.dispersion > 1.5:
        yield (
            "overdispersed: the rates are still estimated rightly (Gourieroux, Monfort and Trognon "
            "(1984), doi:10.2307/1913472), the likelihood is not to be trusted as one"
        )
    yield from undecided(signs)


def undecided(signs: Signs) -> Iterator[str]:
    """What the frequencies of whole numbers say, and what they cannot: counts or classes."""
    counting = signs.counting
    if counting is None or signs.inputs.form != "none" or signs.target.names:
        return
    rare, uniform = counting.rare, counting.uniform
    which = "counts" if rare < uniform else "class indices"
    yield (
        f"the frequencies suggest {which}: {rare:.3g} nats under a count law, {uniform:.3g} if all "
        f"values are alike; what decides is whether 3 is more than 2, or only another thing"
    )


def doubt(signs: Signs) -> Iterator[str]:
    counting = signs.counting
    if counting is None:
        return
    if counting.step > 1:
        yield f"every target is a multiple of {counting.step}"
    elif not _plausible(counting, signs):
        low, high = counting.dispersions
        spread = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g} by column"
        yield f"none is below {signs.target.smallest:g}; as counts variance over mean is {spread}"
    elif counting.rare >= counting.uniform:
        difference = counting.rare - counting.uniform
        yield f"a count law costs {difference:.2g} nats per target more than labels all alike"
    else:
        yield "right only if the target counts something"


def rate(signs: Signs) -> Parameters:
    """Whether predictions are rates or their logarithms; logarithms, if there are none."""
    return {"log_input": signs.rates is None or signs.rates.log_input <= signs.rates.input}


def rate_evidence(signs: Signs) -> Iterator[str]:
    rates = signs.rates
    if rates is None:
        yield "log_input=True: let the model predict the logarithm of the rate, of any sign"
        return
    costs = f"{rates.log_input:.4g} nats as log-rates, {rates.input:.4g} as rates"
    yield f"log_input={rate(signs)['log_input']}: the input costs {costs} (inf: impossible)"


READING = Reading(
    "counts",
    strength,
    evidence,
    doubt,
    (Rule("poisson_nll_loss", always, rate_evidence, parameters=rate),),
)
