"""Zeros, infinities and nan: what exp, log and their relatives make of them."""

import math

import numpy as np
import pytest
import torch

from tests.runtime.cpu.vectormath.compiled import INF, NAN, REAL, SMOOTH, evaluated, plainly, ulps

LIMITS = [
    ("exp", -INF, 0.0), ("exp", INF, INF), ("exp", 0.0, 1.0), ("exp", -1e4, 0.0), ("exp", 1e4, INF),
    ("decay", -INF, 0.0), ("decay", -1e4, 0.0), ("decay", 0.0, 1.0), ("decay", -0.0, 1.0),
    ("log", 0.0, -INF), ("log", -0.0, -INF), ("log", -1.0, NAN), ("log", -INF, NAN),
    ("log", INF, INF), ("log", 1.0, 0.0), ("log2", 8.0, 3.0), ("log2", 2.0**-20, -20.0),
    ("log2", 0.0, -INF), ("log2", INF, INF), ("log10", 0.0, -INF), ("log10", -1.0, NAN),
    ("log1p", -1.0, -INF), ("log1p", -1.5, NAN), ("log1p", INF, INF), ("log1p", -INF, NAN),
    ("log1p", 0.0, 0.0), ("log1p", -0.0, -0.0), ("expm1", -INF, -1.0), ("expm1", INF, INF),
    ("expm1", 0.0, 0.0), ("expm1", -0.0, -0.0), ("sigmoid", -INF, 0.0), ("sigmoid", INF, 1.0),
    ("sigmoid", 0.0, 0.5), ("softplus", -INF, 0.0), ("softplus", INF, INF),
    ("log_sigmoid", -INF, -INF), ("log_sigmoid", INF, -0.0), ("tanh", INF, 1.0),
    ("tanh", -INF, -1.0), ("tanh", -0.0, -0.0), ("erf", INF, 1.0), ("erf", -INF, -1.0),
    ("erf", -0.0, -0.0), ("lgamma", 0.0, INF), ("lgamma", -3.0, INF), ("lgamma", INF, INF),
    ("lgamma", -INF, INF), ("digamma", 0.0, -INF), ("digamma", -0.0, INF), ("digamma", -2.0, NAN),
    ("digamma", INF, INF), ("digamma", -INF, NAN), ("sign", NAN, 0.0), ("sign", -3.0, -1.0),
    ("sign", 0.0, 0.0), ("sign", INF, 1.0),
]  # fmt: skip


def same(got, want):
    return (
        np.isnan(got)
        if math.isnan(want)
        else got == want and math.copysign(1, got) == math.copysign(1, want)
    )


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize("name, x, want", LIMITS)
def test_limits_are_exact(name, x, want, how, width):
    (got,) = how(name, np.array([x], REAL[width]))
    assert same(got, want), got


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize("name", [*SMOOTH, "lgamma", "digamma"])
def test_nan_stays_nan(name, how, width):
    assert np.isnan(how(name, np.array([NAN], REAL[width]))).all()


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    INF,
    -INF,
    NAN,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    1e30,
    -1e30,
    1e-30,
]


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("how", [evaluated, plainly])
@pytest.mark.parametrize(
    "name, theirs",
    [("power", torch.pow), ("xlogy", torch.xlogy), ("logaddexp", torch.logaddexp)],
)
def test_two_operands_have_the_limits_of_torch(name, theirs, how, width):
    x, y = (each.ravel() for each in np.meshgrid(*[np.array(SPECIAL, REAL[width])] * 2))
    want = theirs(torch.tensor(x), torch.tensor(y)).numpy()
    got = how(name, x, y)
    assert ulps(got, want).max() <= 2
    if name == "power":
        assert np.array_equal(
            np.signbit(got), np.signbit(want) & ~np.isnan(want) | np.signbit(got) & np.isnan(want)
        )
