"""The closed table of operations: the names each answers to, its slopes, its kink.

One row is everything the compiler's front knows of an operation; how it is spelled in a language
is the printers' business. Functions that are made of other operations have no row: they stand in
`_COMPOSED`, written in terms of those that do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F

from onepass.errors import FormulaError
from onepass.formula.expression import (
    CONSTANT,
    PARAMETER,
    Expression,
    answers,
    as_expression,
    constant,
    methods,
)
from onepass.formula.slope import with_slope

Slopes = tuple[Expression | float | None, ...]


@dataclass(frozen=True)
class Operation:
    """What the front knows of one kind of node."""

    name: str
    torch: tuple[Any, ...]  # the functions it answers to
    slopes: Callable[..., Slopes] | None  # (result, *arguments) -> derivative by each; None: none
    kink: Callable[..., tuple[Expression, Expression]] | None = None  # switches where these meet
    truth: bool = False  # true or false instead of a number


def make(name: str, *arguments: Any) -> Expression:
    """The expression of an operation; a truth among numbers counts as 1 or 0."""
    nodes = [as_expression(argument) for argument in arguments]
    truths = _TAKES_TRUTH.get(name, 0)
    for node in nodes[:truths]:
        if not is_truth(node):
            raise FormulaError(
                f"`{name}` asks whether something holds, got the number `{node!r}`. "
                "Write a comparison, such as x != 0."
            )
    return Expression(name, *nodes[:truths], *map(_as_number, nodes[truths:]))


def _as_number(node: Expression) -> Expression:
    return where(node, 1.0, 0.0) if is_truth(node) else node


def is_truth(expression: Expression) -> bool:
    """Whether the expression is true or false rather than a number."""
    row = OPERATIONS.get(expression.operation)
    return row is not None and row.truth


def where(condition: Any, a: Any, b: Any) -> Expression:
    """`a` where the condition holds, `b` elsewhere; of two truths a truth."""
    a, b = as_expression(a), as_expression(b)
    if is_truth(a) and is_truth(b):
        return (condition & a) | (~condition & b)
    return make("where", condition, a, b)


# Subgradients at kinks are torch's: abs and sign 0, maximum and minimum one half each.


def _minimum_slopes(y: Expression, a: Expression, b: Expression) -> Slopes:
    share = where(a < b, 1.0, where(a == b, 0.5, 0.0))
    return share, 1.0 - share


def _maximum_slopes(y: Expression, a: Expression, b: Expression) -> Slopes:
    share = where(a > b, 1.0, where(a == b, 0.5, 0.0))
    return share, 1.0 - share


def _power_slopes(y: Expression, x: Expression, exponent: Expression) -> Slopes:
    by_base = where(exponent == 0.0, 0.0, exponent * make("power", x, exponent - 1.0))
    by_exponent = where((x == 0.0) & (exponent >= 0.0), 0.0, y * make("log", x))
    return by_base, by_exponent


def _xlogy_slopes(y: Expression, x: Expression, z: Expression) -> Slopes:
    return where((x == 0.0) & (z <= 0.0), 0.0, make("log", z)), x / z


def _sigmoid(x: Expression) -> Expression:
    return make("sigmoid", x)


def _pair(a: Expression, b: Expression) -> tuple[Expression, Expression]:
    return a, b


def _at_zero(x: Expression) -> tuple[Expression, Expression]:
    return x, constant(0.0)


def _comparison(name: str, *torch_names: Any) -> Operation:
    return Operation(name, torch_names, lambda y, a, b: (None, None), _pair, truth=True)


def _logic(name: str, *torch_names: Any) -> Operation:
    return Operation(name, torch_names, lambda y, a, b: (None, None), truth=True)


# fmt: off
_ROWS = [
    Operation("add", (), lambda y, a, b: (1.0, 1.0)),
    Operation("sub", (), lambda y, a, b: (1.0, -1.0)),
    Operation("mul", (torch.mul, torch.multiply), lambda y, a, b: (b, a)),
    Operation("div", (), lambda y, a, b: (1.0 / b, -y / b)),
    Operation("neg", (torch.neg, torch.negative), lambda y, x: (-1.0,)),
    Operation("power", (torch.pow,), _power_slopes),
    Operation("abs", (torch.abs, torch.absolute), lambda y, x: (make("sign", x),), _at_zero),
    Operation("sign", (torch.sign, torch.sgn), lambda y, x: (None,), _at_zero),
    Operation("minimum", (torch.minimum,), _minimum_slopes, _pair),
    Operation("maximum", (torch.maximum,), _maximum_slopes, _pair),
    Operation("where", (), lambda y, c, a, b: (None, where(c, 1.0, 0.0), where(c, 0.0, 1.0))),
    Operation("exp", (torch.exp,), lambda y, x: (y,)),
    Operation("log", (torch.log,), lambda y, x: (1.0 / x,)),
    Operation("log1p", (torch.log1p,), lambda y, x: (1.0 / (1.0 + x),)),
    Operation("expm1", (torch.expm1,), lambda y, x: (y + 1.0,)),
    Operation("sqrt", (torch.sqrt,), lambda y, x: (0.5 / y,)),
    Operation("sigmoid", (torch.sigmoid, F.sigmoid), lambda y, x: (y * _sigmoid(-x),)),
    Operation("softplus", (), lambda y, x: (_sigmoid(x),)),
    Operation("log_sigmoid", (F.logsigmoid,), lambda y, x: (_sigmoid(-x),)),
    Operation("logaddexp", (torch.logaddexp,), lambda y, a, b: (_sigmoid(a - b), _sigmoid(b - a))),
    Operation("xlogy", (torch.xlogy,), _xlogy_slopes),
    Operation("tanh", (torch.tanh, F.tanh), lambda y, x: (1.0 - y * y,)),
    Operation("erf", (torch.erf,), lambda y, x: (2 / math.sqrt(math.pi) * make("exp", -(x * x)),)),
    Operation("lgamma", (torch.lgamma,), lambda y, x: (make("digamma", x),)),
    Operation("digamma", (), None),
    Operation("sin", (torch.sin,), lambda y, x: (make("cos", x),)),
    Operation("cos", (torch.cos,), lambda y, x: (-make("sin", x),)),
    Operation("detach", (torch.Tensor.detach,), lambda y, x: (None,)),
    Operation("with_slope", (with_slope,), lambda y, value, x, slope: (1.0, slope, None)),
    _comparison("greater", torch.gt, torch.greater),
    _comparison("greater_equal", torch.ge, torch.greater_equal),
    _comparison("less", torch.lt, torch.less),
    _comparison("less_equal", torch.le, torch.less_equal),
    _comparison("equal", torch.eq),
    _comparison("not_equal", torch.ne, torch.not_equal),
    _logic("logical_and", torch.logical_and, torch.bitwise_and),
    _logic("logical_or", torch.logical_or, torch.bitwise_or),
    Operation("logical_not", (torch.logical_not, torch.bitwise_not), lambda y, a: (None,), truth=True),  # noqa: E501
]
# fmt: on
OPERATIONS: dict[str, Operation] = {row.name: row for row in _ROWS}
_TAKES_TRUTH = {"where": 1, "logical_and": 2, "logical_or": 2, "logical_not": 1}  # how many first


def _add(a: Any, b: Any, *, alpha: float = 1) -> Expression:
    return make("add", a, b if alpha == 1 else alpha * b)


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Expression:
    return make("sub", a, b if alpha == 1 else alpha * b)


def _div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Expression:
    if rounding_mode is not None:
        raise FormulaError("a formula cannot round a quotient: torch.div without rounding_mode.")
    return make("div", a, b)


def _clamp(x: Any, min: Any = None, max: Any = None) -> Expression:
    # The slope at the bound is 1, as torch's; nan passes.
    if min is not None:
        x = where(_or_nan(as_expression(x) < min, min), min, x)
    return x if max is None else where(_or_nan(as_expression(x) > max, max), max, x)


def _or_nan(beyond: Expression, bound: Any) -> Expression:
    """Beyond the bound, or the bound is nan; a constant or a parameter is never nan."""
    fixed = as_expression(bound).operation in (CONSTANT, PARAMETER)
    return beyond if fixed else beyond | make("not_equal", bound, bound)


def _where(condition: Any, input: Any, other: Any) -> Expression:
    return where(condition, input, other)


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Expression:
    # torch switches to the identity above `threshold`; the exact function differs by exp(-20).
    return make("softplus", x) if beta == 1 else make("softplus", beta * x) / beta


def _to_number(x: Expression, *dtype: Any, **options: Any) -> Expression:
    if is_truth(x):
        return where(x, 1.0, 0.0)
    raise FormulaError(
        f"a formula has no dtype of its own, so `{x!r}` cannot be given one: integers are promoted "
        "and half types widened before it. Leave the conversion out."
    )


def _cosh(x: Any) -> Expression:
    half = make("exp", 0.5 * make("abs", x))  # its square overflows only where cosh does
    return 0.5 * half * half + 0.5 / half / half


_COMPOSED: dict[tuple[Any, ...], Callable[..., Expression]] = {
    (torch.add,): _add,
    (torch.sub, torch.subtract): _sub,
    (torch.rsub,): lambda a, b: make("sub", b, a),
    (torch.div, torch.divide, torch.true_divide): _div,
    (torch.clamp, torch.clip): _clamp,
    (torch.clamp_min,): lambda x, min: _clamp(x, min=min),
    (torch.clamp_max,): lambda x, max: _clamp(x, max=max),
    (torch.where,): _where,
    (torch.relu, F.relu): lambda x, inplace=False: where(as_expression(x) <= 0.0, 0.0, x),
    (torch.square,): lambda x: make("mul", x, x),
    (torch.reciprocal,): lambda x: make("div", 1.0, x),
    (torch.rsqrt,): lambda x: make("div", 1.0, make("sqrt", x)),
    (torch.exp2,): lambda x: make("exp", math.log(2) * x),
    (torch.log2,): lambda x: make("log", x) / math.log(2),
    (torch.log10,): lambda x: make("log", x) / math.log(10),
    (torch.cosh,): _cosh,
    (torch.sinh,): lambda x: 0.5 * (make("expm1", x) - make("expm1", -x)),
    (F.softplus,): _softplus,
    (torch.isnan,): lambda x: make("not_equal", x, x),
    (torch.isinf,): lambda x: make("equal", make("abs", x), math.inf),
    (torch.isfinite,): lambda x: make("less", make("abs", x), math.inf),
    (torch.zeros_like,): lambda x, **_: constant(0.0),
    (torch.ones_like,): lambda x, **_: constant(1.0),
    (torch.full_like,): lambda x, fill_value, **_: as_expression(fill_value),
    (torch.Tensor.to, torch.Tensor.type_as, torch.Tensor.float): _to_number,
}


_KEYWORDS = (
    "condition",
    "input",
    "self",
    "other",
    "exponent",
)  # torch's names of operands, in order


def _register(functions: tuple[Any, ...], maker: Callable[..., Expression]) -> None:
    for function in functions:
        name = function.__name__
        answers[function] = _with_keywords(name, maker)
        if hasattr(torch.Tensor, name):
            answers[getattr(torch.Tensor, name)] = methods[name] = answers[function]


def _with_keywords(name: str, maker: Callable[..., Expression]) -> Callable[..., Expression]:
    """Operands may be named as torch names them; what does not fit is the author's error."""

    def call(*operands: Any, **options: Any) -> Expression:
        named = [options.pop(word) for word in _KEYWORDS if word in options]
        try:
            signature(maker).bind(*operands, *named, **options)
        except TypeError as error:
            raise FormulaError(f"`{name}`: {error}.") from None
        return maker(*operands, *named, **options)

    return call


def _maker(name: str, arity: int) -> Callable[..., Expression]:
    def maker(*operands: Any) -> Expression:
        if len(operands) != arity:
            raise FormulaError(
                f"`{name}` takes {arity} operand{'s'[: arity > 1]}, got {len(operands)}."
            )
        return make(name, *operands)

    return maker


for _row in _ROWS:
    _count = 1 if _row.slopes is None else _row.slopes.__code__.co_argcount - 1
    answers[_row.name] = _maker(_row.name, _count)
    _register(_row.torch, answers[_row.name])
for _functions, _composed in _COMPOSED.items():
    _register(_functions, _composed)
# x.where(condition, other) starts with its second operand.
answers[torch.Tensor.where] = methods["where"] = _with_keywords(
    "where", lambda x, condition, other: where(condition, x, other)
)
