"""lgamma = log |gamma(x)| and its derivative digamma; float32 is computed in float64."""

import math
from typing import Any

from onepass.runtime.cpu.vectormath.formats import DOUBLE, INFINITY, NAN, Format
from onepass.runtime.cpu.vectormath.logarithms import log
from onepass.runtime.cpu.vectormath.primitives import (
    absolute,
    float64,
    fma,
    logical_and,
    nearest,
    number,
    polynomial,
    where,
)

# Bernoulli numbers B_2, B_4, ... B_16, for Stirling's series at 8 and beyond.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
LGAMMA_TERMS = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1))[::-1]
DIGAMMA_TERMS = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI, 1))[::-1]
STIRLING_SHIFT = 8
# sin(pi r) / pi = r S(r^2) and cos(pi r) = C(r^2) for |r| <= 1/2
SIN_TERMS = tuple((-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(12))
COS_TERMS = tuple((-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k) for k in range(13))


def _rising(x: Any) -> tuple[Any, Any]:
    """p = x (x + 1) ... (x + 7) and its derivative."""
    product, slope = x, number(1.0, x)
    for step in range(1, STIRLING_SHIFT):
        slope = fma(slope, x + float(step), product)
        product = product * (x + float(step))
    return product, slope


def _sine(r: Any) -> Any:
    return r * polynomial(r * r, SIN_TERMS[::-1])


def lgamma(x: Any, format: Format) -> Any:
    """Stirling's series at x + 8, stepped back; Euler's reflection for negative x."""
    x = float64(x)
    reflected = x < 0.0
    a = where(reflected, 1.0 - x, x)
    shifted = a < float(STIRLING_SHIFT)
    z = where(shifted, a + float(STIRLING_SHIFT), a)
    product, _ = _rising(a)
    inverse = 1.0 / z
    series = inverse * polynomial(inverse * inverse, LGAMMA_TERMS)
    stirling = (z - 0.5) * (log(z, DOUBLE) - 1.0) + (series + 0.5 * math.log(2 * math.pi) - 0.5)
    inside = stirling - log(where(shifted, product, 1.0), DOUBLE)
    sine = absolute(_sine(x - nearest(x)))
    inside = where(reflected, -log(sine, DOUBLE) - inside, inside)
    return where(absolute(x) < INFINITY, inside, absolute(x))


def digamma(x: Any, format: Format) -> Any:
    """The derivative of lgamma, by the same steps."""
    x = float64(x)
    reflected = x < 0.0
    a = where(reflected, 1.0 - x, x)
    shifted = a < float(STIRLING_SHIFT)
    z = where(shifted, a + float(STIRLING_SHIFT), a)
    product, slope = _rising(a)
    inverse = 1.0 / z
    square = inverse * inverse
    series = fma(square, polynomial(square, DIGAMMA_TERMS), 0.5 * inverse)
    inside = log(z, DOUBLE) - series - where(shifted, slope / product, 0.0)
    r = x - nearest(x)
    cotangent = polynomial(r * r, COS_TERMS[::-1]) / _sine(r)
    inside = where(reflected, inside - cotangent, inside)
    return where(logical_and(reflected, r == 0.0), NAN, inside)
