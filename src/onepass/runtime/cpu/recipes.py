"""Which calls native.cpp runs by itself, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.runtime.call import Call, RowCall
from onepass.runtime.cpu import memory
from onepass.runtime.cpu.kernels import Launch
from onepass.runtime.internals import is_dense
from onepass.runtime.runner import Places

Pairs = tuple[tuple[int, int], ...]  # where something stands in a frame, and among the arguments


class Layout(NamedTuple):
    """How a kernel takes a reduced call. Its frame begins with the addresses of what it reads: the
    call's tensors, the options that are tensors, and the weight.
    """

    launch: Launch
    tensors: tuple[Tensor, ...]  # as the kernel reads them
    options: Mapping[str, Tensor | None]
    weight: Tensor | None
    gradients: tuple[int, ...]  # where in a frame that of each of the call's tensors stands, or -1
    numbers: tuple[str | float, ...]  # names of options, or constants
    divisor: float  # of the sum, unless a normalizer is given or weights count


class Recipe(NamedTuple):
    """What native.cpp needs to know to run the calls of a kind."""

    launch: Launch
    operands: Pairs
    gradients: Pairs
    numbers: Pairs
    constants: tuple[tuple[int, float], ...]  # where in a frame, and the number
    divisor: float
    normalizer: int  # where among the arguments it stands, -1 if the divisor is as above
    counting: int  # of which argument the divisor is the sum, or -1
    repeats: float  # times this
    dtype: torch.dtype  # of the loss


def of(call: Call | RowCall, tensors: Sequence[Tensor], places: Places) -> Recipe | None:
    """How native.cpp runs the calls of this one's kind; None if that takes more than one kernel
    that reads the tensors as they are.
    """
    needs_grad = [torch.is_grad_enabled() and tensor.requires_grad for tensor in tensors]
    if not (_suits(call) and all(map(_lies_ready, tensors, needs_grad))):
        return None
    counts = call.counting is not None
    try:
        layout = call.loss.cpu.layout(call, tensors, needs_grad)
    except EngineError:  # which is said where the call is run
        return None
    operands = None if layout is None else _operands(call, tensors, layout, places)
    if layout is None or operands is None:
        return None
    kernel, first = layout.launch.kernel, layout.launch.kernel.first_number
    numbers = [*enumerate(layout.numbers, first)]
    given = [*zip(layout.gradients, places.tensors, strict=True)]
    assert len(numbers) == kernel.numbers - 1  # without the scale
    return Recipe(
        launch=layout.launch,
        operands=operands,
        gradients=tuple((slot, place) for slot, place in given if slot >= 0),
        numbers=tuple((k, places.options[n]) for k, n in numbers if n in places.options),
        constants=tuple((k, _constant(call, n)) for k, n in numbers if n not in places.options),
        divisor=layout.divisor,
        normalizer=-1 if places.normalizer is None else places.normalizer,
        counting=places.weight if counts and places.weight is not None else -1,
        repeats=_repeats(call) if counts else 1.0,
        dtype=call.dtype,
    )


def _suits(call: Call | RowCall) -> bool:
    """Whether it is one number that is asked for, and what weighs it lies ready."""
    if call.reduction == "none" or not call.shape.numel():
        return False
    if call.counting is not None and call.reduction != "mean":
        return False
    weight = call.weight
    return weight is None or weight.numel() == 1 or weight.is_contiguous()


def _operands(
    call: Call | RowCall, tensors: Sequence[Tensor], layout: Layout, places: Places
) -> Pairs | None:
    """Where the addresses of what the kernel reads stand; None if it reads copies."""
    options = [(t, call.options[n], places.options.get(n)) for n, t in layout.options.items()]
    read = [
        *zip(layout.tensors, tensors, places.tensors, strict=True),
        *options,
        (layout.weight, call.weight, places.weight),
    ]
    if not all(_is_same_memory(a, b) for a, b, _ in read):
        return None
    return tuple((slot, place) for slot, (_, _, place) in enumerate(read) if place is not None)


def _constant(call: Call | RowCall, number: str | float) -> float:
    return float(call.options[number]) if isinstance(number, str) else number


def _repeats(call: Call | RowCall) -> float:
    """How often each weight counts, as reduce.summed has it."""
    assert call.counting is not None
    return call.shape.numel() / max(call.counting.numel(), 1)


def _lies_ready(tensor: Tensor, needs_grad: bool) -> bool:
    """Whether no large copy is made to find out what a kernel reads, and whether the gradient, if
    it is needed, is dense as the tensor is.
    """
    small = memory.is_small(tensor) and (not needs_grad or is_dense(tensor))
    return small or tensor.is_contiguous()


def _is_same_memory(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether a kernel that is given the address of one is given the other's elements."""
    if a is None or b is None:
        return a is b
    return a.data_ptr() == b.data_ptr() and a.dtype is b.dtype and a.numel() == b.numel()
