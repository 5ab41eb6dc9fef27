"""The node of an expression graph: an operation and its arguments, interned.

Structurally equal expressions are the same object, so a common subexpression is found by
identity. Arithmetic on expressions builds expressions; asking one for its truth raises, because
a formula that branches would silently keep only one of its branches.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from onepass.errors import FormulaError

# Leaves are operations too; everything else has a row in operations.py.
TENSOR, PARAMETER, CONSTANT = "tensor", "parameter", "constant"
LEAVES = (TENSOR, PARAMETER, CONSTANT)

# What a formula may call, filled from the rows of operations.py: torch's functions (and the
# names of Python's operators) to the maker of the expression, and the names of tensor methods.
answers: dict[Any, Callable[..., Expression]] = {}
methods: dict[str, Callable[..., Expression]] = {}

_interned: WeakValueDictionary[tuple[Any, ...], Expression] = WeakValueDictionary()


def _operator(name: str) -> Callable[..., Expression]:
    def method(left: Expression, *right: Any) -> Expression:
        return answers[name](left, *right)  # looked up late: the rows come after this class

    return method


def _reflected(name: str) -> Callable[..., Expression]:
    return lambda right, left: answers[name](left, right)


def _in_place(symbol: str) -> Callable[..., Expression]:
    def refuse(self: Expression, other: Any) -> NoReturn:
        raise FormulaError(
            f"a formula must not change its arguments in place: write `x = x {symbol} y`, "
            f"not `x {symbol}= y`."
        )

    return refuse


def _unknown(symbol: str) -> Callable[..., Expression]:
    def refuse(self: Expression, other: Any) -> NoReturn:
        raise FormulaError(_cannot_use(symbol))

    return refuse


def _cannot_use(name: str) -> str:
    if name.endswith("_") and name[:-1] in methods:
        return (
            f"a formula must not change its arguments in place: write x = x.{name[:-1]}(...), "
            f"not x.{name}(...)."
        )
    longer = [known for known in sorted(methods) if known.startswith(name)]  # max, maximum
    close = longer or difflib.get_close_matches(name, methods, 1, 0.75)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return (
        f"a pointwise formula cannot use `{name}`: it sees one element at a time, and onepass "
        f"knows {', '.join(sorted(methods))}, and the arithmetic and comparisons of Python.{hint} "
        "Where a whole row decides, write a function of torch's operations, without @pointwise."
    )


class Expression:
    """One node: `operation` applied to `arguments`; a leaf carries a name or a number instead."""

    __slots__ = ("__weakref__", "arguments", "leaf", "operation")

    operation: str
    arguments: tuple[Expression, ...]
    leaf: str | float | None

    def __new__(
        cls, operation: str, *arguments: Expression, leaf: str | float | None = None
    ) -> Expression:
        # repr tells 0.0 from -0.0 and makes nan equal to itself.
        key = (operation, repr(leaf), *map(id, arguments))
        node = _interned.get(key)
        if node is None:
            node = super().__new__(cls)
            node.operation, node.arguments, node.leaf = operation, arguments, leaf
            _interned[key] = node
        return node

    __add__, __radd__ = _operator("add"), _reflected("add")
    __sub__, __rsub__ = _operator("sub"), _reflected("sub")
    __mul__, __rmul__ = _operator("mul"), _reflected("mul")
    __truediv__, __rtruediv__ = _operator("div"), _reflected("div")
    __pow__, __rpow__ = _operator("power"), _reflected("power")
    __and__, __rand__ = _operator("logical_and"), _reflected("logical_and")
    __or__, __ror__ = _operator("logical_or"), _reflected("logical_or")
    __gt__, __lt__ = _operator("greater"), _operator("less")
    __ge__, __le__ = _operator("greater_equal"), _operator("less_equal")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")  # type: ignore[assignment]
    __matmul__ = __rmatmul__ = __imatmul__ = _unknown("@")
    __mod__ = __rmod__ = __imod__ = _unknown("%")
    __floordiv__ = __rfloordiv__ = __ifloordiv__ = _unknown("//")
    __xor__ = __rxor__ = __ixor__ = _unknown("^")
    __divmod__ = __rdivmod__ = _unknown("divmod")
    __lshift__ = __rshift__ = _unknown("shifts of bits")
    __neg__, __abs__, __invert__ = _operator("neg"), _operator("abs"), _operator("logical_not")
    __iadd__, __isub__ = _in_place("+"), _in_place("-")
    __imul__, __itruediv__ = _in_place("*"), _in_place("/")
    __ipow__, __iand__, __ior__ = _in_place("**"), _in_place("&"), _in_place("|")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Expression:
        make = answers.get(function)
        if make is None:
            raise FormulaError(_cannot_use(getattr(function, "__name__", str(function))))
        return make(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in methods:
            raise FormulaError(_cannot_use(name))
        return lambda *args, **kwargs: methods[name](self, *args, **kwargs)

    def __repr__(self) -> str:
        if self.operation in LEAVES:
            return str(self.leaf)
        return f"{self.operation}({', '.join(map(repr, self.arguments))})"

    def __pos__(self) -> Expression:
        return self

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        raise FormulaError(
            f"a formula cannot branch on `{self!r}`: its truth differs from element to element. "
            "Write torch.where(condition, a, b), and `&`, `|`, `~` for and, or, not; "
            "for a bool keyword (a flag), `if` is fine."
        )

    def __float__(self, *digits: int) -> float:
        raise FormulaError(
            f"a formula cannot turn `{self!r}` into a Python number: it differs from element to "
            "element. Use torch's functions (torch.sqrt, not math.sqrt)."
        )

    __int__ = __index__ = __round__ = __trunc__ = __float__

    def __len__(self) -> int:
        raise FormulaError(f"a formula sees one element at a time: `{self!r}` has no length.")

    def __iter__(self) -> Iterator[Expression]:
        raise FormulaError(f"a formula sees one element at a time: `{self!r}` has nothing inside.")

    def __getitem__(self, index: object) -> Expression:
        raise FormulaError(
            f"a formula sees one element at a time: `{self!r}[...]` has no meaning in it. "
            "Where a whole row decides, write a function of torch's operations, without @pointwise."
        )

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise FormulaError(
            f"a formula must not change its arguments in place: `{self!r}[...] = ...`. "
            "Write torch.where(condition, a, b)."
        )


def constant(number: float) -> Expression:
    """The leaf that holds a number."""
    return Expression(CONSTANT, leaf=float(number))


def as_expression(thing: Any) -> Expression:
    """An expression as it is, a number as a constant; anything else is refused."""
    if isinstance(thing, Expression):
        return thing
    if isinstance(thing, bool):
        return Expression("equal", constant(thing), constant(1.0))  # a truth
    if isinstance(thing, int | float):
        return constant(thing)
    raise FormulaError(
        f"a formula may combine its arguments with numbers, got {type(thing).__name__}: {thing!r}."
    )


def is_number(expression: Expression, number: float) -> bool:
    """Whether the expression is this constant (0.0 and -0.0 are told apart)."""
    if expression.operation != CONSTANT or not isinstance(expression.leaf, float):
        return False
    return expression.leaf == number and math.copysign(1, number) == math.copysign(
        1, expression.leaf
    )


def in_order(*roots: Expression) -> list[Expression]:
    """Every expression below the roots, arguments first, each once."""
    order: dict[Expression, None] = {}
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, arguments_done = stack.pop()
        if node in order:
            continue
        if arguments_done:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((argument, False) for argument in reversed(node.arguments))
    return list(order)


def rebuilt(
    roots: Iterable[Expression], rewrite: Callable[[Expression], Expression]
) -> dict[Expression, Expression]:
    """What each expression below the roots becomes when `rewrite` goes over all, leaves first."""
    new: dict[Expression, Expression] = {}
    for node in in_order(*roots):
        arguments = (new[argument] for argument in node.arguments)
        new[node] = rewrite(Expression(node.operation, *arguments, leaf=node.leaf))
    return new
