"""multilabel_soft_margin_loss: a yes or no for each of several labels, averaged over them."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.define import LABEL_SCORES, LABEL_WEIGHT, YES_OR_NO, Laid, Variant, rowwise
from onepass.errors import DtypeError, ShapeError
from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements
from onepass.rowwise.multilabel_soft_margin import cpu, reference
from onepass.runtime import checks

_NAME, _TENSORS = "multilabel_soft_margin_loss", ("input", "target")
of_rows = Variant(_NAME, _TENSORS, reference.of_rows, None, cpu=cpu)
assert of_elements.card is not None  # the loss's as well


@rowwise(
    input=LABEL_SCORES,
    target=YES_OR_NO,
    weight=LABEL_WEIGHT,
    card=of_elements.card,
    variants=(of_rows,),
)
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None
) -> Laid:
    """The mean of binary_cross_entropy_with_logits over the labels of a row: each for itself.

    Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x.
    """
    shape, dtype = checks.agreement(_NAME, _TENSORS, (input, target))
    tensors = _of_one_shape(input, target, shape)
    if weight is not None:
        _check_weight(weight, tensors[0])
    return Laid(of_rows, tensors, {"weight": weight}, dtype)


def _of_one_shape(input: Tensor, target: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    """Where one is broadcast, half types are widened: its gradient is a sum, to be rounded once."""
    if not shape:
        raise ShapeError(f"{_NAME}: `input` must have an axis of labels, got a single number.")
    if checks.same_shape(input.shape, target.shape):
        return input, target
    return tuple((t.float() if t.dtype.itemsize == 2 else t).expand(shape) for t in (input, target))


def _check_weight(weight: Tensor, input: Tensor) -> None:
    """One number for each label is what torch documents; it takes all that broadcasts."""
    checks.are_tensors(_NAME, ["weight"], [weight])
    checks.device(_NAME, "weight", weight, input.device)
    if weight.dtype.is_complex:
        raise DtypeError(f"{_NAME}: `weight` must be real, got {weight.dtype}.")
    given, shape = tuple(weight.shape), tuple(input.shape)
    sizes = zip(reversed(given), reversed(shape), strict=False)
    if len(given) > len(shape) or any(a not in (1, b) for a, b in sizes):
        raise ShapeError(
            f"{_NAME}: `weight` must have one entry for each of the {shape[-1]} labels, "
            f"({shape[-1]},), or broadcast to input {shape}; got {given}."
        )
