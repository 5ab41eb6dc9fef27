"""Expressions as text: parentheses where the meaning needs them, and nowhere else."""

import math

import pytest
import torch

from onepass.errors import FormulaError
from onepass.formula.expression import constant
from onepass.formula.operations import OPERATIONS, where
from onepass.formula.trace import parameter, tensor
from onepass.printers.infix import ATOM, INFIX, OPERATORS, PRODUCT, number, spelled, text
from tests.formula.evaluate import evaluated

a, b, c, x = tensor("a"), tensor("b"), tensor("c"), parameter("x")

SPELLED = {
    "a + b + c": (a + b) + c,
    "a + (b + c)": a + (b + c),
    "a - b - c": (a - b) - c,
    "a - (b - c)": a - (b - c),
    "a - (b + c)": a - (b + c),
    "a * b * c": (a * b) * c,
    "a * (b * c)": a * (b * c),
    "a / b / c": (a / b) / c,
    "a / (b * c)": a / (b * c),
    "a * b / c": (a * b) / c,
    "a / (b / c)": a / (b / c),
    "a * (b / c)": a * (b / c),
    "(a + b) * c": (a + b) * c,
    "a + b * c": a + b * c,
    "a * b - c / x": a * b - c / x,
    "-a": -a,
    "-(-a)": -(-a),  # noqa: B002
    "-(a + b)": -(a + b),
    "-(a * b)": -(a * b),
    "-a * b": (-a) * b,
    "a * -b": a * (-b),
    "a - -b": a - (-b),
    "-a + b": -a + b,
    "-1 * a": -1 * a,
    "a * -2.5": a * -2.5,
    "-(-2)": -constant(-2.0),
    "a > b": a > b,
    "a + b <= c * 2": a + b <= c * 2,
    "a < b and b < c": (a < b) & (b < c),
    "a < b or b < c": (a < b) | (b < c),
    "not a < b": ~(a < b),
    "a < b and (b < c or c < a)": (a < b) & ((b < c) | (c < a)),
    "a < b and b < c or c < a": ((a < b) & (b < c)) | (c < a),
    "a < b or b < c and c < a": (a < b) | ((b < c) & (c < a)),
    "(a < b or b < c) and c < a": ((a < b) | (b < c)) & (c < a),
    "not (a < b and b < c)": ~((a < b) & (b < c)),
    "not (a < b or b < c)": ~((a < b) | (b < c)),
    "not a < b and b < c": ~(a < b) & (b < c),
    "a < b or not b < c": (a < b) | ~(b < c),
    "not not a < b": ~~(a < b),
    "where(a < b, a - (b - c), -a)": where(a < b, a - (b - c), -a),
    "exp(-(a + b))": torch.exp(-(a + b)),
    "power(a + b, c)": (a + b) ** c,
    "1e+20 * a": 1e20 * a,
}


@pytest.mark.parametrize("written", SPELLED)
def test_an_expression_is_spelled_as_a_person_would(written):
    assert spelled(SPELLED[written], INFIX) == written


@pytest.mark.parametrize("written", SPELLED)
def test_what_is_spelled_means_what_was_meant(written):
    words = {"a": 7.0, "b": -0.3, "c": 1.7, "x": 0.6, "exp": math.exp}
    words["where"] = lambda condition, yes, no: yes if condition else no
    words["power"] = lambda base, exponent: base**exponent
    values = {
        name: torch.tensor(value) for name, value in words.items() if isinstance(value, float)
    }
    root = SPELLED[written]
    wanted = evaluated({"root": root}, values)[root].item()
    assert eval(written, words) == pytest.approx(wanted, rel=1e-6)


def test_every_operation_is_spelled_and_no_other():
    removed = {"detach", "with_slope"}  # no simplified expression has them
    assert INFIX.keys() == OPERATIONS.keys() - removed
    with pytest.raises(FormulaError, match="`exp` has no spelling in this language: exp"):
        spelled(1.0 + torch.exp(a), OPERATORS)


def test_a_formula_is_printed_with_the_names_of_its_parts():
    error = a - b
    results = {"value": torch.exp(error) * error, "gradient": x * error}
    printed = "error = a - b\nvalue: exp(error) * error\ngradient: x * error"
    assert text(results, {error: "error"}) == printed


def test_a_named_expression_appears_as_its_name():
    error = a - b
    assert spelled(c - error, INFIX, {error: "error"}) == "c - error"
    assert spelled(c / error, INFIX, {error: "error"}) == "c / error"
    assert spelled(-error, INFIX, {error: "error"}) == "-error"
    assert spelled(error, INFIX, {error: "error"}) == "a - b"


def test_a_leaf_may_have_another_name():
    assert spelled(a - b, INFIX, {a: "input"}) == "input - b"


def test_spellings_are_a_language():
    spellings = INFIX | {"mul": ("{} {}", PRODUCT), "power": ("{}^{{{}}}", ATOM)}
    assert spelled((a + b) * c**x, spellings) == "(a + b) c^{x}"


@pytest.mark.parametrize(
    "value, written",
    [
        (1.0, "1"),
        (-2.0, "-2"),
        (0.1, "0.1"),
        (1e15, "1000000000000000.0"),
        (math.inf, "inf"),
        (0.0, "0"),
        (-0.0, "-0.0"),
    ],
)
def test_whole_numbers_are_short(value, written):
    assert number(value) == written
    assert repr(float(number(value))) == repr(value)


def test_numbers_have_a_spelling_of_their_own():
    assert spelled(2.0 * a, INFIX, number=lambda value: f"float32({value})") == "float32(2.0) * a"
    assert spelled(a - constant(-1.0), INFIX, number=repr) == "a - -1.0"
