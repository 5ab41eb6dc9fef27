"""Calls like one before: what they take and mean was checked then, and is not checked again.

A check of shapes, dtypes and options costs more than a small loss. None of them looks at data, so
a call whose tensors are of the same kinds and whose options are the same passes them again. The
calls are kept here, or in native.cpp where that is built, which runs most of them itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec, Protocol

import torch
from torch import Tensor

from onepass.errors import EngineError
from onepass.runtime import dispatch, eager, memory, native
from onepass.runtime.call import Call, Prepared, RowCall
from onepass.runtime.internals import is_dense, is_zero_tensor
from onepass.runtime.kernels import Recipe
from onepass.runtime.operands import PLAIN, is_data

_MOST = 1024  # calls remembered of each loss
_STRIDED = torch.strided
_is_compiling = torch.compiler.is_compiling  # which every call asks
_WORDS = (bool, int, float, str, type(None), tuple)  # a tuple is one of names

P = ParamSpec("P")
Again = Callable[[tuple[Any, ...]], Tensor]  # a call of the same kind


def remembered(prepare: Callable[P, Prepared]) -> Callable[P, Tensor]:
    """Run the calls that `prepare` makes, remembered if all arguments are given by position and the
    tensors among them come first.
    """
    calls = Remembered()

    @wraps(prepare)
    def evaluate(*given: Any, **named: Any) -> Tensor:
        if named:
            return dispatch.run(*prepare(*given, **named))
        return calls.run(given, prepare)

    return evaluate


class Remembered:
    """The calls of one loss so far."""

    def __init__(self) -> None:
        self._calls: _Calls | None = None

    def run(self, given: tuple[Any, ...], prepare: Callable[..., Prepared]) -> Tensor:
        """The loss of what was given, tensors first: by what ran a call of the same kind, or of the
        call that `prepare` makes of it.
        """
        if _is_compiling() or not dispatch.has_defaults():  # compiling: the rest is not traced
            return dispatch.run(*prepare(*given))
        calls = self._calls
        if calls is None:
            calls = self._calls = native.calls() or _Known()
        loss = calls.find(given)
        return _first(calls, given, prepare) if loss is None else loss


def _first(calls: _Calls, given: tuple[Any, ...], prepare: Callable[..., Prepared]) -> Tensor:
    """The loss of a call of a new kind, which is remembered if it can be."""
    call, tensors = prepare(*given)
    count = _tensors_first(tuple(map(type, given))) if dispatch.is_ordinary() else 0
    loss = None
    if count:
        first = given[:count]
        recipe = _recipe(call, tensors, first) if calls.takes_recipes else None
        checked = recipe is None and _is_of_kind(call, tensors, first)
        again = _again(call, tensors) if checked else partial(_whole, prepare)
        calls.add(given, count, again, partial(_gradients, prepare, given[count:]), recipe)
        loss = calls.find(given)
    return dispatch.run(call, tensors) if loss is None else loss


class _Calls(Protocol):
    """What native.cpp has, too."""

    takes_recipes: bool

    def find(self, given: tuple[Any, ...]) -> Tensor | None:
        """The loss, if there was a call of the same kind and torch's own state is ordinary."""
        ...

    def add(
        self,
        given: tuple[Any, ...],
        count: int,
        again: Again,
        gradients: Callable[..., list[Tensor | None]],
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
        again = self._known.get(_kind(given)) if dispatch.is_ordinary() else None
        return None if again is None else again(given)

    def add(
        self, given: tuple[Any, ...], count: int, again: Again, gradients: Any, recipe: Any
    ) -> None:
        del count, gradients, recipe
        kind = _kind(given)
        if len(self._known) >= _MOST:
            self._known.clear()
        if kind is not None:
            self._known[kind] = again


def _whole(prepare: Callable[..., Prepared], given: tuple[Any, ...]) -> Tensor:
    """How Python runs any call."""
    return dispatch.run(*prepare(*given))


def _again(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Again:
    """How Python runs this call, and those of its kind, without a check."""
    count = len(tensors)
    if dispatch.suits_torch(call, tensors):
        by_torch = dispatch.by_torch(call)
        return lambda given: by_torch(*given[:count])
    if isinstance(call, RowCall):
        call.launches = {}
    return lambda given: dispatch.run_data(call, given[:count])


def _recipe(
    call: Call | RowCall, tensors: tuple[Tensor, ...], given: tuple[Tensor, ...]
) -> Recipe | None:
    """How native.cpp runs it, if that needs the tensors that were given, as they are, and nothing
    else but what follows from its kind.
    """
    wanted = _wanted(tensors)
    none = (False,) * (len(given) - len(tensors))
    if call.reduction == "none" or call.weight is not None or _wanted(given) != wanted + none:
        return None
    if isinstance(call.denominator, Tensor) or not call.shape.numel():
        return None
    ready = all(map(_lies_ready, given, wanted + none))
    if not ready or dispatch.no_data(call, tensors) is not None:
        return None
    try:
        recipe = call.loss.engine.recipe(call, tensors, wanted if any(wanted) else ())
    except EngineError:  # which is said where the call is run
        return None
    needed = () if recipe is None else recipe.needs
    same = len(needed) == len(given) and all(map(_is_same_memory, needed, given))
    return recipe if same else None


def _wanted(tensors: tuple[Tensor, ...]) -> tuple[bool, ...]:
    """Whether the gradient of each is."""
    return tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in tensors)


def _lies_ready(tensor: Tensor, wanted: bool) -> bool:
    """Whether no large copy is made to find out what a kernel reads, and whether the gradient, if
    it is wanted, is dense as the tensor is.
    """
    small = memory.is_small(tensor) and (not wanted or is_dense(tensor))
    return small or tensor.is_contiguous()


def _is_same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether a kernel that is given the address of one is given the other's elements."""
    return a.data_ptr() == b.data_ptr() and a.dtype is b.dtype and a.numel() == b.numel()


def _gradients(
    prepare: Callable[..., Prepared],
    rest: tuple[Any, ...],
    tensors: tuple[Tensor, ...],
    wanted: tuple[bool, ...],
    upstream: Tensor,
) -> list[Tensor | None]:
    """The gradients of a call like this one, where those made with its value do not serve."""
    return eager.gradients_of(
        lambda views: dispatch.run(*prepare(*views, *rest)), tensors, wanted, upstream,
        differentiable=torch.is_grad_enabled(),
    )  # fmt: skip


def _kind(given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What decides the checks of a call; None where more than that does."""
    types = tuple(map(type, given))  # True is 1, but not everywhere allowed where 1 is
    count = _tensors_first(types)
    if not count:
        return None
    kind: list[Any] = [types, given[count:]]
    for tensor in given[:count]:
        if tensor.layout is not _STRIDED or tensor.is_neg() or is_zero_tensor(tensor):
            return None
        kind += tensor.shape, tensor.stride(), tensor.dtype, tensor.is_cpu
    return tuple(kind)


@lru_cache(_MOST)
def _tensors_first(types: tuple[type, ...]) -> int:
    """How many tensors a call begins with; 0 if what follows is not only numbers and words."""
    count = next((k for k, each in enumerate(types) if each not in PLAIN), len(types))
    return count if all(each in _WORDS for each in types[count:]) else 0


def _is_of_kind(
    call: Call | RowCall, tensors: tuple[Tensor, ...], given: tuple[Tensor, ...]
) -> bool:
    """Whether the call takes the tensors that were given as they are, and has nothing else in it
    but what follows from its kind.
    """
    alike = len(tensors) == len(given) and all(a is b for a, b in zip(tensors, given, strict=True))
    options = call.options.values() if isinstance(call, RowCall) else ()
    data = any(isinstance(thing, Tensor) for thing in (call.weight, call.denominator, *options))
    return alike and not data and all(map(is_data, given)) and bool(call.shape.numel())
