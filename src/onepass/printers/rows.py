"""Row-wise kernels as text: a kernel and the functions it calls, under the words that they use."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import torch

_FUNCTIONS = ("decay", "exp", "log", "log1p", "power", "sign", "tanh")
_HALF = ("float16", "bfloat16")
_LOSSES = "onepass.rowwise."


def text(entry: Any, dtype: str, output: str, flags: Mapping[str, bool]) -> str:
    """The source of a kernel for tensors of one dtype and a result of another."""
    lines = [*_words(dtype, output), *(f"{name} = {flag}" for name, flag in flags.items())]
    functions = _reached(entry)
    constants = {name: number for f in functions for name, number in _constants(f)}
    lines += [f"{name} = {constants[name]!r}" for name in sorted(constants)]
    sources = [inspect.getsource(function) for function in functions]
    return "\n\n".join(["\n".join(lines), *sources, f"kernel = {entry.__name__}\n"])


def _words(dtype: str, output: str) -> Iterator[str]:
    precision = "float64" if dtype == "float64" else "float32"
    half = dtype in _HALF
    yield f"real = {precision}"
    yield f"load, store = {f'read_{dtype}, write_{dtype}' if half else 'read, write'}"
    yield f"store_value = {f'write_{output}' if output in _HALF else 'write'}"
    yield f"KEEPS = {not half}"
    yield f"max_finite = {torch.finfo(getattr(torch, precision)).max}"
    bits = precision.removeprefix("float")
    yield f"{', '.join(_FUNCTIONS)} = {', '.join(name + bits for name in _FUNCTIONS)}"


def _reached(entry: FunctionType) -> list[FunctionType]:
    """The entry, behind all functions of the losses that it calls."""
    found: dict[str, FunctionType] = {}

    def visit(function: FunctionType) -> None:
        for name in function.__code__.co_names:
            called = function.__globals__.get(name)
            if isinstance(called, FunctionType) and called.__module__.startswith(_LOSSES):
                visit(called)
        assert found.setdefault(function.__name__, function) is function, function.__name__

    visit(entry)
    return list(found.values())


def _constants(function: FunctionType) -> Iterator[tuple[str, int | float]]:
    """The numbers of its module that it uses."""
    for name in function.__code__.co_names:
        number = function.__globals__.get(name)
        if isinstance(number, int | float):
            yield name, number
