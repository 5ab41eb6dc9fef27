"""The error function, erf(x) = 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

from typing import Any

from onepass.runtime.cpu.vectormath.exponentials import decay
from onepass.runtime.cpu.vectormath.formats import Format
from onepass.runtime.cpu.vectormath.primitives import absolute, clamp, copysign, polynomial, where

# Cephes (Moshier, 1989), ndtr.c, highest power first:
# erf(x) = x T(x^2) / U(x^2) up to 1, erfc(x) = exp(-x^2) P(x) / Q(x) from 1 to 8.
ERF_T = (
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
ERF_U = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
ERFC_P = (
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
ERFC_Q = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)


def erf(x: Any, format: Format) -> Any:
    size = clamp(absolute(x), 0.0, 6.0)  # erf(6) is 1
    square = size * size
    central = size < 1.0
    above = where(
        central,
        size * polynomial(square, ERF_T),
        decay(-square, format) * polynomial(size, ERFC_P),
    )
    below = where(central, polynomial(square, ERF_U), polynomial(size, ERFC_Q))
    ratio = above / below
    return copysign(where(central, ratio, 1.0 - ratio), x)
