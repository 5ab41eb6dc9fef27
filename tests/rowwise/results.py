"""What row-wise losses give, and how two results are compared."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.twins import assert_same

INF, NAN = math.inf, math.nan
EXACT = 1e-12  # relative, in float64
REDUCTIONS = ("mean", "sum", "none", "batchmean")
WEIGHTING = ("reduction", "sample_weight", "mask", "normalizer")


def reduced(
    value: Tensor,
    counts: Tensor,
    reduction: str = "mean",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: float | Tensor | None = None,
) -> Tensor:
    """What becomes of rows, by the table of runtime/reduce.py."""
    row_weight = torch.ones_like(value)
    if sample_weight is not None:
        row_weight = row_weight * sample_weight
    if mask is not None:
        row_weight = row_weight * mask
    value = torch.where(row_weight == 0, 0.0, row_weight * value)
    counts = torch.where(row_weight == 0, 0.0, row_weight * counts)
    if reduction == "none":
        return value
    if reduction == "sum":
        return value.sum()
    if normalizer is not None:
        return value.sum() / normalizer
    if reduction == "mean":
        return value.sum() / counts.sum()
    batch = (counts != 0).reshape(counts.shape[0], -1).any(1).sum() if counts.dim() else 1
    return value.sum() / batch


def by_rows(of_rows: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """The loss of a function that gives each row's value, and how much it counts."""

    def loss(input: Tensor, target: Tensor, **options: Any) -> Tensor:
        weighting = {name: options.pop(name) for name in WEIGHTING if name in options}
        return reduced(*of_rows(input, target, **options), **weighting)

    return loss


def class_weight(classes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Of every size; the first class has none if there are others."""
    weight = torch.linspace(0.0 if classes > 1 else 0.5, 2.0, classes, dtype=torch.float64)
    return weight.to(dtype)


def upstream_of(value: Tensor) -> Tensor:
    """Random numbers, the same in every type."""
    generator = torch.Generator().manual_seed(3)
    upstream = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return upstream.to(torch.bfloat16).to(value.dtype)


def results(function: Any, input: Tensor, *others: Any, curved: bool = False, **options: Any):
    """Value, gradient for a random upstream and, if `curved`, how that gradient bends."""
    leaf = input.detach().requires_grad_()
    value = function(leaf, *others, **options)
    (slope,) = torch.autograd.grad(value, leaf, upstream_of(value), create_graph=curved)
    found = [value.detach(), slope.detach()]
    if curved:
        along = torch.sin(7 * torch.arange(slope.numel()) + 1.0).reshape(slope.shape)
        total = (slope * along).sum() + 0 * leaf.sum()  # a loss without curvature has no graph
        found += torch.autograd.grad(total, leaf)
    return found


def assert_all_same(
    ours: list[Tensor], theirs: list[Tensor], tolerance: float = EXACT, message: str = ""
) -> None:
    assert len(ours) == len(theirs)
    for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        what = f"{message}: {place} of value, gradients, second derivatives"
        assert a.shape == b.shape, what
        finite = a.isfinite() & b.isfinite()
        assert torch.equal(a[~finite].double().nan_to_num(5), b[~finite].double().nan_to_num(5)), (
            what
        )
        assert_same(a[finite].double(), b[finite].double(), tolerance, what)
