"""What others may make of a call: tensor subclasses, proxies and modes, which `__torch_function__`
asks before a loss sees its tensors, and torch.jit.script, which asks what to compile.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import handle_torch_function
from torch.overrides import has_torch_function_variadic as has_override

from onepass.errors import EngineError

__all__ = ["has_override", "not_scriptable", "overridden", "refuses_script"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NOBODY = "no implementation found"  # how torch says that all have declined


def overridden(function: Callable[..., Tensor], given: Mapping[str, Any]) -> Any:
    """What they make of a call of this loss, given its arguments by name.

    They get the function itself; those who decline it, the function of the same name in
    torch.nn.functional, if it takes the same arguments.
    """
    positional, named = _arguments(function, given)
    try:
        return handle_torch_function(function, tuple(given.values()), *positional, **named)
    except TypeError as error:
        torchs = getattr(torch.nn.functional, function.__name__, None)
        takes = () if torchs is None else inspect.signature(torchs).parameters
        if _NOBODY not in str(error) or any(name not in takes for name in named):
            raise
        return handle_torch_function(torchs, tuple(given.values()), *positional, **named)  # type: ignore[arg-type]


def _arguments(
    function: Callable[..., Tensor], given: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Those that every call has, by position; by name, whatever is not the default."""
    defaults = _defaults(function)
    positional = tuple(given[name] for name in given if name not in defaults)
    named = {n: given[n] for n in defaults if not _is_same(given[n], defaults[n])}
    return positional, named


def _is_same(given: Any, default: Any) -> bool:
    return given is default or (type(given) is type(default) and given == default)


@cache
def _defaults(function: Callable[..., Tensor]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def refuses_script(function: _Function) -> _Function:
    """A function that torch.jit.script, which asks it what to compile, is told it cannot."""

    def refuse() -> Any:
        raise not_scriptable(function.__name__)

    function.__prepare_scriptable__ = refuse  # type: ignore[attr-defined]
    return function


def not_scriptable(name: str) -> EngineError:
    """What is raised where torch.jit.script would compile a loss."""
    return EngineError(
        f"{name}: torch.jit.script cannot compile it. Write torch.export.export(model, inputs): "
        "it records the loss, for every batch size."
    )
