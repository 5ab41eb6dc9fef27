"""The reverse sweep: slopes that follow the branch taken, and the derivatives that one declares."""

import math

import pytest
import torch

import onepass
from onepass.errors import FormulaError
from onepass.formula.differentiate import differentiate
from onepass.formula.expression import Expression, constant
from onepass.formula.operations import where
from onepass.formula.trace import parameter, tensor
from tests.formula.evaluate import evaluated

INF, NAN = math.inf, math.nan
x, y = tensor("x"), tensor("y")


def slope(value, **leaves):
    """The slope by x, evaluated by torch."""
    (by_x,) = differentiate(value, [x])
    values = {name: torch.tensor(each, dtype=torch.float64) for name, each in leaves.items()}
    return evaluated({"x": by_x}, values)[by_x].tolist()


def test_slopes_are_those_of_the_rows():
    by_x, by_y = differentiate(x * x * y, [x, y])
    values = {"x": torch.tensor(3.0), "y": torch.tensor(5.0)}
    found = evaluated({"x": by_x, "y": by_y}, values)
    assert (found[by_x].item(), found[by_y].item()) == (30, 9)


def test_what_the_value_does_not_depend_on_has_slope_0():
    assert differentiate(x * 2.0, [y, parameter("delta"), x]) == [
        constant(0.0),
        constant(0.0),
        constant(2.0),
    ]


def test_a_leaf_is_its_own_slope():
    assert differentiate(x, [x, y]) == [constant(1.0), constant(0.0)]


def test_uses_of_a_value_add_up():
    shared = torch.exp(x)
    assert slope(shared * shared + shared - x, x=0.0) == 2


def test_the_slope_of_lgamma_is_digamma():
    points = torch.tensor([-2.5, -0.3, 0.2, 1.0, 7.0, 300.0], dtype=torch.float64)
    torch.testing.assert_close(slope(torch.lgamma(x), x=points.tolist()), points.digamma().tolist())


def test_a_slope_without_a_slope_of_its_own_is_refused():
    with pytest.raises(FormulaError) as caught:
        differentiate(Expression("digamma", x), [x])
    assert str(caught.value) == "onepass does not know the derivative of `digamma`."


def test_nothing_is_multiplied_by_1_or_added_to_0():
    assert [*map(repr, differentiate(x * y - y, [x, y]))] == ["y", "add(-1.0, x)"]


def test_the_branch_that_is_not_taken_has_no_slope():
    assert slope(where(x > 0, torch.log(x), 0.0), x=[2.0, 0.0, -1.0]) == [0.5, 0, 0]
    assert slope(where(x > 0, torch.sqrt(x), x * x), x=[4.0, 0.0, -3.0]) == [0.25, 0, -6]


def test_inner_branches_are_inside_outer_ones():
    value = where(x > 0, where(y > 0, torch.log(x) / y, torch.sqrt(x)), 7.0)
    leaves = {"x": [2.0, 4.0, 0.0, -1.0, 0.0], "y": [5.0, -1.0, 0.0, 0.0, 3.0]}
    assert slope(value, **leaves) == [0.1, 0.25, 0, 0, 0]


def test_a_value_in_two_branches_is_safe_in_both():
    root = torch.sqrt(x)
    value = where(x > 1, root, 0.0) + where(x > 2, 3 * root, 0.0)
    assert slope(value, x=[4.0, 1.5625, 0.0, -1.0]) == [1.0, 0.4, 0, 0]
    product = where(x > 1, root, 0.0) * where(x > 2, root, 1.0)
    assert slope(product, x=[4.0, 1.5625, 0.0, -1.0]) == [1.0, 0.4, 0, 0]


def test_a_branch_behind_other_operations_is_safe():
    value = 2 * (3 - where(x > 0, torch.log(x), 1.0)) * y
    assert slope(value, x=[2.0, 0.0], y=[1.0, 1.0]) == [-1, 0]
    assert slope(value, x=[2.0, 0.0], y=[1.0, INF])[0] == -1


def test_conditions_have_no_slope():
    assert slope(where(x * x > 1, 2.0, 3.0), x=[0.0, 5.0]) == 0


def test_detached_values_have_no_slope():
    assert slope(x.detach() * x, x=[3.0, -2.0]) == [3, -2]
    assert differentiate(x.detach(), [x]) == [constant(0.0)]


@onepass.pointwise
def guarded(input, target):
    logarithm = torch.where(input > 0, torch.log(input), 0.0)
    both = torch.where(target > 0, torch.sqrt(target) * logarithm, 0.0)
    return both + torch.where(input > 1, logarithm, 0.0)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_kernels_take_the_slope_of_the_branch_taken(reduction):
    input = torch.tensor([0.0, -1.0, -INF, NAN, 0.5, 2.0], requires_grad=True)
    target = torch.tensor([0.0, -1.0, 4.0, 1.0, 4.0, 0.0], requires_grad=True)
    with onepass.engine("cpu"):
        value = guarded(input, target, reduction=reduction)
        slopes = torch.autograd.grad(value.sum(), (input, target))
    assert slopes[0].tolist() == [0, 0, 0, 0, 4, 0.5]
    assert slopes[1].tolist() == [0, 0, 0, 0, pytest.approx(math.log(0.5) / 4), 0]


# with_slope: sin(input), whose slope is declared to be input ** 3, and whose slope by target is 2


def declared(input, target):
    value = onepass.with_slope(torch.sin(input).detach(), input, input**3)
    return onepass.with_slope(value, target, 2.0)


loss = onepass.pointwise(declared)
INPUT = torch.tensor([-1.5, 0.0, 0.5, 2.0], dtype=torch.float64)
TARGET = torch.tensor([1.0, 0.0, -2.0, 3.0], dtype=torch.float64)


def total(input, target):
    return loss(input, target, reduction="sum")


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_declared_slopes_are_taken_at_their_word(engine):
    input, target = INPUT.clone().requires_grad_(), TARGET.clone().requires_grad_()
    with onepass.engine(engine):
        value = loss(input, target, reduction="none")
        by_input, by_target = torch.autograd.grad(value.sum(), (input, target), retain_graph=True)
        torch.testing.assert_close(value, torch.sin(INPUT), rtol=1e-15, atol=0)
        torch.testing.assert_close(by_input, INPUT**3, rtol=1e-15, atol=0)
        assert by_target.tolist() == [2] * 4


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_the_second_derivative_is_that_of_the_declared_slope(engine):
    input = INPUT.clone().requires_grad_()
    with onepass.engine(engine):
        (first,) = torch.autograd.grad(total(input, TARGET), input, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), input)
    torch.testing.assert_close(second, 3 * INPUT**2)


def test_functional_transforms_see_the_declared_slope():
    torch.testing.assert_close(torch.func.grad(total)(INPUT, TARGET), INPUT**3)
    hessian = torch.func.hessian(total)(INPUT, TARGET)
    torch.testing.assert_close(hessian, torch.diag(3 * INPUT**2))
    each = torch.vmap(total)(INPUT[:, None], TARGET[:, None])
    torch.testing.assert_close(each, torch.sin(INPUT))
    slopes = torch.vmap(torch.func.grad(total))(INPUT[:, None], TARGET[:, None])
    torch.testing.assert_close(slopes[:, 0], INPUT**3)


def test_forward_mode_sees_the_declared_slope():
    directions = torch.tensor([1.0, 2.0, 3.0, 4.0]).double(), torch.ones(4).double()
    value, along = torch.func.jvp(total, (INPUT, TARGET), directions)
    assert value.item() == pytest.approx(torch.sin(INPUT).sum().item())
    assert along.item() == pytest.approx((directions[0] * INPUT**3).sum().item() + 8)


def test_a_declared_slope_comes_on_top_of_what_is_not_detached():
    undetached = onepass.pointwise(lambda input: onepass.with_slope(input * input, input, 1.0))
    input = INPUT.clone().requires_grad_()
    with onepass.engine("eager"):
        (eager,) = torch.autograd.grad(undetached(input, reduction="sum"), input)
    torch.testing.assert_close(eager, 2 * INPUT + 1)
    assert slope(onepass.with_slope(x * x, x, 1.0), x=INPUT.tolist()) == eager.tolist()


@pytest.mark.filterwarnings("ignore")  # torch.compile has warnings of its own
def test_compiled_code_sees_the_declared_slope():
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    input = INPUT.clone().requires_grad_()
    value = compiled(input, TARGET)
    (first,) = torch.autograd.grad(value, input)
    assert value.item() == pytest.approx(torch.sin(INPUT).sum().item())
    torch.testing.assert_close(first, INPUT**3)
