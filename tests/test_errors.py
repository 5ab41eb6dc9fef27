"""What every message says, and that an error leaves everything as it was."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from onepass import nn
from onepass.pointwise.regression import huber_loss
from onepass.testing import draw
from tests.twins import LOSSES, functions, names

NAN, INF = math.nan, math.inf
X = torch.linspace(-1, 1, 12).reshape(4, 3)


def assert_refused(error, message, function, *tensors, **options):
    """The call raises exactly this message."""
    with pytest.raises(error) as caught:
        function(*tensors, **options)
    assert type(caught.value) is error
    assert str(caught.value) == message


def fitting(loss, shape, **others):
    """Tensors of the loss's domains; `others` have shapes of their own."""
    generator = torch.Generator().manual_seed(1)
    shapes = [others.get(name, shape) for name in loss.tensors]
    return [
        draw(loss.domains[name], (math.prod(own),), generator).float().reshape(own)
        for name, own in zip(loss.tensors, shapes, strict=True)
    ]


def public(loss):
    """The loss's function, without kl_div's word about its mean."""
    function, _ = functions(loss.name)

    def quiet(*tensors, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*tensors, **options)

    return quiet


EVERY = pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
PAIR = "(Broadcasting would pair every element with every other.)"


# Shapes


@pytest.mark.parametrize(
    "first, second, hint",
    [
        ((5, 1), (5,), f"Did you mean {{a}}.squeeze(1), or {{b}}.unsqueeze(1)? {PAIR}"),
        ((5,), (5, 1), f"Did you mean {{b}}.squeeze(1), or {{a}}.unsqueeze(1)? {PAIR}"),
        ((5, 1, 3), (5, 3), f"Did you mean {{a}}.squeeze(1), or {{b}}.unsqueeze(1)? {PAIR}"),
        ((5, 3), (5, 3, 1), f"Did you mean {{b}}.squeeze(2), or {{a}}.unsqueeze(2)? {PAIR}"),
        ((0, 1), (0,), f"Did you mean {{a}}.squeeze(1), or {{b}}.unsqueeze(1)? {PAIR}"),
        ((5, 3), (5,), "Did you mean {b}.unsqueeze(1)?"),
        ((5,), (5, 3), "Did you mean {a}.unsqueeze(1)?"),
        ((2, 3, 4), (2, 4), "Did you mean {b}.unsqueeze(1)?"),
        ((5, 3), (3, 5), "Did you mean {b}.reshape({a}.shape)?"),
        ((5, 3), (15,), "Did you mean {b}.reshape({a}.shape)?"),
        ((1, 5), (5, 1), "Did you mean {b}.reshape({a}.shape)?"),
        ((5,), (4,), "Check where the two were batched."),
        ((0,), (5,), "Check where the two were batched."),
        ((5, 3), (2, 5, 4), "Check where the two were batched."),
    ],
    ids=str,
)
@EVERY
def test_shapes_that_do_not_fit_are_named_with_what_to_write(loss, first, second, hint):
    a, b = loss.tensors[:2]
    others = dict.fromkeys(loss.tensors[2:], first)
    tensors = fitting(loss, first, **{b: second}, **others)
    assert_refused(
        onepass.ShapeError,
        f"{loss.name}: `{a}` and `{b}` must have the same shape, or one must broadcast to the "
        f"other; got {a} {first} and {b} {second}. {hint.format(a=a, b=b)}",
        public(loss), *tensors,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (4, 1), (4, 3)], ids=str)
@EVERY
def test_a_tensor_that_broadcasts_to_the_other_is_welcome(loss, shape):
    function = public(loss)
    for name in loss.tensors:
        tensors = fitting(loss, (4, 3), **{name: shape})
        each = function(*tensors, reduction="none")
        assert each.shape == (4, 3)
        full = [tensor.expand(4, 3).contiguous() for tensor in tensors]
        assert torch.equal(each, function(*full, reduction="none"))


@EVERY
def test_empty_and_single_tensors_are_welcome(loss):
    function = public(loss)
    for shape in ((0,), (0, 3), (3, 0), ()):
        each = function(*fitting(loss, shape), reduction="none")
        assert each.shape == shape
        assert function(*fitting(loss, shape)).isnan() == (each.numel() == 0)
        assert function(*fitting(loss, shape), reduction="sum") == each.sum()


def test_a_ranking_target_of_one_axis_fewer_shows_the_unsqueeze():
    assert_refused(
        onepass.ShapeError,
        "margin_ranking_loss: `input1` and `target` must have the same shape, or one must "
        "broadcast to the other; got input1 (64, 5) and target (64,). "
        "Did you mean target.unsqueeze(1)?",
        F.margin_ranking_loss, torch.randn(64, 5), torch.randn(64, 5), torch.ones(64),
    )  # fmt: skip


def test_a_third_tensor_may_not_grow_the_others():
    ones = torch.ones
    assert_refused(
        onepass.ShapeError,
        "gaussian_nll_loss: the shapes do not fit together: input (4, 3), target (4, 3), "
        "var (2, 4, 3). Give them one shape.",
        F.gaussian_nll_loss, X, X, ones(2, 4, 3),
    )  # fmt: skip
    assert_refused(
        onepass.ShapeError,
        "binary_cross_entropy_with_logits: `input` and `pos_weight` must have the same shape, or "
        "one must broadcast to the other; got input (4, 3) and pos_weight (4,). "
        "Did you mean pos_weight.unsqueeze(1)?",
        F.binary_cross_entropy_with_logits, X, X.abs(), pos_weight=ones(4),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sample_weight", "mask"])
@pytest.mark.parametrize(
    "given, wanted, hint",
    [
        ((4,), (4, 3), " Did you mean {}.reshape(4, 1)?"),
        ((2, 3), (2, 3, 4, 5), " Did you mean {}.reshape(2, 3, 1, 1)?"),
        ((3,), (2, 3, 4, 5), " Did you mean {}.reshape(1, 3, 1, 1)?"),
        ((2,), (4, 3), ""),
        ((3, 4), (4, 3), ""),
        ((12,), (4, 3), ""),
        ((0,), (4, 3), ""),
        ((2, 4, 3), (4, 3), ""),
        ((4, 3, 1), (4, 3), " Did you mean {}.squeeze(2)?"),
        ((4, 1), (4,), " Did you mean {}.squeeze(1)?"),
        ((2,), (), ""),
    ],
    ids=str,
)
def test_weights_that_do_not_broadcast_show_the_reshape(name, given, wanted, hint):
    weight = torch.ones(given, dtype=torch.bool if name == "mask" else torch.float32)
    for loss in LOSSES:
        assert_refused(
            onepass.ShapeError,
            f"{loss.name}: `{name}` must broadcast to the shape of the unreduced loss, {wanted}; "
            f"got {given}.{hint.format(name)}",
            public(loss), *fitting(loss, wanted), **{name: weight},
        )  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [F.huber_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits],
    ids=lambda f: f.__name__,
)
def test_a_rescaling_weight_that_does_not_broadcast_is_called_weight(function):
    assert_refused(
        onepass.ShapeError,
        f"{function.__name__}: `weight` must broadcast to the shape of the unreduced loss, "
        "(4, 3); got (4,). Did you mean weight.reshape(4, 1)?",
        function, X.abs(), X.abs(), weight=torch.ones(4),
    )  # fmt: skip


# Types


@pytest.mark.parametrize(
    "thing, said",
    [
        (None, "NoneType: None"),
        (1.0, "float: 1.0"),
        (2, "int: 2"),
        ("x", "str: 'x'"),
        ([1.0, 2.0], "list: [1.0, 2.0]"),
        (np.array([1.0, 2.0]), "ndarray: array([1., 2.])"),
        (list(range(100)), "list: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1"),
    ],
    ids=["None", "float", "int", "str", "list", "array", "long list"],
)
@EVERY
def test_what_is_no_tensor_is_refused_by_name(loss, thing, said):
    for place, name in enumerate(loss.tensors):
        if loss.name == "gaussian_nll_loss" and name != "target":
            continue  # test_what_is_no_variance_is_refused_by_name
        if loss.optional and thing is None:
            continue
        tensors = fitting(loss, (2,))
        tensors[place] = thing
        assert_refused(
            onepass.DtypeError,
            f"{loss.name}: `{name}` must be a tensor, got {said}. "
            f"Write torch.as_tensor({name}).",
            public(loss), *tensors,
        )  # fmt: skip


@pytest.mark.parametrize("thing", [None, "x", [1.0]], ids=repr)
def test_what_is_no_variance_is_refused_by_name(thing):
    assert_refused(
        onepass.DtypeError,
        f"gaussian_nll_loss: `var` must be a tensor, got {type(thing).__name__}: {thing!r}. "
        "Write torch.as_tensor(var).",
        F.gaussian_nll_loss, X, X, thing,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sample_weight", "mask"])
@EVERY
def test_weights_must_be_tensors(loss, name):
    assert_refused(
        onepass.DtypeError,
        f"{loss.name}: `{name}` must be a tensor, got list: [True]. Write torch.as_tensor({name}).",
        public(loss), *fitting(loss, (1,)), **{name: [True]},
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8], ids=str)
@EVERY
def test_a_mask_must_be_bool(loss, dtype):
    assert_refused(
        onepass.DtypeError,
        f"{loss.name}: `mask` must be a bool tensor, True where an element counts; got {dtype}. "
        "Write mask.bool(), or give numbers as sample_weight.",
        public(loss), *fitting(loss, (4, 3)), mask=torch.ones(4, 3, dtype=dtype),
    )  # fmt: skip


@EVERY
def test_a_weight_must_be_real(loss):
    assert_refused(
        onepass.DtypeError,
        f"{loss.name}: `sample_weight` must be real, got torch.complex64.",
        public(loss), *fitting(loss, (3,)), sample_weight=torch.ones(3, dtype=torch.complex64),
    )  # fmt: skip


@EVERY
def test_tensors_on_different_devices_are_named(loss):
    for place, name in enumerate(loss.tensors[1:], 1):
        tensors = fitting(loss, (4, 3))
        tensors[place] = tensors[place].to("meta")
        assert_refused(
            onepass.DeviceError,
            f"{loss.name}: all tensors must be on the same device, got cpu and for `{name}` meta. "
            f"Write {name}.to('cpu').",
            public(loss), *tensors,
        )  # fmt: skip
    tensors = [t.to("meta") for t in fitting(loss, (4, 3))]
    tensors[1] = fitting(loss, (4, 3))[1]
    assert_refused(
        onepass.DeviceError,
        f"{loss.name}: all tensors must be on the same device, got meta and for "
        f"`{loss.tensors[1]}` cpu. Write {loss.tensors[1]}.to('meta').",
        public(loss), *tensors,
    )  # fmt: skip


@EVERY
def test_meta_tensors_have_a_shape_and_a_dtype(loss):
    tensors = [t.to("meta") for t in fitting(loss, (4, 3))]
    for reduction, shape in (("none", (4, 3)), ("mean", ()), ("sum", ())):
        value = public(loss)(*tensors, reduction=reduction)
        assert value.device.type == "meta"
        assert value.shape == shape
        assert value.dtype == torch.float32


@EVERY
def test_complex_is_never_served_by_a_kernel(loss):
    tensors = [t.to(torch.complex64) for t in fitting(loss, (3,))]
    with onepass.engine("cpu"), pytest.raises(onepass.EngineError, match=r"torch\.complex64"):
        public(loss)(*tensors, reduction="sum")


# Reductions, parameters, flags


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


def test_an_unknown_keyword_of_a_formula_names_the_closest():
    assert_refused(
        onepass.ParameterError,
        "huber_loss: there is no `dleta`; it takes input, target, delta, reduction, weight, "
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


# Values


def test_a_value_outside_an_enforced_domain_is_named_with_its_place():
    input = torch.full((2, 3), 0.5)
    input[1, 2] = 1.5
    said = (
        "binary_cross_entropy: every value of `input` must be a probability, in [0, 1]; got 1.5 "
        "at (1, 2){}. For logits there is binary_cross_entropy_with_logits."
    )
    target = torch.ones(2, 3)
    assert_refused(onepass.DomainError, said.format(""), F.binary_cross_entropy, input, target)
    input[0, 1] = input[0, 2] = -0.25
    said = said.replace("1.5 at (1, 2)", "-0.25 at (0, 1)").format(" and 2 more")
    assert_refused(onepass.DomainError, said, F.binary_cross_entropy, input, target)
    mask = input == 0.5
    assert F.binary_cross_entropy(input, target, mask=mask).item() == pytest.approx(math.log(2))
    mask[0, 1] = True
    said = said.replace(" and 2 more", "")
    assert_refused(onepass.DomainError, said, F.binary_cross_entropy, input, target, mask=mask)


def test_a_negative_variance_is_named_with_its_place():
    hint = "Let the model predict log-variances and give their exp()."
    row = tensor([1.0, -0.25, 1.0])
    for var, place, more in ((row, "(0, 1)", 3), (tensor(-0.25), "(0, 0)", 11)):
        assert_refused(
            onepass.DomainError,
            "gaussian_nll_loss: every value of `var` must be a variance, >= 0; got -0.25 at "
            f"{place} and {more} more. {hint}",
            F.gaussian_nll_loss, X, X, var,
        )  # fmt: skip
    said = "gaussian_nll_loss: `var` must be a variance, >= 0; got -2.0."
    assert_refused(onepass.DomainError, said, F.gaussian_nll_loss, X, X, -2.0)


def test_a_nan_that_is_no_fault_of_an_enforced_domain_raises_nothing():
    assert F.binary_cross_entropy(tensor([0.5, 0.5]), tensor([NAN, 1.0])).isnan()
    assert F.gaussian_nll_loss(tensor([NAN]), tensor([0.0]), tensor([1.0])).isnan()
    assert F.gaussian_nll_loss(tensor([0.0]), tensor([0.0]), tensor([NAN])).isnan()


# Formulas


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


# Engines


@pytest.mark.parametrize("name", ["cuda", "CPU", "", None, 1], ids=repr)
def test_an_unknown_engine_lists_all(name):
    with pytest.raises(onepass.ParameterError) as caught, onepass.engine(name):
        pass
    assert re.fullmatch(
        r"engine: must be one of auto, eager, cpu(, gpu)?; got " + re.escape(f"{name!r}."),
        str(caught.value),
    )


def test_an_engine_that_cannot_run_the_call_says_why():
    meta = X.to("meta")
    with onepass.engine("cpu"):
        assert_refused(
            onepass.EngineError,
            "mse_loss: the cpu engine cannot run this call: a tensor is torch.float32, "
            "torch.strided, on meta.",
            F.mse_loss, meta, meta,
        )  # fmt: skip
        assert_refused(
            onepass.EngineError,
            "mse_loss: the cpu engine cannot run this call: a weight or the normalizer is "
            "asking for its gradient, torch.float32, torch.strided, on cpu.",
            F.mse_loss, X, X, sample_weight=torch.ones(4, 3, requires_grad=True),
        )  # fmt: skip


# Classes


@pytest.mark.parametrize(
    "error, bases",
    [
        (onepass.FormulaError, ()),
        (onepass.ShapeError, (ValueError, RuntimeError)),
        (onepass.DtypeError, (TypeError, RuntimeError)),
        (onepass.DeviceError, (ValueError, RuntimeError)),
        (onepass.DomainError, (ValueError, RuntimeError)),
        (onepass.ParameterError, (ValueError, TypeError)),
        (onepass.EngineError, (RuntimeError,)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_an_error_is_a_builtin_one_too(error, bases):
    for base in (onepass.OnepassError, *bases):
        assert issubclass(error, base)
    assert not issubclass(error, AttributeError)


A, P = torch.ones(4, 3), torch.full((4, 3), 0.5)
SAME_PLACES = {
    "mse shapes": ("mse_loss", (A, torch.ones(3, 4)), {}),
    "l1 shapes": ("l1_loss", (A, torch.ones(5)), {}),
    "smooth_l1 shapes": ("smooth_l1_loss", (A, torch.ones(3, 4)), {}),
    "bce shapes": ("binary_cross_entropy", (P, torch.ones(3, 4)), {}),
    "logits shapes": ("binary_cross_entropy_with_logits", (A, torch.ones(3, 4)), {}),
    "ranking shapes": ("margin_ranking_loss", (A, A, torch.ones(4)), {}),
    "gaussian shapes": ("gaussian_nll_loss", (A, A, torch.ones(5)), {}),
    "mse weight": ("mse_loss", (A, A), {"weight": torch.ones(4)}),
    "huber weight": ("huber_loss", (A, A), {"weight": torch.ones(4)}),
    "pos_weight": ("binary_cross_entropy_with_logits", (A, A), {"pos_weight": torch.ones(4)}),
    "bce above 1": ("binary_cross_entropy", (P + 1, P), {}),
    "bce nan": ("binary_cross_entropy", (P * NAN, P), {}),
    "negative var": ("gaussian_nll_loss", (A, A, -A), {}),
    "negative float var": ("gaussian_nll_loss", (A, A, -1.0), {}),
    "var of a string": ("gaussian_nll_loss", (A, A, "1"), {}),
    "reduction": ("mse_loss", (A, A), {"reduction": "avg"}),
    "reduction of huber": ("huber_loss", (A, A), {"reduction": "avg"}),
    "reduction of gaussian": ("gaussian_nll_loss", (A, A, A), {"reduction": "avg"}),
    "reduction of poisson": ("poisson_nll_loss", (A, A), {"reduction": "avg"}),
    "delta of a string": ("huber_loss", (A, A), {"delta": "1"}),
    "margin of None": ("hinge_embedding_loss", (A, A), {"margin": None}),
    "devices": ("mse_loss", (A, A.to("meta")), {}),
    "a target that is a list": ("soft_margin_loss", (A, [1.0]), {}),
    "an unknown keyword": ("l1_loss", (A, A), {"delta": 1.0}),
}


@pytest.mark.parametrize("name, tensors, options", SAME_PLACES.values(), ids=SAME_PLACES)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_catches_torchs_error_catches_ours(name, tensors, options):
    ours, torchs = functions(name)
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        torchs(*tensors, **options)
    with pytest.raises(type(theirs.value)):
        ours(*tensors, **options)


# Afterwards


WRONG = {
    "shape": lambda x: F.l1_loss(x, torch.ones(5)),
    "type": lambda x: F.l1_loss(x, [1.0]),
    "device": lambda x: F.l1_loss(x, x.to("meta")),
    "reduction": lambda x: F.l1_loss(x, x, reduction="avg"),
    "mask": lambda x: F.l1_loss(x, x, mask=x),
    "normalizer": lambda x: F.l1_loss(x, x, normalizer="3"),
    "value": lambda x: F.binary_cross_entropy(x, x),
    "value, each": lambda x: F.binary_cross_entropy(x, x, reduction="none"),
    "variance": lambda x: F.gaussian_nll_loss(x, x, x),
    "parameter": lambda x: F.huber_loss(x, x, delta=0.0),
    "engine": lambda x: onepass.engine("nothing").__enter__(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_after_an_error_everything_is_as_before(wrong):
    x = (3 * torch.randn(6000)).requires_grad_()
    before, version = x.detach().clone(), x._version
    with pytest.raises(onepass.OnepassError):
        wrong(x)
    assert torch.equal(x, before)
    assert x._version == version
    assert x.grad is None
    target = torch.randn(6000)
    F.l1_loss(x, target, reduction="sum").backward()
    assert torch.equal(x.grad, torch.sign(before - target))


@pytest.mark.parametrize("size", [10**400, -(10**5000)], ids=["400 digits", "5,000 digits"])
def test_integers_beyond_any_float_are_refused(size):
    x = torch.randn(4)
    with pytest.raises(
        onepass.ParameterError, match=r"huber_loss: `delta` must be .* beyond any float"
    ):
        F.huber_loss(x, x, delta=size)
    with pytest.raises(onepass.ParameterError, match="beyond any float"):
        nn.SmoothL1Loss(beta=size)
