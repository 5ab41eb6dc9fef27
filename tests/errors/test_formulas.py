"""What is no formula is refused, and so is a call that is not one of a formula."""

import pytest

import onepass
from onepass import nn
from onepass.pointwise.regression import huber_loss
from tests.errors.calls import X, assert_refused


@pytest.mark.parametrize(
    "formula, domains, said",
    [
        (lambda *x: x[0], {}, ": a formula names its arguments, without `*x`."),
        (lambda x, **y: x, {}, ": a formula names its arguments, without `*y`."),
        (lambda a=1.0: a, {}, ": a formula takes at least one tensor."),
        (lambda x, weight: x * weight, {}, ": `weight` is every loss's; call it otherwise."),
        (lambda x, mask=None: x, {}, ": `mask` is every loss's; call it otherwise."),
        (
            lambda x, kind="a": x, {},
            (
                ": `kind` must be a tensor (no default), an optional tensor (None), a parameter "
                "(a number) or a flag (a bool); its default is 'a'."
            ),
        ),
        (
            lambda x, y: x - y, {"z": onepass.REAL},
            ": a domain for `z`, but its arguments are x, y.",
        ),
    ],
    ids=["star", "keywords", "no tensor", "weight", "mask", "string", "domain"],
)  # fmt: skip
def test_a_signature_that_is_no_formulas_is_refused(formula, domains, said):
    with pytest.raises(onepass.FormulaError) as caught:
        onepass.pointwise(**domains)(formula)
    assert str(caught.value) == "<lambda>" + said


def test_an_unknown_keyword_of_a_formula_names_the_closest():
    assert_refused(
        onepass.ParameterError,
        "huber_loss: there is no `dleta`; it takes input, target, delta, weight, reduction, "
        "sample_weight, mask, normalizer. Did you mean `delta`?",
        huber_loss, X, X, dleta=1,
    )  # fmt: skip
    assert_refused(
        onepass.ParameterError,
        "huber_loss: there is no `dleta`; it takes delta. Did you mean `delta`?",
        nn.PointwiseLoss, huber_loss, dleta=1,
    )  # fmt: skip
    assert_refused(
        onepass.ParameterError,
        "huber_loss: there is no `qqq`; it takes reduction, delta.",
        onepass.get, "huber", qqq=1,
    )  # fmt: skip


def test_arguments_of_a_formula_are_counted_as_pythons():
    said = "huber_loss() takes 2 tensors by position, got 3; everything else is given by name."
    assert_refused(TypeError, said, huber_loss, X, X, X)
    assert_refused(TypeError, "huber_loss() got two values for `input`", huber_loss, X, X, input=X)
    assert_refused(TypeError, "huber_loss() is missing `target`", huber_loss, X)
    assert_refused(TypeError, "huber_loss() is missing `input`", huber_loss, target=X)
