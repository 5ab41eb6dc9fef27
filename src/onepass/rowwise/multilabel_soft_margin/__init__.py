"""multilabel_soft_margin_loss: a yes or no for each of several labels, averaged over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from onepass.define import Rowwise
from onepass.errors import DtypeError, ShapeError
from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements
from onepass.rowwise.multilabel_soft_margin import reference
from onepass.runtime import checks, circumstances, eager, reduce
from onepass.runtime.call import Call, RowCall
from onepass.runtime.circumstances import is_data

_NAME = "multilabel_soft_margin_loss"
_TENSORS = ("input", "target")


class _MeanOfElements(Rowwise):
    """The mean over each row of a pointwise loss, whose kernels it runs."""

    def evaluate(
        self, tensors: tuple[Tensor, ...], options: Mapping[str, Any], *weighting: Any
    ) -> Tensor:
        """The loss of checked tensors of one shape, rows last."""
        call, tensors = self.call(tensors, options, *weighting)
        if call.reduction == "none" or circumstances.obstacle() is not None:
            return eager.evaluate(call, tensors)
        rows = _rows(call)
        if isinstance(rows, Tensor) and is_data(rows) and rows.isnan():  # no normalizer for others
            return eager.evaluate(call, tensors)
        return of_elements.evaluate(
            tensors,
            {},
            weight=options["weight"],
            sample_weight=None if call.weight is None else call.weight.unsqueeze(-1),
            normalizer=rows * tensors[0].shape[-1],
        )


assert of_elements.card is not None  # the loss's as well
of_rows = _MeanOfElements(_NAME, _TENSORS, reference.of_rows, None, {}, of_elements.card)


def evaluate(input: Tensor, target: Tensor, weight: Tensor | None, *weighting: Any) -> Tensor:
    """The loss of logits, given for each label whether it holds."""
    shape, dtype = checks.agreement(_NAME, _TENSORS, (input, target))
    tensors = _of_one_shape(input, target, shape)
    if weight is not None:
        _check_weight(weight, tensors[0])
    value = of_rows.evaluate(tensors, {"weight": weight}, *weighting)
    widened = tensors[0].dtype is not input.dtype and not torch.is_autocast_enabled(
        value.device.type
    )
    return value.to(dtype) if widened else value


def _rows(call: Call | RowCall) -> float | Tensor:
    """What the sum over the rows is divided by."""
    if call.denominator is None:
        return reduce.count(call.reduction, call.shape)
    return call.denominator


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
