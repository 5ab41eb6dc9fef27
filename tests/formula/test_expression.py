"""Nodes: interned, built by arithmetic, walked arguments first, refusing what a number could do."""

import gc
import math

import pytest
import torch

from onepass.errors import FormulaError
from onepass.formula import expression
from onepass.formula.expression import Expression, as_expression, constant, in_order, is_number
from onepass.formula.operations import is_truth
from onepass.formula.trace import parameter, tensor

x, y = tensor("x"), tensor("y")


def test_equal_expressions_are_the_same_object():
    assert tensor("x") is x
    assert (x - y) * 2.0 is (x - y) * 2
    assert torch.exp(x) is x.exp()


@pytest.mark.parametrize(
    "one, other",
    [
        (x - y, y - x),
        (tensor("x"), parameter("x")),
        (constant(0.0), constant(-0.0)),
        (constant(1.0), constant(2.0)),
        (x < y, x <= y),
    ],
)
def test_different_expressions_are_different_objects(one, other):
    assert one is not other


def test_nan_is_one_constant():
    assert constant(math.nan) is constant(-math.inf + math.inf)


@pytest.mark.slow
def test_expressions_that_nobody_holds_are_forgotten():
    gc.collect()
    before = len(expression._interned)
    held = torch.exp(tensor("forgotten")) * 3.25
    assert len(expression._interned) > before
    del held
    gc.collect()
    assert len(expression._interned) == before


def test_arguments_come_first_and_each_once():
    root = (x - y) * torch.exp(x - y)
    order = in_order(root, x - y)
    assert len(order) == len(set(order)) == 5
    for place, node in enumerate(order):
        assert set(node.arguments) <= set(order[:place])


def test_long_chains_need_no_recursion():
    node = x
    for _ in range(20_000):
        node = node + y
    assert len(in_order(node)) == 20_002


def test_arithmetic_reads_from_left_to_right():
    assert repr(1 - x) == "sub(1.0, x)"
    assert repr(2 / x) == "div(2.0, x)"
    assert repr(2**x) == "power(2.0, x)"
    assert repr(1 < x) == "greater(x, 1.0)"  # noqa: SIM300
    assert repr(1 >= x) == "less_equal(x, 1.0)"  # noqa: SIM300
    assert repr(-x + abs(y)) == "add(neg(x), abs(y))"
    assert repr(~(x == y) | (x != y) & (x > y)) == (
        "logical_or(logical_not(equal(x, y)), logical_and(not_equal(x, y), greater(x, y)))"
    )


@pytest.mark.parametrize("number", [0, 2, 0.5, math.inf, -0.0])
def test_numbers_become_constants(number):
    node = as_expression(number)
    assert node.operation == "constant"
    assert is_number(node, float(number))


@pytest.mark.parametrize("flag", [False, True])
def test_flags_become_truths(flag):
    node = as_expression(flag)
    assert is_truth(node)
    assert node is as_expression(flag)
    assert node is (constant(flag) == 1.0)


def test_zeros_are_told_apart():
    assert is_number(constant(-0.0), -0.0)
    assert not is_number(constant(-0.0), 0.0)
    assert not is_number(x, 0.0)


# fmt: off
BRANCH = [
    "a formula cannot branch on `{}`: its truth differs from element to element.",
    "Write torch.where(condition, a, b), and `&`, `|`, `~` for and, or, not;",
    "for a bool keyword (a flag), `if` is fine.",
]
NUMBER = [
    "a formula cannot turn `x` into a Python number: it differs from element to element.",
    "Use torch's functions (torch.sqrt, not math.sqrt).",
]
LENGTH = ["a formula sees one element at a time: `x` has no length."]
INSIDE = ["a formula sees one element at a time: `x` has nothing inside."]
ITEM = [
    "a formula sees one element at a time: `x[...]` has no meaning in it.",
    "Where a whole row decides, write a function of torch's operations, without @pointwise.",
]
ASSIGNED = [
    "a formula must not change its arguments in place: `x[...] = ...`.",
    "Write torch.where(condition, a, b).",
]
REFUSED = {
    "bool": (lambda: bool(x > y), [BRANCH[0].format("greater(x, y)"), *BRANCH[1:]]),
    "and": (lambda: x and y, [BRANCH[0].format("x"), *BRANCH[1:]]),
    "not": (lambda: not x, [BRANCH[0].format("x"), *BRANCH[1:]]),
    "max": (lambda: max(x, y), [BRANCH[0].format("greater(y, x)"), *BRANCH[1:]]),
    "chained": (lambda: 0 < x < 1, [BRANCH[0].format("greater(x, 0.0)"), *BRANCH[1:]]),
    "float": (lambda: float(x), NUMBER),
    "int": (lambda: int(x), NUMBER),
    "math.exp": (lambda: math.exp(x), NUMBER),
    "range": (lambda: range(x), NUMBER),
    "round": (lambda: round(x), NUMBER),
    "floor": (lambda: math.floor(x), NUMBER),
    "len": (lambda: len(x), LENGTH),
    "for": (lambda: [each for each in x], INSIDE),  # noqa: C416
    "in": (lambda: y in x, INSIDE),
    "unpacked": (lambda: [*x], INSIDE),
    "item": (lambda: x[0], ITEM),
    "mask": (lambda: x[x > 0], ITEM),
    "assigned": (lambda: x.__setitem__(0, 1.0), ASSIGNED),
    "list": (
        lambda: x * [1.0],
        ["a formula may combine its arguments with numbers, got list: [1.0]."],
    ),
    "text": (
        lambda: x * "a",
        ["a formula may combine its arguments with numbers, got str: 'a'."],
    ),
    "tensor": (
        lambda: x - torch.ones(2),
        ["a formula may combine its arguments with numbers, got Tensor: tensor([1., 1.])."],
    ),
    "complex": (
        lambda: x * 1j,
        ["a formula may combine its arguments with numbers, got complex: 1j."],
    ),
}
# fmt: on


@pytest.mark.parametrize("given, lines", REFUSED.values(), ids=REFUSED)
def test_what_only_a_number_could_do_is_refused(given, lines):
    with pytest.raises(FormulaError) as caught:
        given()
    assert str(caught.value) == " ".join(lines)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "&", "|"])
def test_in_place_arithmetic_is_refused(symbol):
    with pytest.raises(FormulaError) as caught:
        exec(f"x {symbol}= y", {"x": x, "y": y})
    assert str(caught.value) == (
        "a formula must not change its arguments in place: "
        f"write `x = x {symbol} y`, not `x {symbol}= y`."
    )


def cannot_use(name, meant=None):
    hint = f" Did you mean `{meant}`?" if meant else ""
    return (
        f"a pointwise formula cannot use `{name}`: it sees one element at a time, and onepass "
        f"knows {', '.join(sorted(expression.methods))}, and the arithmetic and comparisons of "
        f"Python.{hint} Where a whole row decides, write a function of torch's operations, "
        "without @pointwise."
    )


def refused(given):
    with pytest.raises(FormulaError) as caught:
        given()
    return str(caught.value)


OPERATORS = {
    "@": [lambda: x @ y, lambda: 2 @ x],
    "%": [lambda: x % 2, lambda: 7 % x],
    "//": [lambda: x // y, lambda: 7 // x],
    "^": [lambda: (x > 0) ^ (y > 0), lambda: True ^ (x > 0)],
}


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_that_onepass_does_not_know_are_refused(symbol):
    for given in OPERATORS[symbol]:
        assert refused(given) == cannot_use(symbol)
    assert refused(lambda: exec(f"x {symbol}= y", {"x": x, "y": y})) == cannot_use(symbol)


METHODS = {
    "T": None, "softmax": None, "shape": None, "sum": None, "sigmoidd": "sigmoid",
    "digamma": "lgamma", "erfc": "erf", "max": "maximum", "tan": "tanh", "power": "pow",
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_onepass_does_not_know_are_refused(name):
    assert refused(lambda: getattr(x, name)) == cannot_use(name, METHODS[name])


FUNCTIONS = {
    "softmax": (lambda: torch.softmax(x, 0), None),
    "huber_loss": (lambda: torch.nn.functional.huber_loss(x, y), None),
    "sum": (lambda: torch.sum(x), None),
    "matmul": (lambda: torch.matmul(x, y), None),
    "max": (lambda: torch.max(x, y), "maximum"),
    "gelu": (lambda: torch.nn.functional.gelu(x), "relu"),
    "digamma": (lambda: torch.digamma(x), "lgamma"),
    "erfc": (lambda: torch.erfc(x), "erf"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_onepass_does_not_know_are_refused(name):
    given, meant = FUNCTIONS[name]
    assert refused(given) == cannot_use(name, meant)


def test_lists_of_expressions_are_refused():
    assert refused(lambda: torch.stack([x, y])).startswith("a pointwise formula cannot use `stack`")


IN_PLACE = {
    "add": lambda: x.add_(1),
    "clamp": lambda: x.clamp_(0),
    "exp": lambda: torch.exp_(x),
    "relu": lambda: torch.relu_(x),
    "mul": lambda: torch.Tensor.mul_(torch.ones(2), x),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_methods_in_place_are_refused_with_what_to_write(name):
    assert refused(IN_PLACE[name]) == (
        "a formula must not change its arguments in place: "
        f"write x = x.{name}(...), not x.{name}_(...)."
    )


def test_methods_in_place_of_what_onepass_does_not_know_are_refused():
    assert refused(lambda: x.cumsum_(0)).startswith("a pointwise formula cannot use `cumsum_`")


def test_python_may_look_for_methods_of_its_own():
    assert not hasattr(x, "__array__")
    assert isinstance(x, Expression)
    assert len({x, y, tensor("x")}) == 2
