"""Which engine runs a call, or whether the definition does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onepass.errors import EngineError, EngineWarning, FormulaError, ParameterError, warn
from onepass.runtime import autograd, circumstances, eager
from onepass.runtime.call import Call, RowCall
from onepass.runtime.engines import ENGINES, Engine
from onepass.runtime.runner import Places, Run

_engine: ContextVar[str] = ContextVar("onepass_engine", default="auto")
_checking: ContextVar[bool] = ContextVar("onepass_checking", default=False)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Choose the engine of the calls inside: "auto", "eager" (the definition) or "cpu".

    An engine chosen by hand that cannot run a call raises EngineError instead of giving way.
    """
    known = ("auto", "eager", *ENGINES)
    if name not in known:
        raise ParameterError(f"engine: must be one of {', '.join(known)}; got {name!r}.")
    token = _engine.set(name)
    try:
        yield
    finally:
        _engine.reset(token)


@contextmanager
def checking() -> Iterator[None]:
    """Check every value of the calls inside: labels 0 and 1 where -1 and 1 are meant, negative
    counts, probabilities beyond 1, nan. The first one raises DomainError with its position.

    The check is part of the kernel, not a pass of its own. Values that are masked or have weight 0
    may be anything; under torch.compile the loss is nan instead, since nothing can be raised there.
    """
    token = _checking.set(True)
    try:
        yield
    finally:
        _checking.reset(token)


def is_checking() -> bool:
    """Whether calls check all their values."""
    return not torch.compiler.is_compiling() and _checking.get()


def has_defaults() -> bool:
    """Whether no engine was chosen, and values are not checked."""
    return _engine.get() == "auto" and not _checking.get()


def is_ordinary() -> bool:
    """Whether nothing in torch's own state decides how a call is taken."""
    return circumstances.obstacle() is None and not torch.is_autocast_enabled("cpu")


def run(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss of a checked call, by the engine that suits it."""
    if torch.compiler.is_compiling():
        return eager.evaluate(call, tensors)
    chosen = _engine.get()
    engine, obstacle = _suitable(call, tensors)
    if obstacle is None and not call.shape.numel():
        return eager.evaluate(call, tensors)
    if chosen in ENGINES:
        if obstacle is not None:
            raise EngineError(
                f"{call.loss.name}: the {chosen} engine cannot run this call: {obstacle}."
            )
        return autograd.evaluate(engine, call, tensors)
    if obstacle is not None:
        return eager.evaluate(call, tensors)
    if chosen == "eager":
        return engine.definition(call, tensors)
    return run_by(engine, call, tensors)


def _suitable(call: Call | RowCall, tensors: Sequence[Tensor]) -> tuple[Engine, str | None]:
    """The first engine that can run the call; or one that cannot, and why."""
    chosen = _engine.get()
    engines = [ENGINES[chosen]] if chosen in ENGINES else [*ENGINES.values()]
    obstacle = circumstances.obstacle()
    if obstacle is not None:
        return engines[0], obstacle
    for engine in engines:
        obstacle = engine.obstacle(call, tensors)
        if obstacle is None:
            return engine, None
    return engines[0], obstacle


def run_by(engine: Engine, call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
    """The loss of a call that nothing keeps from this engine's kernels."""
    try:
        return autograd.evaluate(engine, call, tensors)
    except (EngineError, FormulaError) as error:  # the kernel cannot be made
        _say(str(error))
    return engine.definition(call, tensors)


def runner(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Run:
    """What runs the calls of this one's kind, once they need no check."""
    engine, obstacle = _suitable(call, tensors)
    return run if obstacle is not None else engine.runner(call, tensors, partial(run_by, engine))


def recipe(call: Call | RowCall, tensors: tuple[Tensor, ...], places: Places) -> Any:
    """How native.cpp runs this call, and those of its kind, if it can."""
    engine, obstacle = _suitable(call, tensors)
    return engine.recipe(call, tensors, places) if obstacle is None else None


_said: set[str] = set()


def _say(why: str) -> None:
    if why not in _said:
        _said.add(why)
        warn(f"{why}. The definition runs instead.", EngineWarning)
