"""exp, log and their relatives, written so that LLVM can vectorise the loop around them.

Every function is a straight line: no branch, no table, no call to libm; a choice is a `where`, and
evaluates both sides. The second argument, a `Format`, holds all that differs between float32 and
float64. The few primitives at the top are the only instructions in use; here they act on numpy
scalars, in `intrinsics` the same functions run on LLVM values instead. Kernel text sees `exp32`,
`exp64`, ... in the namespaces `plain()` and `intrinsics.words()`.

Plain runs overflow and make nan on purpose: wrap them in `numpy.errstate(all="ignore")`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

float32, float64, int32, int64 = np.float32, np.float64, np.int32, np.int64

# Primitives. Operands are numpy scalars of one type; Python numbers take the type of their partner.


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


def maximum(a: Any, b: Any) -> Any:
    """nan if either is, as in torch."""
    return where(logical_or(a > b, a != a), a, b)


def minimum(a: Any, b: Any) -> Any:
    return where(logical_or(a < b, a != a), a, b)


def rank(x: Any) -> Any:
    """An integer of the same width, in the order of the reals; a nan is beyond the infinities."""
    return _reranked(bits(x))


def of_rank(i: Any) -> Any:
    return from_bits(_reranked(i))


def _reranked(i: Any) -> Any:
    """Patterns of negative reals grow with their size: turned round, and back."""
    all_but_the_sign = (1 << (width(i) - 1)) - 1
    return i ^ ((i >> (width(i) - 1)) & all_but_the_sign)


# Formats

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


# Pieces


def _polynomial(x: Any, terms: tuple[float, ...]) -> Any:
    """Horner's rule, highest power first."""
    total = fma(x, terms[0], terms[1])
    for term in terms[2:]:
        total = fma(total, x, term)
    return total


def _clamp(x: Any, low: float, high: float) -> Any:
    """nan stays nan."""
    return where(x < low, low, where(x > high, high, x))


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
    return fma(r * r, _polynomial(r, format.exp_terms), r), bits(shifted)


def _exponent(i: Any, format: Format) -> tuple[Any, Any]:
    """(k, 2^-k) for the k in the exponent field of i; AVX2 has no conversion from int64."""
    biased = (i >> format.fraction) & (2 * format.bias + 1)
    k = from_bits(biased + format.shifter_bits) - (format.shifter + format.bias)
    return k, from_bits((2 * format.bias - biased) << format.fraction)


def _log_parts(x: Any, format: Format) -> tuple[Any, Any]:
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
    tail = fma(square, _polynomial(square, format.log_terms), half)
    return fma(k, format.ln2_high, f - (half - fma(s, tail, k * format.ln2_low)))


def _log1p_of_unit(e: Any, format: Format) -> Any:
    """log(1 + e) for 0 <= e <= 1."""
    if format.unit_log1p_terms:
        return e * _polynomial(e, format.unit_log1p_terms)
    upper = e > math.sqrt(2.0) - 1.0
    f = where(upper, fma(e, 0.5, -0.5), e)
    return _log_of_parts(f, where(upper, number(1.0, e), 0.0), format)


# Functions


def exp(x: Any, format: Format) -> Any:
    growth, n = _expm1_reduced(_clamp(x, *format.exp_range), format)
    half = n >> 1  # two factors: the last product alone rounds a subnormal, or overflows
    return (growth + 1.0) * _power_of_two(half, format) * _power_of_two(n - half, format)


def decay(x: Any, format: Format) -> Any:
    """exp(x) for what is not far above 0, in fewer steps."""
    lift = format.fraction + 1  # above the subnormals, so that only the last product rounds
    shifter = format.shifter + (format.bias + lift)  # leaves the exponent field of 2^(n + lift)
    x = where(x < format.exp_range[0], format.exp_range[0], x)
    shifted = fma(x, LOG2_E, shifter)
    r = _reduced(x, shifted - shifter, format)
    once = fma(_polynomial(r, format.exp_terms), r, 1.0)  # (exp(r) - 1) / r
    return fma(once, r, 1.0) * from_bits(bits(shifted) << format.fraction) * 2.0**-lift


def expm1(x: Any, format: Format) -> Any:
    lowest = -0.75 * (format.fraction + 2)  # exp(lowest) is lost beside 1
    growth, n = _expm1_reduced(_clamp(x, lowest, format.exp_range[1]), format)
    half = _power_of_two(n - 1, format)  # half of 2^n, which may overflow
    return where(
        absolute(x) < 2.0 ** -(format.fraction + 2), x, 2.0 * fma(half, growth, half - 0.5)
    )


def log(x: Any, format: Format) -> Any:
    return _log_with_limits(x, _log_of_parts(*_log_parts(x, format), format))


def log2(x: Any, format: Format) -> Any:
    f, k = _log_parts(x, format)
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


# All of these take exp(-|x|), so that a kernel that needs several of them computes it once.


def sigmoid(x: Any, format: Format) -> Any:
    e = decay(-absolute(x), format)
    larger = 1.0 / (e + 1.0)  # sigmoid(-x) divides by the same
    return where(x >= 0.0, larger, e * larger)


def softplus(x: Any, format: Format) -> Any:
    return where(x > 0.0, x, 0.0) + _log1p_of_unit(decay(-absolute(x), format), format)


def log_sigmoid(x: Any, format: Format) -> Any:
    return -softplus(-x, format)


def tanh(x: Any, format: Format) -> Any:
    shrinkage = expm1(-2.0 * absolute(x), format)
    return copysign(shrinkage / (shrinkage + 2.0), x)


def logaddexp(a: Any, b: Any, format: Format) -> Any:
    larger = maximum(a, b)
    distance = where(a == b, 0.0, a - b)  # equal infinities too
    return larger + _log1p_of_unit(decay(-absolute(distance), format), format)


def xlogy(x: Any, y: Any, format: Format) -> Any:
    return where(logical_and(x == 0.0, y == y), 0.0, x * log(y, format))


def sign(x: Any, format: Format) -> Any:
    """0 for nan, as in torch."""
    return where(x > 0.0, number(1.0, x), where(x < 0.0, number(-1.0, x), 0.0))


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
    size = _clamp(absolute(x), 0.0, 6.0)  # erf(6) is 1
    square = size * size
    central = size < 1.0
    above = where(
        central,
        size * _polynomial(square, ERF_T),
        decay(-square, format) * _polynomial(size, ERFC_P),
    )
    below = where(central, _polynomial(square, ERF_U), _polynomial(size, ERFC_Q))
    ratio = above / below
    return copysign(where(central, ratio, 1.0 - ratio), x)


# From here on float32 is computed in float64.


def _log_in_two(x: Any) -> tuple[Any, Any]:
    """log(x) for positive x as a float64 and what it lacks, together good to 2^-59.

    s + s_error = f / (2 + f) in twice the precision; only the series beyond 2 s is rounded.
    """
    f, k = _log_parts(x, DOUBLE)
    divisor = f + 2.0
    s = f / divisor
    s_error = fma(-s, f - (divisor - 2.0), fma(-s, divisor, f)) / divisor
    square = s * s
    series = s * square * _polynomial(square, DOUBLE.log_terms)
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
    return r * _polynomial(r * r, SIN_TERMS[::-1])


def lgamma(x: Any, format: Format) -> Any:
    """Stirling's series at x + 8, stepped back; Euler's reflection for negative x."""
    x = float64(x)
    reflected = x < 0.0
    a = where(reflected, 1.0 - x, x)
    shifted = a < float(STIRLING_SHIFT)
    z = where(shifted, a + float(STIRLING_SHIFT), a)
    product, _ = _rising(a)
    inverse = 1.0 / z
    series = inverse * _polynomial(inverse * inverse, LGAMMA_TERMS)
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
    series = fma(square, _polynomial(square, DIGAMMA_TERMS), 0.5 * inverse)
    inside = log(z, DOUBLE) - series - where(shifted, slope / product, 0.0)
    r = x - nearest(x)
    cotangent = _polynomial(r * r, COS_TERMS[::-1]) / _sine(r)
    inside = where(reflected, inside - cotangent, inside)
    return where(logical_and(reflected, r == 0.0), NAN, inside)


# pi / 2 in three pieces, each what the last left over: Cody and Waite, made exact by fma.
QUARTER_TURN = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)
SIN_SERIES = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(10))[::-1]
LARGEST_ANGLE = 2.0**50  # beyond, the count of quarter turns is no longer exact: nan
COS_SERIES = tuple((-1) ** k / math.factorial(2 * k) for k in range(11))[::-1]


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
        absolute(place) == 1.0, _polynomial(square, COS_SERIES), r * _polynomial(square, SIN_SERIES)
    )
    signed = where(logical_or(place == -1.0, absolute(place) == 2.0), -size, size)
    return where(absolute(x) <= LARGEST_ANGLE, signed, NAN)


def cos(x: Any, format: Format) -> Any:
    """sin, a quarter turn on."""
    x = float64(x)
    place, r = _quarter_turns(x)
    square = r * r
    size = where(
        absolute(place) == 1.0, r * _polynomial(square, SIN_SERIES), _polynomial(square, COS_SERIES)
    )
    signed = where(logical_or(place == 1.0, absolute(place) == 2.0), -size, size)
    return where(absolute(x) <= LARGEST_ANGLE, signed, NAN)


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    cos,
    decay,
    digamma,
    erf,
    exp,
    expm1,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    log_sigmoid,
    logaddexp,
    power,
    sigmoid,
    sign,
    sin,
    softplus,
    tanh,
    xlogy,
)
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


# Kernel text as plain Python over numpy arrays


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


def by_name() -> dict[str, tuple[Callable[..., Any], Format]]:
    """exp32, exp64, ...: the functions as kernel text names them."""
    return {
        f"{function.__name__}{kind.width}": (function, kind)
        for kind in (SINGLE, DOUBLE)
        for function in FUNCTIONS
    }


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
