"""Rows that are probability distributions, or their logarithms."""

from __future__ import annotations

import math
from collections.abc import Iterator

from onepass.guide.recommend.families.classes import class_axis
from onepass.guide.recommend.rule import Parameters, Reading, Rule, always, nothing
from onepass.guide.recommend.signs import Signs

PEAKED = 0.9  # mean of the largest probability, from where on rows are soft labels


def strength(signs: Signs) -> float:
    rows = signs.rows
    if rows is None or not rows.probabilities or rows.one_hot:
        return 0.0
    if signs.inputs.form not in ("none", "alike"):
        return 0.0
    return 1.0 if len(signs.target.shape) > 1 else 0.95


def evidence(signs: Signs) -> Iterator[str]:
    rows = signs.rows
    if rows is None:
        return
    yield (
        f"{rows.rows} rows of {rows.columns} probabilities: none negative, each row sums to 1; "
        f"entropy {rows.entropy:.3g} of at most {math.log(rows.columns):.3g} nats, largest "
        f"{rows.peak:.3g} on average"
    )
    if rows.smoothed is not None:
        yield (
            f"they are one-hot rows with label_smoothing={rows.smoothed:.3g}: class indices, "
            f"target.argmax({rows.axis}), and that option say the same"
        )


def _soft(signs: Signs) -> bool:
    rows = signs.rows
    return rows is not None and (rows.smoothed is not None or rows.peak >= PEAKED)


def _raw(signs: Signs) -> bool:
    """Whether the input is logits."""
    return signs.inputs.form == "alike" and not (
        signs.inputs.log_probabilities or signs.inputs.probabilities
    )


def divergence(signs: Signs) -> float:
    return 0.8 if _soft(signs) or _raw(signs) else 1.0


def divergence_evidence(signs: Signs) -> Iterator[str]:
    yield "0 where input and target agree; the input is log-probabilities, log_softmax of logits"
    if signs.inputs.probabilities:
        yield "the input is probabilities: pass input.log(), or better log_softmax of the logits"
    if signs.inputs.log_probabilities:
        yield "the exponentials of the input's rows sum to 1: they are log-probabilities already"


def divergence_against(signs: Signs) -> Iterator[str]:
    if _raw(signs):
        yield "the input is no log-probabilities: log_softmax first, for the same gradient"
    else:
        yield "wants log_softmax of the logits, which cross_entropy does in the same pass"


def reduction(signs: Signs) -> Parameters:
    """The mean over distributions, which "mean" is not; the sum if there is only one."""
    return {"reduction": "batchmean" if len(signs.target.shape) > 1 else "sum"}


def surprise(signs: Signs) -> float:
    return 0.6 if signs.inputs.log_probabilities or signs.inputs.probabilities else 0.9


def surprise_evidence(signs: Signs) -> Iterator[str]:
    if _soft(signs):
        yield "nearly all of a row is on one class: soft labels; the input is logits"
    elif _raw(signs):
        yield "the input is logits, which it takes as they are"


def surprise_against(signs: Signs) -> Iterator[str]:
    if signs.rows:
        yield (
            f"the same gradient, but its least value is the target's entropy, "
            f"{signs.rows.entropy:.3g}, not 0"
        )
    if signs.inputs.log_probabilities:
        yield "takes a log_softmax that is already there"


DISTRIBUTIONS = Reading(
    "distributions",
    strength,
    evidence,
    nothing,
    (
        Rule("kl_div", divergence, divergence_evidence, divergence_against, reduction),
        Rule("cross_entropy", surprise, surprise_evidence, surprise_against, class_axis),
    ),
)


# --- logarithms --------------------------------------------------------------------------------


def log_strength(signs: Signs) -> float:
    rows = signs.rows
    return 1.0 if rows and rows.log_probabilities and signs.inputs.form in ("none", "alike") else 0


def log_evidence(signs: Signs) -> Iterator[str]:
    rows = signs.rows
    if rows:
        yield (
            f"{rows.rows} rows of {rows.columns} numbers <= 0 whose exponentials sum to 1: "
            f"log-probabilities, so log_target=True"
        )


def log_reduction(signs: Signs) -> Parameters:
    return {"log_target": True} | reduction(signs)


LOG_DISTRIBUTIONS = Reading(
    "log-distributions",
    log_strength,
    log_evidence,
    nothing,
    (Rule("kl_div", always, nothing, nothing, log_reduction),),
)
