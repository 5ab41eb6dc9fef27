"""sigmoid, softplus = log(1 + exp(x)), log(sigmoid(x)), tanh, log(exp(a) + exp(b)).

All but tanh take exp(-|x|), so that a kernel that needs several of them computes it once.
"""

from typing import Any

from onepass.runtime.cpu.vectormath.exponentials import decay, expm1
from onepass.runtime.cpu.vectormath.formats import Format
from onepass.runtime.cpu.vectormath.logarithms import log1p_of_unit
from onepass.runtime.cpu.vectormath.primitives import absolute, copysign, maximum, where


def sigmoid(x: Any, format: Format) -> Any:
    e = decay(-absolute(x), format)
    larger = 1.0 / (e + 1.0)  # sigmoid(-x) divides by the same
    return where(x >= 0.0, larger, e * larger)


def softplus(x: Any, format: Format) -> Any:
    return where(x > 0.0, x, 0.0) + log1p_of_unit(decay(-absolute(x), format), format)


def log_sigmoid(x: Any, format: Format) -> Any:
    return -softplus(-x, format)


def logaddexp(a: Any, b: Any, format: Format) -> Any:
    larger = maximum(a, b)
    distance = where(a == b, 0.0, a - b)  # equal infinities too
    return larger + log1p_of_unit(decay(-absolute(distance), format), format)


def tanh(x: Any, format: Format) -> Any:
    shrinkage = expm1(-2.0 * absolute(x), format)
    return copysign(shrinkage / (shrinkage + 2.0), x)
