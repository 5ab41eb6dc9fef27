"""Tensors as memory that a kernel walks, and numbers as it has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from onepass.runtime import memory
from onepass.runtime.internals import is_dense, is_zero_tensor

Stride = tuple[int, ...]

PLAIN = (Tensor, torch.nn.Parameter)
_DTYPES = frozenset(
    {
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool,
        torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    }
)  # fmt: skip


def is_data(tensor: Tensor) -> bool:
    """Whether the tensor is numbers in this machine's memory, as they stand there."""
    return (
        type(tensor) in PLAIN
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.dtype in _DTYPES
        and not tensor.is_neg()
        and not is_zero_tensor(tensor)
    )


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
    """A tensor of one number, as a loss is: like another, which is the quickest way to make it."""
    return torch.full_like(_one_of(dtype), value)


@cache
def _one_of(dtype: torch.dtype) -> Tensor:
    return torch.empty((), dtype=dtype, device="cpu")


def quotient(a: float, b: float) -> float:
    """a / b as floating point has it: Python would raise where b is 0."""
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)
