"""Reverse sweep over the rows of operations.py: the derivative by every leaf at once.

An upstream that came through one branch of a `where` keeps that condition outermost
(`where(c, g * slope, 0)`, never `where(c, g, 0) * slope`): where the branch was not taken the
derivative is 0, even if the slope there is infinite or nan.
"""

from __future__ import annotations

from collections.abc import Sequence

from onepass.errors import FormulaError
from onepass.formula.expression import Expression, as_expression, constant, in_order, is_number
from onepass.formula.operations import OPERATIONS

_ZERO, _ONE = constant(0.0), constant(1.0)


def differentiate(value: Expression, leaves: Sequence[Expression]) -> list[Expression]:
    """The partial derivatives of `value` by the leaves; 0 where it does not depend on one."""
    upstream: dict[Expression, Expression] = {value: _ONE}
    for node in reversed(in_order(value)):
        row = OPERATIONS.get(node.operation)
        if row is None or node not in upstream:
            continue
        if row.slopes is None:
            raise FormulaError(f"onepass does not know the derivative of `{row.name}`.")
        slopes = row.slopes(node, *node.arguments)
        for argument, slope in zip(node.arguments, slopes, strict=True):
            if slope is not None:
                part = _scaled(upstream[node], as_expression(slope))
                upstream[argument] = _sum(upstream.get(argument, _ZERO), part)
    return [upstream.get(leaf, _ZERO) for leaf in leaves]


def _is_guarded(expression: Expression) -> bool:
    """Whether a literal 0 stands in a branch of this `where`."""
    return expression.operation == "where" and any(
        is_number(branch, 0.0) for branch in expression.arguments[1:]
    )


def _is_sum_of_guarded(expression: Expression) -> bool:
    if expression.operation == "add":
        return any(map(_is_sum_of_guarded, expression.arguments))
    return _is_guarded(expression)


def _scaled(upstream: Expression, slope: Expression) -> Expression:
    """upstream * slope, the conditions outermost."""
    if is_number(upstream, 0.0) or is_number(slope, 0.0):
        return _ZERO
    if is_number(slope, 1.0):
        return upstream
    if is_number(upstream, 1.0):
        return slope
    for guarded, other in ((upstream, slope), (slope, upstream)):
        if _is_guarded(guarded):
            condition, a, b = guarded.arguments
            return _where(condition, _scaled(a, other), _scaled(b, other))
    if upstream.operation == "add" and _is_sum_of_guarded(upstream):
        first, second = upstream.arguments
        return _sum(_scaled(first, slope), _scaled(second, slope))
    return upstream * slope


def _sum(a: Expression, b: Expression) -> Expression:
    """a + b, two halves of one `where` joined."""
    if is_number(a, 0.0):
        return b
    if is_number(b, 0.0):
        return a
    if _is_guarded(a) and _is_guarded(b) and a.arguments[0] is b.arguments[0]:
        return _where(
            a.arguments[0],
            _sum(a.arguments[1], b.arguments[1]),
            _sum(a.arguments[2], b.arguments[2]),
        )
    return a + b


def _where(condition: Expression, a: Expression, b: Expression) -> Expression:
    return a if a is b else Expression("where", condition, a, b)
