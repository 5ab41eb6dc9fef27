"""cross_entropy: softmax and log-likelihood in one step."""

from __future__ import annotations

from torch import Tensor

from onepass.define import (
    CLASS_PROBABILITIES,
    CLASS_WEIGHT,
    LABEL,
    NONNEGATIVE,
    POSITIVE,
    PROBABILITY,
    SCORES,
    Card,
    Laid,
    Variant,
    rowwise,
)
from onepass.rowwise import labels
from onepass.rowwise.cross_entropy import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import keywords, reduce

_CARD = Card(
    task="classification",
    input="logits",
    target="class indices, or class probabilities",
    best_for="exactly one of many classes, from raw logits",
    not_for="several labels at once, two classes with one logit, ready probabilities",
    smooth=True,
    convex=True,
    proper=True,
    gradient_bound=1,
    minimised_by="logarithm of the class frequencies",
    remarks=("softmax and likelihood in one stable step", "gradient is softmax minus truth"),
    relatives=(
        "linear_cross_entropy",
        "nll_loss",
        "kl_div",
        "multi_margin_loss",
        "binary_cross_entropy_with_logits",
    ),
    sources=("Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",),
)
of_labels = Variant(
    "cross_entropy", ("input", "target"), reference.of_labels, cpu.plan_of_labels,
    counts=labels.counts, tally=tally, refuse=labels.refuse_out_of_range,
)  # fmt: skip
of_probabilities = Variant(
    "cross_entropy", ("input", "target"), reference.of_probabilities, cpu.plan_of_probabilities
)


@rowwise(
    input=SCORES,
    target=(LABEL, CLASS_PROBABILITIES),
    weight=CLASS_WEIGHT,
    ignore_index=keywords.index,
    label_smoothing=PROBABILITY,
    dim=keywords.index,
    z_loss=NONNEGATIVE,
    softcap=POSITIVE,
    card=_CARD,
    variants=(of_labels, of_probabilities),
)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    dim: int = 1,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> Laid:
    """Surprise at the true class, given its logits: the slope is the probability minus the truth.

    nll_loss of log_softmax(input), in one stable step; kl_div where the truth is a distribution.
    Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    input = labels.scores("cross_entropy", input)
    axis = labels.class_axis("cross_entropy", input, dim)
    labels.check_class_weight("cross_entropy", weight, input.shape[axis], input.device)
    logits = labels.classes_last(input, axis)
    options = {
        "label_smoothing": label_smoothing,
        "z_loss": z_loss,
        "softcap": softcap,
        "weight": reduce.widened(weight),
    }
    mass = labels.probabilities("cross_entropy", input, target, tuple(input.shape), ignore_index)
    if mass is not None:
        return Laid(of_probabilities, (logits, labels.classes_last(mass, axis)), options)
    target = labels.check_labels("cross_entropy", input, target, axis)
    return Laid(of_labels, (logits, target), {**options, "ignore_index": ignore_index})
