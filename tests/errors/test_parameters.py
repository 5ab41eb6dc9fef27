"""Reductions, parameters and flags that are refused, with the closest that is not."""

import numpy as np
import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from onepass import nn
from tests.errors.calls import EVERY, INF, NAN, assert_refused, fitting, public


@pytest.mark.parametrize(
    "given, hint",
    [
        ("avg", " Did you mean 'mean'?"),
        ("average", " Did you mean 'mean'?"),
        ("Mean", " Did you mean 'mean'?"),
        ("means", " Did you mean 'mean'?"),
        ("SUM", " Did you mean 'sum'?"),
        ("batch_mean", " Did you mean 'batchmean'?"),
        ("nothing", " Did you mean 'none'?"),
        (None, " Did you mean 'none'?"),
        ("", ""),
        ("xyz", ""),
        (1, ""),
        (True, ""),
    ],
    ids=repr,
)
@EVERY
def test_a_wrong_reduction_names_the_closest(loss, given, hint):
    said = (
        f": {given!r} is not a valid value for reduction: `reduction` must be one of "
        f"'none', 'mean', 'sum', 'batchmean'.{hint}"
    )
    tensors = fitting(loss, (3,))
    assert_refused(
        onepass.ParameterError, loss.name + said, public(loss), *tensors, reduction=given
    )
    large = fitting(loss, (5000,))
    assert_refused(onepass.ParameterError, loss.name + said, public(loss), *large, reduction=given)
    mask = torch.ones(3, dtype=torch.bool)
    assert_refused(
        onepass.ParameterError, loss.name + said,
        public(loss), *tensors, mask=mask, reduction=given,
    )  # fmt: skip
    module = loss.module
    assert_refused(onepass.ParameterError, module.__name__ + said, module, reduction=given)


OUTSIDE = (0.0, -0.0, -1.0, -1e-9, NAN, INF, -INF)
ONES = np.ones(2)
NOT_NUMBERS = [
    True,
    "1",
    None,
    tensor([1.0]),
    tensor(1.0, requires_grad=True),
    tensor(1.0, device="meta"),
    ONES,
    [1.0],
    1j,
]


def described(thing, named):
    """How a message calls what is no number, and what it says to write."""
    if isinstance(thing, np.ndarray):
        return "ndarray of shape (2,)", ""
    if not isinstance(thing, torch.Tensor):
        return f"{type(thing).__name__}: {thing!r}", ""
    grad = ", requires_grad" if thing.requires_grad else ""
    shown = f"a tensor of shape {tuple(thing.shape)} on {thing.device}{grad}"
    return shown, f": write {named}.item()"


PARAMETERS = [
    ("huber_loss", "delta", "a positive finite number, > 0", OUTSIDE),
    ("smooth_l1_loss", "beta", "a number that is not negative, >= 0", OUTSIDE[2:]),
    ("gaussian_nll_loss", "eps", "a number that is not negative, >= 0", OUTSIDE[2:]),
    ("poisson_nll_loss", "eps", "a number that is not negative, >= 0", OUTSIDE[2:]),
    ("margin_ranking_loss", "margin", "any real number", (NAN,)),
    ("hinge_embedding_loss", "margin", "any real number", (NAN,)),
]


@pytest.mark.parametrize("given", [*NOT_NUMBERS, *OUTSIDE], ids=repr)
@pytest.mark.parametrize(
    "name, parameter, domain, outside", PARAMETERS, ids=[f"{p[0]} {p[1]}" for p in PARAMETERS]
)
def test_a_parameter_outside_its_domain_is_refused(name, parameter, domain, outside, given):
    loss = onepass.catalogue()[name]
    said = f"{name}: `{parameter}` must be {domain}; got "
    if isinstance(given, float):
        if repr(given) not in map(repr, outside):
            assert getattr(loss.module(**{parameter: given}), parameter) == given
            return
        said += f"{given!r}."
    else:
        shown, instead = described(given, parameter)
        said += f"{shown}. It is one number for all elements{instead}."
    tensors = fitting(loss, (3,))
    assert_refused(onepass.ParameterError, said, public(loss), *tensors, **{parameter: given})
    assert_refused(onepass.ParameterError, said, loss, *tensors, **{parameter: given})
    assert_refused(onepass.ParameterError, said, loss.module, **{parameter: given})
    assert_refused(onepass.ParameterError, said, onepass.get, name, **{parameter: given})


@pytest.mark.parametrize("given", [1, 0, 1.0, "True", None, tensor(1), ONES, [True]], ids=repr)
@pytest.mark.parametrize(
    "name, flag",
    [
        ("gaussian_nll_loss", "full"),
        ("poisson_nll_loss", "full"),
        ("poisson_nll_loss", "log_input"),
        ("kl_div", "log_target"),
    ],
)
def test_a_flag_must_be_a_bool(name, flag, given):
    loss = onepass.catalogue()[name]
    said = f"{name}: `{flag}` must be True or False, got {described(given, flag)[0]}."
    assert_refused(
        onepass.ParameterError, said, public(loss), *fitting(loss, (3,)), **{flag: given}
    )
    assert_refused(onepass.ParameterError, said, loss.module, **{flag: given})


@EVERY
def test_a_normalizer_is_one_number_and_belongs_to_the_mean(loss):
    function, tensors = public(loss), fitting(loss, (3,))
    for reduction in ("sum", "none", "batchmean"):
        assert_refused(
            onepass.ParameterError,
            f"{loss.name}: `normalizer` replaces the denominator of reduction='mean', got "
            f"reduction={reduction!r}. Leave one of the two out.",
            function, *tensors, normalizer=3, reduction=reduction,
        )  # fmt: skip
    for shape in ((3,), (1,), (1, 1)):
        assert_refused(
            onepass.ParameterError,
            f"{loss.name}: `normalizer` must be one number, got a tensor of shape {shape}. "
            "Write normalizer.sum().",
            function, *tensors, normalizer=torch.ones(shape),
        )  # fmt: skip
    for thing in (True, "3", [3.0], 1j):
        assert_refused(
            onepass.ParameterError,
            f"{loss.name}: `normalizer` must be a number that is not negative, or a tensor of "
            "one; got "
            f"{type(thing).__name__}: {thing!r}.",
            function, *tensors, normalizer=thing,
        )  # fmt: skip


@EVERY
def test_an_unknown_keyword_is_a_type_error(loss):
    with pytest.raises(TypeError, match="dleta"):
        public(loss)(*fitting(loss, (3,)), dleta=1)
    with pytest.raises(TypeError, match="dleta"):
        loss.module(dleta=1)
    with pytest.raises(onepass.ParameterError, match=rf"^{loss.name}: there is no `dleta`; it "):
        loss(*fitting(loss, (3,)), dleta=1)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("hubr", " Did you mean 'huber_loss'?"),
        ("MSELos", " Did you mean 'mse_loss'?"),
        ("smoth_l1", " Did you mean 'smooth_l1_loss'?"),
        ("poisson_nl", " Did you mean 'poisson_nll_loss'?"),
        ("???", ""),
        ("", ""),
    ],
)
def test_an_unknown_loss_names_the_closest(name, hint):
    there_are = ", ".join(onepass.catalogue())
    said = f"there is no loss {name!r}; there are {there_are}.{hint}"
    assert_refused(onepass.ParameterError, said, onepass.get, name)


@pytest.mark.parametrize("size", [10**400, -(10**5000)], ids=["400 digits", "5,000 digits"])
def test_integers_beyond_any_float_are_refused(size):
    x = torch.randn(4)
    with pytest.raises(
        onepass.ParameterError, match=r"huber_loss: `delta` must be .* beyond any float"
    ):
        F.huber_loss(x, x, delta=size)
    with pytest.raises(onepass.ParameterError, match="beyond any float"):
        nn.SmoothL1Loss(beta=size)
