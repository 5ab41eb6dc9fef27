"""Rewrite rules: what each makes of an expression, and that it keeps every value."""

import itertools
import math

import pytest
import torch

import onepass
from onepass.formula.expression import LEAVES, Expression, constant, in_order
from onepass.formula.operations import where
from onepass.formula.simplify import simplify
from onepass.formula.trace import tensor
from tests.formula.evaluate import evaluated
from tests.twins import ALL_LOSSES, names

INF, NAN = math.inf, math.nan
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 3.0, 1e-3, 4e18, INF, -INF, NAN)
x, y = tensor("x"), tensor("y")
condition = x > y


def log_sigmoid(operand):
    return torch.nn.functional.logsigmoid(operand)


def softplus(operand):
    return torch.nn.functional.softplus(operand)


# One case a rule: before, after. The value is the same to the bit.
SHORTER = [
    (x + (-0.0), x),
    (x + (-y), x - y),
    (-x + y, y - x),
    (x - 0.0, x),
    (x - (-y), x + y),
    (x * 1.0, x),
    (1.0 * x, x),
    ((-x) * (-y), x * y),
    (2.0 * (x * 0.5), x),
    (2.0 * (0.25 * x), 0.5 * x),
    (x / 1.0, x),
    (-(-x), x),  # noqa: B002
    (-(2.0 * x), -2.0 * x),
    (-((-x) * y), x * y),
    (where(condition, x, x), x),
    (where(~condition, x, y), where(condition, y, x)),
    (where(condition, where(condition, x, 2.0), y), where(condition, x, y)),
    (where(condition, x, where(condition, 2.0, y)), where(condition, x, y)),
    (constant(2.0) + constant(3.0) * constant(-4.0), constant(-10.0)),
    (-constant(2.0) - abs(constant(-3.0)), constant(-5.0)),
    (where(~~condition, x + -0.0, 1.0 * y), where(condition, x, y)),
]
OTHERWISE = [  # not shorter, but quicker, or in the one form that other rules look for
    (x + x, 2.0 * x),
    (x * (-1.0), -x),
    (x * 2.0, 2.0 * x),
    (x / 4.0, 0.25 * x),
    (-1.0 / x, -(1.0 / x)),
]
ROUNDED = [
    (log_sigmoid(x), -softplus(-x)),
    (-log_sigmoid(x), softplus(-x)),
    (-log_sigmoid(-x), softplus(x)),
    (x**0, constant(1.0)),
    (x**1, x),
    (x**2, x * x),
    (x**3, x * x * x),
    (x**4, (x * x) * (x * x)),
    (x**-1, 1.0 / x),
    (x**-2, 1.0 / (x * x)),
    (x**8, ((x * x) * (x * x)) * ((x * x) * (x * x))),
]
KEPT = [
    x + 0.0,  # 0 where x is -0
    0.0 - x,  # 0 where x is 0
    0.0 * x,  # nan where x is not finite
    x - x,  # so is this
    -(x - y),  # y - x is 0 where this is -0
    x / x,
    x / 3.0,  # 1/3 is rounded
    3.0 * (0.1 * x),  # so is 0.3
    1e-30 * (1e30 * x),
    x**9,
    x**0.3,
    x**y,
    where(condition, x, y),
    where(condition, where(y > x, x, 2.0), y),
]


def simplified(root: Expression) -> Expression:
    return simplify({"value": root}, {})[0]["value"]


def operations(root: Expression) -> int:
    return sum(node.operation not in LEAVES for node in in_order(root))


def on_special_values(root: Expression) -> torch.Tensor:
    first, second = torch.tensor([*itertools.product(SPECIAL, SPECIAL)], dtype=torch.float64).T
    value = evaluated({"value": root}, {"x": first, "y": second})[root]
    return value.double().expand(first.shape)


@pytest.mark.parametrize("before, after", [*SHORTER, *OTHERWISE, *ROUNDED], ids=repr)
def test_a_rule_makes_this_of_that(before, after):
    assert simplified(before) is after
    assert simplified(after) is after


@pytest.mark.parametrize("before, after", SHORTER, ids=repr)
def test_a_rule_leaves_fewer_operations(before, after):
    assert operations(after) < operations(before)


@pytest.mark.parametrize("before, after", [*SHORTER, *OTHERWISE], ids=repr)
def test_a_rule_keeps_every_value(before, after):
    was, becomes = on_special_values(before), on_special_values(after)
    torch.testing.assert_close(becomes, was, rtol=1e-15, atol=0, equal_nan=True)
    number = ~was.isnan()
    assert torch.equal(was.signbit()[number], becomes.signbit()[number])


@pytest.mark.parametrize("before, after", ROUNDED, ids=repr)
def test_a_rule_that_rounds_keeps_every_value_nearly(before, after):
    was, becomes = on_special_values(before), on_special_values(after)
    torch.testing.assert_close(becomes, was, rtol=1e-15, atol=0, equal_nan=True)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_the_sign_of_a_zero_decides_what_is_divided_by_it(engine):
    loss = onepass.pointwise(lambda input, target: 1 / -(input - target))
    input = torch.tensor([1.0, 0.0, -0.0, 2.0], requires_grad=True)
    with onepass.engine(engine):
        value = loss(input, torch.tensor([1.0, 0.0, -0.0, 1.0]), reduction="none")
        (by_input,) = torch.autograd.grad(value.sum(), input)
    assert value.tolist() == [-INF, -INF, -INF, -1]
    assert by_input.tolist() == [INF, INF, INF, 1]


@pytest.mark.parametrize("root", KEPT, ids=repr)
def test_what_would_change_a_value_is_kept(root):
    assert simplified(root) is root


def test_a_root_is_one_operation():
    assert simplified(x**0.5) is torch.sqrt(x)


def test_what_only_derivatives_see_disappears():
    assert simplified(onepass.with_slope(x.detach() * 2.0, y, torch.exp(y))) is 2.0 * x


def test_names_follow_what_they_name():
    error, twice = x - y, (x - y) * 2.0
    gone = torch.exp(y)
    results, kept = simplify({"value": -twice}, {error: "error", twice: "twice", gone: "gone"})
    assert kept == {error: "error", 2.0 * error: "twice"}
    assert results["value"] is -2.0 * error


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=names(ALL_LOSSES))
def test_no_rule_finds_more_to_do_in_a_loss(loss):
    results, kept = loss.results(loss.tensors, loss.flags)
    assert simplify(results, kept)[0] == results
