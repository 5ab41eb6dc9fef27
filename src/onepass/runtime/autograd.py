"""The autograd functions of the CPU engine.

`OnePass` (mean, sum, batchmean): forward computes the value and the finished gradients together,
backward hands them over. `Elementwise` (none): values forward, slopes times upstream backward.
A backward that must be differentiable itself goes through the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onepass.runtime import eager, internals
from onepass.runtime.call import Call, RowCall

Gradients = list[Tensor | None]


class OnePass(torch.autograd.Function):
    """The reduced loss. Tensors and their number are those of the call."""

    @staticmethod
    def forward(ctx: Any, call: Call | RowCall, *tensors: Tensor) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(*tensors, *call.weights)
        value, ctx.gradients = call.loss.engine.value_and_gradients(
            call, tensors, ctx.needs_input_grad[1:]
        )
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        call, (upstream,) = ctx.call, grad_outputs
        if not torch.is_grad_enabled() and _is_one_gradient(upstream):
            # Released before it is returned, so that autograd takes the buffer without a copy.
            gradients, ctx.gradients = ctx.gradients, None
            factor = upstream.item()
            # A half type must be scaled before it is rounded; and this may be a second backward.
            if gradients is not None and (factor == 1 or call.dtype.itemsize > 2):
                return None, *_times(gradients, factor)
        tensors, wanted = _unpacked(ctx), ctx.needs_input_grad[1:]
        return None, *_gradients_anew(call, tensors, wanted, upstream)


class Elementwise(torch.autograd.Function):
    """The unreduced loss."""

    @staticmethod
    def forward(ctx: Any, call: Call | RowCall, *tensors: Tensor) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(*tensors, *call.weights)
        value, ctx.lost = call.loss.engine.values(call, tensors)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        call, wanted, (upstream,) = ctx.call, ctx.needs_input_grad[1:], grad_outputs
        tensors = _unpacked(ctx)
        if torch.is_grad_enabled() or not _is_one_gradient(upstream):
            return None, *eager.gradients(call, tensors, wanted, upstream)
        return None, *call.loss.engine.gradients(call, tensors, wanted, upstream, ctx.lost)


def _unpacked(ctx: Any) -> Sequence[Tensor]:
    """The tensors of the call. Its weights were saved for this alone: an error, as torch's, if one
    of them has been changed in place since.
    """
    return ctx.saved_tensors[: len(ctx.call.names)]


def _gradients_anew(
    call: Call | RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor
) -> Gradients:
    """The gradients of a reduced loss, where those made with its value do not serve."""
    if torch.is_grad_enabled() or not _is_one_gradient(upstream):
        return eager.gradients(call, tensors, wanted, upstream)
    call = call.without_launches()  # unpacked tensors may have other strides
    return call.loss.engine.value_and_gradients(call, tensors, wanted, upstream.item())[1]


def _times(gradients: Gradients, factor: float) -> Gradients:
    if factor != 1:
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(factor)
    return gradients


def _is_one_gradient(upstream: Tensor) -> bool:
    """Not a batch of them, as torch.func and is_grads_batched send through one backward."""
    return not (internals.are_transforms_active() or internals.is_batch(upstream))


_once = internals.apply_of(OnePass)
_each = internals.apply_of(Elementwise)


def evaluate(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss by the CPU engine, differentiable where a tensor requires it; autograd saves a copy
    of a tensor made in inference mode, which it would refuse.
    """
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor.requires_grad:
                apply = _each if call.reduction == "none" else _once
                return apply(call, *[t.clone() if t.is_inference() else t for t in tensors])
    engine = call.loss.engine
    if call.reduction == "none":
        return engine.values(call, tensors)[0]
    return engine.value(call, tensors)
