"""Shapes that do not fit are named with what to write, others are welcome."""

import pytest
import torch

import onepass
from onepass import functional as F
from tests.errors.calls import EVERY, PAIR, X, assert_refused, fitting, public
from tests.twins import LOSSES


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
