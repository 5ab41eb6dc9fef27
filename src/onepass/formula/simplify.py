"""Rewrite rules, one a line, each with its reason. No rule changes a value, nan and inf included,
except that detach and with_slope, which mean something to derivatives only, disappear.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from onepass.formula.expression import (
    CONSTANT,
    Expression,
    constant,
    is_number,
    rebuilt,
)

_FOLDED: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
    "abs": abs,
}
_LARGEST_PRODUCT = 8  # x ** 8 is three or seven products; beyond, the power function is shorter


def simplify(
    roots: Mapping[str, Expression], names: Mapping[Expression, str]
) -> tuple[dict[str, Expression], dict[Expression, str]]:
    """The same results from fewer operations, and the names of what is left of the named ones."""
    new = rebuilt(roots.values(), _rewrite)
    results = {name: new[root] for name, root in roots.items()}
    return results, {new[node]: name for node, name in names.items() if node in new}


def _rewrite(node: Expression) -> Expression:
    if node.operation in _FOLDED and all(a.operation == CONSTANT for a in node.arguments):
        return constant(_FOLDED[node.operation](*(a.leaf for a in node.arguments)))
    rule = _RULES.get(node.operation)
    return node if rule is None else rule(node, *node.arguments)


def _add(node: Expression, a: Expression, b: Expression) -> Expression:
    if is_number(b, -0.0):  # x + -0 is x, even for -0
        return a
    if a is b:  # x + x is 2 x
        return _rewrite(Expression("mul", constant(2.0), a))
    if b.operation == "neg":  # a + -b is a - b
        return _rewrite(Expression("sub", a, *b.arguments))
    if a.operation == "neg":  # -a + b is b - a
        return _rewrite(Expression("sub", b, *a.arguments))
    return node


def _sub(node: Expression, a: Expression, b: Expression) -> Expression:
    if is_number(b, 0.0):  # x - 0 is x, even for -0
        return a
    if b.operation == "neg":  # a - -b is a + b
        return _rewrite(Expression("add", a, *b.arguments))
    return node


def _mul(node: Expression, a: Expression, b: Expression) -> Expression:
    for one, other in ((a, b), (b, a)):
        if is_number(one, 1.0):  # 1 x is x
            return other
        if is_number(one, -1.0):  # -1 x is -x
            return _rewrite(Expression("neg", other))
        if one.operation == "neg" and other.operation == "neg":  # -a -b is a b
            return _rewrite(Expression("mul", *one.arguments, *other.arguments))
    if b.operation == CONSTANT:  # constants stand in front, where they meet
        return _rewrite(Expression("mul", b, a))
    if a.operation == CONSTANT and b.operation == "mul":
        inner = b.arguments[0]
        if inner.operation == CONSTANT and _is_power_of_two(a, inner):  # 2 (0.5 x) is x
            return _rewrite(
                Expression("mul", _rewrite(Expression("mul", a, inner)), b.arguments[1])
            )
    return node


def _div(node: Expression, a: Expression, b: Expression) -> Expression:
    if is_number(b, 1.0):  # x / 1 is x
        return a
    if b.operation == CONSTANT and _is_power_of_two(b):  # x / 4 is 0.25 x, exactly
        return _rewrite(Expression("mul", constant(1 / float(b.leaf or 0)), a))
    if a.operation == CONSTANT and a.leaf == -1.0:
        return Expression("neg", Expression("div", constant(1.0), b))
    return node


def _neg(node: Expression, x: Expression) -> Expression:
    if x.operation == "neg":  # - -x is x
        return x.arguments[0]
    if x.operation == "log_sigmoid":  # -log_sigmoid(x) is softplus(-x), one spelling for both
        return Expression("softplus", _rewrite(Expression("neg", *x.arguments)))
    if x.operation == "mul" and x.arguments[0].operation in (CONSTANT, "neg"):  # -(2 x) is -2 x
        return _rewrite(
            Expression("mul", _rewrite(Expression("neg", x.arguments[0])), x.arguments[1])
        )
    return node


def _where(node: Expression, condition: Expression, a: Expression, b: Expression) -> Expression:
    if a is b:  # either way the same
        return a
    if condition.operation == "logical_not":  # where(not c, a, b) is where(c, b, a)
        return _rewrite(Expression("where", *condition.arguments, b, a))
    if _is_where(a, condition):  # where(c, where(c, x, y), b) is where(c, x, b)
        return _rewrite(Expression("where", condition, a.arguments[1], b))
    if _is_where(b, condition):  # where(c, a, where(c, x, y)) is where(c, a, y)
        return _rewrite(Expression("where", condition, a, b.arguments[2]))
    return node


def _is_where(node: Expression, condition: Expression) -> bool:
    return node.operation == "where" and node.arguments[0] is condition


def _power(node: Expression, x: Expression, exponent: Expression) -> Expression:
    if exponent.operation != CONSTANT or not isinstance(exponent.leaf, float):
        return node
    if exponent.leaf == 0.5:  # a root is one instruction
        return Expression("sqrt", x)
    if exponent.leaf.is_integer() and abs(exponent.leaf) <= _LARGEST_PRODUCT:
        product = _product(x, int(abs(exponent.leaf)))  # literal powers become products
        return product if exponent.leaf >= 0 else Expression("div", constant(1.0), product)
    return node


def _product(x: Expression, count: int) -> Expression:
    if count == 0:
        return constant(1.0)
    if count == 1:
        return x
    half = _product(x, count // 2)
    square = Expression("mul", half, half)
    return Expression("mul", square, x) if count % 2 else square


def _is_power_of_two(*constants: Expression) -> bool:
    leaves = [abs(float(c.leaf or 0)) for c in constants]
    return all(2**-60 <= leaf <= 2**60 and math.frexp(leaf)[0] == 0.5 for leaf in leaves)


_RULES: dict[str, Callable[..., Expression]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "where": _where,
    "power": _power,
    "log_sigmoid": lambda node, x: Expression(
        "neg", Expression("softplus", _rewrite(Expression("neg", x)))
    ),
    "detach": lambda node, x: x,
    "with_slope": lambda node, value, x, slope: value,
}
