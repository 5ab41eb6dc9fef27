"""Calls like one before: what they take and mean was checked then, and is not checked again.

A check of shapes, dtypes and options costs more than a small loss. None of them looks at data, so
a call whose tensors are of the same kinds and whose options are the same passes them again. The
calls are kept here, or in native.cpp where that is built, which runs the small ones itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec, Protocol

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.runtime import autograd, dispatch, memory, native
from onepass.runtime.call import Call, Prepared, RowCall
from onepass.runtime.kernels import Recipe
from onepass.runtime.operands import PLAIN, is_data

_MOST = 1024  # calls remembered of each loss
_STRIDED = torch.strided
_WORDS = (bool, int, float, str, type(None), tuple)  # a tuple is one of names

P = ParamSpec("P")
Again = Callable[[tuple[Any, ...]], Tensor]  # a call of the same kind


def remembered(prepare: Callable[P, Prepared]) -> Callable[P, Tensor]:
    """Run the calls that `prepare` makes. Those that take its first arguments, the tensors, as they
    are, are remembered if all arguments were given by position.
    """
    calls = Remembered()

    @wraps(prepare)
    def evaluate(*given: Any, **named: Any) -> Tensor:
        if named:
            return dispatch.run(*prepare(*given, **named))
        return calls.run(given, prepare, given)

    return evaluate


class Remembered:
    """The calls of one loss so far."""

    def __init__(self) -> None:
        self._calls: _Calls | None = None

    def run(
        self, given: tuple[Any, ...], prepare: Callable[..., Prepared], arguments: tuple[Any, ...]
    ) -> Tensor:
        """The loss of what was given, tensors first: by what ran a call of the same kind, or of the
        call that `prepare` makes of the arguments.
        """
        if not dispatch.is_ordinary():
            return dispatch.run(*prepare(*arguments))
        calls = self._calls
        if calls is None:
            calls = self._calls = native.calls() or _Known()
        loss = calls.find(given)
        return _first(calls, given, *prepare(*arguments)) if loss is None else loss


def _first(
    calls: _Calls, given: tuple[Any, ...], call: Call | RowCall, tensors: tuple[Tensor, ...]
) -> Tensor:
    """The loss of a call of a new kind, which is remembered if it can be."""
    count = _tensors_first(tuple(map(type, given)))
    if count != len(tensors) or not _is_of_kind(call, tensors, given):
        return dispatch.run(call, tensors)
    recipe = _recipe(call, tensors) if calls.takes_recipes else None
    again = _again(call, tensors, recipe)
    calls.add(given, count, again, partial(autograd.gradients_anew, call), recipe)
    loss = calls.find(given)
    return again(given) if loss is None else loss


class _Calls(Protocol):
    """What native.cpp has, too."""

    takes_recipes: bool

    def find(self, given: tuple[Any, ...]) -> Tensor | None:
        """The loss, if there was a call of the same kind."""
        ...

    def add(
        self,
        given: tuple[Any, ...],
        count: int,
        again: Again,
        gradients: Callable[..., autograd.Gradients],
        recipe: Recipe | None,
    ) -> None:
        """Remember a call that begins with so many tensors: how Python runs it, its gradients by
        Python, and how native.cpp does, if it can.
        """
        ...


class _Known:
    """The same by Python alone."""

    takes_recipes = False

    def __init__(self) -> None:
        self._known: dict[Any, Again] = {}

    def find(self, given: tuple[Any, ...]) -> Tensor | None:
        again = self._known.get(_kind(given))
        return None if again is None else again(given)

    def add(
        self, given: tuple[Any, ...], count: int, again: Again, gradients: Any, recipe: Any
    ) -> None:
        del count, gradients, recipe
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[_kind(given)] = again


def _again(call: Call | RowCall, tensors: tuple[Tensor, ...], recipe: Recipe | None) -> Again:
    """How Python runs this call, and those of its kind."""
    count = len(tensors)
    if recipe is None and dispatch.suits_torch(call, tensors):
        by_torch = dispatch.by_torch(call)
        return lambda given: by_torch(*given[:count])
    if isinstance(call, RowCall):
        call.launches = {}
    return lambda given: dispatch.run_data(call, given[:count])


def _recipe(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Recipe | None:
    """How native.cpp runs it, if it can."""
    wanted = [torch.is_grad_enabled() and t.requires_grad for t in tensors]
    alike = all(
        memory.is_small(t) and memory.like(t).stride() == t.stride()
        for t in itertools.compress(tensors, wanted)
    )
    if call.reduction == "none" or not alike:
        return None
    try:
        return call.loss.engine.recipe(call, tensors, wanted if any(wanted) else ())
    except EngineError:  # which is said where the call is run
        return None


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
    return count if all(each in _WORDS for each in types[count:]) else 0


def _is_of_kind(call: Call | RowCall, tensors: tuple[Tensor, ...], given: tuple[Any, ...]) -> bool:
    """Whether the call takes its tensors as they are, and has nothing else in it but what follows
    from its kind.
    """
    as_given = all(a is b and is_data(a) for a, b in zip(tensors, given, strict=False))
    options = call.options.values() if isinstance(call, RowCall) else ()
    data = any(isinstance(thing, Tensor) for thing in (call.weight, call.denominator, *options))
    return as_given and not data and bool(call.shape.numel())
