"""Kernel text as plain Python over numpy arrays, which stand for pointers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from onepass.runtime.cpu.vectormath.formats import INFINITY, NAN, SINGLE, Format
from onepass.runtime.cpu.vectormath.functions import by_name
from onepass.runtime.cpu.vectormath.primitives import PRIMITIVES, float32, float64, int32, int64


def _read(array: Any, index: Any) -> Any:
    return array[index]


def _write(array: Any, index: Any, value: Any) -> None:
    array[index] = value


def _next_block(counter: Any) -> Any:
    counter[0] += 1
    return counter[0] - 1


def _accumulate(total: Any, value: Any) -> Any:
    return total + value


def _largest(a: Any, b: Any) -> Any:
    return np.fmax(a, b)


def _room(like: Any, count: int) -> Any:
    return np.empty(count, np.asarray(like).dtype)


def _read_float16(array: Any, index: Any) -> Any:
    return float32(array[index].view(np.float16))


def _write_float16(array: Any, index: Any, value: Any) -> None:
    array[index] = np.float16(value).view(np.uint16)


def _read_bfloat16(array: Any, index: Any) -> Any:
    return (np.uint32(array[index]) << np.uint32(16)).view(float32)


def _write_bfloat16(array: Any, index: Any, value: Any) -> None:
    """The upper half of a float32, rounded to nearest even; nan stays nan."""
    i = int(float32(value).view(np.uint32))
    upper = i >> 16
    array[index] = upper | 0x40 if value != value else (i + 0x7FFF + (upper & 1)) >> 16


def in_format(function: Callable[..., Any], format: Format) -> Callable[..., Any]:
    """`function` of numpy scalars of that format."""
    real = float32 if format is SINGLE else float64

    def evaluate(*operands: Any) -> Any:
        return real(function(*map(real, operands), format))

    return evaluate


def plain() -> dict[str, Any]:
    """What kernel text sees when it runs as plain Python: arrays for pointers."""
    return {
        "float32": float32,
        "float64": float64,
        "int32": int32,
        "int64": int64,
        "inf": INFINITY,
        "nan": NAN,
        "read": _read,
        "write": _write,
        "accumulate": _accumulate,
        "next_block": _next_block,
        "largest": _largest,
        "scratch": _room,
        "read_float16": _read_float16,
        "write_float16": _write_float16,
        "read_bfloat16": _read_bfloat16,
        "write_bfloat16": _write_bfloat16,
        **{primitive.__name__: primitive for primitive in PRIMITIVES},
        **{name: in_format(*each) for name, each in by_name().items()},
    }
