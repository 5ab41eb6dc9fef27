"""multilabel_soft_margin_loss: a yes or no for each of several labels, averaged over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from onepass.define import Rowwise
from onepass.errors import DtypeError, ShapeError
from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements
from onepass.rowwise.multilabel_soft_margin import reference
from onepass.runtime import checks, eager

_NAME = "multilabel_soft_margin_loss"
_TENSORS = ("input", "target")


class _MeanOfElements(Rowwise):
    """The mean over each row of a pointwise loss, whose kernels it runs."""

    def evaluate(
        self, tensors: tuple[Tensor, ...], options: Mapping[str, Any], *weighting: Any
    ) -> Tensor:
        """The loss of checked tensors of one shape, rows last."""
        call, tensors = self.call(tensors, options, *weighting)
        if call.reduction == "none":
            return eager.evaluate(call, tensors)
        assert call.denominator is not None  # every row counts as its weights say
        return of_elements.evaluate(
            tensors,
            {},
            weight=options["weight"],
            sample_weight=None if call.weight is None else call.weight.unsqueeze(-1),
            normalizer=call.denominator * tensors[0].shape[-1],
        )


assert of_elements.card is not None  # the loss's as well
of_rows = _MeanOfElements(_NAME, _TENSORS, reference.of_rows, None, {}, of_elements.card)


def evaluate(input: Tensor, target: Tensor, weight: Tensor | None, *weighting: Any) -> Tensor:
    """The loss of logits, given for each label whether it holds."""
    tensors = _of_one_shape(input, target)
    if weight is not None:
        _check_weight(weight, tensors[0])
    return of_rows.evaluate(tensors, {"weight": weight}, *weighting)


def _of_one_shape(input: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    shape, _ = checks.agreement(_NAME, _TENSORS, (input, target))
    if not shape:
        raise ShapeError(f"{_NAME}: `input` must have an axis of labels, got a single number.")
    return input.expand(shape), target.expand(shape)


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
