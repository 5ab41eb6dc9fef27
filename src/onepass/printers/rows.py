"""Row-wise kernels as text: the functions of a loss's cpu.py, under the words that they use."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

_FUNCTIONS = ("exp", "log", "log1p", "power", "sign", "tanh")
_HALF = ("float16", "bfloat16")


def text(entry: Any, dtype: str, output: str, flags: Mapping[str, bool]) -> str:
    """The source of a kernel for tensors of one dtype and a result of another."""
    lines = [*_words(dtype, output), *(f"{name} = {flag}" for name, flag in flags.items())]
    functions = {function.__name__: function for function in _reached(entry)}
    constants = sorted({name for f in functions.values() for name in _constants(f)})
    lines += [f"{name} = {entry.__globals__[name]!r}" for name in constants]
    sources = [inspect.getsource(function) for function in functions.values()]
    return "\n\n".join(["\n".join(lines), *sources, f"kernel = {entry.__name__}\n"])


def _words(dtype: str, output: str) -> Iterator[str]:
    precision = "float64" if dtype == "float64" else "float32"
    half = dtype in _HALF
    yield f"real = {precision}"
    yield f"load, store = {f'read_{dtype}, write_{dtype}' if half else 'read, write'}"
    yield f"store_value = {f'write_{output}' if output in _HALF else 'write'}"
    yield f"KEEPS = {not half}"
    bits = precision.removeprefix("float")
    yield f"{', '.join(_FUNCTIONS)} = {', '.join(name + bits for name in _FUNCTIONS)}"


def _reached(entry: FunctionType) -> list[FunctionType]:
    """The entry, behind all functions of its module that it calls."""
    found: dict[str, FunctionType] = {}

    def visit(function: FunctionType) -> None:
        for name in function.__code__.co_names:
            called = function.__globals__.get(name)
            if isinstance(called, FunctionType) and called.__module__ == entry.__module__:
                visit(called)
        found.setdefault(function.__name__, function)

    visit(entry)
    return list(found.values())


def _constants(function: FunctionType) -> Iterator[str]:
    """The numbers of its module that it uses."""
    for name in function.__code__.co_names:
        if isinstance(function.__globals__.get(name), int | float):
            yield name
