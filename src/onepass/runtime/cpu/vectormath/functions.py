"""All functions by the names that kernel text calls them by: exp32, exp64 and so on."""

from collections.abc import Callable
from typing import Any

from onepass.runtime.cpu.vectormath.error_function import erf
from onepass.runtime.cpu.vectormath.exponentials import decay, exp, expm1
from onepass.runtime.cpu.vectormath.formats import DOUBLE, SINGLE, Format
from onepass.runtime.cpu.vectormath.gamma import digamma, lgamma
from onepass.runtime.cpu.vectormath.logarithms import log, log1p, log2, log10, xlogy
from onepass.runtime.cpu.vectormath.powers import power
from onepass.runtime.cpu.vectormath.primitives import sign
from onepass.runtime.cpu.vectormath.sigmoids import log_sigmoid, logaddexp, sigmoid, softplus, tanh
from onepass.runtime.cpu.vectormath.trigonometric import cos, sin

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


def by_name() -> dict[str, tuple[Callable[..., Any], Format]]:
    """exp32, exp64, ...: the functions as kernel text names them."""
    return {
        f"{function.__name__}{kind.width}": (function, kind)
        for kind in (SINGLE, DOUBLE)
        for function in FUNCTIONS
    }
