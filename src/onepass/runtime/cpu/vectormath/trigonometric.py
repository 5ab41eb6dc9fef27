"""sin and cos: of what is left of x beside whole quarter turns, in float64."""

import math
from typing import Any

from onepass.runtime.cpu.vectormath.formats import NAN, Format
from onepass.runtime.cpu.vectormath.primitives import (
    absolute,
    float64,
    fma,
    logical_or,
    nearest,
    polynomial,
    where,
)

# pi / 2 in three pieces, each what the last left over: Cody and Waite, made exact by fma.
QUARTER_TURN = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
SIN_SERIES = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(10))[::-1]
COS_SERIES = tuple((-1) ** k / math.factorial(2 * k) for k in range(11))[::-1]
LARGEST_ANGLE = 2.0**50  # beyond, the count of quarter turns is no longer exact: nan


def _quarter_turns(x: Any) -> tuple[Any, Any]:
    """x = k pi / 2 + r with |r| <= pi / 4; k only as its place in -2, -1, 0, 1, 2."""
    k = nearest(x * (2 / math.pi))
    r = x
    for piece in QUARTER_TURN:
        r = fma(-k, piece, r)
    return k - 4.0 * nearest(0.25 * k), r


def sin(x: Any, format: Format) -> Any:
    """In float64 throughout: the turns of a large angle take its digits."""
    x = float64(x)
    place, r = _quarter_turns(x)
    square = r * r
    size = where(
        absolute(place) == 1.0, polynomial(square, COS_SERIES), r * polynomial(square, SIN_SERIES)
    )
    signed = where(logical_or(place == -1.0, absolute(place) == 2.0), -size, size)
    return where(absolute(x) <= LARGEST_ANGLE, signed, NAN)


def cos(x: Any, format: Format) -> Any:
    """sin, a quarter turn on."""
    x = float64(x)
    place, r = _quarter_turns(x)
    square = r * r
    size = where(
        absolute(place) == 1.0, r * polynomial(square, SIN_SERIES), polynomial(square, COS_SERIES)
    )
    signed = where(logical_or(place == 1.0, absolute(place) == 2.0), -size, size)
    return where(absolute(x) <= LARGEST_ANGLE, signed, NAN)
