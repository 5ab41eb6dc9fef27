"""An error leaves everything as it was."""

import pytest
import torch

import onepass
from onepass import functional as F

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
