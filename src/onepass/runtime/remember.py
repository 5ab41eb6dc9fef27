"""Calls like one before: what they take and mean was checked then, and is not checked again.

A check of shapes, dtypes and options costs more than a small loss. None of them looks at data, so
a call whose tensors are of the same kinds and whose options are the same passes them again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor

from onepass.runtime import dispatch
from onepass.runtime.call import Prepared, RowCall
from onepass.runtime.operands import PLAIN, is_data

_MOST = 1024  # calls remembered of each loss
_STRIDED = torch.strided
_NUMBERS = (bool, int, float, str, type(None))

P = ParamSpec("P")


def remembered(prepare: Callable[P, Prepared]) -> Callable[P, Tensor]:
    """Run the calls that `prepare` makes. Those that take its first arguments, the tensors, as they
    are, are remembered if all arguments were given by position.
    """
    known: dict[Any, Callable[[tuple[Any, ...]], Tensor]] = {}

    @wraps(prepare)
    def evaluate(*given: Any, **named: Any) -> Tensor:
        kind = None if named or not dispatch.is_ordinary() else _kind(given)
        again = known.get(kind) if kind else None
        if again is not None:
            return again(given)
        call, tensors = prepare(*given, **named)
        if kind and _of_kind(call, tensors, given):
            if len(known) >= _MOST:
                known.clear()
            again = known[kind] = _again(call, tensors)
            return again(given)
        return dispatch.run(call, tensors)

    return evaluate


def _again(call: RowCall, tensors: tuple[Tensor, ...]) -> Callable[[tuple[Any, ...]], Tensor]:
    """What runs this call, and those of its kind."""
    count = len(tensors)
    if dispatch.suits_torch(call, tensors):
        by_torch = dispatch.by_torch(call)
        return lambda given: by_torch(*given[:count])
    call.launches = {}
    return lambda given: dispatch.run_data(call, given[:count])


def _kind(given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What decides the checks of a call; None where more than that does."""
    types = tuple(map(type, given))  # True is 1, but not everywhere allowed where 1 is
    count = _tensors_first(types)
    if not count:
        return None
    kind: list[Any] = [types, given[count:]]
    for tensor in given[:count]:
        if tensor.layout is not _STRIDED or tensor.is_neg() or tensor._is_zerotensor():
            return None
        kind += tensor.shape, tensor.stride(), tensor.dtype, tensor.is_cpu
    return tuple(kind)


@lru_cache(_MOST)
def _tensors_first(types: tuple[type, ...]) -> int:
    """How many tensors a call begins with; 0 if what follows is not only numbers and words."""
    count = next((k for k, each in enumerate(types) if each not in PLAIN), len(types))
    return count if all(each in _NUMBERS for each in types[count:]) else 0


def _of_kind(call: RowCall, tensors: tuple[Tensor, ...], given: tuple[Any, ...]) -> bool:
    """Whether the call takes its tensors as they are, and has nothing else in it but what follows
    from its kind.
    """
    as_given = all(a is b and is_data(a) for a, b in zip(tensors, given, strict=False))
    beside = call.weight, call.denominator, *call.options.values()
    data = any(isinstance(thing, Tensor) for thing in beside)
    return as_given and not data and bool(call.shape.numel())
