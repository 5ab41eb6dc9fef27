"""cross_entropy: softmax and log-likelihood in one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import NONNEGATIVE, POSITIVE, PROBABILITY, Card, Rowwise, within
from onepass.rowwise import labels
from onepass.rowwise.cross_entropy import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import checks

_CARD = Card(
    task="classification",
    best_for="exactly one of many classes, from raw logits",
    not_for="several labels at once, two classes with one logit, ready probabilities",
    properties=("smooth", "convex", "proper", "stable", "gradient is p - 1 at the class"),
    relatives=("nll_loss", "binary_cross_entropy_with_logits", "multi_margin_loss"),
    sources=("Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",),
)
OPTIONS = {
    "ignore_index": labels.check_index,
    "label_smoothing": within(PROBABILITY),
    "dim": labels.check_index,
    "z_loss": within(NONNEGATIVE),
    "softcap": within(POSITIVE, or_none=True),
}
of_labels = Rowwise(
    "cross_entropy", ("input", "target"), reference.of_labels, cpu.plan_of_labels, OPTIONS, _CARD,
    counts=labels.counts, tally=tally, refuse=labels.refuse_out_of_range,
)  # fmt: skip
of_probabilities = Rowwise(
    "cross_entropy", ("input", "target"), reference.of_probabilities, cpu.plan_of_probabilities,
    OPTIONS, _CARD,
)  # fmt: skip


def evaluate(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    dim: int,
    z_loss: float,
    softcap: float | None,
    **weighting: Any,
) -> Tensor:
    """The loss of logits, given class indices, or class probabilities of the logits' shape."""
    options: dict[str, Any] = {
        "label_smoothing": label_smoothing,
        "z_loss": z_loss,
        "softcap": softcap,
    }
    of_labels.settings(options | {"ignore_index": ignore_index})
    input = labels.scores("cross_entropy", input)
    axis = labels.class_axis("cross_entropy", input, dim)
    classes = labels.number_of_classes("cross_entropy", input, axis)
    labels.check_class_weight("cross_entropy", weight, classes, input.device)
    checks.are_tensors("cross_entropy", ["target"], [target])
    logits = labels.classes_last(input, axis)
    options["weight"] = weight
    if target.shape == input.shape:
        mass = labels.probabilities("cross_entropy", input, target, ignore_index)
        return of_probabilities.evaluate(
            (logits, labels.classes_last(mass, axis)), options, **weighting
        )
    target = labels.check_labels("cross_entropy", input, target, axis)
    options["ignore_index"] = ignore_index
    return of_labels.evaluate((logits, target), options, **weighting)
