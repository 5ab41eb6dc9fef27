"""What can be wrong with the call of any loss."""

from __future__ import annotations

import math

import numpy as np
import torch

from onepass.errors import ShapeError
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.finding import PATTERNS, Finding, pattern
from onepass.guide.diagnose.gradient import robust_delta, share_of_largest
from onepass.guide.diagnose.values import numbers

# Losses whose tensors may hold an infinity that has a meaning: log(0), or a class ruled out.
_LOGARITHMS = (
    "cross_entropy", "nll_loss", "multi_margin_loss", "kl_div", "poisson_nll_loss",
    "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss",
)  # fmt: skip
_WEIGHTS = ("weight", "sample_weight", "pos_weight")
_DISTANCES = ("mse_loss", "huber_loss", "smooth_l1_loss")
_FEWEST = 100  # elements from which on the top 1% is more than luck
_DOMINATED = 0.25  # normal errors have 4% of their gradient in the top 1%, Laplace's 6%


@pattern(explains=ShapeError)
def every_pair(batch: Batch) -> Finding | None:
    """(N, 1) with (N,): a broadcast that grows both sides."""
    first, second = [*batch.of_rows, "", ""][:2]
    a, b = batch.shape(first), batch.shape(second)
    if a is None or b is None or batch.axis(first) is not None or batch.axis(second) is not None:
        return None
    for name, long, short in ((second, b, a), (first, a, b)):
        axes = [k for k, size in enumerate(long) if size == 1 and long[:k] + long[k + 1 :] == short]
        if axes and short and max(short) > 1:
            count = math.prod(short)
            return Finding(
                "error",
                f"`{first}` {a} and `{second}` {b} differ by an axis of size 1.",
                f"{count} numbers in each, which broadcasting would make "
                f"{' x '.join(map(str, torch.broadcast_shapes(a, b)))} pairs",
                "the loss refuses them; where every element is paired with every other, the best "
                "prediction is one constant, and nothing is learned",
                batch.call(**{name: f"{name}.squeeze({axes[0]})"}),
            )
    return None


@pattern(explains=FloatingPointError)
def not_finite(batch: Batch) -> Finding | None:
    """nan anywhere, or an infinity where none has a meaning."""
    seen, where = [], ""
    for name in (*batch.of_rows, *batch.shared, *_WEIGHTS):
        values = batch.values(name)
        if values is None or values.finite.size == values.array.size:
            continue
        bad = np.isnan(values.array)
        if not bad.any() and not (batch.name in _LOGARITHMS and name in batch.of_rows):
            bad = ~np.isfinite(values.array)
        if bad.any():
            seen.append(values.where(bad))
            where = where or name
    if not seen:
        return None
    missing = where == "target" and len(seen) == 1
    masked = "~target.isnan()"
    return Finding(
        "error",
        f"`{where}` holds {'missing values' if missing else 'numbers that are not finite'}.",
        "; ".join(seen),
        "one of them makes the loss and every weight of the model nan",
        batch.call(mask=masked)
        if missing and batch.axis("target") is None
        else f"torch.autograd.set_detect_anomaly(True)  # where `{where}` is made",
    )


@pattern(explains=FloatingPointError)
def nothing_counts(batch: Batch) -> Finding | None:
    """An empty batch, or one of which all is ignored, masked, or weighted 0."""
    if batch.rows is None or batch.counts or batch.outcome.error is not None:
        return None
    rows = math.prod(batch.rows)
    why = f"all {rows} rows are ignored, masked, or weighted 0" if rows else "there are no rows"
    value = batch.outcome.value
    lost = value is not None and not bool(value.isfinite().all())
    shapes = ", ".join(f"{name} {batch.shape(name)}" for name in batch.of_rows)
    return Finding(
        "error" if lost else "note",
        "Nothing in this batch counts.",
        f"{why}; {shapes}",
        "the mean of nothing is nan, and so is every weight of the model after this step"
        if lost
        else "the loss is 0, and nothing is learned from this batch",
        batch.call(normalizer=_at_least_one(batch), reduction=None),
    )


def _at_least_one(batch: Batch) -> str:
    """How many rows count, but no division by 0."""
    if "mask" in batch.tensors:
        return "max(int(mask.sum()), 1)"
    if batch.labels is not None and "ignore_index" in batch.given:
        return f"max(int((target != {batch.ignore_index}).sum()), 1)"
    return f"max({batch.loss.tensors[0]}.shape[0], 1)"


@pattern()
def negative_weight(batch: Batch) -> Finding | None:
    """A weight below 0: the loss is maximised there."""
    for name in _WEIGHTS:
        values = batch.values(name)
        if values is not None and values.low < 0:
            return Finding(
                "error",
                f"`{name}` is negative.",
                f"{values.where(values.array < 0)}; range {values.span()}",
                "where a weight is negative, training makes the loss worse, without end",
                batch.call(**{name: f"{name}.clamp(min=0)"}),
            )
    return None


@pattern()
def whole_numbers_predicted(batch: Batch) -> Finding | None:
    """Predictions that are integers, as argmax or round make them."""
    for name in batch.of_rows:
        tensor = batch.tensors[name]
        if name != "target" and not tensor.is_floating_point() and not tensor.is_complex():
            return Finding(
                "note",
                f"`{name}` is {tensor.dtype}: predictions, or already decisions?",
                f"{batch.shape(name)} of {tensor.dtype}",
                "what argmax, round or a comparison made has no gradient: nothing can be learned",
                batch.call() + f"  # with `{name}` as the model makes it",
            )
    return None


@pattern()
def no_gradient(batch: Batch) -> Finding | None:
    """Nothing pulls at any prediction."""
    slopes = batch.outcome.gradients
    if not slopes or not batch.counts or any(bool(slope.any()) for slope in slopes.values()):
        return None
    return Finding(
        "note",
        "The gradient is 0 everywhere.",
        f"{sum(slope.numel() for slope in slopes.values())} slopes, by {', '.join(slopes)}",
        "nothing is learned from this batch; right if the task is solved",
        batch.call(reduction="'none'") + "  # the loss of each element",
    )


@pattern()
def repeated_target(batch: Batch) -> Finding | None:
    """A target of fewer elements than predictions, which serves several of them."""
    target, shape = batch.tensors.get("target"), batch.shape("target")
    if target is None or batch.rows is None or not shape or batch.axis("target") is not None:
        return None
    rows = batch.rows_given
    if rows is None or shape == rows or not math.prod(rows):
        return None
    return Finding(
        "note",
        f"`target` {shape} serves all of {rows}.",
        f"{target.numel()} targets for {math.prod(rows)} predictions",
        "each is compared with several predictions; right if that is meant",
        batch.call(target=f"target.expand({', '.join(map(str, rows))})"),
    )


@pattern()
def unreadable(batch: Batch) -> Finding | None:
    """A tensor without numbers that could be looked at."""
    for name in batch.of_rows:
        tensor = batch.tensors[name]
        if tensor.is_meta or tensor.layout != torch.strided:
            kind = "on the meta device" if tensor.is_meta else f"{tensor.layout}"
            return Finding(
                "note",
                f"`{name}` is {kind}: only its shape was looked at.",
                f"{batch.shape(name)} of {tensor.dtype}",
                "whatever its values do wrong goes unseen",
                batch.call() + "  # with tensors that have numbers"
                if tensor.is_meta
                else batch.call(**{name: f"{name}.to_dense()"}),
            )
    return None


@pattern(*_DISTANCES)
def few_dominate(batch: Batch) -> Finding | None:
    """A few outliers hold much of the gradient."""
    slope = numbers(batch.outcome.gradients.get("input"))
    input, target = batch.values("input"), batch.values("target")
    if slope is None or input is None or target is None:
        return None
    sizes = np.abs(slope).ravel() if batch.counted is None else np.abs(slope).ravel()[batch.counted]
    if not input.array.size == target.array.size == sizes.size >= _FEWEST:
        return None
    errors = input.array - target.array
    if not np.isfinite(errors).all() or not np.isfinite(sizes).all():
        return None
    count, share = share_of_largest(sizes, 0.01)
    delta = robust_delta(errors)
    if share < _DOMINATED or not delta:
        return None
    return Finding(
        "note",
        "A few elements hold much of the gradient.",
        f"the top 1%, {count} of {sizes.size} elements, hold {share:.0%} of it; the largest is "
        f"{input.at(int(sizes.argmax()))}",
        "these few decide where the model goes; right if they carry the information",
        batch.call("huber_loss", delta=f"{delta:.3g}"),
    )


@pattern()
def outside(batch: Batch) -> Finding | None:
    """A value outside of its argument's domain, for a loss of one's own."""
    known = {p.domain.name for p in PATTERNS if p.domain is not None}
    for name, domain in batch.domains.items():
        values = batch.values(name)
        if domain.name in known or values is None or not values.finite.size:
            continue
        inside = domain.contains(values.array) | np.isnan(values.array)
        if not inside.all():
            return Finding(
                "error",
                f"Every value of `{name}` must be {domain}.",
                f"{values.where(~inside)}; range {values.span()}",
                "the loss is not defined there",
                f"onepass.checking()  # raises where it happens. {domain.hint}".rstrip(". "),
            )
    return None
