"""fma, where, bits, the nearest integer and the like, which all functions are written in.

Operands are numpy scalars of one type; Python numbers take the type of their partner.
`intrinsics` has the same for registers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from onepass.runtime.cpu.vectormath.formats import Format

float32, float64, int32, int64 = np.float32, np.float64, np.int32, np.int64


def number(constant: float, like: Any) -> Any:
    return type(like)(constant)


def where(condition: Any, a: Any, b: Any) -> Any:
    return np.result_type(a, b).type(a if condition else b)


def logical_and(a: Any, b: Any) -> Any:
    """`a and b` without the branch, which would stop vectorisation."""
    return np.bool_(a) & np.bool_(b)


def logical_or(a: Any, b: Any) -> Any:
    return np.bool_(a) | np.bool_(b)


def logical_not(a: Any) -> Any:
    return ~np.bool_(a)


def fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once in float32; in float64 nearly so, where longdouble is wider."""
    if type(a) is float32:
        return float32(float64(a) * float64(float32(b)) + float64(float32(c)))
    return float64(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))


def bits(x: Any) -> Any:
    """The pattern of x as an integer of the same width."""
    return x.view(int32 if type(x) is float32 else int64)


def from_bits(i: Any) -> Any:
    return i.view(float32 if type(i) is int32 else float64)


def width(x: Any) -> int:
    """In bits."""
    return 8 * x.itemsize


def sqrt(x: Any) -> Any:
    return np.sqrt(x)


def absolute(x: Any) -> Any:
    return np.abs(x)


def copysign(size: Any, sign: Any) -> Any:
    return np.copysign(size, sign)


def nearest(x: Any) -> Any:
    """The nearest integer, halves to even."""
    return np.rint(x)


# Made of these


def maximum(a: Any, b: Any) -> Any:
    """nan if either is, as in torch."""
    return where(logical_or(a > b, a != a), a, b)


def minimum(a: Any, b: Any) -> Any:
    return where(logical_or(a < b, a != a), a, b)


def sign(x: Any, format: Format) -> Any:
    """0 for nan, as in torch."""
    return where(x > 0.0, number(1.0, x), where(x < 0.0, number(-1.0, x), 0.0))


def rank(x: Any) -> Any:
    """An integer of the same width, in the order of the reals; a nan is beyond the infinities."""
    return _reranked(bits(x))


def of_rank(i: Any) -> Any:
    return from_bits(_reranked(i))


def _reranked(i: Any) -> Any:
    """Patterns of negative reals grow with their size: turned round, and back."""
    all_but_the_sign = (1 << (width(i) - 1)) - 1
    return i ^ ((i >> (width(i) - 1)) & all_but_the_sign)


def polynomial(x: Any, terms: tuple[float, ...]) -> Any:
    """Horner's rule, highest power first."""
    total = fma(x, terms[0], terms[1])
    for term in terms[2:]:
        total = fma(total, x, term)
    return total


def clamp(x: Any, low: float, high: float) -> Any:
    """nan stays nan."""
    return where(x < low, low, where(x > high, high, x))


PRIMITIVES: tuple[Callable[..., Any], ...] = (
    absolute,
    bits,
    logical_and,
    copysign,
    logical_or,
    fma,
    from_bits,
    maximum,
    minimum,
    nearest,
    logical_not,
    of_rank,
    rank,
    sqrt,
    where,
)
