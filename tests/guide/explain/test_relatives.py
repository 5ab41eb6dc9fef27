"""Relatives of a loss, and what a robust one would discount."""

import statistics

import pytest
import torch
import torch.nn.functional as T

import onepass
from onepass import explain
from onepass.guide.names import parameters_of
from tests.guide.explain.calls import LOSSES, normal, tensors_of


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
