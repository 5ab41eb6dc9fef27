"""What is going on around a call: whether tensors are numbers in memory, or are traced, transformed
or recorded, so that only the definition serves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.runtime import internals

# What every call asks, and a small one waits for.
_compiling = torch.compiler.is_compiling
_transforms = internals.are_transforms_active
_modes = internals.dispatch_modes
_tracing = internals.tracing_state
_forward_mode = internals.is_forward_mode

PLAIN = (Tensor, torch.nn.Parameter)
_DTYPES = frozenset(
    {
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool,
        torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    }
)  # fmt: skip


def obstacle() -> str | None:
    """Why any call must be left to the definition.

    Decided before any storage is touched: under a transform a tensor has none.
    """
    if _compiling():  # first: what follows cannot be traced
        return "torch.compile or torch.export is tracing it"
    if _transforms():
        return "a torch.func transform is active"
    if _modes():
        return "a dispatch mode is active"
    if _tracing() is not None:
        return "torch.jit.trace is recording it"
    if _forward_mode():
        return "forward-mode differentiation is active"
    return None


def is_data(tensor: Tensor) -> bool:
    """Whether its elements can be read from host memory: a plain, strided one of a known dtype."""
    return (
        type(tensor) in PLAIN
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.dtype in _DTYPES
        and not tensor.is_neg()
        and not internals.is_zero_tensor(tensor)
    )
