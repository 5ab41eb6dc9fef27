"""nll_loss: the likelihood of the true class, from log-probabilities."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import Card, Rowwise
from onepass.rowwise import labels
from onepass.rowwise.nll import cpu, reference
from onepass.rowwise.tally import tally

_NAME = "nll_loss"
of_labels = Rowwise(
    _NAME, ("input", "target"), reference.of_labels, cpu.plan,
    {"ignore_index": labels.check_index, "dim": labels.check_index},
    Card(
        task="classification",
        best_for="exactly one of many classes, when log-probabilities are already there",
        not_for="raw logits, or where the softmax should be inside: cross_entropy",
        properties=("linear", "proper for log-probabilities", "gradient at the class only"),
        relatives=("cross_entropy", "kl_div"),
        sources=("Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",),
    ),
    counts=labels.counts, tally=tally, refuse=labels.refuse_out_of_range,
)  # fmt: skip


def evaluate(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    dim: int,
    **weighting: Any,
) -> Tensor:
    """The loss of log-probabilities, given class indices."""
    of_labels.settings({"ignore_index": ignore_index})
    input = labels.scores(_NAME, input)
    axis = labels.class_axis(_NAME, input, dim)
    if labels.is_one_row(input, target):
        target = target.squeeze(0)
    target = labels.check_labels(_NAME, input, target, axis)
    weight = labels.class_weight(_NAME, weight, input, axis)
    options = {"weight": weight, "ignore_index": ignore_index}
    return of_labels.evaluate((labels.classes_last(input, axis), target), options, **weighting)
