"""What goes wrong with pairs and triplets."""

from __future__ import annotations

import numpy as np

from onepass.guide.diagnose.batch import TRIPLET_LOSSES, Batch
from onepass.guide.diagnose.finding import Finding, pattern
from onepass.guide.diagnose.values import numbers

_ROUNDING = 1e-3  # how far below 0 a distance may be taken by its arithmetic


@pattern("hinge_embedding_loss")
def no_distance(batch: Batch) -> Finding | None:
    """Scores where distances are meant."""
    input = batch.values("input")
    if input is None or not input.low < -_ROUNDING:
        return None
    return Finding(
        "warning",
        "`input` is negative, and no distance.",
        f"{input.where(input.array < 0)}; range {input.span()}",
        "similar pairs are drawn towards minus infinity: the loss has no lower bound",
        batch.call("soft_margin_loss") + "  # if these are scores",
    )


@pattern(*TRIPLET_LOSSES)
def collapsed(batch: Batch) -> Finding | None:
    """Anchor, positive and negative are the same vector."""
    anchor, positive, negative = (
        numbers(batch.seen.get(name)) for name in ("anchor", "positive", "negative")
    )
    if anchor is None or positive is None or negative is None or not batch.counts:
        return None
    if not (np.array_equal(anchor, positive) and np.array_equal(anchor, negative)):
        return None
    return Finding(
        "warning",
        "All three vectors are the same in every triplet.",
        f"{batch.counts} triplets without a distance between their vectors",
        f"the loss stays at the margin, {batch.given['margin']:g}: the embeddings have collapsed, "
        "or the same tensor was passed three times",
        batch.call(negative="negative") + "  # with vectors of another class",
    )


@pattern("triplet_margin_with_distance_loss", explains=FloatingPointError)
def steep_distance(batch: Batch) -> Finding | None:
    """A distance whose gradient is nan where it is 0, as that of a square root is."""
    gradients = batch.outcome.gradients
    steep = [name for name, slope in gradients.items() if not slope.isfinite().all()]
    value = batch.outcome.value
    if not steep or value is None or not value.isfinite().all():
        return None
    slope = gradients[steep[0]]
    rows = ~slope.isfinite().flatten(1).all(1) if slope.dim() > 1 else ~slope.isfinite()
    first = int(rows.nonzero()[0])
    function = batch.given["distance_function"]
    name = getattr(function, "__name__", type(function).__name__)
    return Finding(
        "error",
        f"The gradient of `distance_function` {name} is not finite.",
        f"{int(rows.sum())} of {len(rows)} triplets, the first at {first * _step(batch)}, by "
        f"{', '.join(f'`{n}`' for n in steep)}; the loss itself is {value.sum().item():.4g}",
        "a square root has an infinite slope at 0: two equal vectors make every weight nan",
        batch.call(distance_function="torch.nn.PairwiseDistance()")
        + "  # or (a - b).square().sum(-1).clamp(min=1e-12).sqrt()",
    )


def _step(batch: Batch) -> int:
    axis, step = batch.thinned
    return step if axis == 0 else 1
