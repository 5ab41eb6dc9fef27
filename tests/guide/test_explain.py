"""The numbers are autograd's, nothing is touched, and table and picture can be read."""

from __future__ import annotations

import json
import math
import statistics
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from rich.console import Console

import onepass
import onepass.functional as F
from onepass import explain, nn
from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.guide.diagnose import batch as batches
from onepass.guide.explain.parts import TOPS
from onepass.guide.names import parameters_of
from tests.guide.correct import correct
from tests.guide.test_plot import assert_readable

LOSSES = tuple(onepass.catalogue())
WIDTHS = ("wide", "narrow")
nan, inf = math.nan, math.inf


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def signs(*shape):
    return 2.0 * torch.randint(2, shape).double() - 1


def classes(*shape):
    return torch.randint(5, shape)


def distributions(*shape):
    return normal(*shape).softmax(-1)


def tensors_of(loss):
    """Float64 tensors that torch's function takes, too."""
    shape, row = (20, 3), (30, 5)
    return {
        "l1_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "mse_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "huber_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "smooth_l1_loss": lambda: {"input": normal(*shape), "target": normal(*shape)},
        "gaussian_nll_loss": lambda: {
            "input": normal(*shape), "target": normal(*shape), "var": normal(*shape).exp(),
        },
        "poisson_nll_loss": lambda: {"input": normal(60), "target": torch.randint(9, (60,))},
        "kl_div": lambda: {"input": distributions(*row).log(), "target": distributions(*row)},
        "binary_cross_entropy": lambda: {
            "input": normal(60).sigmoid(), "target": torch.rand(60).round().double(),
        },
        "binary_cross_entropy_with_logits": lambda: {
            "input": normal(*shape), "target": torch.rand(shape).round().double(),
        },
        "cross_entropy": lambda: {"input": normal(*row), "target": classes(30)},
        "linear_cross_entropy": lambda: {
            "input": normal(30, 4), "linear_weight": normal(5, 4), "target": classes(30),
        },
        "nll_loss": lambda: {"input": distributions(*row).log(), "target": classes(30)},
        "multilabel_soft_margin_loss": lambda: {
            "input": normal(*row), "target": torch.rand(row).round().double(),
        },
        "soft_margin_loss": lambda: {"input": normal(60), "target": signs(60)},
        "multi_margin_loss": lambda: {"input": normal(*row), "target": classes(30)},
        "margin_ranking_loss": lambda: {
            "input1": normal(60), "input2": normal(60), "target": signs(60),
        },
        "hinge_embedding_loss": lambda: {"input": normal(60).abs(), "target": signs(60)},
        "cosine_embedding_loss": lambda: {
            "input1": normal(*row), "input2": normal(*row), "target": signs(30),
        },
        "triplet_margin_loss": lambda: {
            name: normal(*row) for name in ("anchor", "positive", "negative")
        },
        "triplet_margin_with_distance_loss": lambda: {
            name: normal(*row) for name in ("anchor", "positive", "negative")
        },
    }[loss]()  # fmt: skip


FIXED = ("target", "linear_weight")  # what no model predicts


class Expected:
    """The same by torch's own function and autograd: value, losses and pulls of the elements."""

    def __init__(self, function, tensors, reduction="mean", axis=-1, **options):
        leaves = {n: t.clone().requires_grad_(n not in FIXED) for n, t in tensors.items()}
        predictions = [leaf for leaf in leaves.values() if leaf.requires_grad]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kl_div's 'mean'
            value = function(**leaves, **options, reduction=reduction)
            self.losses = function(**leaves, **options, reduction="none").detach()
        self.slopes = torch.autograd.grad(value.sum(), predictions)
        self.value = value.mean().item()
        sizes = [slope.abs() for slope in self.slopes]
        if sizes[0].shape != self.losses.shape:
            sizes = [size.sum(axis) for size in sizes]
        self.pulls = sum(sizes)


def held(sizes, share):
    """What the largest share of all holds of their sum."""
    count = math.ceil(share * sizes.numel())
    return share_of(sizes.flatten().topk(count).values, sizes)


def share_of(part, sizes):
    return (part.sum() / sizes.sum()).item() if sizes.any() else 0.0


def assert_near(one, other):
    """The same structure, its numbers up to rounding."""
    if isinstance(one, dict | list):
        assert len(one) == len(other)
        keys = one if isinstance(one, dict) else range(len(one))
        for key in keys:
            assert_near(one[key], other[key])
    else:
        assert one == (pytest.approx(other) if isinstance(other, float) else other)


def assert_spread(spread, expected):
    assert spread.value == pytest.approx(expected.value)
    assert spread.elements == expected.losses.numel()
    for share, loss, gradient in zip(TOPS, spread.loss, spread.gradient, strict=True):
        assert loss == pytest.approx(held(expected.losses.abs(), share))
        assert gradient == pytest.approx(held(expected.pulls, share))
    for share, gradient in spread.curve:
        assert gradient == pytest.approx(held(expected.pulls, share - 1e-9))
    assert bool(spread.curve) == bool(expected.pulls.any())
    if spread.curve:
        assert spread.curve[0][0] == pytest.approx(1 / expected.losses.numel())
        assert spread.curve[-1] == pytest.approx((1, 1))


def assert_largest(shown, expected):
    order = expected.pulls.flatten().sort(descending=True).values[: len(shown.largest)]
    assert len(shown.largest) == min(10, int((expected.pulls > 0).sum()))
    for element, pull in zip(shown.largest, order, strict=True):
        assert abs(element.gradient) == pytest.approx(pull.item())
        assert expected.pulls[element.place].item() == pytest.approx(pull.item())
        assert element.loss == pytest.approx(expected.losses[element.place].item())
        assert element.share == pytest.approx((pull / expected.pulls.sum()).item())


# --- every loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_shares_and_places_are_those_of_autograd(loss, reduction):
    tensors = tensors_of(loss)
    shown = explain(loss, **tensors, reduction=reduction)
    expected = Expected(getattr(T, loss), tensors, reduction)
    assert shown.loss == loss
    assert shown.reduction == reduction
    assert shown.shape == tuple(expected.losses.shape)
    assert (shown.elements, shown.counting) == (expected.losses.numel(),) * 2
    assert (shown.lost, shown.step) == (0, 1)
    assert_spread(shown.spread, expected)
    assert_largest(shown, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", LOSSES)
def test_any_correct_call_is_explained(loss, seed):
    """With masks, weights, half types, of any shape, whatever the rows that do not count hold."""
    tensors, options = correct(loss, seed)
    shown = explain(loss, *tensors, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = getattr(F, loss)(*tensors, **options).double().mean().item()
    assert shown.spread.value == pytest.approx(value, rel=1e-2, abs=1e-3, nan_ok=True)
    assert sum(element.share for element in shown.largest) <= 1 + 1e-9
    assert_fits(shown)
    assert json.loads(json.dumps(shown.as_dict(), allow_nan=False)) == shown.as_dict()


@pytest.mark.parametrize("loss", LOSSES)
def test_tensors_are_left_as_they_are(loss):
    tensors = tensors_of(loss)
    leaves = {n: t.clone().requires_grad_(t.is_floating_point()) for n, t in tensors.items()}
    first = next(iter(tensors))
    given = {**leaves, first: leaves[first] * 1.0}  # with a graph behind it, as a model makes it
    explain(loss, **given)
    assert all(torch.equal(leaf, tensors[name]) for name, leaf in leaves.items())
    assert all(leaf.grad is None for leaf in leaves.values())
    given[first].sum().backward()  # the graph is still there
    assert torch.equal(leaves[first].grad, torch.ones_like(leaves[first]))


def test_every_way_to_name_a_loss_explains_it_with_its_settings():
    tensors = tensors_of("huber_loss")
    expected = explain("huber_loss", **tensors, delta=0.3)
    for loss in (nn.HuberLoss(delta=0.3), torch.nn.HuberLoss(delta=0.3)):
        assert explain(loss, *tensors.values()) == expected
    assert explain(F.huber_loss, *tensors.values(), "mean", 0.3) == expected


def test_a_loss_of_ones_own():
    @onepass.pointwise
    def fourth(input, target):
        return (input - target) ** 4

    def plain(input, target, reduction):
        value = (input - target) ** 4
        return value.mean() if reduction == "mean" else value

    tensors = tensors_of("mse_loss")
    shown = explain(fourth, *tensors.values())
    assert_spread(shown.spread, Expected(plain, tensors))
    assert shown.relatives == ()


# --- which elements ------------------------------------------------------------------------------


def test_the_largest_show_what_the_tensors_hold_there():
    input, target = torch.zeros(4, 3), torch.zeros(4, 3)
    input[2, 1], target[2, 1] = 5.0, -2.0
    input[0, 2] = -1.0
    first, second = explain("mse_loss", input, target, reduction="sum").largest
    assert (first.place, first.numbers) == ((2, 1), {"input": 5.0, "target": -2.0})
    assert (first.loss, first.gradient, first.share) == (49.0, 14.0, 14 / 16)
    assert (second.place, second.gradient) == ((0, 2), -2.0)


def test_rows_show_the_number_of_the_true_class_and_lengths():
    logits, target = torch.tensor([[1.0, 2.0, 4.0], [9.0, 0.0, 0.0]]), torch.tensor([1, 0])
    numbers = explain("cross_entropy", logits, target).largest[0].numbers
    assert numbers == {"input at target": 2.0, "target": 1.0}
    labels = (logits > 1).float()
    numbers = explain("multilabel_soft_margin_loss", logits, labels).largest[0].numbers
    assert numbers == {"|input|": 9.0, "sum of target": 1.0}
    layer = torch.eye(3)  # as many features as classes
    shown = explain("linear_cross_entropy", logits, layer, target)
    assert shown.largest[0].numbers == {"|input|": pytest.approx(21**0.5), "target": 1.0}


def test_of_equal_gradients_the_larger_losses_come_first():
    input = torch.tensor([1.0, -7.0, 3.0, 0.0])
    shown = explain("l1_loss", input, torch.zeros(4))
    assert [element.place for element in shown.largest] == [(1,), (2,), (0,)]


def test_places_along_three_axes():
    logits = torch.zeros(2, 5, 4, 3)  # (N, C, H, W): the loss is of shape (2, 4, 3)
    logits[1, 0, 3, 2] = 30.0
    target = torch.ones(2, 4, 3, dtype=torch.int64)
    shown = explain("cross_entropy", logits, target)
    assert shown.shape == (2, 4, 3)
    assert shown.largest[0].place == (1, 3, 2)
    assert shown.largest[0].loss == pytest.approx(30)
    last = explain("cross_entropy", logits.movedim(1, -1), target, dim=-1)
    assert last.largest == shown.largest
    assert last.groups == shown.groups


def test_one_number_that_serves_many_elements_pulls_in_each():
    input, target = normal(4, 3), normal(3)
    whole = {"input": input, "target": target.expand(4, 3).clone()}
    shown = explain("mse_loss", input, target)
    assert_spread(shown.spread, Expected(T.mse_loss, whole))
    assert shown == explain("mse_loss", **whole)
    one = explain("mse_loss", input[0], input)
    assert one == explain("mse_loss", input[0].expand(4, 3).clone(), input)
    anchor, others = normal(1, 6), (normal(4, 6), normal(4, 6))
    shared = explain("triplet_margin_loss", anchor, *others)
    assert shared == explain("triplet_margin_loss", anchor.expand(4, 6).clone(), *others)


# --- kinks, nan, inf, none -----------------------------------------------------------------------


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


# --- what counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_masked_out_is_as_if_it_were_not_there(loss):
    tensors = tensors_of(loss)
    rows = len(tensors.get("target", next(iter(tensors.values()))))
    keep = torch.arange(rows) % 4 != 0
    kept = {n: t if n == "linear_weight" else t[keep] for n, t in tensors.items()}
    full = Expected(getattr(T, loss), tensors).losses
    mask = keep.reshape(-1, *[1] * (full.dim() - 1)).expand(full.shape)
    shown = explain(loss, **tensors, mask=mask).as_dict()
    alone = explain(loss, **kept).as_dict()
    assert shown["counting"] == alone["counting"] < shown["elements"]
    places = keep.nonzero().flatten().tolist()
    for element in alone["largest"]:
        element["place"][0] = places[element["place"][0]]
    for part in ("spread", "groups", "largest"):
        assert_near(shown[part], alone[part])


def test_ignored_rows_do_not_count_whatever_they_hold():
    tensors = tensors_of("cross_entropy")
    kept = {name: tensor[7:] for name, tensor in tensors.items()}
    tensors["target"][:7] = 255
    tensors["input"][:7] = inf
    shown = explain("cross_entropy", **tensors, ignore_index=255)
    assert (shown.counting, shown.lost) == (23, 0)
    assert_spread(shown.spread, Expected(T.cross_entropy, kept))
    assert 255 not in [group.key for group in shown.groups["class"]]


def test_weights_weigh():
    tensors, weight = tensors_of("cross_entropy"), torch.tensor([1.0, 0.0, 3.0, 0.5, 2.0]).double()
    counted = tensors["target"] != 1
    kept = {name: tensor[counted] for name, tensor in tensors.items()}
    shown = explain("cross_entropy", **tensors, weight=weight)
    assert shown.counting == int(counted.sum())
    assert_spread(shown.spread, Expected(T.cross_entropy, kept, weight=weight))
    tensors, weight = tensors_of("l1_loss"), torch.rand(20, 1).double()
    shown = explain("l1_loss", **tensors, sample_weight=weight)
    pulls = (weight / weight.sum() / 3).expand(20, 3)
    assert shown.spread.gradient == pytest.approx([held(pulls, top) for top in TOPS])


# --- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [
    "cross_entropy", "nll_loss", "multi_margin_loss", "linear_cross_entropy", "soft_margin_loss",
    "margin_ranking_loss", "hinge_embedding_loss", "cosine_embedding_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
])  # fmt: skip
def test_groups_by_class(loss):
    tensors = tensors_of(loss)
    expected = Expected(getattr(T, loss), tensors)
    groups = explain(loss, **tensors).groups["class"]
    assert {group.key for group in groups} == set(tensors["target"].unique().int().tolist())
    assert [g.gradient for g in groups] == sorted((g.gradient for g in groups), reverse=True)
    for group in groups:
        of = tensors["target"] == group.key
        assert group.elements == int(of.sum())
        assert group.mean == pytest.approx(expected.losses[of].mean().item())
        assert group.loss == pytest.approx(share_of(expected.losses[of], expected.losses))
        assert group.gradient == pytest.approx(share_of(expected.pulls[of], expected.pulls))


def test_targets_that_are_no_labels_make_no_classes():
    for loss in ("mse_loss", "poisson_nll_loss", "kl_div", "multilabel_soft_margin_loss"):
        assert "class" not in explain(loss, **tensors_of(loss)).groups
    soft = explain("binary_cross_entropy", torch.rand(9), torch.rand(9))
    assert "class" not in soft.groups


@pytest.mark.parametrize("loss", ["mse_loss", "binary_cross_entropy_with_logits", "kl_div"])
def test_groups_by_column_of_the_loss(loss):
    tensors = tensors_of(loss)
    expected = Expected(getattr(T, loss), tensors)
    groups = explain(loss, **tensors).groups["column"]
    assert len(groups) == expected.losses.shape[1]
    for group in groups:
        assert group.elements == len(expected.losses)
        assert group.mean == pytest.approx(expected.losses[:, group.key].mean().item())
        pulls = expected.pulls[:, group.key].sum() / expected.pulls.sum()
        assert group.gradient == pytest.approx(pulls.item())


@pytest.mark.parametrize("loss", [
    "cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_soft_margin_loss",
    "cosine_embedding_loss", "triplet_margin_loss", "linear_cross_entropy",
])  # fmt: skip
def test_groups_by_column_of_a_loss_of_rows(loss):
    tensors = tensors_of(loss)
    slopes = sum(slope.abs() for slope in Expected(getattr(T, loss), tensors).slopes)
    groups = explain(loss, **tensors).groups["column"]
    assert len(groups) == slopes.shape[1]
    for group in groups:
        assert (group.mean, group.loss) == (None, None)
        assert group.gradient == pytest.approx((slopes[:, group.key].sum() / slopes.sum()).item())


def test_columns_of_images_are_channels_and_classes():
    input, target = normal(2, 3, 4, 5), normal(2, 3, 4, 5)
    pulls = (input - target).abs().sum((0, 2, 3))
    groups = explain("mse_loss", input, target).groups["column"]
    assert {g.key: g.gradient for g in groups} == pytest.approx(
        dict(enumerate((pulls / pulls.sum()).tolist()))
    )
    groups = explain("cross_entropy", input, torch.randint(3, (2, 4, 5))).groups["column"]
    assert sorted(group.key for group in groups) == [0, 1, 2]


def test_a_rare_class_is_seen():
    target = (torch.arange(1000) < 30).double()
    shown = explain("binary_cross_entropy_with_logits", torch.full((1000,), -1.0).double(), target)
    zero, one = shown.groups["class"]
    p = 1 / (1 + math.e)
    assert (zero.key, zero.elements, one.key, one.elements) == (0, 970, 1, 30)
    assert zero.gradient == pytest.approx(970 * p / (970 * p + 30 * (1 - p)))


# --- relatives and robustness --------------------------------------------------------------------


def test_relatives_are_explained_with_the_same_tensors():
    for loss in LOSSES:
        tensors = tensors_of(loss)
        shown = explain(loss, **tensors, reduction="sum")
        card = onepass.catalogue()[loss].card
        assert {spread.name for spread in shown.relatives} | set(shown.refused) == {*card.relatives}
        for spread in shown.relatives:
            taken = parameters_of(onepass.catalogue()[spread.name])
            given = {name: tensor for name, tensor in tensors.items() if name in taken}
            assert spread == explain(spread.name, **given, reduction="sum").spread


def test_relatives_that_tensors_do_not_suit_are_refused_with_the_reason():
    tensors = tensors_of("binary_cross_entropy")
    refused = explain("binary_cross_entropy_with_logits", **tensors | {"input": normal(60)}).refused
    assert "logits" in refused["binary_cross_entropy"]
    assert "labels 0 and 1" in refused["soft_margin_loss"]
    assert refused["cross_entropy"] == "takes all of them for a single row"
    refused = explain("mse_loss", **tensors_of("mse_loss")).refused
    assert refused == {"gaussian_nll_loss": "takes input, target, var"}


def test_relatives_share_masks_and_weights():
    tensors, mask = tensors_of("mse_loss"), torch.rand(20, 3) < 0.5
    shown = explain("mse_loss", **tensors, mask=mask)
    l1 = next(spread for spread in shown.relatives if spread.name == "l1_loss")
    assert l1 == explain("l1_loss", **tensors, mask=mask).spread


def test_what_a_robust_loss_would_discount():
    error = torch.cat([normal(200), torch.tensor([40.0, -60.0, 9.0]).double()])
    target = normal(203)
    robust = explain("mse_loss", error + target, target).robust
    spread = statistics.median(error.abs().tolist()) / statistics.NormalDist().inv_cdf(0.75)
    assert robust.delta == pytest.approx(1.345 * spread, rel=1e-3)
    assert robust.places[:3] == ((201,), (200,), (202,))
    input = error.clone().requires_grad_()
    pulls = [
        torch.autograd.grad(loss, input)[0].abs()
        for loss in (
            T.mse_loss(input, 0 * input, reduction="sum") / 2,
            T.huber_loss(input, 0 * input, reduction="sum", delta=robust.delta),
        )
    ]
    assert robust.removed == pytest.approx((1 - pulls[1].sum() / pulls[0].sum()).item())
    assert robust.elements == int((pulls[1] < pulls[0] - 1e-12).sum())


def test_only_losses_of_two_real_numbers_have_outliers():
    with_robust = {x for x in LOSSES if explain(x, **tensors_of(x)).robust is not None}
    assert with_robust == {"l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss"}
    assert explain("mse_loss", torch.ones(5), torch.zeros(5)).robust is None  # none is far off


# --- large tensors -------------------------------------------------------------------------------


def test_of_large_tensors_a_sample_is_looked_at(monkeypatch):
    input, target = normal(1000, 3), normal(1000, 3)
    input[640, 2] = 1000.0
    monkeypatch.setattr(batches, "SAMPLE", 400)
    shown = explain("mse_loss", input, target)
    assert shown.step == 8
    assert shown.shape == (1000, 3)
    assert shown.elements == shown.counting == 125 * 3
    sampled = {"input": input[::8], "target": target[::8]}
    assert_spread(shown.spread, Expected(T.mse_loss, sampled))
    assert shown.largest[0].place == (640, 2)
    assert shown.robust.places[0] == (640, 2)
    assert "of every 8 along one axis a single one was looked at" in " ".join(str(shown).split())


def test_sampled_rows_keep_their_classes_and_masks(monkeypatch):
    logits, target, mask = normal(900, 5), classes(900), torch.rand(900) < 0.5
    monkeypatch.setattr(batches, "SAMPLE", 1000)
    shown = explain("cross_entropy", logits, target, mask=mask)
    step = shown.step
    assert step > 1
    seen = explain("cross_entropy", logits[::step], target[::step], mask=mask[::step])
    assert (shown.spread, shown.groups) == (seen.spread, seen.groups)
    assert [e.place for e in shown.largest] == [(step * e.place[0],) for e in seen.largest]


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call, error, says", [
    (lambda: explain("huberr", 1, 2), ParameterError, r"Did you mean 'huber_loss'\?"),
    (lambda: explain("mse", torch.ones(2)), ParameterError, "got no `target`"),
    (lambda: explain("mse", torch.ones(2), torch.ones(2), dleta=1), ParameterError, "`dleta`"),
    (lambda: explain("huber", torch.ones(2), torch.ones(2), delta=-1.0), ParameterError, "delta"),
    (lambda: explain("mse", torch.ones(2, 1), torch.ones(2)), ShapeError, "squeeze"),
    (lambda: explain("mse", [1.0], torch.ones(1)), DtypeError, "input"),
    (
        lambda: explain("cross_entropy", torch.ones(2, 3), torch.tensor([0, 7])),
        DomainError, r"7 at \(1,\)",
    ),
    (
        lambda: explain("mse", torch.ones(2, device="meta"), torch.ones(2, device="meta")),
        DtypeError, "explain: mse_loss of these tensors has no numbers that can be read; .* meta",
    ),
    (
        lambda: explain("l1", torch.ones(2), torch.ones(2, dtype=torch.complex64)), DtypeError,
        r"`target` must be real, got torch.complex64. Write torch.view_as_real\(target\)",
    ),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


# --- table and picture ---------------------------------------------------------------------------


def assert_fits(shown):
    """Every line of the table, at 80 columns."""
    assert all(len(line) <= 80 for line in str(shown).splitlines())


def assert_whole(shown):
    """No cell is broken into lines: the table is not wider than 80 columns would let it be."""
    wide = Console(width=200, color_system=None)
    with wide.capture() as capture:
        wide.print(shown.table())
    rows = [line for line in capture.get().splitlines() if line.startswith(" ")]
    assert max(map(len, map(str.rstrip, rows))) <= 80


@pytest.mark.parametrize("loss", LOSSES)
def test_the_narrow_table_fits_into_50_columns_without_broken_words(loss):
    shown = explain(loss, **tensors_of(loss))
    texts = []
    for columns in (50, 200):
        console = Console(width=columns, color_system=None)
        with console.capture() as capture:
            console.print(shown if columns == 50 else shown.table(width="narrow"))
        texts.append(capture.get())
    assert all(len(line) <= 50 for line in texts[0].splitlines())
    assert texts[0].replace("─", "").split() == texts[1].replace("─", "").split()
    assert f"{shown.largest[0].share:.1%}" in texts[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_table_fits_into_80_columns(loss):
    shown = explain(loss, **tensors_of(loss))
    assert_fits(shown)
    tables = [line for line in str(shown).splitlines() if not line.startswith("  ")]
    assert any("What the largest" in line for line in tables)
    for element in shown.largest[:5]:
        assert f"{element.share:.1%}" in str(shown)


def test_numbers_of_any_size_fit():
    input = -1e30 * torch.ones(200, 2, 3, 4, dtype=torch.float64)
    input[150, 1, 2, 3] = -1.23456e-30
    shown = explain("gaussian_nll_loss", input, -input, input.abs())
    assert_fits(shown)
    assert_whole(shown)


def test_the_table_says_what_the_numbers_are():
    tensors = tensors_of("cross_entropy")
    shown = explain("cross_entropy", **tensors)
    said = " ".join(str(shown).split())
    assert f"cross_entropy {shown.spread.value:.6g} (mean), 30 of 30 elements count" in said
    assert "What the largest 1 (1%) and 3 (10%) of the elements hold" in said
    assert "linear_cross_entropy: takes input, linear_weight, target" in said
    top = shown.groups["class"][0]
    row = next(line for line in str(shown).splitlines() if line.startswith(f" {top.key}  "))
    assert row.split()[1:4] == [str(top.elements), f"{top.mean:.4g}", f"{top.loss:.0%}"]
    assert "█" * 12 in row


def test_a_relative_of_other_elements_says_of_how_many():
    shown = explain("multilabel_soft_margin_loss", **tensors_of("multilabel_soft_margin_loss"))
    (relative,) = shown.relatives
    assert (relative.name, relative.elements) == ("binary_cross_entropy_with_logits", 150)
    assert "of 150" in str(shown)


def test_rich_prints_an_explanation():
    shown = explain("mse_loss", **tensors_of("mse_loss"))
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    assert capture.get().rstrip() == str(shown)


def test_as_dict_has_everything():
    shown = explain("cross_entropy", **tensors_of("cross_entropy"))
    plain = shown.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["tops"] == [0.01, 0.1]
    assert plain["spread"]["gradient"] == list(shown.spread.gradient)
    assert plain["largest"][0]["place"] == list(shown.largest[0].place)
    assert plain["groups"]["class"][0]["elements"] == shown.groups["class"][0].elements
    assert {spread["name"] for spread in plain["relatives"]} == {r.name for r in shown.relatives}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_picture_can_be_read(loss, width):
    assert_readable(explain(loss, **tensors_of(loss)).plot(width=width))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_of_little_and_of_much_can_be_read(width):
    many = torch.randint(1000, (4000,))
    for shown in (
        explain("mse_loss", torch.zeros(0), torch.zeros(0)),
        explain("mse_loss", torch.tensor(1.0), torch.tensor(0.0)),
        explain("l1_loss", torch.ones(3, 2), torch.ones(3, 2)),
        explain("nll_loss", normal(4000, 1000).log_softmax(1), many),
        explain("huber_loss", 1e9 * normal(90, 80, 7, 6), normal(90, 80, 7, 6)),
    ):
        assert_readable(shown.plot(width=width))


def test_the_picture_shows_the_numbers():
    shown = explain("cross_entropy", **tensors_of("cross_entropy"))
    left, right = shown.plot().axes
    curves = {line.get_label(): line for line in left.get_lines()}
    named = {"cross_entropy", *(relative.name for relative in shown.relatives)}
    assert set(curves) == {*named, "if all pulled alike"}
    np.testing.assert_allclose(curves["cross_entropy"].get_xydata(), shown.spread.curve)
    even = curves["if all pulled alike"].get_xydata()
    np.testing.assert_allclose(even[:, 0], even[:, 1])
    bars = [round(bar.get_width(), 9) for bar in right.patches]
    groups = shown.groups["class"]
    assert bars == [round(x, 9) for group in groups for x in (group.loss, group.gradient)]
    assert [t.get_text() for t in right.get_yticklabels()] == [str(g.key) for g in groups]


def test_what_has_no_gradient_says_so():
    left, right = explain("mse_loss", torch.zeros(0), torch.zeros(0)).plot().axes
    assert [text.get_text() for text in left.texts] == ["no gradient"]
    assert [text.get_text() for text in right.texts] == ["no elements"]


def test_a_width_that_there_is_not():
    with pytest.raises(ParameterError, match="`width` must be one of wide, narrow; got 'broad'"):
        explain("mse_loss", torch.ones(3), torch.zeros(3)).plot(width="broad")
    with pytest.raises(ParameterError, match="table: `width` must be one of wide, narrow"):
        explain("mse_loss", torch.ones(3), torch.zeros(3)).table(width="broad")


def test_without_matplotlib_the_rest_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = explain("mse_loss", torch.ones(3), torch.zeros(3))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[guide\]'"):
        shown.plot()
    assert "mse_loss 1 (mean)" in str(shown)
