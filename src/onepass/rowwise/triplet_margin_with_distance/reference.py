"""The triplet margin loss of distances that are known, and of distances of one's own."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.define import NONNEGATIVE, POSITIVE, pointwise
from onepass.rowwise.triplet_margin import reference

of_vectors = reference.loss


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
