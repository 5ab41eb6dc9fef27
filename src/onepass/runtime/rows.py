"""The CPU engine of row-wise losses: a call's tensors through the hand-written kernel of its loss.

A loss's `plan` lays the tensors out and says which kernel takes them; everything that is the same
for all of them is added here: row weights, the scale of the mean, what is written, and the flags
that say what is wanted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.printers import rows as printer
from onepass.runtime import eager, kernels, memory
from onepass.runtime.call import RowCall
from onepass.runtime.operands import dtype_name, quotient

Gradients = list[Tensor | None]


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


def value(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    plan, divisor = _planned(call, tensors)
    total = _run(call, plan, call.weight, 0.0, (), None)
    return reduced(call, tensors, total, divisor)


def values(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The unreduced loss."""
    plan, _ = _planned(call, tensors)
    out = torch.empty(call.shape, dtype=call.dtype, device="cpu")
    reduced(call, tensors, _run(call, plan, call.weight, 0.0, (), out), 1.0)
    return out


def value_and_gradients(
    call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    plan, divisor = _planned(call, tensors)
    written = _gradient_memory(plan, wanted)
    total = _run(call, plan, call.weight, quotient(upstream, divisor), written, None)
    return reduced(call, tensors, total, divisor), written


def gradients(
    call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], upstream: Tensor
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream."""
    plan = _plan(call, tensors)
    written = _gradient_memory(plan, wanted)
    _run(call, plan, times_upstream(call, upstream), 1.0, written, None)
    return written


def _planned(call: RowCall, tensors: Sequence[Tensor]) -> tuple[Plan, float]:
    """The plan, and what the mean divides by; a single turn finds that out by itself."""
    plan = _plan(call, tensors)
    return plan, 1.0 if plan.flags.get("ALONE") else denominator(call, tensors)


def _plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """That of a remembered call is kept, if it takes the tensors as they are."""
    if call.plan is not None and all(tensor.is_contiguous() for tensor in tensors):
        return call.plan._replace(operands=tensors)
    plan = call.loss.plan(call, tensors)
    if call.denominator is None and plan.turns == 1 and "ALONE" in plan.flags:
        plan = plan._replace(flags={**plan.flags, "ALONE": True})
    as_they_are = all(a is b for a, b in zip(plan.operands, tensors, strict=True))
    if call.repeats and as_they_are and not any(extra is not None for extra in plan.extras):
        call.plan = plan._replace(operands=())
    return plan


def denominator(call: RowCall, tensors: Sequence[Tensor]) -> float:
    """What the mean divides by. Where a kernel cannot, labels out of range are refused here."""
    counted = 1.0
    if call.loss.tally is not None and (call.denominator is None or call.loss.refuse is None):
        counted = call.loss.tally(call, tensors)
    return counted if call.denominator is None else float(call.denominator)


def reduced(call: RowCall, tensors: Sequence[Tensor], total: float, divisor: float) -> Tensor:
    """The value, unless what it is nan for is to be refused."""
    if total != total:
        refuse(call, tensors)
    return torch.scalar_tensor(quotient(total, divisor), dtype=call.dtype, device="cpu")


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
    return _run(call, plan, call.weight, 0.0, (), None)


def turn_into_gradient(
    call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool], scale: float
) -> tuple[float, Gradients]:
    """The sum of the values. The first tensor, which must lie in one piece, becomes its gradient;
    those of the others are new.
    """
    plan = call.loss.plan(call, tensors)
    written = [None, *_gradient_memory(plan, wanted)[1:]]
    flags = {**plan.flags, "IN_PLACE": True}
    total = _run(call, plan._replace(flags=flags), call.weight, scale, written, None)
    return total, written


def source(call: RowCall, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> str:
    """The text of the kernel that serves this call."""
    plan = _plan(call, tensors)
    weighted, each = call.weight is not None, call.reduction == "none"
    return _text(call, plan, _flags(plan, weighted, wanted, each))


def _gradient_memory(plan: Plan, wanted: Sequence[bool]) -> Gradients:
    return [
        memory.empty(operand.shape, operand.stride(), operand.dtype) if need else None
        for operand, need in zip(plan.operands, wanted, strict=True)
    ]


def _run(
    call: RowCall,
    plan: Plan,
    weight: Tensor | None,
    scale: float,
    written: Sequence[Tensor | None],
    out: Tensor | None,
) -> float:
    if weight is not None:
        weight = weight.expand(call.shape).to(torch.float64).contiguous()
    kernel = _kernel(call, plan, weight is not None, written, out is not None)
    slots = [written[k] if written else None for k in _arguments(plan.kernel).gradients]
    given = (*plan.operands, *plan.extras, weight, out, *slots)
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in given]
    return kernel(addresses, (*plan.numbers, scale), plan.integers, plan.turns)


def _kernel(
    call: RowCall, plan: Plan, weighted: bool, written: Sequence[Tensor | None], each: bool
) -> kernels.Loaded:
    wanted = tuple([tensor is not None for tensor in written])
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
    try:
        signature = kernels.Signature(pointers, names.numbers, names.integers)
        return kernels.load(_text(call, plan, flags), signature)
    except Exception as error:  # noqa: BLE001  # whatever a compiler may say, the definition runs
        return EngineError(f"{call.loss.name}: its kernel cannot be made ({error})")
