"""log, log2, log10, log1p, and x log y.

x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) is a polynomial in s = f / (2 + f), as
in fdlibm.
"""

import math
from typing import Any

from onepass.runtime.cpu.vectormath.formats import INFINITY, LOG2_E, LOG10_E, NAN, Format
from onepass.runtime.cpu.vectormath.primitives import (
    bits,
    copysign,
    fma,
    from_bits,
    logical_and,
    number,
    polynomial,
    where,
)


def _exponent(i: Any, format: Format) -> tuple[Any, Any]:
    """(k, 2^-k) for the k in the exponent field of i; AVX2 has no conversion from int64."""
    biased = (i >> format.fraction) & (2 * format.bias + 1)
    k = from_bits(biased + format.shifter_bits) - (format.shifter + format.bias)
    return k, from_bits((2 * format.bias - biased) << format.fraction)


def log_parts(x: Any, format: Format) -> tuple[Any, Any]:
    """(f, k) where x = 2^k (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2), for positive x."""
    subnormal = x < format.normal
    i = bits(where(subnormal, x * 2.0**format.fraction, x)) + (format.one - format.sqrt_half)
    k, _ = _exponent(i, format)
    significand = from_bits((i & ((1 << format.fraction) - 1)) + format.sqrt_half)
    return significand - 1.0, where(subnormal, k - float(format.fraction), k)


def _log_of_parts(f: Any, k: Any, format: Format) -> Any:
    """log(2^k (1 + f)) = k ln 2 + f - f^2 / 2 + s (f^2 / 2 + ...), s = f / (2 + f)."""
    s = f / (f + 2.0)
    square = s * s
    half = 0.5 * f * f
    tail = fma(square, polynomial(square, format.log_terms), half)
    return fma(k, format.ln2_high, f - (half - fma(s, tail, k * format.ln2_low)))


def log1p_of_unit(e: Any, format: Format) -> Any:
    """log(1 + e) for 0 <= e <= 1."""
    if format.unit_log1p_terms:
        return e * polynomial(e, format.unit_log1p_terms)
    upper = e > math.sqrt(2.0) - 1.0
    f = where(upper, fma(e, 0.5, -0.5), e)
    return _log_of_parts(f, where(upper, number(1.0, e), 0.0), format)


def log(x: Any, format: Format) -> Any:
    return _log_with_limits(x, _log_of_parts(*log_parts(x, format), format))


def log2(x: Any, format: Format) -> Any:
    f, k = log_parts(x, format)
    return _log_with_limits(x, fma(_log_of_parts(f, number(0.0, k), format), LOG2_E, k))


def log10(x: Any, format: Format) -> Any:
    return log(x, format) * LOG10_E


def _log_with_limits(x: Any, inside: Any) -> Any:
    beyond = where(x == 0.0, number(-INFINITY, x), NAN)
    return where(x > 0.0, where(x < INFINITY, inside, x), beyond)


def log1p(x: Any, format: Format) -> Any:
    """With u = 1 + x = 2^k (1 + f): f = 2^-k x + (2^-k - 1) rounds once, unlike 2^-k u - 1."""
    i = bits(x + 1.0) + (format.one - format.sqrt_half)
    k, scale = _exponent(i, format)
    scaled = from_bits(bits(x) - ((i - format.one) & -(1 << format.fraction)))
    # where 2^-k no longer counts beside 1, its bits may have run out
    rest = where(x < 2.0 ** (format.fraction + 2), scale - 1.0, -1.0)
    inside = copysign(_log_of_parts(scaled + rest, k, format), x)
    beyond = where(x == -1.0, number(-INFINITY, x), NAN)
    return where(x > -1.0, where(x < INFINITY, inside, x), beyond)


def xlogy(x: Any, y: Any, format: Format) -> Any:
    return where(logical_and(x == 0.0, y == y), 0.0, x * log(y, format))
