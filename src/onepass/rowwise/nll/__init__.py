"""nll_loss: the likelihood of the true class, from log-probabilities."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import Card, Rowwise
from onepass.rowwise import labels
from onepass.rowwise.nll import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import internals, keywords
from onepass.runtime.call import Prepared
from onepass.runtime.call_cache import cached

_NAME = "nll_loss"


def _torchs(
    input: Tensor, target: Tensor, reduction: int, weight: Tensor | None, ignore_index: int
) -> Tensor:
    assert internals.nll_loss is not None
    return internals.nll_loss(input, target, weight, reduction, ignore_index)


of_labels = Rowwise(
    _NAME, ("input", "target"), reference.of_labels, cpu.plan,
    {"ignore_index": keywords.index, "dim": keywords.index},
    Card(
        task="classification",
        input="log-probabilities",
        target="class indices",
        best_for="log-probabilities that are already there, or a step of one's own before them",
        not_for="raw logits: cross_entropy has the softmax inside",
        smooth=True,
        convex=True,
        proper=True,
        gradient_bound=1,
        minimised_by="logarithm of the class frequencies",
        remarks=("linear: gradient is -1 at the class, 0 elsewhere",),
        relatives=("cross_entropy",),
        sources=("Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",),
    ),
    counts=labels.counts, tally=tally, refuse=labels.refuse_out_of_range,
    torch_op=None if internals.nll_loss is None else _torchs,
)  # fmt: skip


@cached
def evaluate(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    dim: int,
    *weighting: Any,
) -> Prepared:
    """The loss of log-probabilities, given class indices."""
    options = of_labels.checked({"ignore_index": ignore_index, "dim": dim})
    dim = options.pop("dim")
    input = labels.scores(_NAME, input)
    axis = labels.class_axis(_NAME, input, dim)
    target = labels.check_labels(_NAME, input, target, axis)
    weight = labels.class_weight(_NAME, weight, input, axis)
    options["weight"] = weight
    return of_labels.call((labels.classes_last(input, axis), target), options, *weighting)
