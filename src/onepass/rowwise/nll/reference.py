"""nll_loss as plain torch: any device, any transform, any order of derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

from onepass.rowwise.labels import at_label


def of_labels(
    input: Tensor,  # (*rows, classes), log-probabilities
    target: Tensor,  # (*rows)
    *,
    weight: Tensor | None,
    ignore_index: int,
) -> Tensor:
    """The loss of each row, given the index of its class; 0 where that is ignored."""
    kept = target != ignore_index
    label = torch.where(kept, target, 0)
    surprise = -at_label(input, label)
    if weight is not None:
        share = weight.to(surprise.dtype)[label.unsqueeze(-1)].squeeze(-1)
        kept, surprise = kept & (share != 0), share * surprise
    return torch.where(kept, surprise, 0.0)
