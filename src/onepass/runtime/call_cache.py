"""The cache of checked calls: a call of a kind that was checked before is run without checks.

The kind of a call is all that the checks depend on: shapes, strides, dtypes, devices and options,
but no data. Checking them takes longer than computing a small loss. For each kind the cache keeps a
runner, a function that computes calls of it. Where native.cpp is built, it holds the cache and runs
most calls itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, ParamSpec, Protocol

import torch
from torch import Tensor

from onepass.runtime import dispatch, eager
from onepass.runtime.call import Call, Prepared, RowCall
from onepass.runtime.circumstances import PLAIN, is_data
from onepass.runtime.cpu import native
from onepass.runtime.cpu.kernels import Recipe
from onepass.runtime.internals import is_zero_tensor

_MOST = 1024  # kinds kept of each loss
_STRIDED = torch.strided
_is_compiling = torch.compiler.is_compiling  # which every call asks
_WORDS = (bool, int, float, str, type(None), tuple)  # a tuple is one of names

P = ParamSpec("P")
Runner = Callable[[tuple[Any, ...]], Tensor]  # computes a call of its kind from all arguments


def cached(prepare: Callable[P, Prepared]) -> Callable[P, Tensor]:
    """A function that checks its arguments by `prepare` and runs the call, with a cache of its own.

    The cache serves calls whose arguments are all given by position, tensors first.
    """
    calls = CallCache()

    @wraps(prepare)
    def evaluate(*given: Any, **named: Any) -> Tensor:
        if named:
            return dispatch.run(*prepare(*given, **named))
        return calls.run(given, prepare)

    return evaluate


class CallCache:
    """The checked calls of one loss."""

    def __init__(self) -> None:
        self._calls: _Calls | None = None

    def run(self, given: tuple[Any, ...], prepare: Callable[..., Prepared]) -> Tensor:
        """The loss of these arguments, tensors first: by the runner of their kind, or by the call
        that `prepare` makes of them.
        """
        if _is_compiling() or not dispatch.has_defaults():  # compiling: the rest is not traced
            return dispatch.run(*prepare(*given))
        calls = self._calls
        if calls is None:
            calls = self._calls = native.calls() or _ByPython()
        loss = calls.find(given)
        return _first(calls, given, prepare) if loss is None else loss


def _first(calls: _Calls, given: tuple[Any, ...], prepare: Callable[..., Prepared]) -> Tensor:
    """The loss of a call of a new kind, whose runner is kept if it can be."""
    call, tensors = prepare(*given)
    count = _tensors_first(tuple(map(type, given))) if dispatch.is_ordinary() else 0
    loss = None
    if count:
        first = given[:count]
        recipe = dispatch.recipe(call, tensors, first) if calls.takes_recipes else None
        checked = recipe is None and _is_of_kind(call, tensors, first)
        runner = _runner(call, tensors) if checked else partial(_whole, prepare)
        calls.add(given, count, runner, partial(_gradients, prepare, given[count:]), recipe)
        loss = calls.find(given)
    return dispatch.run(call, tensors) if loss is None else loss


class _Calls(Protocol):
    """The cache itself: `_ByPython` here, and `Calls` of native.cpp."""

    takes_recipes: bool

    def find(self, given: tuple[Any, ...]) -> Tensor | None:
        """The loss by the runner of this kind; None if there is none, or under a torch mode."""
        ...

    def add(
        self,
        given: tuple[Any, ...],
        count: int,
        runner: Runner,
        gradients: Callable[..., list[Tensor | None]],
        recipe: Recipe | None,
    ) -> None:
        """Keep the runner of a kind: `count` arguments are tensors. `gradients` computes gradients
        in Python; `recipe` says how native.cpp runs the call by itself, if it can.
        """
        ...


class _ByPython:
    """The cache in Python, where native.cpp is not built."""

    takes_recipes = False

    def __init__(self) -> None:
        self._known: dict[Any, Runner] = {}

    def find(self, given: tuple[Any, ...]) -> Tensor | None:
        runner = self._known.get(_kind(given)) if dispatch.is_ordinary() else None
        return None if runner is None else runner(given)

    def add(
        self, given: tuple[Any, ...], count: int, runner: Runner, gradients: Any, recipe: Any
    ) -> None:
        del count, gradients, recipe
        kind = _kind(given)
        if len(self._known) >= _MOST:
            self._known.clear()
        if kind is not None:
            self._known[kind] = runner


def _whole(prepare: Callable[..., Prepared], given: tuple[Any, ...]) -> Tensor:
    """Run a call with all checks: the runner of kinds whose checks depend on data."""
    return dispatch.run(*prepare(*given))


def _runner(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Runner:
    """The runner of this call's kind."""
    count, run = len(tensors), dispatch.runner(call, tensors)
    return lambda given: run(given[:count])


def _gradients(
    prepare: Callable[..., Prepared],
    rest: tuple[Any, ...],
    tensors: tuple[Tensor, ...],
    needs_grad: tuple[bool, ...],
    upstream: Tensor,
) -> list[Tensor | None]:
    """The gradients of a call like this one, where those made with its value do not serve."""
    return eager.gradients_of(
        lambda views: dispatch.run(*prepare(*views, *rest)), tensors, needs_grad, upstream,
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
