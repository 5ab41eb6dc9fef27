"""exp, log and their relatives are right to the last places, in every exponent."""

import mpmath
import numpy as np
import pytest
from scipy import special

from onepass.runtime.cpu.vectormath import trigonometric
from tests.runtime.cpu.vectormath.compiled import INF, REAL, evaluated, ulps

# Units in the last place, beside the exact value: 0.5 is a perfect rounding.
LIMIT = {"sigmoid": 3.0, "softplus": 2.5, "log_sigmoid": 2.5, "tanh": 3.0, "erf": 3.5} | {
    "lgamma": 0.51,
    "digamma": 0.51,
}


# float32

EXACT = {
    "decay": np.exp,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sigmoid": special.expit,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "log2": np.log2,
    "log10": np.log10,
    "lgamma": lambda x: np.where(np.isinf(x), INF, special.gammaln(x)),
    "digamma": special.digamma,
}


def every_exponent():
    """Two million patterns of float32: some 4000 in every exponent of either sign."""
    return np.arange(0, 2**32, 2039, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("name", EXACT)
def test_float32_is_accurate_in_every_exponent(name):
    x = -np.abs(every_exponent()) if name == "decay" else every_exponent()
    got = evaluated(name, x)
    with np.errstate(all="ignore"):
        want = EXACT[name](x.astype(np.float64))
    distance = ulps(got, want)
    if name in ("sin", "cos"):  # nan beyond the largest angle
        large = np.abs(x) > trigonometric.LARGEST_ANGLE
        assert np.isnan(got[large]).all()
        distance = np.where(large, 0.0, distance)
    if name in ("lgamma", "digamma"):  # zeros left of 0: absolutely accurate
        distance = np.where((x < 0) & (np.abs(want) < 1), 0.0, distance)
    worst = np.argmax(distance)
    assert distance[worst] < LIMIT.get(name, 2.0), (x[worst], got[worst], want[worst])


@pytest.mark.parametrize("name", ["power", "xlogy"])
def test_float32_of_two_operands_is_accurate(name):
    x = every_exponent()
    y = np.random.default_rng(0).normal(0, 3, x.size).astype(np.float32)
    with np.errstate(all="ignore"):
        want = {"power": np.power, "xlogy": special.xlogy}[name](*map(np.float64, (x, y)))
    got = evaluated(name, x, y)
    assert ulps(got, want).max() < {"power": 0.51, "xlogy": 2.0}[name]


@pytest.mark.parametrize("width", [32, 64])
def test_logaddexp_is_accurate_beside_the_larger_operand(width):
    a, b = np.random.default_rng(1).normal(0, 20, (2, 10**5)).astype(REAL[width])
    want = np.logaddexp(a.astype(np.longdouble), b.astype(np.longdouble))
    error = np.abs(evaluated("logaddexp", a, b) - want)
    assert np.all(error <= 2 * np.finfo(a.dtype).eps * np.maximum(np.hypot(a, b), 1))


# float64

PRECISE = {
    "decay": mpmath.exp,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "expm1": mpmath.expm1,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
}


def stratified(name):
    """Three of every fourth exponent, and many where the function bends."""
    rng = np.random.default_rng(2)
    significands = rng.uniform(1, 2, (3, 2098 // 4))
    every = np.ldexp(significands, np.arange(-1074, 1022, 4)).ravel()
    bends = np.abs(np.concatenate([rng.normal(0, 1, 500), rng.uniform(0, 745, 500)]))
    x = np.concatenate([every, bends])
    if name.startswith("log") and name not in ("log1p", "log_sigmoid"):
        return np.concatenate([x, 1 + rng.normal(0, 0.1, 500)])
    if name == "decay":
        return -x[x < 709]
    x = np.concatenate([x, -x])
    return x[x > -1] if name == "log1p" else x[np.abs(x) < 709]


@pytest.mark.parametrize("name", PRECISE)
def test_float64_is_accurate_in_every_exponent(name):
    x = stratified(name)
    got = evaluated(name, x)
    with mpmath.workprec(160):
        for each, result in zip(x.tolist(), got.tolist(), strict=True):
            want = PRECISE[name](mpmath.mpf(each))
            distance = abs(result - want) / np.spacing(abs(float(want)))
            assert distance < LIMIT.get(name, 2.0), (each, result, want)


def test_float64_power_is_accurate():
    rng = np.random.default_rng(3)
    x = np.exp(rng.normal(0, 20, 3000)) * rng.choice([-1, 1], 3000)
    y = np.where(x < 0, np.rint(rng.normal(0, 3, 3000)), rng.normal(0, 3, 3000))
    finite = np.abs(y * np.log(np.abs(x))) < 700
    x, y = x[finite], y[finite]
    for base, exponent, got in zip(x.tolist(), y.tolist(), evaluated("power", x, y), strict=True):
        want = mpmath.mpf(base) ** mpmath.mpf(exponent)
        assert abs(got - want) <= 2.1 * np.spacing(abs(float(want))), (base, exponent)


@pytest.mark.parametrize("name, exact", [("lgamma", mpmath.loggamma), ("digamma", mpmath.digamma)])
def test_float64_gamma_functions_are_accurate(name, exact):
    rng = np.random.default_rng(4)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 500)), rng.uniform(-30, 30, 1500)])
    for each, got in zip(x.tolist(), evaluated(name, x).tolist(), strict=True):
        want = mpmath.re(exact(mpmath.mpf(each)))
        steep = abs(each - round(each)) if each < 0 else 1  # close to a pole
        assert abs(got - want) <= 4e-14 * max(1, abs(want)) + 1e-16 / steep, (each, want)
