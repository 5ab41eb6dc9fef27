"""Pointwise losses on the CPU: the tensors of a call laid out in memory, and a kernel over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.printers.cpu import BLOCK, text
from onepass.printers.kernel import Kernel, Operand
from onepass.runtime import checks, nans
from onepass.runtime.call import Call, Gradients
from onepass.runtime.cpu import kernels, memory
from onepass.runtime.cpu.operands import (
    Stride,
    aligned,
    common_stride,
    divisor_of,
    dtype_name,
    number,
    quotient,
)
from onepass.runtime.cpu.recipes import Layout

Asked = tuple[torch.dtype | None, ...]

_HALVES = (torch.float16, torch.bfloat16)


def value(call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    operands, weight, _ = _in_one_order(call, tensors)
    kernel = _kernel(call, operands, weight, (), each=False)
    total = _run(kernel, call, (*operands, weight), 0.0)
    return _reduced(call, tensors, total, divisor_of(call))


def values(call: Call, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and where it is nan, if it is anywhere."""
    operands, weight, stride = _in_one_order(call, tensors)
    kernel = _kernel(call, operands, weight, (), each=True)
    out = memory.empty(call.shape, stride, call.dtype)
    total = _run(kernel, call, (*operands, weight, out), 0.0)
    if not math.isnan(total):
        return out, None
    checks.values(call, tensors)
    return out, nans.lost(out, tensors, call.weights)


def value_and_gradients(
    call: Call, tensors: Sequence[Tensor], needs_grad: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    operands, weight, stride = _in_one_order(call, tensors)
    asked, divisor = _asked(call, tensors, needs_grad), divisor_of(call)
    kernel = _kernel(call, operands, weight, asked, each=False)
    written = _gradient_memory(call, asked, stride)
    total = _run(kernel, call, (*operands, weight, *written), quotient(upstream, divisor))
    value = _reduced(call, tensors, total, divisor)
    if math.isnan(total):
        nans.show(written, nans.lost(values(call, tensors)[0], tensors, call.weights))
    return value, _in_their_shapes(tensors, written)


def layout(call: Call, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> Layout | None:
    """How a kernel takes a reduced call; None if that takes more than a kernel."""
    weight = call.weight
    if any(tensor.shape != call.shape for tensor in tensors):
        return None
    if weight is not None and weight.numel() != 1 and weight.shape != call.shape:
        return None
    operands, weight, _ = _in_one_order(call, tensors)
    kernel = _kernel(call, operands, weight, _asked(call, tensors, needs_grad), each=False)
    places, count = itertools.count(len(tensors) + (weight is not None)), call.shape.numel()
    return Layout(
        launch=kernels.Launch(kernel, (count,), _blocks(count)),
        tensors=tuple(operands),
        options={},
        weight=weight,
        gradients=tuple(next(places) if need else -1 for need in needs_grad),
        numbers=tuple(call.parameters),
        divisor=divisor_of(call),
    )


def gradients(
    call: Call,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    operands, weight, stride = _in_one_order(call, tensors)
    asked, upstream = _asked(call, tensors, needs_grad), upstream.resolve_neg()
    written = _gradient_memory(call, asked, stride)
    if not any(upstream.stride()):  # one number for all, as a sum behind the loss sends it
        kernel = _kernel(call, operands, weight, asked, each=False)
        scale = upstream.flatten()[0].item()
        _run(kernel, call, (*operands, weight, *written), scale)
    else:
        kernel = _kernel(call, operands, weight, asked, each=True)
        upstream = aligned(upstream, call.shape, stride)
        _run(kernel, call, (*operands, weight, upstream, *written), 0.0)
    if lost is not None:
        nans.show(written, lost)
    return _in_their_shapes(tensors, written)


def source(call: Call, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> str:
    """The text of the kernel that runs this call."""
    operands, weight, _ = _in_one_order(call, tensors)
    asked = _asked(call, tensors, needs_grad)
    kernel = _described(call, operands, weight, asked, call.reduction == "none")
    return text(kernel, *call.loss.results(call.names, call.flags, call.checks_values))


def _in_one_order(
    call: Call, tensors: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Tensor | None, Stride]:
    """Operands and weight in one memory order, copied where they are not, and its strides."""
    shape, weight, operands = call.shape, call.weight, tensors
    for tensor in tensors:
        if not tensor.is_contiguous() or tensor.shape != shape:
            stride = common_stride(shape, tensors)
            operands = [aligned(tensor, shape, stride) for tensor in tensors]
            break
    else:
        stride = tensors[0].stride()
    return operands, None if weight is None else aligned(weight, shape, stride), stride


def _asked(call: Call, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> Asked:
    """The dtype in which a kernel writes each gradient; None for those that need none.

    That of a half-precision tensor that is broadcast is summed up, and rounded after that.
    """
    asked: list[torch.dtype | None] = []
    for tensor, need in zip(tensors, needs_grad, strict=False):
        dtype = tensor.dtype if need else None
        if dtype in _HALVES and tensor.shape != call.shape:
            dtype = call.precision
        asked.append(dtype)
    return tuple(asked)


def _kernel(
    call: Call,
    operands: Sequence[Tensor],
    weight: Tensor | None,
    asked: Asked,
    each: bool,
) -> kernels.Loaded:
    storage = [(operand.dtype, operand.numel() == 1) for operand in operands]
    if weight is not None:
        storage.append((weight.dtype, weight.numel() == 1))
    key = (
        call.names,
        call.checks_values,
        *call.flags.values(),
        *storage,
        *asked,
        each,
        call.dtype,
    )
    loaded = call.loss.kernels.get(key)
    if loaded is None:
        loaded = _made(call, _described(call, operands, weight, asked, each))
        call.loss.kernels[key] = loaded
    if isinstance(loaded, EngineError):
        raise loaded.with_traceback(None)  # else it would grow with every call
    return loaded


def _made(call: Call, kernel: Kernel) -> kernels.Loaded | EngineError:
    def make() -> kernels.Loaded:
        source = text(kernel, *call.loss.results(call.names, call.flags, call.checks_values))
        return kernels.load(source, kernels.Signature(kernel.pointers, kernel.numbers, ("count",)))

    return kernels.made(call.loss.name, make)


def _described(
    call: Call,
    operands: Sequence[Tensor],
    weight: Tensor | None,
    asked: Asked,
    each: bool,
) -> Kernel:
    named = zip(call.names, operands, strict=True)
    return Kernel(
        name=call.loss.name,
        operands=tuple(_operand(name, tensor) for name, tensor in named),
        parameters=tuple(call.parameters),
        gradients=tuple(name for name, dtype in zip(call.names, asked, strict=False) if dtype),
        each=each,
        precision=dtype_name(call.precision),
        output=dtype_name(call.dtype),
        weight=None if weight is None else _operand("weight", weight),
        wide=tuple(
            name
            for name, operand, dtype in zip(call.names, operands, asked, strict=False)
            if dtype not in (None, operand.dtype)
        ),
    )


def _operand(name: str, tensor: Tensor) -> Operand:
    return Operand(name, dtype_name(tensor.dtype), tensor.numel() == 1)


def _run(
    kernel: kernels.Loaded, call: Call, memory: Sequence[Tensor | None], scale: float
) -> float:
    addresses = [tensor.data_ptr() for tensor in memory if tensor is not None]
    count = call.shape.numel()
    return kernel(addresses, (*call.parameters.values(), scale), (count,), _blocks(count))


def _blocks(count: int) -> int:
    return (count + BLOCK - 1) // BLOCK


def _gradient_memory(call: Call, asked: Asked, stride: Stride) -> Gradients:
    """A gradient for every tensor that needs one, an element for each of the loss's."""
    return [None if dtype is None else memory.empty(call.shape, stride, dtype) for dtype in asked]


def _in_their_shapes(tensors: Sequence[Tensor], gradients: Gradients) -> Gradients:
    """Gradients in the shapes of their tensors: summed over the axes that were broadcast."""
    return [
        gradient if gradient is None else _summed_to(tensor, gradient)
        for tensor, gradient in zip(tensors, gradients, strict=True)
    ]


def _summed_to(tensor: Tensor, gradient: Tensor) -> Tensor:
    if gradient.shape == tensor.shape:
        return gradient
    return gradient.sum_to_size(tensor.shape).to(tensor.dtype)


def _reduced(call: Call, tensors: Sequence[Tensor], total: float, divisor: float) -> Tensor:
    if math.isnan(total):
        checks.values(call, tensors)
    return number(quotient(total, divisor), call.dtype)
