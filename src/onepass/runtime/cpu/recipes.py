"""Which calls native.cpp runs by itself, and how."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.runtime.call import Call, RowCall
from onepass.runtime.cpu import memory
from onepass.runtime.cpu.kernels import Recipe
from onepass.runtime.internals import is_dense


def of(
    kernels: Any,
    call: Call | RowCall,
    tensors: tuple[Tensor, ...],
    given: tuple[Tensor, ...],
) -> Recipe | None:
    """How native.cpp runs a call of these kernels (`elements` or `rows`), if that needs the tensors
    that were given, as they are, and nothing else but what follows from its kind.
    """
    needs_grad = _needs_grad(tensors)
    none = (False,) * (len(given) - len(tensors))
    if (
        call.reduction == "none"
        or call.weight is not None
        or _needs_grad(given) != needs_grad + none
    ):
        return None
    if isinstance(call.denominator, Tensor) or not call.shape.numel():
        return None
    if not all(map(_lies_ready, given, needs_grad + none)):
        return None
    try:
        found = kernels.recipe(call, tensors, needs_grad if any(needs_grad) else ())
    except EngineError:  # which is said where the call is run
        return None
    needed = () if found is None else found.needs
    same = len(needed) == len(given) and all(map(_is_same_memory, needed, given))
    return found if same else None


def _needs_grad(tensors: tuple[Tensor, ...]) -> tuple[bool, ...]:
    """Whether the gradient of each is."""
    return tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in tensors)


def _lies_ready(tensor: Tensor, needs_grad: bool) -> bool:
    """Whether no large copy is made to find out what a kernel reads, and whether the gradient, if
    it is needed, is dense as the tensor is.
    """
    small = memory.is_small(tensor) and (not needs_grad or is_dense(tensor))
    return small or tensor.is_contiguous()


def _is_same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether a kernel that is given the address of one is given the other's elements."""
    return a.data_ptr() == b.data_ptr() and a.dtype is b.dtype and a.numel() == b.numel()
