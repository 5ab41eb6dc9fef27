"""Explanations at kinks, of what is not finite, and of little or nothing."""

import math
from math import inf, nan

import pytest
import torch
import torch.nn.functional as T

from onepass import explain
from onepass.guide.explain.parts import TOPS
from tests.guide.explain.calls import LOSSES, tensors_of
from tests.guide.explain.expected import Expected, assert_largest, assert_spread, held

KINKS = {  # tensors at a kink of the loss
    "l1_loss": {"input": [1.0, 2.0, 0.0], "target": [1.0, 0.0, 0.0]},
    "huber_loss": {"input": [1.0, -1.0, 0.5], "target": [0.0, 0.0, 0.0]},
    "smooth_l1_loss": {"input": [1.0, -1.0, 0.5], "target": [0.0, 0.0, 0.0]},
    "margin_ranking_loss": {
        "input1": [0.0, 1.0, 2.0], "input2": [0.0, 1.0, 4.0], "target": [1.0, -1.0, 1.0],
    },
    "hinge_embedding_loss": {"input": [1.0, 0.5, 2.0], "target": [-1.0, -1.0, 1.0]},
}  # fmt: skip


@pytest.mark.parametrize("loss", KINKS)
def test_kinks_are_torchs(loss):
    tensors = {name: torch.tensor(values).double() for name, values in KINKS[loss].items()}
    shown = explain(loss, **tensors)
    expected = Expected(getattr(T, loss), tensors)
    assert_spread(shown.spread, expected)
    assert_largest(shown, expected)


@pytest.mark.parametrize("bad", [nan, inf])
def test_what_is_not_finite_is_counted_and_left_out(bad):
    tensors = tensors_of("mse_loss")
    kept = {name: tensor[5:] for name, tensor in tensors.items()}
    tensors["input"][:5] = bad
    shown = explain("mse_loss", **tensors, reduction="sum")
    expected = Expected(T.mse_loss, kept, "sum")
    assert (shown.counting, shown.lost) == (60, 15)
    assert not math.isfinite(shown.spread.value)
    assert shown.spread.elements == 45
    assert shown.spread.loss == pytest.approx([held(expected.losses, top) for top in TOPS])
    assert shown.spread.gradient == pytest.approx([held(expected.pulls, top) for top in TOPS])
    assert [e.place[0] for e in shown.largest] == [
        e.place[0] + 5 for e in explain("mse_loss", **kept, reduction="sum").largest
    ]
    assert shown.robust.delta == explain("mse_loss", **kept).robust.delta
    assert "15 of them are not finite" in str(shown)
    assert shown.as_dict()["spread"]["value"] is None


def test_groups_leave_out_what_is_not_finite():
    tensors = tensors_of("binary_cross_entropy_with_logits")
    tensors["target"][0] = nan
    tensors["input"][1] = nan
    kept = {name: tensor[2:] for name, tensor in tensors.items()}
    groups = explain("binary_cross_entropy_with_logits", **tensors, reduction="sum").groups
    assert groups == explain("binary_cross_entropy_with_logits", **kept, reduction="sum").groups


def test_nothing_finite_and_nothing_at_all():
    nothing = explain("mse_loss", torch.full((3,), nan), torch.zeros(3))
    empty = explain("cross_entropy", torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    masked = explain("l1_loss", torch.ones(3), torch.zeros(3), mask=torch.zeros(3).bool())
    for shown, counting in ((nothing, 3), (empty, 0), (masked, 0)):
        assert shown.counting == counting
        assert shown.spread.elements == 0
        assert shown.spread.curve == ()
        assert shown.largest == ()
        assert shown.groups == {}
        assert math.isnan(shown.spread.value)
        assert f"{counting} of {shown.elements} elements count" in str(shown)


def test_without_a_gradient_the_largest_losses_are_shown():
    input, target = torch.tensor([1.0, 5.0, 2.0]), torch.tensor([-1.0, -1.0, 1.0])
    shown = explain("hinge_embedding_loss", input, target, margin=0.5)
    assert [element.place for element in shown.largest] == [(2,), (0,), (1,)][:1]
    none = explain("huber_loss", torch.ones(3, dtype=torch.int64), torch.zeros(3))
    assert [(e.loss, e.gradient, e.share) for e in none.largest] == [(0.5, 0.0, 0.0)] * 3
    assert "No gradient; the largest losses" in str(none)


@pytest.mark.parametrize("loss", [x for x in LOSSES if x not in ("cross_entropy", "nll_loss")])
def test_a_single_row(loss):
    tensors = tensors_of(loss)
    row = {n: t if n == "linear_weight" else t[:1] for n, t in tensors.items()}
    expected = Expected(getattr(T, loss), row)
    assert_spread(explain(loss, **row).spread, expected)


def test_numbers_without_axes():
    shown = explain("mse_loss", torch.tensor(3.0), torch.tensor(1.0))
    assert shown.shape == ()
    assert [(e.place, e.gradient, e.share) for e in shown.largest] == [((), 4.0, 1.0)]
    alone = explain("cross_entropy", torch.tensor([1.0, 3.0]), torch.tensor(0))
    assert alone.shape == ()
    assert alone.largest[0].loss == pytest.approx(math.log1p(math.exp(2)))
