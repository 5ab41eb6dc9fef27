"""Every function, method and operator that a formula may use: torch's value and torch's slope."""

import inspect
import itertools
import math
import operator

import pytest
import torch
import torch.nn.functional as F

import onepass
from onepass.errors import FormulaError
from onepass.formula.expression import LEAVES, Expression, answers, in_order, methods
from onepass.formula.operations import OPERATIONS, is_truth
from onepass.formula.trace import tensor
from onepass.printers import cpu

INF, NAN = math.inf, math.nan
GRID = (-1e3, -30.0, -2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0, 30.0, 1e3)

# How a function is called of two numbers, where not f(x) or f(x, y).
CALLS = {
    torch.where: lambda f, x, y: f(x > y, x, y),
    torch.clamp: lambda f, x, y: f(x, -0.5, 2.0) * f(y, 2.0, 1.0),
    torch.clip: lambda f, x, y: f(x, max=0.3) + f(y, min=-0.5),
    torch.clamp_min: lambda f, x, y: f(x, 1.0) * y,
    torch.clamp_max: lambda f, x, y: f(x, 0.3) * y,
    torch.add: lambda f, x, y: f(x, y, alpha=2.5),
    torch.sub: lambda f, x, y: f(x, y, alpha=2.5),
    torch.full_like: lambda f, x, y: f(x, 2.5) * y,
    torch.zeros_like: lambda f, x, y: f(x) + y,
    torch.ones_like: lambda f, x, y: f(x) + y,
    torch.Tensor.detach: lambda f, x, y: x.detach() * y,
    torch.Tensor.to: lambda f, x, y: (x > y).to(torch.float64) * x,
    torch.Tensor.type_as: lambda f, x, y: (x > y).type_as(x) * y,
    torch.Tensor.float: lambda f, x, y: (x > y).float() * x,
    torch.logical_and: lambda f, x, y: f(x > 0.3, y > 0.3),
    torch.logical_or: lambda f, x, y: f(x > 0.3, y > 0.3),
    torch.bitwise_and: lambda f, x, y: f(x > 0.3, y > 0.3),
    torch.bitwise_or: lambda f, x, y: f(x > 0.3, y > 0.3),
    torch.logical_not: lambda f, x, y: f(x > y),
    torch.bitwise_not: lambda f, x, y: f(x > y),
    F.relu: lambda f, x, y: f(x) * f(y, inplace=False),
    F.softplus: lambda f, x, y: f(x) + f(y, 2.0, 30.0),
    onepass.with_slope: lambda f, x, y: f(x * y, x, y * y),
}
OF_ONE = {torch.Tensor.detach, torch.Tensor.to, torch.Tensor.type_as, torch.Tensor.float}
FUNCTIONS = [
    function
    for function in answers
    if callable(function) and (function in OF_ONE or not inspect.ismethoddescriptor(function))
]
OPERATORS = {
    "x + y": operator.add, "x - y": operator.sub, "x * y": operator.mul, "x / y": operator.truediv,
    "x ** y": operator.pow, "-x": lambda x, y: -x, "abs(x)": lambda x, y: abs(x),
    "2 + x": lambda x, y: 2 + x, "2 - x": lambda x, y: 2 - x, "2 * x": lambda x, y: 2 * x,
    "2 / x": lambda x, y: 2 / x, "2 ** x": lambda x, y: 2**x, "x ** 2": lambda x, y: x**2,
    "x ** 3": lambda x, y: x**3, "x ** -2": lambda x, y: x**-2, "x ** 0": lambda x, y: x**0 + y,
    "x ** 0.5": lambda x, y: x**0.5, "x ** 1.5": lambda x, y: x**1.5, "x ** 9": lambda x, y: x**9,
    "x > y": operator.gt, "x >= y": operator.ge, "x < y": operator.lt, "x <= y": operator.le,
    "x == y": operator.eq, "x != y": operator.ne, "1 < x": lambda x, y: 1 < x,  # noqa: SIM300
    "&": lambda x, y: (x > 0) & (y > 0), "|": lambda x, y: (x > 0) | (y > 0),
    "~": lambda x, y: ~(x > y), "truth * x": lambda x, y: (x > y) * x,
    "1 - truth": lambda x, y: (1 - (x > y).float()) * y,
    "chosen truth": lambda x, y: torch.where(torch.where(x > y, x > 0, y > 0), x, y),
    "truth or True": lambda x, y: torch.where((x > 0) & True | (y > 0) & False, x, y),
    "True and truth": lambda x, y: torch.where(True & (x > 0), x * y, y),
    "chosen True": lambda x, y: torch.where(torch.where(x > 0, y > 0, True), x, y),
    "x.where(c, y)": lambda x, y: x.where(x > y, y),
    "x.where(c, 0)": lambda x, y: x.where(y > 0, 0),
    "keywords of where": lambda x, y: torch.where(condition=x > y, input=x, other=y),
}  # fmt: skip


def title(function):
    module = getattr(function, "__module__", None) or "torch"
    return f"{module}.{function.__name__}".removeprefix("torch.")


def arity(function):
    try:
        function(torch.ones(2))
    except TypeError:
        return 2
    return 1


def called(function):
    """What the function makes of two numbers."""
    if function in CALLS:
        return lambda x, y: CALLS[function](function, x, y)
    return (lambda x, y: function(x)) if arity(function) == 1 else function


def loss_of(call):
    """A loss that is this one call; a truth counts as 1 or 0."""

    @onepass.pointwise
    def loss(input, target):
        made = call(input, target)
        truth = is_truth(made) if isinstance(made, Expression) else made.dtype is torch.bool
        return torch.where(made, 1.0, 0.0) if truth else made

    return loss


def pairs(values):
    """Each value beside each."""
    return torch.tensor(list(itertools.product(values, values)), dtype=torch.float64).T.contiguous()


def differentiated(loss, engine, values):
    x, y = pairs(values)
    x.requires_grad_()
    y.requires_grad_()
    with onepass.engine(engine):
        value = loss(x, y, reduction="none")
        total = value.sum() + 0 * (x.nan_to_num(0, 0, 0) + y.nan_to_num(0, 0, 0)).sum()
        slopes = torch.autograd.grad(total, (x, y), materialize_grads=True)
    return value.detach().double(), slopes


CALLED = [pytest.param(called(f), id=title(f)) for f in FUNCTIONS] + [
    pytest.param(call, id=name) for name, call in OPERATORS.items()
]


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLED)
def test_value_and_slope_are_torchs(call):
    loss = loss_of(call)
    value, slopes = differentiated(loss, "cpu", GRID)
    expected, torchs = differentiated(loss, "eager", GRID)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12, equal_nan=True)
    for slope, wanted in zip(slopes, torchs, strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-10, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("call", CALLED)
def test_value_is_torchs_where_nothing_is_finite(call):
    loss, values = loss_of(call), (-INF, -2.0, -0.0, 0.0, 1.0, INF, NAN)
    x, y = pairs(values)
    with onepass.engine("cpu"):
        value = loss(x, y, reduction="none")
    with onepass.engine("eager"):
        expected = loss(x, y, reduction="none")
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


BOUNDED = {
    "clamp(x, min=y)": lambda x, y: torch.clamp(x, min=y),
    "clamp(x, max=y)": lambda x, y: torch.clamp(x, max=y),
    "clamp(x, y - 1, y)": lambda x, y: x.clamp(y - 1, y),
    "clamp_min, clamp_max": lambda x, y: torch.clamp_min(x, y) * torch.clamp_max(x, y),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_may_be_tensors(name):
    loss = loss_of(BOUNDED[name])
    value, slopes = differentiated(loss, "cpu", GRID)
    expected, torchs = differentiated(loss, "eager", GRID)
    torch.testing.assert_close((value, *slopes), (expected, *torchs), rtol=1e-12, atol=1e-12)


def test_every_function_that_torch_has_as_a_method_is_one():
    x, y = tensor("x"), tensor("y")
    named = {f.__name__: f for f in reversed(FUNCTIONS) if f not in OF_ONE and f in answers}
    checked = 0
    for name in sorted(methods.keys() & named.keys() - {"where"}):
        call = CALLS.get(named[name])
        if call:
            spelled = call(lambda self, *a, name=name, **k: getattr(self, name)(*a, **k), x, y)
        else:
            spelled = getattr(x, name)(*([y] if arity(named[name]) == 2 else []))
        assert spelled is called(named[name])(x, y), name
        checked += 1
    assert checked > 50


def test_every_operation_is_reached_by_a_function_that_is_tested():
    x, y = tensor("x"), tensor("y")
    calls = [*map(called, FUNCTIONS), *OPERATORS.values()]
    reached = {node.operation for call in calls for node in in_order(call(x, y))}
    assert OPERATIONS.keys() - reached == {"digamma"}
    assert reached - OPERATIONS.keys() == {*LEAVES} - {"parameter"}


def test_every_operation_is_spelled():
    unspelled = OPERATIONS.keys() - cpu._spellings("float32").keys()
    assert unspelled == {"detach", "with_slope"}


def test_quotients_are_not_rounded():
    with pytest.raises(FormulaError) as caught:
        loss_of(lambda x, y: torch.div(x, y, rounding_mode="floor"))
    assert str(caught.value) == (
        "a formula cannot round a quotient: torch.div without rounding_mode."
    )


MISCOUNTED = {
    "`exp` takes 1 operand, got 2.": lambda x, y: x.exp(y),
    "`exp`: got an unexpected keyword argument 'out'.": lambda x, y: torch.exp(x, out=None),
    "`maximum` takes 2 operands, got 1.": lambda x, y: x.maximum(),
    "`maximum`: got an unexpected keyword argument 'axis'.": lambda x, y: x.maximum(axis=1),
}


@pytest.mark.parametrize("line", MISCOUNTED)
def test_operands_are_counted(line):
    with pytest.raises(FormulaError) as caught:
        loss_of(MISCOUNTED[line])
    assert str(caught.value) == line


X, Y = tensor("x"), tensor("y")
SPELLED = {
    "input": (lambda: torch.abs(input=X), abs(X)),
    "other": (lambda: X.maximum(other=Y), torch.maximum(X, Y)),
    "input, other": (lambda: torch.maximum(input=X, other=Y), torch.maximum(X, Y)),
    "other, input": (lambda: torch.maximum(other=Y, input=X), torch.maximum(X, Y)),
    "exponent": (lambda: X.pow(exponent=Y), X**Y),
    "input, exponent": (lambda: torch.pow(input=X, exponent=3), X**3),
    "self, exponent": (lambda: torch.pow(self=2.0, exponent=X), 2**X),
    "self, other": (lambda: torch.xlogy(self=2.0, other=X), torch.xlogy(2.0, X)),
    "a number first": (lambda: torch.mul(X, other=2), X * 2),
    "function of F": (lambda: F.logsigmoid(input=X), F.logsigmoid(X)),
    "inplace": (lambda: F.relu(X, inplace=True), F.relu(X)),
    "inplace=False": (lambda: F.relu(X, inplace=False), F.relu(X)),
    "x.where(condition, other)": (lambda: X.where(X > Y, Y), torch.where(X > Y, X, Y)),
    "x.where by name": (lambda: X.where(condition=X > Y, other=Y), torch.where(X > Y, X, Y)),
    "where by name": (
        lambda: torch.where(condition=X > Y, input=X, other=Y), torch.where(X > Y, X, Y),
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", SPELLED)
def test_operands_may_be_named(words):
    named, same = SPELLED[words]
    assert named() is same


NO_TRUTH = {
    "logical_and": (lambda x, y: x & (y > 0), "x"),
    "logical_or": (lambda x, y: (x > 0) | y, "y"),
    "logical_not": (lambda x, y: ~x, "x"),
    "where": (lambda x, y: torch.where(x, 1.0, 0.0), "x"),
    "logical_and of 1": (lambda x, y: (x > 0) & 1, "1.0"),
    "where of a difference": (lambda x, y: torch.where(x - y, x, y), "sub(x, y)"),
    "where of a method": (lambda x, y: x.where(y, 0.0), "y"),
}


@pytest.mark.parametrize("name", NO_TRUTH)
def test_a_number_is_no_condition(name):
    call, number = NO_TRUTH[name]
    with pytest.raises(FormulaError) as caught:
        call(X, Y)
    assert str(caught.value) == (
        f"`{name.partition(' ')[0]}` asks whether something holds, got the number `{number}`. "
        "Write a comparison, such as x != 0."
    )


def test_where_of_two_truths_is_a_truth():
    assert is_truth(torch.where(X > Y, X > 0, Y > 0))
    assert is_truth(torch.where(X > Y, X > 0, True))
    assert not is_truth(torch.where(X > Y, X > 0, 1.0))
    assert not is_truth(torch.where(X > Y, 1.0, 0.0))


CONVERTED = {
    "float()": lambda thing: thing.float(),
    "to(dtype)": lambda thing: thing.to(torch.float32),
    "to(dtype=)": lambda thing: thing.to(dtype=torch.float32),
    "type_as(y)": lambda thing: thing.type_as(Y),
}


@pytest.mark.parametrize("call", CONVERTED.values(), ids=CONVERTED)
def test_truths_may_be_converted_and_numbers_not(call):
    assert call(X > Y) is torch.where(X > Y, 1.0, 0.0)
    with pytest.raises(FormulaError) as caught:
        call(X - Y)
    assert str(caught.value) == (
        "a formula has no dtype of its own, so `sub(x, y)` cannot be given one: integers are "
        "promoted and half types widened before it. Leave the conversion out."
    )


@pytest.mark.parametrize("name", [*BOUNDED, "clamp(x, y / 2, 2 y)"])
def test_bounds_may_be_nan(name):
    loss = loss_of(BOUNDED.get(name, lambda x, y: torch.clamp(x, 0.5 * y, 2 * y)))
    value, _ = differentiated(loss, "cpu", (-INF, -1.0, 0.0, 2.0, INF, NAN))
    expected, _ = differentiated(loss, "eager", (-INF, -1.0, 0.0, 2.0, INF, NAN))
    assert expected.isnan().sum() >= 11
    assert torch.equal(value.isnan(), expected.isnan())
    assert torch.equal(value.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("dtype, largest", [(torch.float32, 89.415985), (torch.float64, 710.4758)])
def test_cosh_does_not_overflow_before_torchs(dtype, largest):
    @onepass.pointwise
    def loss(input):
        return torch.cosh(input)

    steps = torch.linspace(0.98, 1.01, 4000, dtype=torch.float64) * largest
    input = torch.cat([-steps, steps]).to(dtype)
    with onepass.engine("cpu"):
        value = loss(input, reduction="none")
    expected = torch.cosh(input)
    finite = expected < 0.9999 * torch.finfo(dtype).max
    assert 0 < finite.sum() < len(input)
    tolerance = 64 * torch.finfo(dtype).eps
    torch.testing.assert_close(value[finite], expected[finite], rtol=tolerance, atol=0)
    assert value[input.abs() > 1.001 * largest].isinf().all()


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_angles_are_right_up_to_2_to_the_50(name, dtype):
    function = getattr(torch, name)

    @onepass.pointwise
    def loss(input):
        return function(input)

    powers = 2 ** torch.linspace(0, 50, 20_001, dtype=torch.float64)
    near_zeros = torch.arange(1, 5001, dtype=torch.float64) * (math.pi / 2)
    input = torch.cat([powers, -powers, near_zeros]).to(dtype)
    with onepass.engine("cpu"):
        value = loss(input, reduction="none")
    expected = function(input.double()).to(dtype)
    epsilon = torch.finfo(dtype).eps
    torch.testing.assert_close(value, expected, rtol=4 * epsilon, atol=epsilon)
