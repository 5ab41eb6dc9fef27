"""What is no tensor, and tensors of another type or device, are refused by name."""

import numpy as np
import pytest
import torch

import onepass
from onepass import functional as F
from tests.errors.calls import EVERY, X, assert_refused, fitting, public


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
