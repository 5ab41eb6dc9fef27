"""That diagnose only reads."""

import torch


def assert_untouched(tensors, copies):
    for tensor, copy in zip(tensors, copies, strict=True):
        assert torch.equal(tensor.isnan(), copy.isnan())
        assert torch.equal(tensor.nan_to_num(), copy.nan_to_num())
        assert not tensor.requires_grad
        assert tensor.grad is None
