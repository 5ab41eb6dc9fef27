"""nll_loss: the likelihood of the true class, from log-probabilities."""

from __future__ import annotations

from torch import Tensor

from onepass.define import CLASS_WEIGHT, LABEL, LOG_PROBABILITIES, Card, Laid, Variant, rowwise
from onepass.rowwise import labels
from onepass.rowwise.nll import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import internals, keywords

_NAME = "nll_loss"


def _torchs(
    input: Tensor, target: Tensor, reduction: int, weight: Tensor | None, ignore_index: int
) -> Tensor:
    assert internals.nll_loss is not None
    return internals.nll_loss(input, target, weight, reduction, ignore_index)


of_labels = Variant(
    _NAME, ("input", "target"), reference.of_labels, cpu.plan,
    counts=labels.counts, tally=tally, refuse=labels.refuse_out_of_range,
    torch_op=None if internals.nll_loss is None else _torchs,
)  # fmt: skip


@rowwise(
    input=LOG_PROBABILITIES,
    target=LABEL,
    weight=CLASS_WEIGHT,
    ignore_index=keywords.index,
    dim=keywords.index,
    variants=(of_labels,),
    card=Card(
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
)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    dim: int = 1,
) -> Laid:
    """Surprise at the true class, given log-probabilities: a constant pull at that class alone.

    cross_entropy without its log_softmax. Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    input = labels.scores(_NAME, input)
    axis = labels.class_axis(_NAME, input, dim)
    target = labels.check_labels(_NAME, input, target, axis)
    options = {
        "ignore_index": ignore_index,
        "weight": labels.class_weight(_NAME, weight, input, axis),
    }
    return Laid(of_labels, (labels.classes_last(input, axis), target), options)
