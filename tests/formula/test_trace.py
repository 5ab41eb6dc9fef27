"""Running a formula on nodes: its names, its flags, and what it must not do."""

import cProfile
import math
import pstats
from contextlib import nullcontext

import pytest
import torch

import onepass
from onepass.errors import FormulaError
from onepass.formula.expression import methods
from onepass.formula.trace import VALUE, parameter, tensor, trace

x, y, delta = tensor("x"), tensor("y"), parameter("delta")


def names(formula, *arguments):
    return {name: node for node, name in trace(formula, dict(arguments)).names.items()}


def test_a_formula_becomes_the_expression_of_its_arguments():
    def formula(x, y, delta):
        return torch.abs(x - y) * delta

    traced = trace(formula, {"x": x, "y": y, "delta": delta})
    assert traced.value is torch.abs(x - y) * delta
    assert traced.names == {}


def test_local_names_are_kept():
    def formula(x, y):
        error = x - y
        size = torch.abs(error)
        return size * error

    assert names(formula, ("x", x), ("y", y)) == {"error": x - y, "size": torch.abs(x - y)}


def test_the_last_assignment_gives_a_name_its_meaning():
    def formula(x):
        value = torch.exp(x)
        value = value * 2
        return value + 1

    assert names(formula, ("x", x)) == {"value": torch.exp(x) * 2}


def test_an_argument_assigned_anew_keeps_its_own_name():
    def formula(x, y):
        x = torch.where(y > 0, x, 0.0)
        return torch.exp(x)

    assert names(formula, ("x", x), ("y", y)) == {}


def test_names_inside_helpers_stay_there():
    def helper(x):
        inner = torch.exp(x)
        return inner * inner

    def formula(x):
        outer = helper(x)
        return outer + 1

    assert names(formula, ("x", x)) == {"outer": torch.exp(x) * torch.exp(x)}


def test_names_of_an_early_return_are_kept():
    def formula(x, full):
        half = 0.5 * x
        if full:
            twice = half * 4
            return twice * twice
        return half

    assert set(names(formula, ("x", x), ("full", True))) == {"half", "twice"}
    assert set(names(formula, ("x", x), ("full", False))) == {"half"}


@pytest.mark.parametrize("error", [None, ValueError])
def test_a_profiler_goes_on(error):
    def formula(x):
        if error:
            raise error
        return x

    def behind_it():
        return 1

    profiler = cProfile.Profile()
    profiler.enable()
    try:
        with pytest.raises(error) if error else nullcontext():
            trace(formula, {"x": x})
        behind_it()
    finally:
        profiler.disable()
    seen = {function[2] for function in pstats.Stats(profiler).stats}
    assert "behind_it" in seen


def test_local_names_reappear_in_the_kernel():
    @onepass.pointwise
    def loss(input, target):
        error = input - target
        softened = torch.sqrt(1.0 + error * error)
        return softened - 1.0

    text = loss.source()
    assert "            error = input - target\n" in text
    assert "            softened = sqrt(float32(1.0) + error * error)\n" in text


@onepass.pointwise
def flagged(input, target, *, full=False, steep: float = 2.0):
    error = input - target
    return steep * error * error + math.log(2) if full else torch.abs(error)


def test_flags_are_resolved_while_tracing():
    (short, _), (long, _) = (
        flagged.results(("input", "target"), {"full": full}) for full in (False, True)
    )
    assert short[VALUE].operation == "abs"
    assert long[VALUE].operation == "add"
    value = flagged(torch.tensor([3.0]), torch.tensor([1.0]), full=True, steep=0.5)
    assert value.item() == pytest.approx(2 + math.log(2))


def test_optional_tensors_are_resolved_while_tracing():
    @onepass.pointwise
    def loss(input, target, boost=None):
        error = input - target
        return error * error if boost is None else boost * error * error

    three, one = torch.tensor([3.0]), torch.tensor([1.0])
    assert loss(three, one).item() == 4
    assert loss(three, one, torch.tensor([0.5])).item() == 2
    assert loss(three, one, boost=torch.tensor([0.5])).item() == 2


# What a formula must not do. Each message says what was done and what to write instead.


def branching(input, target):
    if input > target:
        return input - target
    return target - input


def looping(input):
    while input > 1:
        input = input / 2
    return input


def iterating(input):
    return sum(each for each in input)


def in_place(input, target):
    input -= target
    return input


def assigning(input):
    input[input < 0] = 0.0
    return input


def variadic(*inputs):
    return inputs[0]


def keywords(input, **others):
    return input


def textual(input, mode="soft"):
    return input


def weighted(input, weight):
    return input * weight


def masked(input, *, mask=False):
    return input


def without_tensors(delta=1.0):
    return delta


BRANCH = [
    "a formula cannot branch on `{}`: its truth differs from element to element.",
    "Write torch.where(condition, a, b), and `&`, `|`, `~` for and, or, not;",
    "for a bool keyword (a flag), `if` is fine.",
]
NUMBER = [
    "a formula cannot turn `input` into a Python number: it differs from element to element.",
    "Use torch's functions (torch.sqrt, not math.sqrt).",
]
RESULT = "<lambda>: a formula must return one number per element, made of its arguments;"
UNKNOWN = "a pointwise formula cannot use `{}`: it sees one element at a time, and onepass knows"
KNOWN = f"{', '.join(sorted(methods))}, and the arithmetic and comparisons of Python."
ROWWISE = "Where a whole row decides, write a function of torch's operations, without @pointwise."

REFUSED = [
    (branching, [BRANCH[0].format("greater(input, target)"), *BRANCH[1:]]),
    (looping, [BRANCH[0].format("greater(input, 1.0)"), *BRANCH[1:]]),
    (iterating, ["a formula sees one element at a time: `input` has nothing inside."]),
    (in_place, [
        "a formula must not change its arguments in place:",
        "write `x = x - y`, not `x -= y`.",
    ]),
    (assigning, [
        "a formula must not change its arguments in place: `input[...] = ...`.",
        "Write torch.where(condition, a, b).",
    ]),
    (variadic, ["variadic: a formula names its arguments, without `*inputs`."]),
    (keywords, ["keywords: a formula names its arguments, without `*others`."]),
    (textual, [
        "textual: `mode` must be a tensor (no default), an optional tensor (None),",
        "a parameter (a number) or a flag (a bool); its default is 'soft'.",
    ]),
    (weighted, ["weighted: `weight` is every loss's; call it otherwise."]),
    (masked, ["masked: `mask` is every loss's; call it otherwise."]),
    (without_tensors, ["without_tensors: a formula takes at least one tensor."]),
    (lambda input: float(input) * input, NUMBER),
    (lambda input: 2 * math.exp(input), NUMBER),
    (lambda input: input[0], [
        "a formula sees one element at a time: `input[...]` has no meaning in it.", ROWWISE,
    ]),
    (lambda input: input.softmax(0), [UNKNOWN.format("softmax"), KNOWN, ROWWISE]),
    (lambda input: input / input.shape[0], [
        UNKNOWN.format("shape"), KNOWN, ROWWISE,
    ]),
    (lambda input: input.add_(1), [
        "a formula must not change its arguments in place:",
        "write x = x.add(...), not x.add_(...).",
    ]),
    (lambda input: input - torch.sum(input), [
        UNKNOWN.format("sum"), KNOWN, ROWWISE,
    ]),
    (lambda input: torch.matmul(input, input), [
        UNKNOWN.format("matmul"), KNOWN, ROWWISE,
    ]),
    (lambda input: (input, input), [RESULT, "it returned tuple: (input, input)."]),
    (lambda input: None, [RESULT, "it returned NoneType: None."]),
    (lambda input: 1.5, [RESULT, "it returned float: 1.5."]),
    (lambda input: True, [RESULT, "it returned bool: True."]),
    (lambda input: input > 0, [
        "<lambda>: a formula must return a number, it returned a truth: greater(input, 0.0).",
        "Write torch.where(condition, 1.0, 0.0).",
    ]),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(REFUSED)))
def test_what_a_formula_must_not_do_is_refused(place):
    formula, lines = REFUSED[place]
    with pytest.raises(FormulaError) as caught:
        onepass.pointwise(formula)
    assert str(caught.value) == " ".join(lines)


def test_a_domain_belongs_to_an_argument():
    with pytest.raises(FormulaError) as caught:
        onepass.pointwise(inptu=onepass.POSITIVE)(lambda input, target, delta=1.0: input * delta)
    assert str(caught.value) == (
        "<lambda>: a domain for `inptu`, but its arguments are input, target, delta."
    )


class Callable:
    def __call__(self, input):
        return input

    def __repr__(self):
        return "Callable()"


@pytest.mark.parametrize(
    "given, shown",
    [(3, "3"), (torch.abs, "<built-in method abs"), (int, "<class 'int'>"), (Callable(), "Call")],
    ids=["number", "builtin", "class", "callable"],
)
def test_only_a_function_can_be_a_formula(given, shown):
    with pytest.raises(FormulaError) as caught:
        onepass.pointwise(given)
    first = "pointwise: a formula is a function written with def, got "
    assert str(caught.value).startswith(first + shown)
    assert len(str(caught.value)) <= len(first) + 61


def test_errors_of_the_formula_itself_stay_what_they_are():
    def broken(input):
        raise ZeroDivisionError("own")

    with pytest.raises(ZeroDivisionError, match="own"):
        onepass.pointwise(broken)
