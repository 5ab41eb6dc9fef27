"""multi_margin_loss: the true class ahead of every other by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import CLASS_WEIGHT, LABEL, REAL, SCORES, Card, Laid, Variant, rowwise
from onepass.errors import ParameterError
from onepass.rowwise import labels
from onepass.rowwise.multi_margin import cpu, reference
from onepass.runtime import keywords

_NAME = "multi_margin_loss"


def _power(loss: str, name: str, given: Any) -> float:
    power = keywords.number(given)
    if power not in (1, 2):
        raise ParameterError(f"{loss}: `{name}` must be 1 or 2, got {given!r:.60}.")
    return power


of_labels = Variant(
    _NAME, ("input", "target"), reference.of_labels, cpu.plan, refuse=labels.refuse_out_of_range
)


@rowwise(
    input=SCORES,
    target=LABEL,
    weight=CLASS_WEIGHT,
    p=_power,
    margin=REAL,
    variants=(of_labels,),
    card=Card(
        task="classification",
        input="scores",
        target="class indices",
        best_for="one of many classes, kept apart by a margin, as in a support vector machine",
        not_for="probabilities, or where cross_entropy does well",
        convex=True,
        gradient_bound=1,
        remarks=(
            "0 once the margin is kept",
            "p = 2 is smooth, and its gradient has no bound",
            "divided by the number of classes",
        ),
        relatives=("cross_entropy", "soft_margin_loss", "margin_ranking_loss"),
        sources=("Weston and Watkins (1999), ESANN, 219-224, no DOI: the proceedings give none",),
    ),
)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    p: int = 1,
    margin: float = 1.0,
) -> Laid:
    """How far the true class is from being ahead of every other by a margin; pulls until it is.

    The hinge of support vector machines for many classes. Weston and Watkins (1999), ESANN.
    """
    input = _batched_as(target, labels.scores(_NAME, input))
    axis = labels.class_axis(_NAME, input, 1)
    options = {
        "p": p,
        "margin": margin,
        "weight": labels.class_weight(_NAME, weight, input, axis),
    }
    target = labels.check_labels(
        _NAME, input, target, axis, elsewhere="input.movedim({other}, {axis})"
    )
    return Laid(of_labels, (labels.classes_last(input, axis), target), options)


def _batched_as(target: Any, input: Tensor) -> Tensor:
    """A single row with or without a batch, as its target, whose shape torch gives the loss. A
    single number is the score of an only class.
    """
    input = input if input.dim() else input.unsqueeze(0)
    axes = (input.dim(), target.dim()) if isinstance(target, Tensor) else ()
    if axes == (1, 1) and target.shape[0] == 1:
        return input.unsqueeze(0)
    if axes == (2, 0) and input.shape[0] == 1:
        return input.squeeze(0)
    return input
