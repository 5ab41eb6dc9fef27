"""The eager engine: the definition itself, as plain torch. Any device, any transform, any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress

import torch
from torch import Tensor

from onepass.errors import DomainError, DtypeError
from onepass.runtime import checks, nans, reduce, sharded
from onepass.runtime.call import Call, RowCall


def evaluate(call: Call | RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The loss, reduced."""
    call, tensors = _together(call, tensors)
    value = _of_rows(call, tensors) if isinstance(call, RowCall) else _of_elements(call, tensors)
    if call.reduction != "none":
        counted = _counted(call, tensors) if isinstance(call, RowCall) else call.denominator
        value = reduce.divided(value, call.reduction, counted)
    return value.to(call.dtype) if call.dtype.is_floating_point else value


def _together(
    call: Call | RowCall, tensors: Sequence[Tensor]
) -> tuple[Call | RowCall, Sequence[Tensor]]:
    """The call with all its tensors distributed, if one is."""
    options = call.options if isinstance(call, RowCall) else {}
    given = [*tensors, call.weight, call.denominator, *options.values()]
    if not any(map(sharded.is_sharded, given)):
        return call, tensors
    found = sharded.together(given)
    count = len(tensors)
    tensors, (weight, denominator, *others) = found[:count], found[count:]
    call = replace(call, weight=weight, denominator=denominator)
    if isinstance(call, RowCall):
        call = replace(call, options=dict(zip(options, others, strict=True)))
    return call, tensors


def gradients(
    call: Call | RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool], upstream: Tensor
) -> list[Tensor | None]:
    """The gradients of the tensors that need one, themselves differentiable."""
    return gradients_of(partial(evaluate, call), tensors, needs_grad, upstream, differentiable=True)


def gradients_of(
    loss: Callable[[Sequence[Tensor]], Tensor],
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    *,
    differentiable: bool,
) -> list[Tensor | None]:
    """The gradients of the tensors that need one, of whatever computes a loss of them."""
    with torch.enable_grad():
        # Views, so that a tensor that was computed from another one is independent of it here.
        views = [
            t.view_as(t) if needed else t for t, needed in zip(tensors, needs_grad, strict=True)
        ]
        value = loss(views)
    slopes = torch.autograd.grad(
        value, [*compress(views, needs_grad)], upstream,
        create_graph=differentiable, materialize_grads=True,
    )  # fmt: skip
    if differentiable:
        slopes = map(_connected, slopes, compress(views, needs_grad))
    found = iter(slopes)
    return [next(found) if needed else None for needed in needs_grad]


def _connected(gradient: Tensor, tensor: Tensor) -> Tensor:
    """The gradient as part of the graph, where that of a linear loss is a constant to autograd."""
    if gradient.requires_grad or not tensor.requires_grad:
        return gradient
    return gradient + tensor.masked_fill(torch.ones_like(tensor, dtype=torch.bool), 0)


def refuse_nan(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for the first value that is nan in a row whose loss is."""
    lost = evaluate(replace(call, reduction="none"), tensors).isnan()
    for name, tensor in zip(call.names, tensors, strict=True):
        missing = tensor.isnan()
        if name not in call.loss.shared:
            missing &= _along_rows(lost, tensor)
        if missing.any():
            position = tuple(missing.nonzero()[0].tolist())
            more = int(missing.sum()) - 1
            raise DomainError(
                f"{call.loss.name}: `{name}` is nan at {position}"
                f"{f' and {more} more' if more else ''}. Rows to leave out are named by mask=."
            )


def _of_rows(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    operands = [_widened(t, call) if t.dtype.is_floating_point else t for t in tensors]
    if call.weight is None:
        value = call.loss.reference(*operands, **call.options)
        return nans.shown(value, _rows(call, operands), call.weights)
    # Selected outside and inside, for the reasons below.
    counts = (call.weight != 0).expand(call.shape)
    operands = [
        t if name in call.loss.shared else torch.where(_along_rows(counts, t), t, 0)
        for name, t in zip(call.names, operands, strict=True)
    ]
    value = call.loss.reference(*operands, **call.options)
    value = torch.where(counts, call.weight * value, 0.0)
    return nans.shown(value, _rows(call, operands), call.weights)


def _rows(call: RowCall, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that have a row for each value."""
    return [t for n, t in zip(call.names, tensors, strict=True) if n not in call.loss.shared]


def _along_rows(counts: Tensor, tensor: Tensor) -> Tensor:
    return counts if tensor.dim() == counts.dim() else counts.unsqueeze(-1)


def _counted(call: RowCall, tensors: Sequence[Tensor]) -> float | Tensor | None:
    """The denominator; the sum of what rows count, if the loss decides that."""
    if not call.counts_rows:
        return call.denominator
    assert call.loss.counts is not None
    counts = call.loss.counts(tensors, call.options)
    return reduce.counted(call.reduction, call.shape, counts, call.weight)


def _of_elements(call: Call, tensors: Sequence[Tensor]) -> Tensor:
    operands = tuple(_widened(tensor, call) for tensor in tensors)
    domains = [call.domains[name] for name in call.names]
    if call.weight is None:
        return nans.shown(_guarded(call, operands), operands, call.weights)
    # Two selections: outside, so that what does not count is exactly 0; inside, so that its
    # gradient is 0 times something finite.
    counts = call.weight != 0
    operands = tuple(
        torch.where(counts, operand, domain.inside)
        for operand, domain in zip(operands, domains, strict=True)
    )
    value = torch.where(counts, call.weight * _guarded(call, operands), 0.0)
    return nans.shown(value, operands, call.weights)


def _guarded(call: Call, operands: Sequence[Tensor]) -> Tensor:
    """The formula; nan where a value lies outside of an enforced domain."""
    formula = _of_complex if call.dtype.is_complex else Call.formula
    value = formula(call, tuple(operands))
    if not checks.same_shape(value.shape, call.shape):
        value = value.expand(call.shape)  # a formula need not look at all of its tensors
    for name, operand in zip(call.names, operands, strict=True):
        domain = call.domains[name]
        if call.refuses(domain):
            value = torch.where(domain.contains(operand), value, math.nan)
    return value


def _of_complex(call: Call, operands: tuple[Tensor, ...]) -> Tensor:
    """The formula of complex tensors, if its result is real. Raises DtypeError if it is not."""
    try:
        value = call.formula(operands)
    except RuntimeError:  # an operation that complex numbers do not have
        value = None
    if value is None or value.is_complex():
        raise DtypeError(
            f"{call.loss.name}: tensors must be real, got {call.dtype}. "
            "Write torch.view_as_real(...)."
        )
    return value


def _widened(tensor: Tensor, call: Call | RowCall) -> Tensor:
    return tensor if tensor.dtype is call.precision else tensor.to(call.precision)
