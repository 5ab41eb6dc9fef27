"""x to the power of y, by way of log(x) in twice the precision; float32 is computed in float64."""

from typing import Any

from onepass.runtime.cpu.vectormath.exponentials import exp
from onepass.runtime.cpu.vectormath.formats import DOUBLE, INFINITY, NAN, Format
from onepass.runtime.cpu.vectormath.logarithms import log_parts
from onepass.runtime.cpu.vectormath.primitives import (
    absolute,
    copysign,
    float64,
    fma,
    logical_and,
    logical_not,
    logical_or,
    nearest,
    polynomial,
    where,
)


def _log_in_two(x: Any) -> tuple[Any, Any]:
    """log(x) for positive x as a float64 and what it lacks, together good to 2^-59.

    s + s_error = f / (2 + f) in twice the precision; only the series beyond 2 s is rounded.
    """
    f, k = log_parts(x, DOUBLE)
    divisor = f + 2.0
    s = f / divisor
    s_error = fma(-s, f - (divisor - 2.0), fma(-s, divisor, f)) / divisor
    square = s * s
    series = s * square * polynomial(square, DOUBLE.log_terms)
    high = k * DOUBLE.ln2_high
    total = high + 2.0 * s
    rest = (high - total) + 2.0 * s  # exact: |high| >= |2 s| or high = 0 (Dekker)
    rest = rest + fma(k, DOUBLE.ln2_low, 2.0 * s_error + series)
    rounded = total + rest
    return rounded, (total - rounded) + rest


def power(x: Any, y: Any, format: Format) -> Any:
    x, y = float64(x), float64(y)
    size = absolute(x)
    log_size, log_rest = _log_in_two(size)
    log_size = where(size < INFINITY, where(size == 0.0, -INFINITY, log_size), size)
    exponent = y * log_size
    rest = fma(y, log_rest, fma(y, log_size, -exponent))
    rest = where(absolute(exponent) < 1000.0, rest, 0.0)  # beyond: 0 or infinity
    result = exp(exponent, DOUBLE) * (rest + 1.0)
    integral = nearest(y) == y
    odd = logical_and(integral, nearest(0.5 * y) != 0.5 * y)
    result = where(odd, copysign(result, x), result)
    undefined = logical_and(x < 0.0, logical_and(logical_not(integral), x > -INFINITY))
    one = logical_or(
        logical_or(x == 1.0, y == 0.0), logical_and(x == -1.0, absolute(y) == INFINITY)
    )
    return where(one, 1.0, where(undefined, NAN, result))
