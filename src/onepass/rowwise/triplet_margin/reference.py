"""The triplet margin loss as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from onepass.rowwise.vectors import longest, unit


def loss(
    anchor: Tensor,  # (*rows, features)
    positive: Tensor,  # (*rows, features)
    negative: Tensor,  # (*rows, features)
    *,
    margin: float,
    p: float,
    eps: float,
    swap: bool,
    squared: bool = False,
) -> Tensor:
    """How much closer than the positive, plus a margin, the negative is; 0 if it is not.

    `squared` is for p = 2: distances without their root.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        difference = x - y + eps
        return torch.square(difference).sum(-1) if squared else _norm(difference, p)

    return hinge(distance, anchor, positive, negative, margin, swap)


def hinge(
    distance: Callable[[Tensor, Tensor], Tensor],
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float,
    swap: bool,
) -> Tensor:
    """The loss by any distance of two tensors' rows."""
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return torch.clamp_min(margin + near - far, 0.0)


def _norm(x: Tensor, p: float) -> Tensor:
    """The p-norm of each row; its slope is 0 where it is 0."""
    if not x.shape[-1]:
        return x.sum(-1)
    still = (x == 0).all(-1, keepdim=True)
    x = torch.where(still, 1.0, x)
    size = unit(x) if p in (1, 2, math.inf) else longest(x)
    norm = torch.linalg.vector_norm(x / size, p, dim=-1, keepdim=True)
    return torch.where(still, 0.0, size * norm).squeeze(-1)
