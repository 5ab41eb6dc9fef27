"""`with onepass.checking()`: every value outside its domain is named, by the kernel's own pass."""

from __future__ import annotations

import math

import pytest
import torch

import onepass
import onepass.functional as F
from onepass.errors import DomainError
from tests.twins import LOSSES, names

nan = math.nan
T = torch.tensor

WRONG = {
    "binary_cross_entropy_with_logits": (
        lambda: F.binary_cross_entropy_with_logits(T([0.5, 2.0]), T([1.0, -1.0])),
        r"`target` must be a probability, in \[0, 1\]; got -1.0 at \(1,\)",
    ),
    "multilabel_soft_margin_loss": (
        lambda: F.multilabel_soft_margin_loss(T([[0.5, 2.0]]), T([[255.0, 1.0]])),
        r"^multilabel_soft_margin_loss: .*`target`.*got 255.0 at \(0, 0\)",
    ),
    "poisson_nll_loss, rate": (
        lambda: F.poisson_nll_loss(T([2.0, -1.0]), T([1.0, 1.0]), log_input=False),
        r"`input` must be .* not negative.*got -1.0 at \(1,\)",
    ),
    "poisson_nll_loss, count": (
        lambda: F.poisson_nll_loss(T([2.0, -1.0]), T([1.0, -3.0])),
        r"`target` must be .* not negative.*got -3.0 at \(1,\)",
    ),
    "kl_div": (
        lambda: F.kl_div(T([0.5, -1.0]), T([0.5, 0.5]), reduction="sum"),
        r"`input` must be a logarithm of a probability.*got 0.5 at \(0,\)",
    ),
    "kl_div, log_target": (
        lambda: F.kl_div(T([-0.5, -1.0]), T([0.5, -1.0]), reduction="sum", log_target=True),
        r"`target` must be a logarithm of a probability.*got 0.5 at \(0,\)",
    ),
    "soft_margin_loss": (
        lambda: F.soft_margin_loss(T([0.5, 2.0]), T([1.0, 0.0])),
        r"`target` must be a label, one of -1, 1; got 0.0 at \(1,\).*2 \* target - 1",
    ),
    "hinge_embedding_loss": (
        lambda: F.hinge_embedding_loss(T([0.5, 2.0]), T([1, 0])),
        r"`target` must be a label, one of -1, 1; got 0 at \(1,\)",
    ),
    "margin_ranking_loss": (
        lambda: F.margin_ranking_loss(T([0.5]), T([2.0]), T([2.0])),
        r"`target` must be a label",
    ),
    "mse_loss": (
        lambda: F.mse_loss(T([0.5, 2.0, nan]), T([1.0, nan, nan])),
        r"`input` .*got nan at \(2,\)",
    ),
    "cross_entropy": (
        lambda: F.cross_entropy(T([[nan, 1.0], [2.0, nan]]), T([-100, 0])),
        r"`input` is nan at \(1, 1\)",
    ),
    "triplet_margin_loss": (
        lambda: F.triplet_margin_loss(T([[0.5, 1.0]]), T([[2.0, nan]]), T([[1.0, 1.0]])),
        r"`positive` is nan at \(0, 1\)",
    ),
    "cosine_embedding_loss": (
        lambda: F.cosine_embedding_loss(torch.eye(2), torch.eye(2), T([1, 0])),
        r"`target` must .*-1.*got 0.0 at \(1,\).*2 \* target - 1",
    ),
    "linear_cross_entropy": (
        lambda: F.linear_cross_entropy(torch.eye(2), T([[1.0, nan], [0, 0]]), T([1, 0])),
        r"`linear_weight` is nan at \(0, 1\)",
    ),
}


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("call, said", WRONG.values(), ids=WRONG)
def test_a_value_outside_is_named_inside_and_only_there(call, said, engine):
    with onepass.engine(engine):
        call()
        with onepass.checking(), pytest.raises(DomainError, match=said):
            call()
        call()


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_what_does_not_count_may_be_anything(engine):
    keep = T([True, False])
    with onepass.checking(), onepass.engine(engine):
        for loss in (F.mse_loss, F.soft_margin_loss, F.binary_cross_entropy):
            assert loss(T([0.5, nan]), T([1.0, 7.0]), mask=keep).isfinite()
        rows = T([[0.5, 1.0], [nan, nan]])
        assert F.cosine_embedding_loss(rows, rows, T([1.0, 0.0]), mask=keep).isfinite()
        assert F.cross_entropy(rows, T([0, -100])).isfinite()


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_legal_values_pass_and_give_the_same_bits(loss):
    generator = torch.Generator().manual_seed(0)
    tensors = [
        onepass.testing.draw(loss.domains[name], (1000,), generator).float()
        for name in loss.tensors
    ]
    leaf = tensors[0].requires_grad_()
    with onepass.engine("cpu"):
        plain = loss(*tensors)
        (gradient,) = torch.autograd.grad(plain, leaf)
        with onepass.checking():
            checked = loss(*tensors)
    # In which order many are added is each kernel's compiler's choice; of one there is no order.
    torch.testing.assert_close(plain, checked, rtol=2e-7, atol=0)
    assert torch.equal(gradient, torch.autograd.grad(checked, leaf)[0])
    for given, options in [
        (tensors, {"reduction": "none"}),
        *(([t[k : k + 1] for t in tensors], {}) for k in range(0, 1000, 25)),
    ]:
        with onepass.engine("cpu"):
            plain = loss(*given, **options)
            with onepass.checking():
                assert torch.equal(plain, loss(*given, **options))


def test_infinite_logits_are_legal():
    with onepass.checking():
        assert F.binary_cross_entropy_with_logits(T([math.inf]), T([1.0])) == 0
        assert F.cross_entropy(T([[0.0, -math.inf]]), T([0])) == 0
