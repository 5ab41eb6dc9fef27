"""The triplet margin loss of distances that are known, and of distances of one's own."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.define import NONNEGATIVE, POSITIVE, pointwise
from onepass.rowwise.triplet_margin import reference
from onepass.rowwise.vectors import unit

of_vectors = reference.loss


def of_cosines(
    anchor: Tensor,  # (*rows, features)
    positive: Tensor,  # (*rows, features)
    negative: Tensor,  # (*rows, features)
    *,
    margin: float,
    eps: float,
    swap: bool,
) -> Tensor:
    """The loss of distances that are 1 - cosine_similarity."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return 1 - (_direction(x, eps) * _direction(y, eps)).sum(-1)

    return reference.hinge(distance, anchor, positive, negative, margin, swap)


def _direction(x: Tensor, eps: float) -> Tensor:
    """x / max(|x|, eps), whose slope is that of x / |x| even below eps, as torch has it."""
    size = unit(x).clamp_min(eps)  # not less, or the reciprocal of a length would underflow
    x = x / size
    still = (x == 0).all(-1, keepdim=True)
    length = torch.linalg.vector_norm(torch.where(still, 1.0, x), dim=-1, keepdim=True)
    length = torch.where(still, 0.0, length)
    with torch.no_grad():  # so that the derivative does not see it
        length.clamp_min_(eps / size)
    return x / length


@pointwise(near=NONNEGATIVE, far=NONNEGATIVE, swapped=NONNEGATIVE, margin=POSITIVE)
def triplet_margin_with_distance_loss(
    near: Tensor, far: Tensor, swapped: Tensor | None = None, *, margin: float = 1.0
) -> Tensor:
    """How much closer than the positive, plus a margin, the negative is; 0 if it is not.

    `swapped` is the distance between these two, which counts where it is the smaller one.
    """
    if swapped is not None:
        far = torch.minimum(far, swapped)
    return torch.clamp(margin + near - far, min=0.0)
