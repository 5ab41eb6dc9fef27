"""Groups of elements by class and by column."""

import math

import pytest
import torch
import torch.nn.functional as T

from onepass import explain
from tests.guide.explain.calls import normal, tensors_of
from tests.guide.explain.expected import Expected, share_of


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
