"""The cosine embedding loss as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.rowwise.vectors import unit


def loss(
    input1: Tensor,  # (*rows, features)
    input2: Tensor,  # (*rows, features)
    target: Tensor,  # (*rows)
    *,
    margin: float,
) -> Tensor:
    """The loss of each pair; 0 where its label is neither 1 nor -1."""
    similar, dissimilar = target == 1, target == -1
    counts = (similar | dissimilar).unsqueeze(-1)
    cosine = (_direction(input1, counts) * _direction(input2, counts)).sum(-1)
    excess = torch.clamp_min(cosine - margin, 0.0)
    return torch.where(similar, 1 - cosine, torch.where(dissimilar, excess, 0.0))


def _direction(x: Tensor, counts: Tensor) -> Tensor:
    """x / |x|; a vector without length has none, and no slope."""
    if not x.shape[-1]:
        return x
    has_one = counts & (x != 0).any(-1, keepdim=True)
    x = torch.where(has_one, x, 1.0)
    x = x / unit(x)
    return torch.where(has_one, x / torch.linalg.vector_norm(x, dim=-1, keepdim=True), 0.0)
