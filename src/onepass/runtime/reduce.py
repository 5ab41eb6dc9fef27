"""Who divides by what: reductions, weights, masks, normalizer.

| reduction | value |
|---|---|
| none | w l |
| sum | sum(w l) |
| mean | sum(w l) / sum(c), with `normalizer`: sum(w l) / normalizer |
| batchmean | sum(w l) / batch rows that count |

w is the product of all weights; c of those that count (sample_weight and mask, not a loss's own
rescaling `weight`). What is masked out or has weight 0 contributes exactly 0, whatever it holds.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from onepass.errors import DtypeError, ParameterError, quoted
from onepass.runtime import checks, circumstances, sharded
from onepass.runtime.circumstances import is_data


def count(reduction: str, shape: torch.Size) -> float:
    """The denominator where every element counts."""
    if reduction == "mean":
        return float(shape.numel())
    if reduction == "batchmean":
        return float(shape[0]) if shape else 1.0
    return 1.0


def divided(values: Tensor, reduction: str, denominator: float | Tensor | None) -> Tensor:
    """The reduced loss of weighted values; sizes stay symbolic for tracers."""
    if denominator is not None:
        return values.sum() / denominator
    if reduction == "mean":
        return values.mean()
    total = values.sum()
    return total / values.shape[0] if reduction == "batchmean" and values.dim() else total


class Weighting(NamedTuple):
    """How a caller wants values reduced and weighted: the arguments that all losses share."""

    reduction: str = "mean"
    sample_weight: Tensor | None = None
    mask: Tensor | None = None
    normalizer: float | Tensor | None = None


class Weighted(NamedTuple):
    """What multiplies each value, and what their sum is divided by."""

    weight: Tensor | None = None
    denominator: float | Tensor | None = None  # None: as many as there are
    counting: Tensor | None = None  # what the denominator is summed up from, if it is


def weighted(
    loss: str,
    shape: torch.Size,
    device: torch.device,
    weighting: Weighting,
    weight: Tensor | None = None,
    *,
    counts: bool = False,
) -> Weighted:
    """The one weight of every element, and the denominator.

    `weight` is the loss's own, and `counts` says whether it does, as that of l1_loss and mse_loss.
    """
    reduction, sample_weight, mask, normalizer = weighting
    if weight is sample_weight is mask is normalizer is None:
        return Weighted()
    for name, given in (("weight", weight), ("sample_weight", sample_weight), ("mask", mask)):
        if given is not None:
            _check_weight(loss, name, given, shape, device)
    weight, sample_weight = widened(weight), widened(sample_weight)
    counting = product(product(weight, sample_weight) if counts else sample_weight, mask)
    total = counting if counts else product(weight, counting)
    if normalizer is not None:
        return Weighted(total, _checked_normalizer(loss, normalizer, reduction))
    if counting is None or reduction in ("none", "sum"):
        return Weighted(total)
    return Weighted(total, summed(reduction, shape, counting), counting)


def summed(reduction: str, shape: torch.Size, counting: Tensor) -> float | Tensor:
    """The denominator of mean or batchmean where weights say how much each element counts."""
    return _total(counting, shape) if reduction == "mean" else rows_that_count(counting, shape)


def widened(weight: Tensor | None) -> Tensor | None:
    """A weight whose gradient may be asked for, half types as float32: it is a sum over what the
    weight multiplies and over what it counts for, to be rounded once.
    """
    if weight is None or weight.dtype.itemsize > 2 or not weight.dtype.is_floating_point:
        return weight
    asked = weight.requires_grad or circumstances.obstacle() is not None
    return weight.float() if asked else weight


def product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """a * b, exactly 0 wherever one of them is (the other may be nan there); half types widened."""
    if a is None or b is None:
        return b if a is None else a
    one, other = sharded.together([a, b])
    wide = torch.promote_types(one.dtype, other.dtype)
    if wide.is_floating_point:
        wide = torch.promote_types(wide, torch.float32)
    nothing = torch.zeros((), dtype=wide, device=one.device)
    return torch.where((one != 0) & (other != 0), one.to(wide) * other, nothing)


def counted(
    reduction: str, shape: torch.Size, counts: Tensor, weight: Tensor | None
) -> float | Tensor:
    """The denominator of mean or batchmean where the loss says how much each row counts."""
    weighted = counts if weight is None else product(counts, weight)
    assert weighted is not None
    if reduction == "mean":
        return weighted.sum(dtype=torch.float64)
    return rows_that_count(weighted, shape)


def rows_that_count(counting: Tensor, shape: torch.Size) -> float | Tensor:
    """How many rows of the batch, the first axis, have an element that counts."""
    if not shape:
        return 1.0
    rows = (counting != 0).expand(shape)
    for _ in shape[1:]:
        rows = rows.sum(-1) > 0  # any() of sharded rows is one yes from each rank
    return rows.sum()


def _total(weight: Tensor, shape: torch.Size) -> Tensor:
    """The sum of a weight over all the elements that it is broadcast to."""
    if checks.same_shape(weight.shape, shape):
        return _sum(weight)
    if circumstances.obstacle() is not None:  # the sizes are somebody's to trace
        return _sum(weight.expand(shape))
    return _sum(weight) * (shape.numel() / max(weight.numel(), 1))


def _sum(weight: Tensor) -> Tensor:
    """The sum, of half types in float32: a count of weights would overflow."""
    if weight.dtype.is_floating_point:
        return weight.sum(dtype=torch.promote_types(weight.dtype, torch.float32))
    return weight.sum()


def _check_weight(
    loss: str, name: str, given: Any, shape: torch.Size, device: torch.device
) -> None:
    checks.are_tensors(loss, [name], [given])
    checks.device(loss, name, given, device)
    if name == "mask" and given.dtype is not torch.bool:
        raise DtypeError(
            f"{loss}: `mask` must be a bool tensor, True where an element counts; got "
            f"{given.dtype}. Write mask.bool(), or give numbers as sample_weight."
        )
    if given.dtype.is_complex:
        raise DtypeError(f"{loss}: `{name}` must be real, got {given.dtype}.")
    checks.weight_shape(loss, name, given, shape)


def _checked_normalizer(loss: str, normalizer: Any, reduction: str) -> float | Tensor:
    if reduction != "mean":
        raise ParameterError(
            f"{loss}: `normalizer` replaces the denominator of reduction='mean', got "
            f"reduction={reduction!r}. Leave one of the two out."
        )
    if isinstance(normalizer, Tensor):
        if normalizer.dim():
            raise ParameterError(
                f"{loss}: `normalizer` must be one number, got a tensor of shape "
                f"{tuple(normalizer.shape)}. Write normalizer.sum()."
            )
        if normalizer.dtype is torch.bool or normalizer.dtype.is_complex:
            raise DtypeError(f"{loss}: `normalizer` must be a real number, got {normalizer.dtype}.")
        if not _is_known(normalizer):
            return normalizer
        number = normalizer.item()
    elif isinstance(normalizer, bool) or not isinstance(normalizer, Real):
        number = math.nan
    else:
        normalizer = number = float(normalizer)
    if not number >= 0:
        raise ParameterError(
            f"{loss}: `normalizer` must be a number that is not negative, or a tensor of one; got "
            f"{type(normalizer).__name__}: {quoted(normalizer)}."
        )
    return normalizer


def _is_known(tensor: Tensor) -> bool:
    """Whether its value can be read: it is in host memory, and nothing traces it."""
    return circumstances.obstacle() is None and is_data(tensor)
