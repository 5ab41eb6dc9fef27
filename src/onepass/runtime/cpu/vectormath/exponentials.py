"""exp, expm1, and `decay`, which is exp of what is not positive.

x = n ln 2 + r with |r| <= ln(2) / 2 (Cody and Waite); exp(r) is a polynomial, and 2^n is written
into the exponent field.
"""

from typing import Any

from onepass.runtime.cpu.vectormath.formats import LOG2_E, Format
from onepass.runtime.cpu.vectormath.primitives import (
    absolute,
    bits,
    clamp,
    fma,
    from_bits,
    polynomial,
    where,
)


def _power_of_two(i: Any, format: Format) -> Any:
    """2^n for the n in the low bits of i; what stands above them is shifted out."""
    return from_bits((i << format.fraction) + format.one)


def _reduced(x: Any, n: Any, format: Format) -> Any:
    """x - n ln 2."""
    return fma(n, -format.ln2_low, fma(n, -format.ln2_high, x))


def _expm1_reduced(x: Any, format: Format) -> tuple[Any, Any]:
    """(exp(r) - 1, n) where x = n ln 2 + r and |r| <= ln(2) / 2; n stands in the low bits."""
    shifted = fma(x, LOG2_E, format.shifter)
    r = _reduced(x, shifted - format.shifter, format)
    return fma(r * r, polynomial(r, format.exp_terms), r), bits(shifted)


def exp(x: Any, format: Format) -> Any:
    growth, n = _expm1_reduced(clamp(x, *format.exp_range), format)
    half = n >> 1  # two factors: the last product alone rounds a subnormal, or overflows
    return (growth + 1.0) * _power_of_two(half, format) * _power_of_two(n - half, format)


def decay(x: Any, format: Format) -> Any:
    """exp(x) for what is not far above 0, in fewer steps."""
    lift = format.fraction + 1  # above the subnormals, so that only the last product rounds
    shifter = format.shifter + (format.bias + lift)  # leaves the exponent field of 2^(n + lift)
    x = where(x < format.exp_range[0], format.exp_range[0], x)
    shifted = fma(x, LOG2_E, shifter)
    r = _reduced(x, shifted - shifter, format)
    once = fma(polynomial(r, format.exp_terms), r, 1.0)  # (exp(r) - 1) / r
    return fma(once, r, 1.0) * from_bits(bits(shifted) << format.fraction) * 2.0**-lift


def expm1(x: Any, format: Format) -> Any:
    lowest = -0.75 * (format.fraction + 2)  # exp(lowest) is lost beside 1
    growth, n = _expm1_reduced(clamp(x, lowest, format.exp_range[1]), format)
    half = _power_of_two(n - 1, format)  # half of 2^n, which may overflow
    return where(
        absolute(x) < 2.0 ** -(format.fraction + 2), x, 2.0 * fma(half, growth, half - 0.5)
    )
