"""What cross_entropy refuses, in which words."""

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.cross_entropy.calls import ENGINES, by_hand, on, torchs
from tests.rowwise.results import INF, NAN, REDUCTIONS, assert_all_same, results


def assert_refused(error, message, *tensors, **options):
    """The function, and the class where it takes the same, raise exactly this message."""
    with pytest.raises(error) as caught:
        F.cross_entropy(*tensors, **options)
    assert type(caught.value) is error
    assert str(caught.value) == message


X = torch.linspace(-1, 1, 20).reshape(4, 5)
Y = tensor([0, 1, 2, 4])


@ENGINES
@pytest.mark.parametrize(
    "target, options, said",
    [
        ([0, 1, 5, 2], {}, "-100; got 5 at (2,). {} write ignore_index=5."),
        ([0, -1, 1, -1], {}, "-100; got -1 at (1,) and 1 more. {} write ignore_index=-1."),
        (
            [0, 255, 1, 255], {"ignore_index": 3},
            "3; got 255 at (1,) and 1 more. {} write ignore_index=255.",
        ),
        ([1, 2, 3, 5], {}, "-100; got 5 at (3,). Classes count from 0: write target - 1."),
        ([-4, 1, 7, 2], {}, "-100; got -4 at (0,) and 1 more."),
    ],
    ids=["one", "minus one", "255", "from one", "two kinds"],
)  # fmt: skip
def test_a_class_out_of_range_is_named_with_its_place(target, options, said, engine):
    said = said.format("If that marks rows to skip,")
    said = f"cross_entropy: `target` must hold class indices in [0, 4] or ignore_index={said}"
    with onepass.engine(engine):
        for dtype in (torch.int64, torch.int32, torch.int16):
            for reduction in REDUCTIONS:
                assert_refused(
                    onepass.DomainError, said, X, tensor(target, dtype=dtype),
                    reduction=reduction, **options,
                )  # fmt: skip
        columns = X.t().repeat(3, 1, 8)
        labels_ = tensor(target).repeat(3, 8)
        with pytest.raises(onepass.DomainError) as caught:
            F.cross_entropy(columns, labels_, **options)
    first = next(k for k, label in enumerate(target) if f"got {label} at" in said)
    assert f"at (0, {first}) and " in str(caught.value)


def test_a_masked_class_out_of_range_is_not_looked_at():
    target = tensor([0, 99, -7, 2])
    counting = tensor([1.0, 0.0, 0.0, 1.0])
    for given in ({"mask": counting.bool()}, {"sample_weight": counting}):
        for engine in ("cpu", "eager"):
            ours = results(on(engine), X, target, **given)
            assert_all_same(ours, results(by_hand, X, tensor([0, 1, 1, 2]), **given), 1e-6)
    assert_refused(
        onepass.DomainError,
        "cross_entropy: `target` must hold class indices in [0, 4] or ignore_index=-100; got -7 "
        "at (2,). If that marks rows to skip, write ignore_index=-7.",
        X, tensor([0, 99, -7, 2]).clamp(max=4), mask=tensor([True, False, True, True]),
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape, target, options, wanted, axis, hint",
    [
        ((4, 5), (4, 1), {}, (4,), 1, " Did you mean target.squeeze(1)?"),
        ((4, 5), (1, 4), {}, (4,), 1, " Did you mean target.squeeze(0)?"),
        ((4, 5, 3), (4, 1, 3), {}, (4, 3), 1, " Did you mean target.squeeze(1)?"),
        ((5,), (2,), {}, (), 0, ""),
        ((5,), (1, 1), {}, (), 0, ""),
        ((2, 7, 50), (2, 7), {}, (2, 50), 1, " If the classes are on axis 2, write dim=-1."),
        ((50, 2, 7), (2, 7), {}, (50, 7), 1, " If the classes are on axis 0, write dim=0."),
        ((2, 50, 7), (2, 7), {"dim": -1}, (2, 50), 2,
         " If the classes are on axis 1, write dim=1."),
        ((4, 5), (5,), {}, (4,), 1, " If the classes are on axis 0, write dim=0."),
        ((4, 5), (3,), {}, (4,), 1, ""),
        ((4, 5), (4, 2), {}, (4,), 1, ""),
        ((4, 5), (), {}, (4,), 1, ""),
        ((4, 5, 3), (4,), {}, (4, 3), 1, ""),
    ],
    ids=str,
)  # fmt: skip
def test_targets_of_another_shape_show_what_to_write(shape, target, options, wanted, axis, hint):
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: `target` must hold a class index for every row of `input`, "
        f"{wanted} for input {shape} with {shape[axis]} classes on axis {axis}; got "
        f"{target}.{hint}",
        torch.zeros(shape), torch.zeros(target, dtype=torch.int64), **options,
    )  # fmt: skip


@pytest.mark.parametrize("shape, dim", [((4, 7), 1), ((4, 1), 1), ((5, 4), 0), ((3, 5), 1)])
def test_probabilities_of_another_shape_show_that_of_the_logits(shape, dim):
    logits_shape = (4, 5) if dim == 1 else (5, 3)
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: class probabilities in `target` must have the shape of the logits, "
        f"{logits_shape}; got {shape}. Class indices are integers.",
        torch.zeros(logits_shape), torch.zeros(shape), dim=dim,
    )  # fmt: skip


def test_probabilities_must_be_real():
    assert_refused(
        onepass.DtypeError,
        "cross_entropy: `target` must be real, got torch.complex64. "
        "Write target.real or target.abs().",
        X, X.softmax(1) + 0j,
    )  # fmt: skip


def test_a_single_number_has_no_classes():
    assert_refused(
        onepass.ShapeError,
        "cross_entropy: `input` must have an axis of classes, got a single number.",
        tensor(1.0), tensor(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.bool, torch.complex64], ids=str
)
def test_class_indices_must_be_integers(dtype):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: class indices in `target` must be integers, got {dtype}. "
        "Write target.long().",
        X, Y.to(dtype),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (4,), (6,), (5, 1), (1, 5), (4, 5)], ids=str)
def test_a_weight_has_one_entry_for_each_class(shape):
    for target in (Y, torch.full((4, 5), 0.2)):
        assert_refused(
            onepass.ShapeError,
            "cross_entropy: `weight` must have one entry for each of the 5 classes, (5,); got "
            f"{shape}.",
            X, target, torch.ones(shape),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_a_weight_must_be_floating_point(dtype):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: `weight` must be floating point, got {dtype}. Write weight.float().",
        X, Y, torch.ones(5, dtype=dtype),
    )  # fmt: skip


@pytest.mark.parametrize(
    "tensors, name, thing",
    [
        (([[1.0]], Y), "input", "list: [[1.0]]"),
        ((None, Y), "input", "NoneType: None"),
        ((X, [0, 1, 2, 4]), "target", "list: [0, 1, 2, 4]"),
        ((X, 3), "target", "int: 3"),
        ((X, None), "target", "NoneType: None"),
        ((X, Y, [1.0, 2.0]), "weight", "list: [1.0, 2.0]"),
        ((X, Y, 2.0), "weight", "float: 2.0"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(tensors, name, thing):
    assert_refused(
        onepass.DtypeError,
        f"cross_entropy: `{name}` must be a tensor, got {thing}. Write torch.as_tensor({name}).",
        *tensors,
    )


@pytest.mark.parametrize(
    "name, said, given",
    [
        ("label_smoothing", "a probability, in [0, 1]", (-0.1, 1.5, NAN, INF)),
        ("z_loss", "a number that is not negative, >= 0", (-1e-9, NAN, INF, -INF)),
        ("softcap", "a positive finite number, > 0", (0.0, -1.0, NAN, INF)),
    ],
)
def test_numbers_outside_their_domain_are_refused(name, said, given):
    for number in given:
        message = f"cross_entropy: `{name}` must be {said}; got {number!r}."
        assert_refused(onepass.ParameterError, message, X, Y, **{name: number})
        with pytest.raises(onepass.ParameterError) as caught:
            nn.CrossEntropyLoss(**{name: number})
        assert str(caught.value) == message
    for thing in (True, "1", [0.1]):
        message = (
            f"cross_entropy: `{name}` must be {said}; got {type(thing).__name__}: {thing!r}. "
            "It is one number for all elements."
        )
        assert_refused(onepass.ParameterError, message, X, Y, **{name: thing})
        with pytest.raises(onepass.ParameterError, match=rf"`{name}` must be"):
            nn.CrossEntropyLoss(**{name: thing})


@pytest.mark.parametrize("thing", [None, 1.0, True, "1", [1]], ids=repr)
@pytest.mark.parametrize("name", ["ignore_index", "dim"])
def test_indices_must_be_integers(name, thing):
    hint = f": write int({name})" if thing == 1.0 and thing is not True else ""
    message = (
        f"cross_entropy: `{name}` must be an integer, got {type(thing).__name__}: {thing!r}{hint}."
    )
    assert_refused(onepass.ParameterError, message, X, Y, **{name: thing})
    with pytest.raises(onepass.ParameterError) as caught:
        nn.CrossEntropyLoss(**{name: thing})
    assert str(caught.value) == message


@pytest.mark.parametrize("dim", [2, -3, 100])
def test_dim_must_be_an_axis(dim):
    for input, target in ((X, Y), (X, X.softmax(1))):
        message = f"cross_entropy: `dim` must be an axis of `input`, which has 2; got {dim}."
        assert_refused(onepass.ParameterError, message, input, target, dim=dim)
    message = f"cross_entropy: `dim` must be an axis of `input`, which has 1; got {dim}."
    assert_refused(onepass.ParameterError, message, X[0], Y[0], dim=dim)


@pytest.mark.parametrize(
    "given, hint", [("avg", " Did you mean 'mean'?"), ("Sum", " Did you mean 'sum'?"), ("?", "")]
)
def test_a_wrong_reduction_names_the_closest(given, hint):
    message = (
        f"cross_entropy: {given!r} is not a valid value for reduction: `reduction` must be one of "
        f"'none', 'mean', 'sum', 'batchmean'.{hint}"
    )
    for target in (Y, X.softmax(1)):
        assert_refused(onepass.ParameterError, message, X, target, reduction=given)
        mask = torch.ones(4, dtype=torch.bool)
        assert_refused(onepass.ParameterError, message, X, target, reduction=given, mask=mask)
    with pytest.raises(onepass.ParameterError) as caught:
        nn.CrossEntropyLoss(reduction=given)
    assert str(caught.value) == message.replace("cross_entropy", "CrossEntropyLoss", 1)


def test_weights_of_rows_are_refused_as_by_every_loss():
    for target in (Y, X.softmax(1)):
        assert_refused(
            onepass.DtypeError,
            "cross_entropy: `mask` must be a bool tensor, True where an element counts; got "
            "torch.float32. Write mask.bool(), or give numbers as sample_weight.",
            X, target, mask=torch.ones(4),
        )  # fmt: skip
        assert_refused(
            onepass.ShapeError,
            "cross_entropy: `sample_weight` must broadcast to the shape of the unreduced loss, "
            "(4,); got (4, 5).",
            X, target, sample_weight=torch.ones(4, 5),
        )  # fmt: skip
        assert_refused(
            onepass.ParameterError,
            "cross_entropy: `normalizer` replaces the denominator of reduction='mean', got "
            "reduction='sum'. Leave one of the two out.",
            X, target, normalizer=3, reduction="sum",
        )  # fmt: skip


def test_tensors_on_different_devices_are_named():
    said = "cross_entropy: all tensors must be on the same device, got cpu and for `{0}` meta. "
    said += "Write {0}.to('cpu')."
    meta = "meta"
    assert_refused(onepass.DeviceError, said.format("target"), X, Y.to(meta))
    assert_refused(onepass.DeviceError, said.format("target"), X, X.softmax(1).to(meta))
    assert_refused(onepass.DeviceError, said.format("weight"), X, Y, torch.ones(5, device=meta))
    weight = torch.ones(4, device=meta)
    assert_refused(onepass.DeviceError, said.format("sample_weight"), X, Y, sample_weight=weight)


def test_meta_tensors_have_a_shape_and_a_dtype():
    for target in (Y, X.softmax(1)):
        for reduction, shape in (("none", (4,)), ("mean", ()), ("sum", ())):
            value = F.cross_entropy(X.to("meta"), target.to("meta"), reduction=reduction)
            assert value.device.type == "meta"
            assert value.shape == shape
            assert value.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_logits_that_are_no_real_numbers_are_refused_in_our_words(dtype):
    with pytest.raises(onepass.DtypeError, match=rf"`input` must be .*{dtype}"):
        F.cross_entropy(X.to(dtype), Y)


SAME_PLACES = {
    "a class too large": ((X, Y + 1), {}),
    "a negative class": ((X, Y - 1), {}),
    "(N, 1)": ((X, Y[:, None]), {}),
    "rows": ((X, Y[:3]), {}),
    "weight": ((X, Y, torch.ones(4)), {}),
    "reduction": ((X, Y), {"reduction": "avg"}),
    "smoothing": ((X, Y), {"label_smoothing": 1.5}),
    "a target that is a list": ((X, [1]), {}),
    "float labels": ((X, Y.float()), {}),
    "devices": ((X, Y.to("meta")), {}),
    "an index of a string": ((X, Y), {"ignore_index": "1"}),
}


@pytest.mark.parametrize("tensors, options", SAME_PLACES.values(), ids=SAME_PLACES)
def test_what_catches_torchs_error_catches_ours(tensors, options):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        torchs(*tensors, **options)
    with pytest.raises(type(theirs.value)):
        F.cross_entropy(*tensors, **options)
