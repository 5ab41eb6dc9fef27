"""linear_cross_entropy: a linear layer and the cross entropy of its logits, which never exist as
a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import linear

from onepass.define import (
    BIAS,
    CLASS_PROBABILITIES,
    CLASS_WEIGHT,
    LABEL,
    LAYER,
    NONNEGATIVE,
    POSITIVE,
    PROBABILITY,
    VECTOR,
    Card,
    Laid,
    Variant,
    rowwise,
)
from onepass.errors import ShapeError
from onepass.rowwise import labels
from onepass.rowwise.cross_entropy import cross_entropy
from onepass.rowwise.linear_cross_entropy import cpu, reference
from onepass.rowwise.tally import tally
from onepass.runtime import checks, keywords, reduce
from onepass.runtime.call import RowCall

_NAME = "linear_cross_entropy"
_CARD = Card(
    task="classification",
    input="features",
    target="class indices, or class probabilities",
    best_for="very many classes, as in language models, whose logits would fill the memory",
    not_for="few classes, or logits that are needed for something else",
    smooth=True,
    proper=True,
    remarks=(
        "convex in the features and in the layer, each alone",
        "never holds all logits",
    ),
    relatives=("cross_entropy",),
    sources=("Wijmans et al. (2024), doi:10.48550/arXiv.2411.09009",),
)


def _tally(call: RowCall, tensors: Sequence[Tensor]) -> float:
    _, target, linear_weight, *_ = tensors
    return tally(call, (linear_weight.t(), target))


def _index(loss: str, name: str, given: Any) -> int | None:
    """torch's default here is None, which means that of cross_entropy."""
    return None if given is None else keywords.index(loss, name, given)


_TENSORS, _SHARED = (
    ("input", "target", "linear_weight", "linear_bias"),
    ("linear_weight", "linear_bias"),
)
of_labels = Variant(
    _NAME, _TENSORS, reference.of_labels, None,
    counts=labels.counts, tally=_tally, cpu=cpu, shared=_SHARED,
)  # fmt: skip
of_probabilities = Variant(
    _NAME, _TENSORS, reference.of_probabilities, None, cpu=cpu, shared=_SHARED
)


@rowwise(
    input=VECTOR,
    linear_weight=LAYER,
    target=(LABEL, CLASS_PROBABILITIES),
    linear_bias=BIAS,
    weight=CLASS_WEIGHT,
    ignore_index=_index,
    label_smoothing=PROBABILITY,
    z_loss=NONNEGATIVE,
    softcap=POSITIVE,
    card=_CARD,
    variants=(of_labels, of_probabilities),
)
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> Laid:
    """cross_entropy of the logits input @ linear_weight.T + linear_bias, which never exist whole.

    Wijmans et al. (2024), doi:10.48550/arXiv.2411.09009.
    """
    skipped = -100 if ignore_index is None else ignore_index
    input = labels.scores(_NAME, input)
    linear_weight = labels.scores(_NAME, linear_weight, "linear_weight")
    bias = () if linear_bias is None else (labels.scores(_NAME, linear_bias, "linear_bias"),)
    _check_layer(input, linear_weight, *bias)
    labels.check_class_weight(_NAME, weight, linear_weight.shape[0], input.device)
    shape, axis = (*input.shape[:-1], *linear_weight.shape[:-1]), input.dim() - 1
    mass = labels.probabilities(_NAME, input, target, shape, skipped)
    if mass is None:
        target = labels.check_labels(_NAME, input, target, axis, shape=shape)
    if linear_weight.dim() > 2:  # as many losses as the axes between: their logits, as a whole
        return cross_entropy.lay_out(
            _logits(input, linear_weight, *bias), target, weight, skipped, label_smoothing, axis,
            z_loss, softcap,
        )  # fmt: skip
    options = {
        "label_smoothing": label_smoothing,
        "z_loss": z_loss,
        "softcap": softcap,
        "weight": reduce.widened(weight),
    }
    if mass is not None:
        return Laid(of_probabilities, (input, mass, linear_weight, *bias), options)
    options["ignore_index"] = skipped
    return Laid(of_labels, (input, target, linear_weight, *bias), options)


def _check_layer(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None = None) -> None:
    checks.device(_NAME, "linear_weight", linear_weight, input.device)
    if not input.dim() or linear_weight.dim() < 2 or input.shape[-1] != linear_weight.shape[-1]:
        raise ShapeError(
            f"{_NAME}: `linear_weight` must be (classes, features) for input (..., features); "
            f"{_shapes(input, linear_weight)}{_transposed_hint(input, linear_weight)}"
        )
    if not linear_weight.shape[0]:
        raise ShapeError(
            f"{_NAME}: `linear_weight` must have at least one class, on axis 0; "
            f"{_shapes(input, linear_weight)}"
        )
    if linear_weight.dim() > 2 and input.dim() != 2:
        raise ShapeError(
            f"{_NAME}: with `linear_weight` (classes, d1, ..., features) input must be "
            f"(N, features); {_shapes(input, linear_weight)} "
            f"Write input.reshape(-1, {input.shape[-1]})."
        )
    if linear_bias is None:
        return
    checks.device(_NAME, "linear_bias", linear_bias, input.device)
    if linear_bias.shape != linear_weight.shape[:-1]:
        raise ShapeError(
            f"{_NAME}: `linear_bias` must be {tuple(linear_weight.shape[:-1])}, as linear_weight "
            f"without its last axis; got {tuple(linear_bias.shape)}."
        )


def _shapes(input: Tensor, linear_weight: Tensor) -> str:
    return f"got {tuple(linear_weight.shape)} for input {tuple(input.shape)}."


def _transposed_hint(input: Tensor, linear_weight: Tensor) -> str:
    fits = input.dim() and linear_weight.dim() == 2 and input.shape[-1] == linear_weight.shape[0]
    return " Did you mean linear_weight.t()?" if fits else ""


def _logits(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None = None) -> Tensor:
    """(N, classes, d1, ...) of a weight (classes, d1, ..., features)."""
    flat_bias = None if linear_bias is None else linear_bias.flatten()
    logits = linear(input, linear_weight.flatten(0, -2), flat_bias)
    return logits.unflatten(-1, linear_weight.shape[:-1])
