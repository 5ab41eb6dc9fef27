"""The losses of the catalogue, each with torch's of the same name, and inputs that both accept."""

import warnings
from typing import Any

import torch
from torch import Tensor

import onepass
from onepass import functional as F
from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements
from onepass.testing import Sample

LOSSES = [x for x in onepass.catalogue().values() if isinstance(x, onepass.Pointwise)]
ALL_LOSSES = [*LOSSES, of_elements]
REDUCTIONS = ("mean", "sum", "none")

# Arguments that torch has no derivative for.
NOT_DIFFERENTIABLE = {
    "soft_margin_loss": ("target",),
    "binary_cross_entropy_with_logits": ("pos_weight",),
}


def names(losses):
    return [loss.name for loss in losses]


def functions(name: str):
    """Our function and torch's."""
    return getattr(F, name), getattr(torch.nn.functional, name)


def differentiated(
    function: Any, sample: Sample, create_graph: bool = False, **options: Any
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Value; gradients (0 where unused) by the tensors that torch differentiates too; those."""
    frozen = NOT_DIFFERENTIABLE.get(sample.loss.name, ())
    given = dict(zip((*sample.loss.tensors, *sample.loss.optional), sample.tensors, strict=False))
    leaves = {k: t.detach().clone().requires_grad_(k not in frozen) for k, t in given.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kl_div's 'mean'
        value = function(**leaves, **sample.options, **options)
    upstream = torch.randn(value.shape, generator=torch.Generator().manual_seed(3)).to(value.dtype)
    wanted = [leaf for leaf in leaves.values() if leaf.requires_grad]
    slopes = torch.autograd.grad(
        value, wanted, upstream, allow_unused=True, create_graph=create_graph
    )
    zeros = (torch.zeros_like(leaf) for leaf in wanted)
    gradients = [z if s is None else s for s, z in zip(slopes, zeros, strict=True)]
    return value.detach(), gradients, wanted


def assert_same_results(ours: Any, theirs: Any, tolerance: float, message: str) -> None:
    """Value and gradients, wherever torch's are finite."""
    for a, b in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert_same(a[b.isfinite()], b[b.isfinite()], tolerance, message)


def assert_same(ours: Tensor, theirs: Tensor, tolerance: float, message: str = "") -> None:
    """Relative to each element, and to the largest (at most 1) for those that cancel."""
    largest = theirs.abs().max().item() if theirs.numel() else 0.0
    torch.testing.assert_close(
        ours, theirs, rtol=tolerance, atol=tolerance * min(largest, 1.0),
        msg=lambda text: f"{message} {text}",
    )  # fmt: skip
