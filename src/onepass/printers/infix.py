"""Expressions as the text a person writes; other printers do the same with tables of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from onepass.formula.expression import CONSTANT, LEAVES, Expression

# How tightly a spelling binds: an operand that binds less stands in parentheses.
OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(8)

Spelling = tuple[str, int]

INFIX: dict[str, Spelling] = {
    "logical_or": ("{} or {}", OR),
    "logical_and": ("{} and {}", AND),
    "logical_not": ("not {}", NOT),
    "greater": ("{} > {}", COMPARISON),
    "greater_equal": ("{} >= {}", COMPARISON),
    "less": ("{} < {}", COMPARISON),
    "less_equal": ("{} <= {}", COMPARISON),
    "equal": ("{} == {}", COMPARISON),
    "not_equal": ("{} != {}", COMPARISON),
    "add": ("{} + {}", SUM),
    "sub": ("{} - {}", SUM),
    "mul": ("{} * {}", PRODUCT),
    "div": ("{} / {}", PRODUCT),
    "neg": ("-{}", SIGN),
}


def number(value: float) -> str:
    """A constant, whole numbers without their `.0`."""
    whole = value.is_integer() and abs(value) < 1e15 and str(value) != "-0.0"
    return str(int(value)) if whole else repr(value)


def spelled(
    expression: Expression,
    spellings: Mapping[str, Spelling],
    names: Mapping[Expression, str] | None = None,
    number: Callable[[float], str] = number,
) -> str:
    """One expression as text; an expression with a name appears as its name."""
    return _spelled(expression, spellings, names or {}, number, top=True)[0]


def _spelled(
    node: Expression,
    spellings: Mapping[str, Spelling],
    names: Mapping[Expression, str],
    number: Callable[[float], str],
    top: bool = False,
) -> Spelling:
    if node in names and not top:
        return names[node], ATOM
    if node.operation == CONSTANT:
        text = number(cast(float, node.leaf))
        return text, SIGN if text.startswith("-") else ATOM
    if node.operation in LEAVES:
        return str(node.leaf), ATOM
    places = ", ".join("{}" for _ in node.arguments)
    template, binding = spellings.get(node.operation, (f"{node.operation}({places})", ATOM))
    operands = []
    for position, argument in enumerate(node.arguments):
        text, tightness = _spelled(argument, spellings, names, number)
        # Floating point is not associative: a right operand as loose as this one keeps its own.
        loose = tightness < binding or (tightness == binding and (position > 0 or binding == SIGN))
        operands.append(f"({text})" if loose and binding != ATOM else text)
    return template.format(*operands), binding
