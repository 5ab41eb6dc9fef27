"""Linear layer and cross entropy without the logits as a whole: chunks of rows whose logits
become their gradient in place, and go into the products of the layer's own gradients.

Rows that do not count are left out before the first product. The gradients of weight and bias
are sums over all rows: they are accumulated in float32 at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from onepass.define import Variant
from onepass.rowwise import cross_entropy
from onepass.runtime.call import Gradients, RowCall
from onepass.runtime.cpu import memory, rows
from onepass.runtime.cpu.operands import quotient

# Bytes of the logits at a time. Fewer would read the layer's weight more often than its products
# take to be computed; more would be felt beside the gradients.
CHUNK = 44 << 20


class Chunk(NamedTuple):
    """Some rows, and the cross entropy of their logits as a call of its own."""

    rows: slice | Tensor
    call: RowCall
    input: Tensor
    target: Tensor
    logits: Tensor


def value(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    denominator = rows.denominator(call, tensors)
    total = sum(
        rows.value(chunk.call, (chunk.logits, chunk.target)).item()
        for chunk in _chunks(call, tensors, call.weight)
    )
    return rows.reduced(call, tensors, total, denominator)


def values(call: RowCall, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and the rows in which it is nan, if there are any."""
    rows.denominator(call, tensors)
    out = torch.zeros(call.shape.numel(), dtype=call.dtype, device="cpu")
    for chunk in _chunks(call, tensors, call.weight):
        out[chunk.rows] = rows.values(chunk.call, (chunk.logits, chunk.target))[0]
    out = out.reshape(call.shape)
    lost = out.isnan()
    return out, lost if lost.any() else None


def value_and_gradients(
    call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    denominator = rows.denominator(call, tensors)
    scale = quotient(upstream, denominator)
    total, found = _accumulated(call, tensors, needs_grad, call.weight, scale)
    return rows.reduced(call, tensors, total, denominator), found


def gradients(
    call: RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    weight = rows.times_upstream(call, upstream)
    if lost is not None:  # a row without weight would be left out
        weight = weight.masked_fill(lost, math.nan)
    return _accumulated(call, tensors, needs_grad, weight, 1.0)[1]


def layout(call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> None:
    """How a kernel takes a call: this takes more than one."""
    del call, tensors, needs_grad


def _accumulated(
    call: RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    weight: Tensor | None,
    scale: float,
) -> tuple[float, Gradients]:
    linear_weight = tensors[2]
    sums = [_zeros(t, need) for t, need in zip(tensors, needs_grad, strict=True)]
    by_input, by_target, by_weight, by_bias = (*sums, None)[:4]
    total = 0.0
    for chunk in _chunks(call, tensors, weight):
        value, (_, of_target) = rows.turn_into_gradient(
            chunk.call, (chunk.logits, chunk.target), (True, by_target is not None), scale
        )
        total += value
        slopes = chunk.logits
        if by_target is not None:
            by_target.view(-1, by_target.shape[-1])[chunk.rows] = of_target  # type: ignore[index]
        if by_input is not None:
            _multiplied(slopes, linear_weight, by_input.view(-1, by_input.shape[-1]), chunk.rows)
        if by_weight is not None:
            by_weight.addmm_(slopes.t().to(by_weight.dtype), chunk.input.to(by_weight.dtype))
        if by_bias is not None:
            by_bias += slopes.sum(0, dtype=by_bias.dtype)
    found = [by_input, by_target, by_weight, by_bias][: len(tensors)]
    return total, [s if s is None else s.to(t.dtype) for s, t in zip(found, tensors, strict=True)]


def _zeros(tensor: Tensor, needed: bool) -> Tensor | None:
    if not needed:
        return None
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    contiguous = torch.empty(tensor.shape, device="meta").stride()
    return memory.empty(tensor.shape, contiguous, dtype).zero_()


def _multiplied(slopes: Tensor, weight: Tensor, out: Tensor, place: slice | Tensor) -> None:
    """out[place] = slopes @ weight."""
    if isinstance(place, slice) and out.dtype is slopes.dtype:
        torch.mm(slopes, weight, out=out[place])
    else:
        out[place] = (slopes @ weight).to(out.dtype)


def _chunks(call: RowCall, tensors: Sequence[Tensor], weight: Tensor | None) -> Iterator[Chunk]:
    input, target, linear_weight, *bias = tensors
    classes, count = linear_weight.shape[0], call.shape.numel()
    input, target = (
        input.reshape(count, -1),
        target.reshape(count, *target.shape[len(call.shape) :]),
    )
    weight = None if weight is None else weight.expand(call.shape).reshape(count)
    counting = _rows_that_count(call, target, weight)
    number = count if counting is None else len(counting)
    at_once = min(number, max(32, CHUNK // (classes * input.dtype.itemsize)))
    memory_of_logits = memory.empty(torch.Size([at_once, classes]), (classes, 1), input.dtype)
    for first in range(0, number, max(at_once, 1)):
        place = slice(first, min(first + at_once, number))
        place = place if counting is None else counting[place]
        some = input[place]
        logits = memory_of_logits[: len(some)]
        if bias:
            torch.addmm(bias[0], some, linear_weight.t(), out=logits)
        else:
            torch.mm(some, linear_weight.t(), out=logits)
        part = RowCall(
            shape=torch.Size([len(some)]),
            dtype=call.dtype,
            reduction="sum",
            weight=None if weight is None else weight[place],
            checks_values=False,  # of the whole
            denominator=1.0,
            counting=None,
            loss=_of_logits(call),
            names=("input", "target"),
            options=call.options,
        )
        yield Chunk(place, part, some, target[place], logits)


def _of_logits(call: RowCall) -> Variant:
    has_labels = "ignore_index" in call.options
    return cross_entropy.of_labels if has_labels else cross_entropy.of_probabilities


def _rows_that_count(call: RowCall, target: Tensor, weight: Tensor | None) -> Tensor | None:
    """Their numbers; None if they are all."""
    counting = torch.ones(len(target), dtype=torch.bool, device="cpu")
    if "ignore_index" in call.options:
        counting = target != call.options["ignore_index"]
    if weight is not None:
        counting = counting & (weight != 0)
    return None if counting.all() else counting.nonzero().squeeze(1)
