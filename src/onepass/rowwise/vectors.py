"""Rows that are vectors, two or three of them compared with each other.

What the faces of cosine_embedding_loss and the triplet losses share, and what keeps their
definitions and kernels from overflow: lengths of vectors that are very long, or very short, are
those of the vectors shrunk by their largest element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from onepass.errors import ShapeError
from onepass.runtime import checks

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import logical_and

LOW, HIGH = 1e-20, 1e20  # sums of squares between which nothing over- or underflows


def alike(
    loss: str, names: Sequence[str], tensors: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], torch.dtype]:
    """The tensors in one dtype and one shape, (*rows, features), and the dtype of their loss.

    Where one is broadcast, half types are widened: its gradient is a sum, to be rounded once.
    """
    check(loss, names, tensors)
    shape, dtype = _common_shape(loss, names, tensors), checks.common_dtype(tensors)
    if all(checks.same_shape(t.shape, shape) for t in tensors):
        return tuple(t if t.dtype is dtype else t.to(dtype) for t in tensors), dtype
    wide = dtype if dtype.itemsize > 2 else torch.float32
    return tuple(t.to(wide).expand(shape) for t in tensors), dtype


def check(loss: str, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
    """Refuse what are no tensors of as many axes on one device."""
    checks.are_tensors(loss, names, tensors)
    for name, tensor in zip(names, tensors, strict=True):
        checks.device(loss, name, tensor, tensors[0].device)
    if len({t.dim() for t in tensors}) > 1:
        raise ShapeError(
            f"{loss}: the tensors must have the same number of axes; got "
            f"{_shapes(names, tensors)}. Write unsqueeze(0) for one that serves all rows."
        )


def _common_shape(loss: str, names: Sequence[str], tensors: Sequence[Tensor]) -> torch.Size:
    """Rows may be broadcast to those of another tensor; features may not."""
    first = tensors[0].shape
    if first and all(t.shape == first for t in tensors):
        return first
    if not first:
        raise ShapeError(f"{loss}: `{names[0]}` must have an axis of features, got a number.")
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.shape[-1] != first[-1]:
            raise ShapeError(
                f"{loss}: `{names[0]}` and `{name}` must have as many features on their last axis; "
                f"got {names[0]} {tuple(first)} and {name} {tuple(tensor.shape)}."
            )
    try:
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
    except RuntimeError:
        shape = None
    if shape is None or all(t.shape != shape for t in tensors):
        raise ShapeError(
            f"{loss}: the tensors must have the same rows, or rows that broadcast to those of one "
            f"of them; got {_shapes(names, tensors)}."
        )
    return shape


def _shapes(names: Sequence[str], tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{n} {tuple(t.shape)}" for n, t in zip(names, tensors, strict=True))


def longest(x: Tensor) -> Tensor:
    """The largest size of an element of each row, to divide by: 1 where there is none.

    It is no part of any derivative: what is shrunk by it is stretched by it again.
    """
    size = x.detach().abs().amax(-1, keepdim=True)
    return torch.where((size > 0) & torch.isfinite(size), size, 1.0)


def unit(x: Tensor) -> Tensor:
    """The same, but 1 for all rows whose squares neither over- nor underflow."""
    size = longest(x)
    return torch.where((size > 1e-10) & (size < 1e10), 1.0, size)


def most(precision: torch.dtype) -> float:
    """What kernels shrink by at most: its reciprocal is a normal number, and what is shrunk can
    be squared and summed up.
    """
    return torch.finfo(precision).max ** 0.9


def ordinary(square: Any) -> Any:
    """Whether a sum of squares needs no shrinking: a kernel's."""
    return logical_and(square > LOW, square < HIGH)
