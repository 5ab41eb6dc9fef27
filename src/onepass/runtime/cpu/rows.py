"""The CPU engine of row-wise losses: a call's tensors through the hand-written kernel of its loss.

A loss's `plan` lays the tensors out and says which kernel takes them; everything that is the same
for all of them is added here: row weights, the scale of the mean, what is written, and the flags
that say what is written.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.printers import rows as printer
from onepass.runtime import eager, nans
from onepass.runtime.call import Gradients, RowCall
from onepass.runtime.cpu import kernels, memory
from onepass.runtime.cpu.operands import divisor_of, dtype_name, number, quotient
from onepass.runtime.cpu.recipes import Layout

ALONE = 16384  # rows that every thread counts for itself, where a mean divides by their number


class Plan(NamedTuple):
    """How a loss takes a call. A kernel's arguments are, in this order: the operands, the extras,
    the row weights, the values, the gradients, the partial sums; the numbers and the scale of the
    gradients; the integers; and where the number of the next block stands.
    """

    kernel: Callable[..., None]
    operands: tuple[Tensor, ...]  # the call's tensors, laid out
    extras: Mapping[str, Tensor | None]  # options that are tensors
    flags: Mapping[str, bool]
    numbers: tuple[str | float, ...]  # names of options, or numbers
    integers: tuple[int, ...]
    blocks: int


class Ready(NamedTuple):
    """A plan with its kernel: all but the numbers, and the gradients and values to be written."""

    launch: kernels.Launch
    numbers: tuple[str | float, ...]
    operands: tuple[Tensor, ...]  # () for those of a cached call
    beside: tuple[Tensor | None, ...]  # the extras and the row weights
    slots: tuple[int, ...]  # the operands that have a gradient, in the kernel's order
    alone: bool  # finds out by itself what the mean divides by

    def __call__(
        self,
        call: RowCall,
        tensors: Sequence[Tensor],
        scale: float = 0.0,
        written: Sequence[Tensor | None] = (),
        out: Tensor | None = None,
    ) -> float:
        """The sum that the kernel makes."""
        slots = [written[k] if written else None for k in self.slots]
        given = (*(self.operands or tensors), *self.beside, out, *slots)
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in given]
        numbers = [call.options[n] if isinstance(n, str) else n for n in self.numbers]
        return self.launch(addresses, (*numbers, scale))


def value(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    ready = _ready(call, tensors)
    divisor = 1.0 if ready.alone else denominator(call, tensors)
    return reduced(call, tensors, ready(call, tensors), divisor)


def values(call: RowCall, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and the rows in which it is nan, if there are any."""
    out = torch.empty(call.shape, dtype=call.dtype, device="cpu")
    ready = _ready(call, tensors, each=True)
    if not ready.alone:
        denominator(call, tensors)
    total = ready(call, tensors, out=out)
    reduced(call, tensors, total, 1.0)
    return out, nans.lost(out, tensors, call.weights) if math.isnan(total) else None


def value_and_gradients(
    call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    ready = _ready(call, tensors, tuple(needs_grad))
    divisor = 1.0 if ready.alone else denominator(call, tensors)
    written = _gradient_memory(ready.operands or tensors, needs_grad)
    total = ready(call, tensors, quotient(upstream, divisor), written)
    value = reduced(call, tensors, total, divisor)
    if math.isnan(total):
        value_of_each, _ = values(call.without_launches(), tensors)
        nans.show(written, nans.lost(value_of_each, tensors, call.weights))
    return value, written


def gradients(
    call: RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    plan = call.loss.plan(call, tensors)
    ready = _with_kernel(call, plan, times_upstream(call, upstream), tuple(needs_grad))
    written = _gradient_memory(ready.operands, needs_grad)
    ready(call, tensors, 1.0, written)
    if lost is not None:
        nans.show(written, lost)
    return written


def layout(call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> Layout | None:
    """How a kernel takes a reduced call; None if that takes more than a kernel."""
    plan = _plan(call, tensors)
    alone = plan.flags.get("ALONE", False)
    if (call.counts_rows and not alone) or call.weight is not None:
        return None
    ready = _with_kernel(call, plan, None, tuple(needs_grad))
    names = _arguments(plan.kernel)
    first = names.pointers.index("values") + 1  # the gradients stand behind the values
    slots = {slot: first + place for place, slot in enumerate(names.gradients)}
    return Layout(
        launch=ready.launch,
        tensors=plan.operands,
        options=plan.extras,
        weight=None,
        gradients=tuple(slots[k] if need else -1 for k, need in enumerate(needs_grad)),
        numbers=plan.numbers,
        divisor=1.0 if alone else divisor_of(call),
    )


def _ready(
    call: RowCall, tensors: Sequence[Tensor], needs_grad: tuple[bool, ...] = (), each: bool = False
) -> Ready:
    """The call's plan with its kernel. That of a cached call is kept, if it takes the tensors as
    they are.
    """
    kept = call.launches.get((needs_grad, each)) if call.launches else None
    if kept is not None:
        return kept
    plan = _plan(call, tensors)
    ready = _with_kernel(call, plan, call.weight, needs_grad, each)
    if call.launches is not None and _takes_as_they_are(call, plan, tensors):
        call.launches[needs_grad, each] = ready._replace(operands=())
    return ready


def _plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """The loss's plan; for few rows its kernel finds the mean's denominator itself (flag ALONE)."""
    plan = call.loss.plan(call, tensors)
    if call.counts_rows and call.shape.numel() <= ALONE and "ALONE" in plan.flags:
        plan = plan._replace(flags={**plan.flags, "ALONE": True})
    return plan


def _takes_as_they_are(call: RowCall, plan: Plan, tensors: Sequence[Tensor]) -> bool:
    """Whether the kernel needs these tensors and no others."""
    same = all(a is b for a, b in zip(plan.operands, tensors, strict=True))
    return same and call.weight is None and all(extra is None for extra in plan.extras.values())


def _with_kernel(
    call: RowCall,
    plan: Plan,
    weight: Tensor | None,
    needs_grad: tuple[bool, ...] = (),
    each: bool = False,
) -> Ready:
    if weight is not None:
        weight = weight.expand(call.shape).to(torch.float64).contiguous()
    kernel = _kernel(call, plan, weight is not None, needs_grad, each)
    return Ready(
        launch=kernels.Launch(kernel, plan.integers, plan.blocks),
        numbers=plan.numbers,
        operands=plan.operands,
        beside=(*plan.extras.values(), weight),
        slots=_arguments(plan.kernel).gradients,
        alone=plan.flags.get("ALONE", False),
    )


def denominator(call: RowCall, tensors: Sequence[Tensor]) -> float:
    """The denominator of the mean. Also raises for out-of-range labels if the kernel cannot."""
    counted = math.nan
    if call.loss.tally is not None and (call.counts_rows or call.loss.refuse is None):
        counted = call.loss.tally(call, tensors)
    return counted if call.counts_rows else divisor_of(call)


def reduced(call: RowCall, tensors: Sequence[Tensor], total: float, divisor: float) -> Tensor:
    """The loss as a tensor; raises if it is nan because of an illegal label or value."""
    if total != total:
        refuse(call, tensors)
    return number(quotient(total, divisor), call.dtype)


def refuse(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for the illegal label, or illegal value under checking(), that made the loss nan."""
    if call.loss.refuse is not None:
        call.loss.refuse(call, tensors)
    if call.checks_values:
        eager.refuse_nan(call, tensors)


def times_upstream(call: RowCall, upstream: Tensor) -> Tensor:
    """The call's row weights times the upstream gradient of each row, in float64."""
    upstream = upstream.to(torch.float64)
    if call.weight is None:
        return upstream
    return torch.where(call.weight != 0, upstream * call.weight, 0.0)


def total(call: RowCall, plan: Plan) -> float:
    """The sum of a further kernel of the loss, such as that of what its rows count."""
    return _with_kernel(call, plan, call.weight)(call, ())


def turn_into_gradient(
    call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool], scale: float
) -> tuple[float, Gradients]:
    """The sum of the values. The first tensor, which must lie in one piece, becomes its gradient;
    those of the others are new.
    """
    plan = call.loss.plan(call, tensors)
    plan = plan._replace(flags={**plan.flags, "IN_PLACE": True})
    needs_grad = (False, *needs_grad[1:])
    written = _gradient_memory(plan.operands, needs_grad)
    ready = _with_kernel(call, plan, call.weight, needs_grad)
    return ready(call, tensors, scale, written), written


def source(call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> str:
    """The text of the kernel that runs this call."""
    plan = call.loss.plan(call, tensors)
    weighted, each = call.weight is not None, call.reduction == "none"
    return _text(call, plan, _flags(plan, weighted, needs_grad, each))


def _gradient_memory(operands: Sequence[Tensor], needs_grad: Sequence[bool]) -> Gradients:
    return [memory.like(o) if need else None for o, need in zip(operands, needs_grad, strict=True)]


def _kernel(
    call: RowCall, plan: Plan, weighted: bool, needs_grad: tuple[bool, ...], each: bool
) -> kernels.Loaded:
    dtypes = tuple([operand.dtype for operand in plan.operands])
    key = plan.kernel, dtypes, call.dtype, *plan.flags.values(), weighted, each, needs_grad
    loaded = call.loss.kernels.get(key)
    if loaded is None:
        flags = _flags(plan, weighted, needs_grad, each)
        loaded = call.loss.kernels[key] = _made(call, plan, flags)
    if isinstance(loaded, EngineError):
        raise loaded.with_traceback(None)  # else it would grow with every call
    return loaded


def _flags(plan: Plan, weighted: bool, needs_grad: Sequence[bool], each: bool) -> dict[str, bool]:
    flags = {"EACH": each, "WEIGHTED": weighted, "IN_PLACE": False}
    names = _arguments(plan.kernel).memory[: len(plan.operands)]
    needs_grad = needs_grad or [False] * len(names)
    flags |= {f"GRADIENT_{n.upper()}": w for n, w in zip(names, needs_grad, strict=True)}
    flags |= plan.flags
    flags[f"GRADIENT_{names[0].upper()}"] |= flags["IN_PLACE"]
    return flags


class _Arguments(NamedTuple):
    memory: tuple[str, ...]  # operands and extras
    gradients: tuple[int, ...]  # the operands that have one
    pointers: tuple[str, ...]
    numbers: tuple[str, ...]
    integers: tuple[str, ...]


@cache
def _arguments(kernel: Callable[..., None]) -> _Arguments:
    names = list(inspect.signature(kernel).parameters)
    pointers = [name.removesuffix("_at") for name in names if name.endswith("_at")]
    pointers.remove("next_block")
    others = names[len(pointers) : -1]
    scale = others.index("scale") + 1
    given = pointers[: pointers.index("weight")]
    slots = [n.removeprefix("gradient_") for n in pointers if n.startswith("gradient_")]
    return _Arguments(
        memory=tuple(given),
        gradients=tuple(map(given.index, slots)),
        pointers=tuple(pointers),
        numbers=tuple(others[:scale]),
        integers=tuple(others[scale:]),
    )


def _text(call: RowCall, plan: Plan, flags: Mapping[str, bool]) -> str:
    dtype, output = (dtype_name(d) for d in (plan.operands[0].dtype, call.dtype))
    return printer.text(plan.kernel, dtype, output, flags)


def _made(call: RowCall, plan: Plan, flags: Mapping[str, bool]) -> kernels.Loaded | EngineError:
    names = _arguments(plan.kernel)
    dtypes = dict.fromkeys(names.pointers, plan.operands[0].dtype)
    dtypes |= dict.fromkeys(names.memory, call.precision)  # the extras'
    dtypes |= {n: t.dtype for n, t in zip(names.memory, plan.operands, strict=False)}
    dtypes |= {"weight": torch.float64, "values": call.dtype, "partials": torch.float64}
    pointers = tuple((name, dtype_name(dtypes[name])) for name in names.pointers)
    signature = kernels.Signature(pointers, names.numbers, names.integers)
    return kernels.made(call.loss.name, lambda: kernels.load(_text(call, plan, flags), signature))
