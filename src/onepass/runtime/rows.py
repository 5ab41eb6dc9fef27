"""The CPU engine of row-wise losses: a call's tensors through the hand-written kernel of its loss.

A loss's `plan` lays the tensors out and says which kernel takes them; everything that is the same
for all of them is added here: row weights, the scale of the mean, what is written, and the flags
that say what is wanted.
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
from onepass.runtime import eager, kernels, memory, nans, reduce
from onepass.runtime.call import RowCall
from onepass.runtime.kernels import Recipe
from onepass.runtime.operands import dtype_name, number, quotient

Gradients = list[Tensor | None]

ALONE = 16384  # rows that every thread counts for itself, where a mean divides by their number


class Plan(NamedTuple):
    """How a loss takes a call. A kernel's arguments are, in this order: the operands, the extras,
    the row weights, the values, the gradients, the partial sums; the numbers and the scale of the
    gradients; the integers; and where turns are taken.
    """

    kernel: Callable[..., None]
    operands: tuple[Tensor, ...]  # the call's tensors, laid out
    extras: tuple[Tensor | None, ...]
    flags: Mapping[str, bool]
    numbers: tuple[float, ...]
    integers: tuple[int, ...]
    turns: int


class Launch(NamedTuple):
    """A kernel with all it is given but the scale, and the gradients and values that it writes."""

    run: kernels.Bound
    operands: tuple[Tensor, ...]  # () for those of a remembered call
    beside: tuple[Tensor | None, ...]  # the extras and the row weights
    slots: tuple[int, ...]  # the operands that have a gradient, in the kernel's order
    alone: bool  # finds out by itself what the mean divides by

    def __call__(
        self,
        tensors: Sequence[Tensor],
        scale: float = 0.0,
        written: Sequence[Tensor | None] = (),
        out: Tensor | None = None,
    ) -> float:
        """The sum that the kernel makes."""
        slots = [written[k] if written else None for k in self.slots]
        given = (*(self.operands or tensors), *self.beside, out, *slots)
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in given]
        return self.run(addresses, scale)


def value(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    launch = _launch(call, tensors)
    divisor = 1.0 if launch.alone else denominator(call, tensors)
    return reduced(call, tensors, launch(tensors), divisor)


def values(call: RowCall, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and the rows in which it is nan, if there are any."""
    out = torch.empty(call.shape, dtype=call.dtype, device="cpu")
    launch = _launch(call, tensors, each=True)
    if not launch.alone:
        denominator(call, tensors)
    total = launch(tensors, out=out)
    reduced(call, tensors, total, 1.0)
    return out, nans.lost(out, tensors, call.weights) if math.isnan(total) else None


def value_and_gradients(
    call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    launch = _launch(call, tensors, tuple(wanted))
    divisor = 1.0 if launch.alone else denominator(call, tensors)
    written = _gradient_memory(launch.operands or tensors, wanted)
    total = launch(tensors, quotient(upstream, divisor), written)
    value = reduced(call, tensors, total, divisor)
    if math.isnan(total):
        value_of_each, _ = values(call.without_launches(), tensors)
        nans.show(written, nans.lost(value_of_each, tensors, call.weights))
    return value, written


def gradients(
    call: RowCall,
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    plan = call.loss.plan(call, tensors)
    launch = _launched(call, plan, times_upstream(call, upstream), tuple(wanted))
    written = _gradient_memory(launch.operands, wanted)
    launch(tensors, 1.0, written)
    if lost is not None:
        nans.show(written, lost)
    return written


def recipe(call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> Recipe | None:
    """How native.cpp runs a reduced call; None if there is more to do than to run a kernel."""
    plan = _plan(call, tensors)
    alone = plan.flags.get("ALONE", False)
    if call.counts_rows and not alone:
        return None
    kernel = _kernel(call, plan, weighted=False, wanted=tuple(wanted), each=False)
    names = _arguments(plan.kernel)
    read = enumerate((*plan.operands, *plan.extras))
    needed = {place: tensor for place, tensor in read if tensor is not None}
    first = names.pointers.index("values") + 1  # the gradients stand behind the values
    slots = {slot: first + place for place, slot in enumerate(names.gradients)}
    return Recipe(
        kernels.Bound(kernel, plan.numbers, plan.integers, plan.turns),
        needs=tuple(needed.values()),
        operands=tuple(needed),
        gradients=tuple(slots[k] if need else -1 for k, need in enumerate(wanted)),
        divisor=1.0 if alone else reduce.divisor(call),
        dtype=call.dtype,
    )


def _launch(
    call: RowCall, tensors: Sequence[Tensor], wanted: tuple[bool, ...] = (), each: bool = False
) -> Launch:
    """How the loss takes the call. That of a remembered call is kept, if it takes the tensors as
    they are.
    """
    kept = call.launches.get((wanted, each)) if call.launches else None
    if kept is not None:
        return kept
    plan = _plan(call, tensors)
    launch = _launched(call, plan, call.weight, wanted, each)
    if call.launches is not None and _takes_as_they_are(plan, tensors):
        call.launches[wanted, each] = launch._replace(operands=())
    return launch


def _plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """The loss's, which may find out by itself what the mean of few rows divides by."""
    plan = call.loss.plan(call, tensors)
    if call.counts_rows and call.shape.numel() <= ALONE and "ALONE" in plan.flags:
        plan = plan._replace(flags={**plan.flags, "ALONE": True})
    return plan


def _takes_as_they_are(plan: Plan, tensors: Sequence[Tensor]) -> bool:
    """Whether the kernel needs these tensors and no others."""
    same = all(a is b for a, b in zip(plan.operands, tensors, strict=True))
    return same and all(extra is None for extra in plan.extras)


def _launched(
    call: RowCall,
    plan: Plan,
    weight: Tensor | None,
    wanted: tuple[bool, ...] = (),
    each: bool = False,
) -> Launch:
    if weight is not None:
        weight = weight.expand(call.shape).to(torch.float64).contiguous()
    kernel = _kernel(call, plan, weight is not None, wanted, each)
    return Launch(
        run=kernels.Bound(kernel, plan.numbers, plan.integers, plan.turns),
        operands=plan.operands,
        beside=(*plan.extras, weight),
        slots=_arguments(plan.kernel).gradients,
        alone=plan.flags.get("ALONE", False),
    )


def denominator(call: RowCall, tensors: Sequence[Tensor]) -> float:
    """What the mean divides by. Where a kernel cannot, labels out of range are refused here."""
    counted = math.nan
    if call.loss.tally is not None and (call.counts_rows or call.loss.refuse is None):
        counted = call.loss.tally(call, tensors)
    return counted if call.counts_rows else reduce.divisor(call)


def reduced(call: RowCall, tensors: Sequence[Tensor], total: float, divisor: float) -> Tensor:
    """The value, unless what it is nan for is to be refused."""
    if total != total:
        refuse(call, tensors)
    return number(quotient(total, divisor), call.dtype)


def refuse(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for a label, or for a value if they are checked, that made the loss nan."""
    if call.loss.refuse is not None:
        call.loss.refuse(call, tensors)
    if call.checks_values:
        eager.refuse_nan(call, tensors)


def times_upstream(call: RowCall, upstream: Tensor) -> Tensor:
    """The row weights that make slopes of the unreduced loss its gradient."""
    upstream = upstream.to(torch.float64)
    if call.weight is None:
        return upstream
    return torch.where(call.weight != 0, upstream * call.weight, 0.0)


def total(call: RowCall, plan: Plan) -> float:
    """The sum that the kernel of a plan of the loss's own makes, with the call's row weights."""
    return _launched(call, plan, call.weight)(())


def turn_into_gradient(
    call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], scale: float
) -> tuple[float, Gradients]:
    """The sum of the values. The first tensor, which must lie in one piece, becomes its gradient;
    those of the others are new.
    """
    plan = call.loss.plan(call, tensors)
    plan = plan._replace(flags={**plan.flags, "IN_PLACE": True})
    wanted = (False, *wanted[1:])
    written = _gradient_memory(plan.operands, wanted)
    return _launched(call, plan, call.weight, wanted)(tensors, scale, written), written


def source(call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> str:
    """The text of the kernel that serves this call."""
    plan = call.loss.plan(call, tensors)
    weighted, each = call.weight is not None, call.reduction == "none"
    return _text(call, plan, _flags(plan, weighted, wanted, each))


def _gradient_memory(operands: Sequence[Tensor], wanted: Sequence[bool]) -> Gradients:
    return [memory.like(o) if need else None for o, need in zip(operands, wanted, strict=True)]


def _kernel(
    call: RowCall, plan: Plan, weighted: bool, wanted: tuple[bool, ...], each: bool
) -> kernels.Loaded:
    dtypes = tuple([operand.dtype for operand in plan.operands])
    key = plan.kernel, dtypes, call.dtype, *plan.flags.values(), weighted, each, wanted
    loaded = call.loss.kernels.get(key)
    if loaded is None:
        flags = _flags(plan, weighted, wanted, each)
        loaded = call.loss.kernels[key] = _made(call, plan, flags)
    if isinstance(loaded, EngineError):
        raise loaded.with_traceback(None)  # else it would grow with every call
    return loaded


def _flags(plan: Plan, weighted: bool, wanted: Sequence[bool], each: bool) -> dict[str, bool]:
    flags = {"EACH": each, "WEIGHTED": weighted, "IN_PLACE": False}
    names = _arguments(plan.kernel).memory[: len(plan.operands)]
    wanted = wanted or [False] * len(names)
    flags |= {f"GRADIENT_{n.upper()}": w for n, w in zip(names, wanted, strict=True)}
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
    pointers.remove("turn")
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
