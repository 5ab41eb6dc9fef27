"""Formulas as the text a person writes; other printers spell with tables of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from onepass.errors import FormulaError
from onepass.formula.expression import CONSTANT, LEAVES, Expression, in_order
from onepass.formula.program import program

# How tightly a spelling binds: an operand that binds less stands in parentheses.
OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(8)

Spelling = tuple[str, int]

OPERATORS: dict[str, Spelling] = {
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
_CALLS = {  # by the number of their arguments
    1: ("abs", "cos", "digamma", "erf", "exp", "expm1", "lgamma", "log", "log1p", "log_sigmoid",
        "sigmoid", "sign", "sin", "softplus", "sqrt", "tanh"),
    2: ("logaddexp", "maximum", "minimum", "power", "xlogy"),
    3: ("where",),
}  # fmt: skip
INFIX = OPERATORS | {
    name: (f"{name}({', '.join(['{}'] * count)})", ATOM)
    for count, names in _CALLS.items()
    for name in names
}


def number(value: float) -> str:
    """A constant, whole numbers without their `.0`."""
    whole = value.is_integer() and abs(value) < 1e15 and str(value) != "-0.0"
    return str(int(value)) if whole else repr(value)


def text(results: Mapping[str, Expression], names: Mapping[Expression, str]) -> str:
    """A line for each expression that the author named and is used, then one for each result."""
    leaves = {
        node: str(node.leaf)
        for node in in_order(*results.values())
        if node.operation in LEAVES and node.operation != CONSTANT
    }
    steps = program(results, names, leaves, taken=INFIX)
    lines = [f"{name} = {spelled(node, INFIX, steps.names)}" for name, node in steps.assignments]
    for name, result in steps.results.items():
        lines.append(f"{name}: {steps.names.get(result) or spelled(result, INFIX, steps.names)}")
    return "\n".join(lines)


def spelled(
    expression: Expression,
    spellings: Mapping[str, Spelling],
    names: Mapping[Expression, str] | None = None,
    number: Callable[[float], str] = number,
) -> str:
    """One expression as text; an expression with a name appears as its name.

    Raises FormulaError for an operation that the language does not spell.
    """
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
    if node.operation not in spellings:
        raise FormulaError(f"`{node.operation}` has no spelling in this language: {node!r}.")
    template, binding = spellings[node.operation]
    operands = []
    for position, argument in enumerate(node.arguments):
        text, tightness = _spelled(argument, spellings, names, number)
        # Floating point is not associative: a right operand as loose as this one keeps its own.
        loose = tightness < binding or (tightness == binding and (position > 0 or binding == SIGN))
        operands.append(f"({text})" if loose and binding != ATOM else text)
    return template.format(*operands), binding
