"""Programs: every shared or named subexpression once, under a name of its own."""

import re

import pytest
import torch

import onepass
from onepass.formula.expression import LEAVES
from onepass.formula.program import program
from onepass.formula.trace import parameter, tensor
from tests.twins import ALL_LOSSES, names

x, y, delta = tensor("x"), tensor("y"), parameter("delta")


def test_what_is_used_twice_is_assigned_once():
    error = x - y
    made = program({"loss": error * error}, {}, {}, ())
    assert made.assignments == (("sub", error),)
    assert made.results == {"loss": error * error}


def test_what_is_used_once_is_written_where_it_is_used():
    assert program({"loss": torch.exp(x - y) * delta}, {}, {}, ()).assignments == ()


def test_leaves_are_never_assigned():
    assert program({"loss": x * x + x, "gradient": x}, {x: "other"}, {}, ()).assignments == ()


def test_two_results_that_are_the_same_share_a_line():
    error = x - y
    made = program({"loss": error, "gradient": error}, {}, {}, ())
    assert made.assignments == (("sub", error),)
    assert made.names == {error: "sub"}


def test_the_authors_names_are_used():
    error, size = x - y, torch.abs(x - y)
    made = program({"loss": size * error}, {error: "error", size: "size"}, {}, ())
    assert made.assignments == (("error", error), ("size", size))


def test_names_that_are_not_needed_have_no_line():
    assert program({"loss": x + y}, {torch.exp(x): "unused"}, {}, ()).assignments == ()


def test_taken_names_are_numbered():
    error, other = x - y, x + y
    given = {error: "total", other: "total_2"}
    made = program({"loss": error * other}, given, {x: "input"}, {"total", "total_3"})
    assert [name for name, _ in made.assignments] == ["total_2", "total_2_2"]


def test_generated_names_do_not_collide():
    made = program(
        {"loss": torch.exp(x) * torch.exp(x) + torch.exp(y) * torch.exp(y)},
        {},
        {y: "exp_2"},
        {"exp"},
    )
    assert [name for name, _ in made.assignments] == ["exp_3", "exp_4"]


def test_leaves_have_the_names_given():
    made = program({"loss": x * y}, {}, {x: "input", y: "total_2"}, ())
    assert made.names == {x: "input", y: "total_2"}


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=names(ALL_LOSSES))
def test_a_loss_computes_nothing_twice_and_nothing_before_its_arguments(loss):
    made = program(*loss.results(loss.tensors, loss.flags), {}, ())
    lines = [node for _, node in made.assignments]
    assert len({name for name, _ in made.assignments}) == len(lines)
    computed = set()
    for root in (*lines, *(node for node in made.results.values() if node not in made.names)):
        computed_here = written_out(root, made.names, computed)
        assert not computed & set(computed_here)
        computed.update(computed_here)


def written_out(root, named, before):
    """The operations that the line of `root` spells, names standing for earlier lines."""
    spelled, open_ends = [root], [*root.arguments]
    while open_ends:
        node = open_ends.pop()
        if node in named:
            assert node in before
        elif node.operation not in LEAVES:
            spelled.append(node)
            open_ends.extend(node.arguments)
    assert len(spelled) == len(set(spelled))
    return spelled


# Words of the kernel's frame and of its functions, as an author's locals


@onepass.pointwise
def crowded(input, target, *, lambda_: float = 0.5):
    size = input - target
    count = size * lambda_
    total = torch.abs(count)
    i = total * total
    block = i + total
    read = torch.sqrt(block + 1.0)
    loss = read * size
    scale = loss + read
    exp = torch.exp(-scale * scale)
    where = exp * i
    float64 = where + exp
    gradient_input = float64 * size
    upstream = gradient_input - count
    partials = upstream * upstream
    next_block = partials + lambda_
    last = next_block / (1.0 + partials)
    weight = torch.where(last > 0.5, last, partials)
    values = weight + read
    write = values * 2.0 + values
    accumulate = torch.tanh(write) + write
    input_at = accumulate * accumulate
    return torch.log1p(input_at) + input_at


@onepass.pointwise
def value(value, loss, *, count: float = 0.5, upstream: float = 2.0):
    distance = value - loss
    kernel = torch.exp(-count * distance * distance)
    return torch.sqrt(upstream + kernel) * torch.abs(distance)


@onepass.pointwise
def scaled(scale, upstream, *, partials: float = 0.5, values: float = 2.0):
    loss = scale * upstream
    return partials * loss * loss + torch.abs(scale - values)


@onepass.pointwise
def sqrt(total, i, *, scale: float = 0.5, turn: float = 2.0):
    error = total - i
    exp = torch.exp(-scale * error * error)
    return torch.sqrt(turn + exp) * torch.abs(error)


CROWDED = [crowded, value, scaled, sqrt]


@pytest.mark.parametrize("loss", CROWDED, ids=names(CROWDED))
def test_names_of_a_formula_may_be_words_of_the_kernel(loss):
    left, right, weight = torch.rand(3, 40_000, dtype=torch.float64)
    for reduction in ("none", "mean"):
        found = {}
        for engine in ("cpu", "eager"):
            leaves = left.clone().requires_grad_(), right.clone().requires_grad_()
            options = dict.fromkeys(loss.parameters, 0.7)
            with onepass.engine(engine):
                value = loss(*leaves, reduction=reduction, sample_weight=weight, **options)
                upstream = torch.linspace(1, 2, value.numel(), dtype=torch.float64)
                slopes = torch.autograd.grad(value, leaves, upstream.reshape(value.shape))
            found[engine] = (value.detach(), *slopes)
        torch.testing.assert_close(found["cpu"], found["eager"], rtol=1e-12, atol=1e-12)


WORDS = (
    "value",
    "loss",
    "scale",
    "count",
    "upstream",
    "next_block_at",
    "block",
    "exp32",
    "float64",
    "inf",
)


@pytest.mark.parametrize("engine", ["cpu", "auto"])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.filterwarnings("error")  # no kernel fails, so no definition takes its place
def test_an_argument_may_be_called_as_the_kernel_calls_its_own(word, engine):
    written = f"def formula({word}, target, *, delta=0.5):\n    return delta * {word} * target ** 2"
    exec(written, made := {})
    loss = onepass.pointwise(made["formula"])
    first, second = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([2.0, 1.0, -1.0])
    with onepass.engine(engine):
        for reduction, wanted in (("none", [2, -1, 1.5]), ("sum", 2.5)):
            given = {
                word: first.clone().requires_grad_(),
                "target": second.clone().requires_grad_(),
            }
            value = loss(**given, reduction=reduction)
            slopes = torch.autograd.grad(value.sum(), [*given.values()])
            assert value.tolist() == wanted
            assert slopes[0].tolist() == [2, 0.5, 0.5]
            assert slopes[1].tolist() == [2, -2, -3]
        assert loss(first, second, reduction="sum", delta=2.0).item() == 10
        weight = torch.tensor([1.0, 0.0, 2.0])
        assert loss(first, second, sample_weight=weight).item() == pytest.approx(5 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.filterwarnings("error")
def test_a_parameter_may_be_called_as_the_kernel_calls_its_own(word):
    exec(f"def formula(input, *, {word}=0.5):\n    return {word} * input ** 2", made := {})
    loss = onepass.pointwise(made["formula"])
    input = torch.tensor([1.0, -2.0], requires_grad=True)
    with onepass.engine("cpu"):
        value = loss(input, reduction="sum", **{word: 3.0})
        (slope,) = torch.autograd.grad(value, input)
    assert (value.item(), slope.tolist()) == (15, [6, -12])


def test_words_of_the_kernel_are_assigned_under_other_names():
    text = crowded.source()
    for word in ("count", "total", "i", "block", "read", "loss", "scale", "where", "next_block"):
        assert len(re.findall(rf"^ +{word}_2 = ", text, re.MULTILINE)) == 1, word
    assert len(re.findall(r"^ +size = ", text, re.MULTILINE)) == 1
