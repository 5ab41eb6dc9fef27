"""What goes wrong with distributions, counts and variances: kl_div, poisson_nll, gaussian_nll."""

from __future__ import annotations

import math

import numpy as np

from onepass.define import LOG_PROBABILITY, NONNEGATIVE, VARIANCE
from onepass.errors import DomainError
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.distributions import logsumexp, tolerance
from onepass.guide.diagnose.finding import Finding, pattern
from onepass.guide.diagnose.values import Array, numbers

_FEW = 4  # elements from which on it is hardly chance that none is negative
_OFF = 100.0  # how many times the targets the rates may be before they are no rates
_OFF_OF_FEW = 1e6  # the same, where there are so few
_HUGE = 1e30  # a rate from which on float32 soon overflows


# --- kl_div ---------------------------------------------------------------------------------------


def _holds(batch: Batch, name: str) -> str:
    """What the rows of a tensor are: "probabilities", "log-probabilities" or "neither"."""
    array = numbers(batch.seen.get(name))
    values = batch.values(name)
    if array is None or values is None or not values.finite.size:
        return "neither"
    slack = tolerance(batch, name)
    if values.within(-slack / 100, 1 + slack) and values.high > 0:
        kind, mass = "probabilities", array
    elif values.high <= slack:
        with np.errstate(over="ignore"):
            kind, mass = "log-probabilities", np.exp(np.minimum(array, 1.0))
    else:
        return "neither"
    return kind if any(_adds_up(batch, mass, axes, slack) for axes in _axes(array)) else "neither"


def _axes(array: Array) -> list[tuple[int, ...]]:
    """Where a distribution may lie: on one axis, on the last two, on all but the first, on all."""
    axes = range(array.ndim)
    several = [tuple(axes[-2:]), tuple(axes[1:]), tuple(axes)]
    return [*((axis,) for axis in reversed(axes)), *several]


def _adds_up(batch: Batch, mass: Array, axes: tuple[int, ...], slack: float) -> bool:
    """Whether most sums over these axes are 1, or 0 where nothing is known."""
    sums = mass.sum(axes)
    good = (np.abs(sums - 1) <= slack) | (sums == 0)
    if batch.counted is not None and batch.rows == mass.shape:
        good = good[batch.counted.reshape(mass.shape).any(axes)]
    return bool(2 * np.count_nonzero(good) > good.size) and bool(sums.any())


@pattern("kl_div", explains=FloatingPointError)
def swapped_distributions(batch: Batch) -> Finding | None:
    """The target first, the prediction second."""
    if batch.given.get("log_target", True) or _holds(batch, "input") != "probabilities":
        return None
    if _holds(batch, "target") != "log-probabilities":
        return None
    return Finding(
        "error",
        "`input` and `target` are swapped: log-probabilities come first.",
        "`input` holds probabilities that sum to 1, `target` log-probabilities",
        "the logarithm of a negative target is nan, and so is the loss",
        batch.call(input="target", target="input"),
    )


@pattern("kl_div", explains=FloatingPointError)
def target_in_the_other_space(batch: Batch) -> Finding | None:
    """Log-probabilities as target without log_target, or the reverse."""
    values, logs = batch.values("target"), batch.given["log_target"]
    if values is None or not values.finite.size or swapped_distributions(batch) is not None:
        return None
    holds = _holds(batch, "target")
    if logs and holds == "probabilities" and not values.only(0):
        return _target_of_kl(
            batch, "`target` holds probabilities, but log_target=True says their logarithms.",
            f"all values lie in {values.span()} and sum to 1", batch.call(log_target=None),
        )  # fmt: skip
    if not logs and values.low < -tolerance(batch, "target") / 100:
        known = holds == "log-probabilities"
        return _target_of_kl(
            batch,
            "`target` holds log-probabilities; that is log_target=True."
            if known
            else "`target` holds negative values, which are no probabilities.",
            values.where(values.array < 0) + f"; range {values.span()}",
            batch.call(log_target="True") if known else batch.call(target="target.softmax(-1)"),
        )
    return None


def _target_of_kl(batch: Batch, problem: str, evidence: str, remedy: str) -> Finding:
    cost = "the gradient is minus the probability: exp of one is between 1 and e"
    if not batch.given["log_target"]:
        cost = "the logarithm of a negative number is nan, and so is the loss"
    return Finding("error", problem, evidence, cost, remedy)


@pattern(domain=LOG_PROBABILITY)
def no_log_probabilities(batch: Batch, name: str) -> Finding | None:
    """Probabilities or logits as input."""
    values, array = batch.values(name), numbers(batch.seen[name])
    if values is None or array is None or not values.finite.size or name == "target":
        return None
    holds = _holds(batch, name)
    if holds == "log-probabilities" or swapped_distributions(batch) is not None:
        return None
    sums = logsumexp(array) if array.ndim and array.shape[-1] else array
    probabilities = holds == "probabilities"
    return Finding(
        "warning" if probabilities or values.high <= 0 else "error",
        f"`{name}` holds {'probabilities' if probabilities else 'no log-probabilities'}; "
        f"{batch.name} wants log-probabilities.",
        f"range {values.span()}; "
        + (
            "its rows sum to 1"
            if probabilities
            else f"the logsumexp of its rows lies in [{sums.min():.4g}, {sums.max():.4g}], not at 0"
        ),
        "the loss is no divergence: it goes below 0 and falls while the input only grows",
        batch.call(**{name: f"{name}.log()" if probabilities else f"{name}.log_softmax(-1)"}),
    )


@pattern("kl_div")
def mean_of_elements(batch: Batch) -> Finding | None:
    """reduction='mean' of distributions over several classes."""
    shape = batch.shape("input")
    whole = batch.given["reduction"] == "mean" and batch.given["normalizer"] is None
    if not shape or shape[-1] < 2 or not whole:
        return None
    rows = shape[0] if len(shape) > 1 else 1
    return Finding(
        "warning",
        "reduction='mean' is not the divergence: it divides by the number of elements.",
        f"`input` {shape} has {math.prod(shape)} elements and {rows} rows",
        f"loss and gradient are {math.prod(shape) // max(rows, 1)} times too "
        "small, against other terms and other losses",
        batch.call(reduction="'batchmean'" if len(shape) > 1 else "'sum'"),
    )


# --- poisson_nll_loss -----------------------------------------------------------------------------


@pattern("poisson_nll_loss", explains=FloatingPointError)
def rates_as_logarithms(batch: Batch) -> Finding | None:
    """Rates where their logarithms are meant."""
    input, target = batch.values("input"), batch.values("target")
    if not batch.given["log_input"] or input is None or target is None:
        return None
    if not input.finite.size or not target.finite.size or input.low < 0:
        return None
    off = _OFF if input.finite.size >= _FEW else _OFF_OF_FEW
    mean, count = float(input.finite.mean()), float(target.finite.mean())
    with np.errstate(over="ignore"):
        rate = float(np.exp(input.finite).mean())
    if not count / 4 <= mean <= 4 * count or rate <= off * (count + 1):
        return None
    return Finding(
        "warning" if rate < _HUGE else "error",
        "`input` looks like rates; with log_input=True their logarithms are wanted.",
        f"`input` lies in {input.span()} with mean {mean:.4g}, the counts have mean {count:.4g}, "
        f"but exp(input) has mean {rate:.4g}",
        "a few large rates decide the gradient, or overflow to inf",
        batch.call(log_input="False"),
    )


@pattern(domain=NONNEGATIVE, explains=FloatingPointError)
def negative(batch: Batch, name: str) -> Finding | None:
    """A count, a rate or a weight below 0."""
    values = batch.values(name)
    if values is None or not values.low < 0:
        return None
    rate = name == "input" and "log_input" in batch.given
    return Finding(
        "error",
        f"`{name}` is negative" + ("; are these log-rates?" if rate else "."),
        f"{values.where(values.array < 0)}; range {values.span()}",
        "the logarithm of a negative rate is nan, and so is the loss"
        if rate
        else "where it is negative the loss rewards being wrong",
        batch.call(log_input="True") if rate else batch.call(**{name: f"{name}.clamp(min=0)"}),
    )


@pattern("poisson_nll_loss")
def fractional_counts(batch: Batch) -> Finding | None:
    """Counts that are not whole."""
    values = batch.values("target")
    if values is None or values.integral or not values.finite.size:
        return None
    return Finding(
        "note",
        "`target` holds counts that are not whole.",
        f"{values.where(values.array != np.rint(values.array))}; range {values.span()}",
        "no Poisson distribution has them; right for rates, given the exposure as sample_weight",
        batch.call(target="target.round()"),
    )


# --- gaussian_nll_loss ----------------------------------------------------------------------------


@pattern(domain=VARIANCE, explains=DomainError)
def no_variance(batch: Batch, name: str) -> Finding | None:
    """A logarithm where a variance is meant."""
    values = batch.values(name)
    if values is None or not values.low < 0:
        return None
    return Finding(
        "error",
        f"`{name}` is negative: a log-variance?",
        f"{values.where(values.array < 0)}; range {values.span()}",
        "the loss refuses it. (A standard deviation would go unseen in one batch: square it.)",
        batch.call(**{name: f"{name}.exp()"}),
    )


@pattern("gaussian_nll_loss")
def variance_at_the_floor(batch: Batch) -> Finding | None:
    """Variances below eps."""
    values, eps = batch.values("var"), batch.given["eps"]
    if values is None or not isinstance(eps, int | float) or not 0 <= values.low < eps:
        return None
    return Finding(
        "note",
        f"Some of `var` is below eps={eps:g} and counts as eps.",
        f"{values.where(values.array < eps)}; range {values.span()}",
        "an error there weighs 1/eps: a few elements can decide the gradient",
        batch.call(eps=f"{max(100 * eps, 1e-4):g}"),
    )
