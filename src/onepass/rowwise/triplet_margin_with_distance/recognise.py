"""Which distance a function of one's own is, seen by calling it with stand-ins for two tensors.

    FIRST, SECOND -> DIFFERENCE -> SIZES, SQUARES -> NORM <-> SQUARED     (p-norms)
    FIRST, SECOND -> SIMILARITY -> COSINE                                 (1 - cosine_similarity)

A stand-in is at a stage of these ways, and `_STEPS` is the table of the functions of torch that
lead from one stage to the next. A function that does anything else, asks for a number, meets
a tensor of its own or fails is not recognised: it is called as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from onepass.rowwise.triplet_margin import NORM as POWERS
from onepass.runtime import circumstances
from onepass.runtime.circumstances import is_data

FIRST, SECOND, DIFFERENCE, SIZES, SQUARES = "first", "second", "difference", "sizes", "squares"
SIMILARITY = "similarity"
NORM, SQUARED, COSINE = "norm", "squared", "cosine"  # the distances: where the ways end


class Known(NamedTuple):
    """A distance that a kernel knows."""

    stage: str  # NORM, SQUARED or COSINE
    eps: float  # of pairwise_distance or of cosine_similarity
    p: float = 2.0  # of NORM


# Functions that are not recognised, and for tensors of how many axes.
_others: WeakKeyDictionary[Any, set[int]] = WeakKeyDictionary()


def recognised(function: Any, tensors: Sequence[Any]) -> Known | None:
    """The distance that the function is for the rows of these tensors, if a kernel knows it.

    It is called once, with stand-ins; not again if it turns out to be another one.
    """
    if not _suit(tensors) or not _is_bare(function):
        return None
    axes = tensors[0].dim()
    name = getattr(function, "__func__", function)  # a bound method is another one each time
    with suppress(TypeError):  # what cannot be remembered is tried each time
        if axes in _others.get(name, ()):
            return None
    found = _traced(function, tensors[0])
    if found is None:
        with suppress(TypeError):
            _others.setdefault(name, set()).add(axes)
    return found


def _suit(tensors: Sequence[Any]) -> bool:
    """Whether a kernel could take them: plain ones, of the same shape and dtype."""
    if circumstances.obstacle() is not None:
        return False
    first = tensors[0]
    return (
        all(is_data(t) and t.shape == first.shape and t.dtype is first.dtype for t in tensors)
        and first.dtype.is_floating_point
        and first.dim() > 0
        and first.shape[-1] > 0
    )


def _is_bare(function: Any) -> bool:
    """Whether, if it is a module, it is nothing but its forward."""
    return not isinstance(function, torch.nn.Module) or not any(
        m._parameters or m._buffers or m._forward_hooks or m._forward_pre_hooks
        or m._backward_hooks or m._backward_pre_hooks
        for m in function.modules()
    )  # fmt: skip


def _traced(function: Callable[..., Any], like: Tensor) -> Known | None:
    try:
        with torch.enable_grad():  # where the function disables it, that is seen
            found = function(_StandIn(FIRST, like), _StandIn(SECOND, like))
    except Exception:  # noqa: BLE001  # whatever it is, the function will say so when it is called
        return None
    known = type(found) is _StandIn and found.stage in (NORM, SQUARED, COSINE)
    return Known(found.stage, *found.settings) if known else None


class _StandIn:
    """What a function has made of its tensors so far: the stage, and eps and p met on the way."""

    __slots__ = ("like", "settings", "stage")

    def __init__(
        self, stage: str, like: Tensor | None = None, settings: tuple[float, ...] = ()
    ) -> None:
        self.stage = stage
        self.like = like  # a tensor of its shape; none once rows are reduced
        self.settings = settings

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _step(function, *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return partial(_step, _METHODS[name], self)
        if name in ("shape", "size", "ndim", "dim", "dtype", "device"):
            return getattr(self.like, name)
        raise AttributeError(name)

    def __bool__(self) -> bool:
        raise LookupError  # the function looks at data

    def __abs__(self) -> Any:
        return _step(torch.abs, self)

    def __mul__(self, other: Any) -> Any:
        return _step(torch.mul, self, other)

    def __pow__(self, exponent: Any) -> Any:
        return _step(torch.pow, self, exponent)

    def __sub__(self, other: Any) -> Any:
        return _step(torch.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _step(torch.rsub, self, other)


def _step(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What the function makes of a stand-in; LookupError and the like where that is not known."""
    _require(torch.is_grad_enabled())
    stages = [x.stage for x in (*args, *kwargs.values()) if type(x) is _StandIn]
    named = {_SAME.get(name, name): given for name, given in kwargs.items()}
    return _STEPS[function, stages[0]](*args, **named)


_SAME = {"axis": "dim", "ord": "p"}  # keywords with two names


def _require(met: bool) -> None:
    if not met:
        raise LookupError


def _require_last_axis(x: _StandIn, dim: Any, keepdim: bool) -> None:
    """Of all reductions only the one that leaves a number for each row."""
    axes = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    _require(not keepdim and x.like is not None and axes in ((-1,), (x.like.dim() - 1,)))


def _number(given: Any) -> float:
    """Not a tensor, which may be learned."""
    _require(isinstance(given, int | float))
    return float(given)


def _require_pair(x: _StandIn, y: _StandIn) -> None:
    _require({x.stage, y.stage} == {FIRST, SECOND})


# The steps: torch's arguments and defaults, and what comes out


def _subtracted(input: _StandIn, other: _StandIn, *, alpha: float = 1) -> _StandIn:
    _require_pair(input, other)
    _require(alpha == 1)
    return _StandIn(DIFFERENCE, input.like)


def _absolute(input: _StandIn) -> _StandIn:
    return _StandIn(SIZES, input.like)


def _raised(input: _StandIn, exponent: float) -> _StandIn:
    _require(exponent == 2)
    return _StandIn(SQUARES, input.like)


def _squared(input: _StandIn) -> _StandIn:
    return _raised(input, 2)


def _multiplied(input: _StandIn, other: _StandIn) -> _StandIn:
    _require(input is other)
    return _squared(input)


def _summed_sizes(input: _StandIn, dim: Any, keepdim: bool = False) -> _StandIn:
    return _norm(input, 1.0, dim, keepdim)


def _summed_squares(input: _StandIn, dim: Any, keepdim: bool = False) -> _StandIn:
    return _norm_squared(_norm(input, 2.0, dim, keepdim))


def _largest(input: _StandIn, dim: Any, keepdim: bool = False) -> _StandIn:
    return _norm(input, math.inf, dim, keepdim)


class _Maximum(NamedTuple):
    values: _StandIn
    indices: None = None


def _maximum(input: _StandIn, dim: int, keepdim: bool = False) -> _Maximum:
    return _Maximum(_largest(input, dim, keepdim))


def _norm(
    input: _StandIn,
    p: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    out: None = None,
    dtype: None = None,
) -> _StandIn:
    _require_last_axis(input, dim, keepdim)
    _require(out is None and dtype is None)
    return _p_norm(2.0 if p in (None, "fro") else p, 0.0)


def _pairwise_distance(
    x1: _StandIn, x2: _StandIn, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> _StandIn:
    _require_pair(x1, x2)
    _require(not keepdim)
    return _p_norm(p, eps)


def _p_norm(p: Any, eps: Any) -> _StandIn:
    _require(POWERS.contains(_number(p)))
    return _StandIn(NORM, settings=(_number(eps), _number(p)))


def _norm_squared(input: _StandIn, exponent: float = 2) -> _StandIn:
    _require(exponent == 2 and input.settings[1] == 2)
    return _StandIn(SQUARED, settings=input.settings)


def _root(input: _StandIn, exponent: float = 0.5) -> _StandIn:
    _require(exponent == 0.5)
    return _StandIn(NORM, settings=input.settings)


def _cosine_similarity(x1: _StandIn, x2: _StandIn, dim: int = 1, eps: float = 1e-8) -> _StandIn:
    _require_pair(x1, x2)
    _require_last_axis(x1, dim, keepdim=False)
    return _StandIn(SIMILARITY, settings=(_number(eps),))


def _from_one(input: _StandIn, other: float, *, alpha: float = 1) -> _StandIn:
    _require(other == 1 and alpha == 1)
    return _StandIn(COSINE, settings=input.settings)


_TABLE: tuple[tuple[tuple[Any, ...], tuple[str, ...], Callable[..., Any]], ...] = (
    ((torch.sub, torch.subtract), (FIRST, SECOND), _subtracted),
    ((torch.abs, torch.absolute), (DIFFERENCE,), _absolute),
    ((torch.square,), (DIFFERENCE, SIZES), _squared),
    ((torch.pow,), (DIFFERENCE, SIZES), _raised),
    ((torch.mul, torch.multiply), (DIFFERENCE, SIZES), _multiplied),
    ((torch.norm, torch.linalg.norm, torch.linalg.vector_norm), (DIFFERENCE, SIZES), _norm),
    ((torch.sum,), (SIZES,), _summed_sizes),
    ((torch.sum,), (SQUARES,), _summed_squares),
    ((torch.amax,), (SIZES,), _largest),
    ((torch.max,), (SIZES,), _maximum),
    ((F.pairwise_distance,), (FIRST,), _pairwise_distance),
    ((torch.square, torch.pow), (NORM,), _norm_squared),
    ((torch.sqrt, torch.pow), (SQUARED,), _root),
    ((F.cosine_similarity,), (FIRST, SECOND), _cosine_similarity),
    ((torch.rsub,), (SIMILARITY,), _from_one),
)  # fmt: skip
_STEPS = {
    (f, stage): step for functions, stages, step in _TABLE for f in functions for stage in stages
}
_METHODS = {
    f.__name__: f for functions, _, _ in _TABLE for f in functions if hasattr(Tensor, f.__name__)
}
