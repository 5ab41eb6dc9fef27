"""cross_entropy: softmax and log-likelihood in one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import NONNEGATIVE, POSITIVE, PROBABILITY, Card, Rowwise, within
from onepass.rowwise import labels
from onepass.rowwise.cross_entropy import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import keywords, reduce
from onepass.runtime.call import Prepared
from onepass.runtime.call_cache import cached

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
OPTIONS = {
    "ignore_index": keywords.index,
    "label_smoothing": within(PROBABILITY),
    "dim": keywords.index,
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


@cached
def evaluate(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    dim: int,
    z_loss: float,
    softcap: float | None,
    *weighting: Any,
) -> Prepared:
    """The loss of logits, given class indices, or class probabilities of the logits' shape."""
    options = of_labels.checked(
        {
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
            "dim": dim,
            "z_loss": z_loss,
            "softcap": softcap,
        }
    )
    ignore_index, dim = options.pop("ignore_index"), options.pop("dim")
    input = labels.scores("cross_entropy", input)
    axis = labels.class_axis("cross_entropy", input, dim)
    labels.check_class_weight("cross_entropy", weight, input.shape[axis], input.device)
    logits = labels.classes_last(input, axis)
    options["weight"] = reduce.widened(weight)
    mass = labels.probabilities("cross_entropy", input, target, tuple(input.shape), ignore_index)
    if mass is not None:
        return of_probabilities.call((logits, labels.classes_last(mass, axis)), options, *weighting)
    target = labels.check_labels("cross_entropy", input, target, axis)
    options["ignore_index"] = ignore_index
    return of_labels.call((logits, target), options, *weighting)
