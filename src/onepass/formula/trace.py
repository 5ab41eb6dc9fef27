"""Run a formula on expressions, once per setting of its flags; the author's names are kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from onepass.errors import FormulaError
from onepass.formula.expression import PARAMETER, TENSOR, Expression
from onepass.formula.operations import is_truth
from onepass.own_thread import in_own_thread

VALUE = "the value"  # among results by the names of arguments, of which none can be called so


@dataclass(frozen=True)
class Trace:
    """What a formula says of one element."""

    value: Expression
    names: Mapping[Expression, str]  # the author's local names, the last assignment of each


def tensor(name: str) -> Expression:
    """The leaf that stands for an element of a tensor argument."""
    return Expression(TENSOR, leaf=name)


def parameter(name: str) -> Expression:
    """The leaf that stands for a float keyword."""
    return Expression(PARAMETER, leaf=name)


def trace(formula: Callable[..., Any], arguments: Mapping[str, Any]) -> Trace:
    """The formula's expression; `arguments` are leaves, and flags as they are."""
    value, variables = _locals_at_return(formula, arguments)
    if not isinstance(value, Expression):
        raise FormulaError(
            f"{formula.__name__}: a formula must return one number per element, made of its "
            f"arguments; it returned {type(value).__name__}: {value!r}."
        )
    if is_truth(value):
        raise FormulaError(
            f"{formula.__name__}: a formula must return a number, it returned a truth: {value!r}. "
            "Write torch.where(condition, 1.0, 0.0)."
        )
    names = {node: name for name, node in variables.items() if isinstance(node, Expression)}
    return Trace(value, {node: name for node, name in names.items() if name not in arguments})


def _locals_at_return(
    formula: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Call the formula; look at its frame when it returns.

    A profile function sees it, in a thread of its own: another thread's profiler is left alone.
    """
    code: CodeType = formula.__code__
    variables: dict[str, Any] = {}

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            variables.update(frame.f_locals)

    def call() -> Any:
        sys.setprofile(look)
        try:
            return formula(**arguments)
        finally:
            sys.setprofile(None)

    return in_own_thread(call), variables
