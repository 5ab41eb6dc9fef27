"""Yes or no: binary_cross_entropy from probabilities and from logits, soft_margin, and the element
of multilabel_soft_margin.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onepass.define import (
    NONNEGATIVE,
    PROBABILITY,
    SIGN,
    Card,
    enforced,
    pointwise,
    with_slope,
)

_SMALLEST_VARIANCE = 9.999999960041972e-13  # torch's 1e-12, which it holds in float32


_EXACT = 40.0  # where softplus(x) is x to the last digit; torch's 20 leaves 1e-9


def _cost(mass: Tensor, logit: Tensor) -> Tensor:
    """mass times the surprise at what has this logit, where no mass costs nothing: 0 * inf is 0."""
    surprise = F.softplus(-logit, threshold=_EXACT)  # -logsigmoid has no rule for sharded tensors
    nothing = (mass == 0) & torch.isinf(surprise)
    return mass * torch.where(nothing, 0.0, surprise)


@pointwise(
    input=enforced(PROBABILITY, hint="For logits there is binary_cross_entropy_with_logits."),
    target=PROBABILITY,
    card=Card(
        task="binary",
        input="probabilities",
        target="labels 0 and 1, or probabilities",
        best_for="binary or multi-label targets when the sigmoid is already applied",
        not_for="logits: binary_cross_entropy_with_logits is stable there",
        smooth=True,
        convex=True,
        proper=True,
        minimised_by="mean",
        remarks=(
            "gradient explodes where the truth is given no probability",
            "each logarithm is at least -100",
        ),
        relatives=("binary_cross_entropy_with_logits",),
        sources=("Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",),
    ),
)
def binary_cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    """Surprise at the truth, given its probability; the slope explodes where that is 0 or 1.

    Each logarithm is at least -100, and the slope (input - target) / (input (1 - input)) has
    1e-12 as its smallest denominator, both as in torch. Good (1952),
    doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    log_yes = torch.clamp(torch.log(input), min=-100.0)
    log_no = torch.clamp(torch.log1p(-input), min=-100.0)
    value = -(target * log_yes + (1 - target) * log_no)
    slope = (input - target) / torch.clamp(input * (1 - input), min=_SMALLEST_VARIANCE)
    return with_slope(with_slope(value.detach(), input, slope), target, log_no - log_yes)


@pointwise(
    target=PROBABILITY,
    pos_weight=NONNEGATIVE,
    card=Card(
        task="binary",
        input="logits",
        target="labels 0 and 1, or probabilities",
        best_for="binary and multi-label targets from raw logits; imbalance through pos_weight",
        not_for="one of many classes, or ready probabilities",
        smooth=True,
        convex=True,
        proper=True,
        gradient_bound=1,
        minimised_by="logit of the mean",
        remarks=("stable at every logit", "pos_weight multiplies the pull of the positives"),
        relatives=(
            "binary_cross_entropy",
            "soft_margin_loss",
            "multilabel_soft_margin_loss",
            "cross_entropy",
        ),
        sources=("Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x",),
    ),
)
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, pos_weight: Tensor | None = None
) -> Tensor:
    """Surprise at the truth, given its logit; the slope is the probability minus the truth.

    binary_cross_entropy of sigmoid(input), without its loss of digits; pos_weight multiplies the
    cost of the positives. Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x.
    """
    positive = target if pos_weight is None else pos_weight * target
    return _cost(positive, input) + _cost(1 - target, -input)


@pointwise(
    target=SIGN,
    card=Card(
        task="binary",
        input="logits",
        target="labels -1 and 1",
        best_for="two classes, labelled -1 and 1, where the margin of confidence matters",
        not_for="labels 0 and 1, many classes, or where a margin means nothing",
        smooth=True,
        convex=True,
        proper=True,
        gradient_bound=1,
        minimised_by="logit of the frequency of 1",
        remarks=("the hinge of support vector machines, its corner rounded off",),
        relatives=("binary_cross_entropy_with_logits", "multi_margin_loss", "margin_ranking_loss"),
        sources=("Friedman, Hastie and Tibshirani (2000), doi:10.1214/aos/1016218223",),
    ),
)
def soft_margin_loss(input: Tensor, target: Tensor) -> Tensor:
    """Logistic loss of labels -1 and 1: pulls hardest on the confidently wrong, lets none go.

    The smooth relative of the hinge. Friedman, Hastie and Tibshirani (2000),
    doi:10.1214/aos/1016218223.
    """
    return F.softplus(-(target * input), threshold=_EXACT)


@pointwise(
    target=PROBABILITY,
    card=Card(
        task="multi-label",
        input="logits",
        target="labels 0 and 1, or probabilities",
        best_for="several labels at once, as in text categorisation",
        not_for="a single label, labels that depend on each other, or only a few",
        smooth=True,
        convex=True,
        proper=True,
        gradient_bound=1,
        minimised_by="logit of the mean",
        remarks=("each label for itself", "value and gradient are divided by the number of labels"),
        relatives=("binary_cross_entropy_with_logits",),
        sources=("Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x",),
    ),
)
def multilabel_soft_margin_loss(input: Tensor, target: Tensor) -> Tensor:
    """One label of multilabel_soft_margin_loss, which is the mean of this over the labels.

    binary_cross_entropy_with_logits without pos_weight. Cox (1958),
    doi:10.1111/j.2517-6161.1958.tb00292.x.
    """
    return _cost(target, input) + _cost(1 - target, -input)
