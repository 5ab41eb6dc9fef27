"""float32 and float64 as IEEE 754 has them, with the constants that exp and log need of each."""

import math
from typing import NamedTuple

INFINITY = math.inf
NAN = math.nan
LOG2_E = math.log2(math.e)
LOG10_E = math.log10(math.e)


class Format(NamedTuple):
    """A binary format of IEEE 754 and the constants that its width decides."""

    width: int
    fraction: int  # stored bits of the significand
    one: int  # bits of 1.0
    sqrt_half: int  # bits of sqrt(1/2)
    normal: float  # smallest normal number
    # Cody and Waite: ln 2 in two parts, the first so short that its integer multiples are exact
    ln2_high: float
    ln2_low: float
    exp_range: tuple[float, float]  # beyond: 0 and infinity
    exp_terms: tuple[float, ...]
    log_terms: tuple[float, ...]
    unit_log1p_terms: tuple[float, ...] = ()  # none: by way of log_terms and a division

    @property
    def shifter(self) -> float:
        """Adding it rounds to an integer, which is left in the low bits."""
        return 1.5 * 2.0**self.fraction

    @property
    def shifter_bits(self) -> int:
        return self.one + (self.fraction << self.fraction) + (1 << (self.fraction - 1))

    @property
    def bias(self) -> int:
        return self.one >> self.fraction


# ln 2 and the minimax coefficients of (log(1 + f) - 2 s) / s, s = f / (2 + f), in powers of s^2
# are those of fdlibm (Sun Microsystems, 1993), e_logf.c and e_log.c.
# log(1 + e) / e on [0, 1] is interpolated at the Chebyshev nodes: 5e-9 off, which float32 allows.
# (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2 is too: exp is 2^-26.5 and 2^-61 off.
SINGLE = Format(
    width=32,
    fraction=23,
    one=0x3F800000,
    sqrt_half=0x3F3504F3,
    normal=2.0**-126,
    ln2_high=6.9313812256e-01,
    ln2_low=9.0580006145e-06,
    exp_range=(-104.0, 89.0),
    exp_terms=(
        0.0013926183587713494,
        0.008363179052722578,
        0.041666554617204574,
        0.16666576989698775,
        0.5,
    ),
    log_terms=(0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    unit_log1p_terms=(
        -0.0031760570127516985,
        0.019542526453733444,
        -0.056373611092567444,
        0.10543623566627502,
        -0.1526966691017151,
        0.1966327428817749,
        -0.24951615929603577,
        0.33329710364341736,
        -0.49999892711639404,
        1.0,
    ),
)
DOUBLE = Format(
    width=64,
    fraction=52,
    one=0x3FF0000000000000,
    sqrt_half=0x3FE6A09E667F3BCD,
    normal=2.0**-1022,
    ln2_high=6.93147180369123816490e-01,
    ln2_low=1.90821492927058770002e-10,
    exp_range=(-746.0, 710.0),
    exp_terms=(
        2.0914686968086876e-09,
        2.5105217004720745e-08,
        2.75572736431103e-07,
        2.7557255400206422e-06,
        2.4801587325547743e-05,
        0.00019841269874820627,
        0.0013888888888883748,
        0.008333333333326136,
        0.04166666666666667,
        0.1666666666666667,
        0.5,
    ),
    log_terms=(
        1.479819860511658591e-01,
        1.531383769920937332e-01,
        1.818357216161805012e-01,
        2.222219843214978396e-01,
        2.857142874366239149e-01,
        3.999999999940941908e-01,
        6.666666666666735130e-01,
    ),
)
