"""Shapes, dtypes, devices and values -> errors that say what to write instead. All but the search
for an illegal value are O(1) and look at no data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onepass.errors import (
    DeviceError,
    DomainError,
    DtypeError,
    ShapeError,
    warn,
)  # fmt: skip
from onepass.formula.domain import Domain
from onepass.runtime.call import Call, RowCall

_SPARSE = (
    torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc,
)  # fmt: skip


def agreement(
    loss: str, names: Sequence[str], tensors: Sequence[Tensor]
) -> tuple[torch.Size, torch.dtype]:
    """The shape and the dtype of the unreduced loss of these tensors, if they fit together."""
    are_tensors(loss, names, tensors)
    shape, dtype, device = tensors[0].shape, tensors[0].dtype, tensors[0].device
    for tensor in tensors[1:]:
        if not same_shape(tensor.shape, shape):
            break
        if tensor.dtype is not dtype or tensor.device != device:
            break
    else:
        if dtype.is_floating_point:
            return shape, dtype
    _same_device(loss, names, tensors)
    return _common_shape(loss, names, tensors), common_dtype(tensors)


def same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are equal; compares their lengths first.

    Tuples compare sizes before lengths, and a tracer would record what a symbolic size is not.
    """
    return len(a) == len(b) and a == b


def are_tensors(loss: str, names: Sequence[str], things: Sequence[Any]) -> None:
    """Refuse what is no tensor, a nested or a sparse one."""
    for place, thing in enumerate(things):
        name = names[place]
        if not isinstance(thing, Tensor):
            shown = " ".join(repr(thing).split())
            raise DtypeError(
                f"{loss}: `{name}` must be a tensor, got {type(thing).__name__}: {shown:.60}. "
                f"Write torch.as_tensor({name})."
            )
        if thing.is_nested:
            raise DtypeError(
                f"{loss}: `{name}` must be one dense tensor, got a nested one. Write "
                f"{name}.values(), which holds all its rows one behind the other."
            )
        if thing.layout in _SPARSE:
            raise DtypeError(
                f"{loss}: `{name}` must be dense, got {thing.layout}. Write {name}.to_dense()."
            )


def _common_shape(loss: str, names: Sequence[str], tensors: Sequence[Tensor]) -> torch.Size:
    """A broadcast may grow one side, never both."""
    try:
        shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except RuntimeError:
        shape = None
    if shape is None or not any(same_shape(tensor.shape, shape) for tensor in tensors[:2]):
        raise ShapeError(_mismatch(loss, names, tensors))
    for name, tensor in zip(names[:2], tensors[:2], strict=True):
        grows = tensor.dim() and not same_shape(tensor.shape, shape)
        if grows and not torch.compiler.is_compiling():
            warn(
                f"{loss}: `{name}` of size {tuple(tensor.shape)} is broadcast to "
                f"{tuple(shape)}. Please ensure that is meant."
            )
    return shape


def _mismatch(loss: str, names: Sequence[str], tensors: Sequence[Tensor]) -> str:
    first, shape = names[0], tuple(tensors[0].shape)
    for name, tensor in zip(names[1:], tensors[1:], strict=True):
        other = tuple(tensor.shape)
        if other == shape or _broadcasts(other, shape) or _broadcasts(shape, other):
            continue
        hint = _pairing_hint(first, shape, name, other)
        return (
            f"{loss}: `{first}` and `{name}` must have the same shape, or one must broadcast to "
            f"the other; got {first} {shape} and {name} {other}. {hint}"
        )
    shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in zip(names, tensors, strict=True))
    return f"{loss}: the shapes do not fit together: {shapes}. Give them one shape."


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether `small` broadcasts to exactly `large`."""
    tail = large[len(large) - len(small) :]
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(small, tail, strict=True))


def _pairing_hint(first: str, a: tuple[int, ...], second: str, b: tuple[int, ...]) -> str:
    for name, longer, other, shorter in ((first, a, second, b), (second, b, first, a)):
        for axis, size in enumerate(longer):
            without = longer[:axis] + longer[axis + 1 :]
            if size == 1 and without == shorter:
                return (
                    f"Did you mean {name}.squeeze({axis}), or {other}.unsqueeze({axis})? "
                    "(Broadcasting would pair every element with every other.)"
                )
            if _broadcasts((*shorter[:axis], 1, *shorter[axis:]), longer):
                return f"Did you mean {other}.unsqueeze({axis})?"
    if math.prod(a) == math.prod(b):
        return f"Did you mean {second}.reshape({first}.shape)?"
    hint = _row_hint(second, b, a) or _row_hint(first, a, b)
    return hint.strip() or "Check where the two were batched."


def _row_hint(name: str, row: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Which axis a row of numbers, such as one for each class, belongs to."""
    if len(row) != 1 or len(shape) < 2 or row[0] not in shape:
        return ""
    axis = shape.index(row[0])
    sizes = ", ".join(str(row[0]) if k == axis else "1" for k in range(len(shape)))
    return f" Did you mean {name}.reshape({sizes})?"


def under_autocast(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of a loss: float32 instead of half types where autocast is enabled, as torch's."""
    half = dtype.itemsize == 2 and torch.is_autocast_enabled(device.type)
    return torch.float32 if half else dtype


def squeeze_hint(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Which axis of size 1 is one too many."""
    for axis, size in enumerate(given):
        if size == 1 and given[:axis] + given[axis + 1 :] == wanted:
            return f" Did you mean {name}.squeeze({axis})?"
    return ""


def weight_shape(loss: str, name: str, weight: Tensor, shape: torch.Size) -> None:
    """A weight or mask broadcasts to the unreduced loss and does not enlarge it."""
    given, wanted = tuple(weight.shape), tuple(shape)
    if _broadcasts(given, wanted):
        return
    padded = given + (1,) * (len(wanted) - len(given))
    if 0 < len(given) < len(wanted) and _broadcasts(padded, wanted):
        hint = f" Did you mean {name}.reshape({', '.join(map(str, padded))})?"
    else:
        hint = squeeze_hint(name, given, wanted) or _row_hint(name, given, wanted)
    raise ShapeError(
        f"{loss}: `{name}` must broadcast to the shape of the unreduced loss, {wanted}; "
        f"got {given}.{hint}"
    )


def _same_device(loss: str, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
    common = next((tensor.device for tensor in tensors if tensor.dim()), tensors[0].device)
    for name, tensor in zip(names, tensors, strict=True):
        device(loss, name, tensor, common)


def device(loss: str, name: str, tensor: Tensor, common: torch.device) -> None:
    """Refuse a tensor elsewhere; a single number on the CPU may join any device."""
    if tensor.device != common and (tensor.dim() or tensor.device.type != "cpu"):
        raise DeviceError(
            f"{loss}: all tensors must be on the same device, got {common} and for `{name}` "
            f"{tensor.device}. Write {name}.to({str(common)!r})."
        )


def common_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """That of a result: floating ones promoted as torch does; bool and integers join them."""
    inexact = [t for t in tensors if t.dtype.is_floating_point or t.dtype.is_complex]
    if not inexact:
        return torch.get_default_dtype()
    shaped = [t for t in inexact if t.dim()] or inexact
    dtype = shaped[0].dtype
    for tensor in shaped[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def values(call: Call, tensors: Sequence[Tensor]) -> None:
    """Raise for the first value outside a domain that is to be kept to.

    Such a value makes the loss nan, so the search is paid for only when the result is nan.
    """
    for name, tensor in zip(call.names, tensors, strict=True):
        domain = call.domains[name]
        if call.refuses(domain):
            outside(call, name, tensor, domain)


def outside(call: Call | RowCall, name: str, tensor: Tensor, domain: Domain) -> None:
    """Raise for the first value that is outside of the domain and counts."""
    illegal = ~domain.contains(tensor).expand(call.shape)
    if call.weight is not None:
        illegal = illegal & (call.weight != 0)
    if not illegal.any():
        return
    position = tuple(illegal.nonzero()[0].tolist())
    value = tensor.expand(call.shape)[position].item()
    more = int(illegal.sum()) - 1
    raise DomainError(
        f"{call.loss.name}: every value of `{name}` must be {domain}; got {value!r} at "
        f"{position}{f' and {more} more' if more else ''}. {domain.hint}".rstrip()
    )
