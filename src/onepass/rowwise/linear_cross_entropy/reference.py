"""Linear layer and cross entropy as plain torch: any device, any transform, any order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from onepass.rowwise.cross_entropy import reference


def of_labels(
    input: Tensor,  # (*rows, features)
    target: Tensor,  # (*rows)
    linear_weight: Tensor,  # (classes, features)
    linear_bias: Tensor | None = None,  # (classes)
    *,
    ignore_index: int,
    **options: Any,
) -> Tensor:
    """The loss of each row, given the index of its class."""
    kept = target != ignore_index
    logits = linear(torch.where(kept.unsqueeze(-1), input, 0.0), linear_weight, linear_bias)
    return reference.of_labels(logits, target, ignore_index=ignore_index, **options)


def of_probabilities(
    input: Tensor,  # (*rows, features)
    target: Tensor,  # (*rows, classes)
    linear_weight: Tensor,  # (classes, features)
    linear_bias: Tensor | None = None,  # (classes)
    **options: Any,
) -> Tensor:
    """The loss of each row, given the probability of every class."""
    logits = linear(input, linear_weight, linear_bias)
    return reference.of_probabilities(logits, target, **options)
