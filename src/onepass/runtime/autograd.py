"""The autograd functions of an engine.

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
from onepass.runtime.call import Call, Gradients, RowCall
from onepass.runtime.engines import Engine


class OnePass(torch.autograd.Function):
    """The reduced loss. Tensors and their number are those of the call."""

    @staticmethod
    def forward(ctx: Any, engine: Engine, call: Call | RowCall, *tensors: Tensor) -> Tensor:
        ctx.engine, ctx.call = engine, call
        ctx.save_for_backward(*tensors, *call.weights)
        needs_grad = ctx.needs_input_grad[2:]  # engine and call need none
        value, ctx.gradients = engine.value_and_gradients(call, tensors, needs_grad)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (upstream,), scaled = grad_outputs, None
        if not torch.is_grad_enabled() and _is_one_gradient(upstream):
            # Released before it is returned, so that autograd takes the buffer without a copy.
            gradients, ctx.gradients = ctx.gradients, None
            if gradients is not None:  # else this is a second backward
                scaled = ctx.engine.scaled(ctx.call, gradients, upstream)
        return None, None, *(_gradients_anew(ctx, upstream) if scaled is None else scaled)


class Elementwise(torch.autograd.Function):
    """The unreduced loss."""

    @staticmethod
    def forward(ctx: Any, engine: Engine, call: Call | RowCall, *tensors: Tensor) -> Tensor:
        ctx.engine, ctx.call = engine, call
        ctx.save_for_backward(*tensors, *call.weights)
        value, ctx.lost = engine.values(call, tensors)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        call, needs_grad, (upstream,) = ctx.call, ctx.needs_input_grad[2:], grad_outputs
        tensors = _unpacked(ctx)
        if torch.is_grad_enabled() or not _is_one_gradient(upstream):
            return None, None, *eager.gradients(call, tensors, needs_grad, upstream)
        return None, None, *ctx.engine.gradients(call, tensors, needs_grad, upstream, ctx.lost)


def _unpacked(ctx: Any) -> Sequence[Tensor]:
    """The tensors of the call. Its weights were saved for this alone: an error, as torch's, if one
    of them has been changed in place since.
    """
    return ctx.saved_tensors[: len(ctx.call.names)]


def _gradients_anew(ctx: Any, upstream: Tensor) -> Gradients:
    """The gradients of a reduced loss, where those made with its value do not serve."""
    call, tensors, needs_grad = ctx.call, _unpacked(ctx), ctx.needs_input_grad[2:]
    if torch.is_grad_enabled() or not _is_one_gradient(upstream):
        return eager.gradients(call, tensors, needs_grad, upstream)
    return ctx.engine.value_and_gradients(call, tensors, needs_grad, upstream)[1]


def _is_one_gradient(upstream: Tensor) -> bool:
    """Not a batch of them, as torch.func and is_grads_batched send through one backward."""
    return not (internals.are_transforms_active() or internals.is_batch(upstream))


_once = internals.apply_of(OnePass)
_each = internals.apply_of(Elementwise)


def evaluate(engine: Engine, call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss by an engine, differentiable where a tensor requires it; autograd saves a copy of a
    tensor made in inference mode, which it would refuse.
    """
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor.requires_grad:
                apply = _each if call.reduction == "none" else _once
                saved = [t.clone() if t.is_inference() else t for t in tensors]
                return apply(engine, call, *saved)
    if call.reduction == "none":
        return engine.values(call, tensors)[0]
    return engine.value(call, tensors)
