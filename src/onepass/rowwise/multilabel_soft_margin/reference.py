"""multilabel_soft_margin_loss as the mean of its element: on any device, by any engine."""

from __future__ import annotations

from torch import Tensor

from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements


def of_rows(
    input: Tensor,  # (*rows, labels)
    target: Tensor,  # (*rows, labels)
    *,
    weight: Tensor | None,  # broadcasts to input
) -> Tensor:
    """The loss of each row: a label without weight costs nothing, whatever it holds."""
    each = of_elements(input, target, reduction="none", weight=weight)
    return each.mean(-1)
