"""multi_margin_loss as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.rowwise.labels import at_label, is_label


def of_labels(
    input: Tensor,  # (*rows, classes)
    target: Tensor,  # (*rows)
    *,
    weight: Tensor | None,
    p: int,
    margin: float,
) -> Tensor:
    """The loss of each row, given the index of its class; 0 where that has no weight."""
    share = None if weight is None else weight.to(input.dtype)[target.unsqueeze(-1)]
    if share is not None:
        input = torch.where(share == 0, 0.0, input)
    slack = margin - at_label(input, target).unsqueeze(-1) + input
    others = ~is_label(input, target)
    # A nan is no slack that is used up.
    hinge = torch.where(others & ~(slack <= 0), slack, 0.0)
    cost = hinge if p == 1 else hinge * hinge
    if share is not None:
        cost = torch.where(share == 0, 0.0, share * cost)
    return cost.sum(-1) / input.shape[-1]
