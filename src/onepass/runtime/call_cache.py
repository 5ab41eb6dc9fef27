"""The cache of checked calls: a call of a kind that was checked before is run without checks.

The kind of a call is all that its checks depend on: shapes, strides, dtypes, devices, words and
flags. Data is no part of it, nor are numbers that may differ from step to step, such as an annealed
delta or a normalizer: those that are legal, finite and not 0 are all of one kind. Checking a call
takes longer than computing a small loss. For each kind the cache keeps a runner. Where native.cpp
is built, it holds the cache and runs most calls itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from onepass.formula.domain import Domain
from onepass.runtime import dispatch, eager
from onepass.runtime.call import Call, Prepared, RowCall
from onepass.runtime.circumstances import PLAIN, is_data
from onepass.runtime.cpu import native
from onepass.runtime.internals import is_zero_tensor
from onepass.runtime.runner import Places, Runner, memory_of

_MOST = 1024  # kinds kept of each loss
_STRIDED = torch.strided
_is_compiling = torch.compiler.is_compiling  # which every call asks
_WORDS = frozenset((bool, int, float, str, type(None)))
_NUMBER = object()  # in a kind, where a number stands that any other may replace

Given = tuple[Any, ...]  # all arguments of a loss, in its own order


class CallCache:
    """The checked calls of one loss."""

    def __init__(
        self, prepare: Callable[..., Prepared], names: Sequence[str], numbers: Mapping[str, Domain]
    ) -> None:
        """`prepare` checks the arguments, which have these names; `numbers` are those of which all
        in the domain make calls of one kind.
        """
        self._prepare, self._names = prepare, tuple(names)
        self._numbers = {names.index(name): domain for name, domain in numbers.items()}
        self._calls: _Calls | None = None

    def run(self, given: Given) -> Tensor:
        """The loss of these arguments: by the runner of their kind, or checked."""
        if _is_compiling() or not dispatch.has_defaults():  # compiling: the rest is not traced
            return dispatch.run(*self._prepare(*given))
        calls = self._calls
        if calls is None:
            calls = self._calls = self._new()
        loss = calls.find(given)
        return self._first(calls, given) if loss is None else loss

    def _new(self) -> _Calls:
        ranges = [(k, d.low, d.high, d.low_open, d.high_open) for k, d in self._numbers.items()]
        return native.calls(ranges) or _ByPython(self._numbers)

    def _first(self, calls: _Calls, given: Given) -> Tensor:
        """The loss of a call of a new kind, whose runner is kept if it can be."""
        call, tensors = self._prepare(*given)
        if not (dispatch.is_ordinary() and _can_be_kept(given)):
            return dispatch.run(call, tensors)
        places = Places.of(call, tensors, given, self._varying(given))
        gradients = partial(_gradients, self._prepare)
        if places is None:
            recipe = self._recipe_of_views(calls, call, tensors, given)
            calls.add(given, self._whole, gradients, recipe)
            loss = None if recipe is None else calls.find(given)
        else:
            recipe = dispatch.recipe(call, tensors, places) if calls.takes_recipes else None
            runner = Runner(call, places, dispatch.runner(call, tensors), self._whole)
            calls.add(given, runner, gradients, recipe)
            loss = calls.find(given)
        return dispatch.run(call, tensors) if loss is None else loss

    def _recipe_of_views(
        self, calls: _Calls, call: Call | RowCall, tensors: tuple[Tensor, ...], given: Given
    ) -> Any:
        """How native.cpp runs a call of views of what was given, such as maps whose classes were
        moved to the last axis.
        """
        own = [thing for thing in given if isinstance(thing, Tensor)]
        if not calls.takes_recipes or len({*map(memory_of, own)}) != len(own):
            return None
        if sum(t.requires_grad for t in own) != sum(t.requires_grad for t in tensors):
            return None  # labels that ask for a gradient, of which there is none
        places = Places.of(call, tensors, given, self._varying(given), memory_of)
        return None if places is None else dispatch.recipe(call, tensors, places)

    def _varying(self, given: Given) -> dict[str, int]:
        """Where the numbers are that may be others in a call of the same kind."""
        return {self._names[k]: k for k, d in self._numbers.items() if _is_any(given[k], d)}

    def _whole(self, given: Given) -> Tensor:
        """Run a call with all checks: the runner of kinds whose checks depend on data."""
        return dispatch.run(*self._prepare(*given))


class _Calls(Protocol):
    """The cache itself: `_ByPython` here, and `Calls` of native.cpp."""

    takes_recipes: bool

    def find(self, given: Given) -> Tensor | None:
        """The loss by the runner of this kind; None if there is none, or under a torch mode."""
        ...

    def add(
        self,
        given: Given,
        runner: Callable[[Given], Tensor],
        gradients: Callable[[Given, Sequence[bool], Tensor], Sequence[Tensor | None]],
        recipe: Any,
    ) -> None:
        """Keep the runner of a kind. `gradients` computes its gradients in Python; `recipe` says
        how native.cpp runs the call by itself, if it can.
        """
        ...


class _ByPython:
    """The cache in Python, where native.cpp is not built."""

    takes_recipes = False

    def __init__(self, numbers: Mapping[int, Domain]) -> None:
        self._numbers = numbers
        self._known: dict[Any, Callable[[Given], Tensor]] = {}
        self._sorts: dict[tuple[type, ...], _Sorts] = {}

    def find(self, given: Given) -> Tensor | None:
        runner = self._known.get(self._kind(given)) if dispatch.is_ordinary() else None
        return None if runner is None else runner(given)

    def add(
        self, given: Given, runner: Callable[[Given], Tensor], gradients: Any, recipe: Any
    ) -> None:
        del gradients, recipe
        kind = self._kind(given)
        if len(self._known) >= _MOST:
            self._known.clear()
        if kind is not None:
            self._known[kind] = runner

    def _kind(self, given: Given) -> Given | None:
        """What decides the checks of a call; None where more than that does."""
        types = tuple(map(type, given))
        sorts = self._sorts.get(types)
        if sorts is None:
            sorts = self._sorts[types] = _sorted(types, self._numbers)
        things: list[Any] = [*given]
        kind: list[Any] = [sorts.types]
        for place, domain in sorts.numbers:
            if things[place] and _is_any(things[place], domain):
                things[place] = _NUMBER
        for place in sorts.tensors:
            thing, things[place] = things[place], None
            if thing.layout is not _STRIDED or thing.is_neg() or is_zero_tensor(thing):
                return None
            kind += thing.shape, thing.stride(), thing.dtype, thing.is_cpu, thing.requires_grad
        if sorts.others and not all(_is_word(things[place]) for place in sorts.others):
            return None
        return (*kind, *things)


class _Sorts(NamedTuple):
    """Where tensors, numbers and other things than words stand among arguments."""

    types: tuple[type, ...]  # True is 1, but not everywhere allowed where 1 is
    tensors: tuple[int, ...]
    numbers: tuple[tuple[int, Domain], ...]
    others: tuple[int, ...]


def _sorted(types: tuple[type, ...], numbers: Mapping[int, Domain]) -> _Sorts:
    """The sorts of arguments of these types."""
    found = {k: d for k, d in numbers.items() if types[k] is int or issubclass(types[k], float)}
    known = (*PLAIN, *_WORDS)
    return _Sorts(
        types=tuple(float if place in found else each for place, each in enumerate(types)),
        tensors=tuple(place for place, each in enumerate(types) if each in PLAIN),
        numbers=tuple(found.items()),
        others=tuple(k for k, each in enumerate(types) if k not in found and each not in known),
    )


def _is_word(thing: Any) -> bool:
    """Whether it is a number, a string, a flag or None, or a tuple of these."""
    if isinstance(thing, tuple):
        return all(map(_is_word, thing))
    return type(thing) in _WORDS or isinstance(thing, float)  # numpy's float64 is one


def _is_any(thing: Any, domain: Domain) -> bool:
    """Whether this is a finite number of the domain other than 0. Calls that differ in such a
    number alone are of one kind; 0 and infinity are kinds of their own, for which kernels have
    flags.
    """
    if not isinstance(thing, float) and type(thing) is not int:
        return False
    try:
        return thing != 0 and math.isfinite(thing) and domain.contains(thing)
    except OverflowError:  # an integer beyond any float
        return False


def _can_be_kept(given: Given) -> bool:
    """Whether nothing but tensors, numbers and words was given, and no tensor twice: it would not
    be known which argument it is in the call.
    """
    tensors = [thing for thing in given if type(thing) in PLAIN]
    return (
        len(tensors) == len({*map(id, tensors)})
        and all(map(is_data, tensors))
        and all(map(_is_word, (thing for thing in given if type(thing) not in PLAIN)))
    )


def _gradients(
    prepare: Callable[..., Prepared], given: Given, needs_grad: Sequence[bool], upstream: Tensor
) -> list[Tensor | None]:
    """The gradients of a call by each argument, where those made with its value do not serve."""
    places = [place for place, need in enumerate(needs_grad) if need]

    def loss(views: Sequence[Tensor]) -> Tensor:
        arguments = [*given]
        for place, view in zip(places, views, strict=True):
            arguments[place] = view
        return dispatch.run(*prepare(*arguments))

    found = eager.gradients_of(
        loss, [given[place] for place in places], [True] * len(places), upstream,
        differentiable=torch.is_grad_enabled(),
    )  # fmt: skip
    gradients: list[Tensor | None] = [None] * len(given)
    for place, gradient in zip(places, found, strict=True):
        gradients[place] = gradient
    return gradients
