"""Tensors in the memory order of a kernel's loop, and numbers for its arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from onepass.runtime import reduce
from onepass.runtime.call import Call, RowCall
from onepass.runtime.cpu import memory
from onepass.runtime.internals import is_dense

Stride = tuple[int, ...]


def common_stride(shape: torch.Size, tensors: Sequence[Tensor]) -> Stride:
    """The order of the first dense tensor of this shape: channels-last stays channels-last."""
    for tensor in tensors:
        if tensor.shape == shape and (tensor.is_contiguous() or is_dense(tensor)):
            return tensor.stride()
    return torch.empty(shape, device="meta").stride()


def aligned(tensor: Tensor, shape: torch.Size, stride: Stride) -> Tensor:
    """The tensor if it is one number or lies in this order already, else a copy that does."""
    if tensor.numel() == 1 or (tensor.shape == shape and _same_order(tensor, shape, stride)):
        return tensor
    return memory.empty(shape, stride, tensor.dtype).copy_(tensor)


def _same_order(tensor: Tensor, shape: torch.Size, stride: Stride) -> bool:
    own = tensor.stride()
    return own == stride or all(
        a == b for a, b, size in zip(own, stride, shape, strict=True) if size != 1
    )


def dtype_name(dtype: torch.dtype) -> str:
    """What kernel text calls it."""
    return "uint8" if dtype is torch.bool else str(dtype).removeprefix("torch.")


def number(value: float, dtype: torch.dtype) -> Tensor:
    """A 0-d tensor; full_like of a kept one is the quickest way to make it."""
    return torch.full_like(_one_of(dtype), value)


@cache
def _one_of(dtype: torch.dtype) -> Tensor:
    return torch.empty((), dtype=dtype, device="cpu")


def quotient(a: float, b: float) -> float:
    """a / b as in IEEE 754: where b is 0 inf or nan, and not Python's ZeroDivisionError."""
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def divisor_of(call: Call | RowCall) -> float:
    """What the sum is divided by, of a call that does not count its rows."""
    given = call.denominator
    return reduce.count(call.reduction, call.shape) if given is None else float(given)
