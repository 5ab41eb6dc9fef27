"""What goes wrong with yes and no: probabilities, logits, and labels -1 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from onepass.define import LOG_PROBABILITY, PROBABILITY, SIGN
from onepass.errors import DomainError
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.distributions import SQUASHED, distinct
from onepass.guide.diagnose.finding import Finding, pattern
from onepass.guide.diagnose.values import Values, numbers

_ROUNDING = 1e-3  # how far beyond 0 or 1 a probability may be taken by its arithmetic
_SMALLEST_VARIANCE = 1e-12  # of a probability; below, binary_cross_entropy cuts the slope


@pattern("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss")
def sigmoid_twice(batch: Batch) -> Finding | None:
    """Probabilities where logits are meant."""
    input = batch.values("input")
    if input is None or not input.within(0, 1) or distinct(input.finite) < SQUASHED:
        return None
    no, yes = math.log(2), math.log1p(math.exp(-1))
    negative = "-1" if batch.name == "soft_margin_loss" else "0"
    elementwise = batch.name == "binary_cross_entropy_with_logits"
    return Finding(
        "warning",
        f"`input` holds probabilities; {batch.name} wants logits and takes the sigmoid itself.",
        f"all {input.array.size} values lie in {input.span()}",
        f"the loss of a target {negative} cannot fall below {no:.4f}, that of a target 1 not below "
        f"{yes:.4f}{' times its pos_weight' if 'pos_weight' in batch.tensors else ''}",
        batch.call("binary_cross_entropy") + "  # or pass the logits, without sigmoid"
        if elementwise and "pos_weight" not in batch.tensors
        else batch.call(input="input.logit()") + "  # or leave out the sigmoid",
    )


@pattern(domain=PROBABILITY, explains=DomainError)
def no_probability(batch: Batch, name: str) -> Finding | None:
    """Logits where probabilities are meant."""
    values = batch.values(name)
    if values is None or name not in batch.predictions or not (values.low < 0 or values.high > 1):
        return None
    rounded = values.within(-_ROUNDING, 1 + _ROUNDING)
    outside = (values.array < 0) | (values.array > 1)
    mends = {name: f"{name}.clamp(0, 1)" if rounded else f"{name}.sigmoid()"}
    switch = batch.name == "binary_cross_entropy" and not rounded
    return Finding(
        "error",
        f"`{name}` is a little outside of [0, 1]."
        if rounded
        else f"`{name}` holds logits; {batch.name} wants probabilities.",
        f"{values.where(outside)}; range {values.span()}",
        "the loss refuses them: the logarithm of a negative number is nan",
        batch.call("binary_cross_entropy_with_logits") if switch else batch.call(**mends),
    )


@pattern("binary_cross_entropy")
def saturated(batch: Batch) -> Finding | None:
    """Probabilities that have become 0 or 1 and are wrong: what the logit was is lost."""
    input, target = numbers(batch.seen.get("input")), numbers(batch.seen.get("target"))
    values = batch.values("input")
    if input is None or target is None or values is None or batch.rows is None:
        return None
    if not values.within(0, 1):
        return None
    wrong = (input * (1 - input) < _SMALLEST_VARIANCE) & (np.abs(input - target) > 0.5)
    wrong = np.broadcast_to(wrong, batch.rows)
    chosen = wrong.ravel() if batch.counted is None else wrong.ravel()[batch.counted]
    if chosen.size != values.array.size or not chosen.any():
        return None
    probability = values.array[chosen]
    left = float((probability * (1 - probability)).max()) / _SMALLEST_VARIANCE
    return Finding(
        "warning",
        "Wrong probabilities have become 0 or 1: their logits cannot be told any more.",
        values.where(chosen),
        "what most needs a gradient has none: at most a share of "
        f"{left:.1g} of the slope by the logit is left",
        batch.call("binary_cross_entropy_with_logits", input="input.logit(eps=1e-6)")
        + "  # better: the logits themselves",
    )


@pattern(domain=PROBABILITY)
def no_label(batch: Batch, name: str) -> Finding | None:
    """A target outside of [0, 1]."""
    values, tensor = batch.values(name), batch.tensors[name]
    distribution = any(d.name == LOG_PROBABILITY.name for d in batch.domains.values())
    if values is None or name in batch.predictions or distribution:
        return None
    slack = 4 * torch.finfo(tensor.dtype).eps if tensor.dtype.is_floating_point else 0
    bad = (values.array < -slack) | (values.array > 1 + slack)
    if not bad.any():
        return None
    looks, mended = _label_looks(values)
    mark = mended.startswith(_MARK)
    by_row = batch.axis(name) is not None
    if mark:
        remedy = batch.call("binary_cross_entropy_with_logits" if by_row else None, mask=mended)
    else:
        remedy = batch.call(**{name: mended})
    return Finding(
        "error",
        f"`{name}` is outside of [0, 1]: it looks like {looks}.",
        f"{values.where(bad)}; range {values.span()}",
        "there the loss has no lower bound: it rewards being wrong, and goes below 0",
        remedy,
    )


_MARK = "target != "
_FIRST_MARK = 9  # a number from which on a third one beside 0 and 1 is hardly a class
_LOOKS: tuple[tuple[str, Callable[[Values], bool], str], ...] = (
    ("labels -1 and 1", lambda v: v.only(-1, 1), "(target + 1) / 2"),
    ("a mask of 0 and 255", lambda v: v.only(0, 255), "target / 255"),
    ("labels 1 and 2", lambda v: v.only(1, 2), "target - 1"),
    ("labels with a mark for what is missing", lambda v: _mark(v) is not None, _MARK + "{mark:g}"),
    ("bytes", lambda v: v.integral and v.low >= 0 and 128 <= v.high <= 255, "target / 255"),
    ("class ids", lambda v: v.integral and v.low >= 0, "(target > 0).float()"),
    ("logits", lambda v: v.low < 0 and not v.integral, "target.sigmoid()"),
    ("no label", lambda _: True, "target.clamp(0, 1)"),
)


def _label_looks(values: Values) -> tuple[str, str]:
    """What the labels look like, and how to make labels 0 and 1 of them."""
    looks, mended = next((looks, mended) for looks, holds, mended in _LOOKS if holds(values))
    return looks, mended.format(mark=_mark(values))


def _mark(values: Values) -> float | None:
    """The only number beside 0 and 1, if it is no class that follows them."""
    others = np.unique(values.finite[(values.finite != 0) & (values.finite != 1)])
    alone = len(others) == 1 and values.finite.size > 1
    return float(others[0]) if alone and not 0 <= others[0] < _FIRST_MARK else None


@pattern("binary_cross_entropy", "binary_cross_entropy_with_logits")
def weight_of_last_axis(batch: Batch) -> Finding | None:
    """A row of weights, and another axis of its size that they may be meant for."""
    shape = batch.shape("input") or ()
    for name in ("pos_weight", "weight"):
        weight = batch.shape(name) or ()
        meant = 1 if len(shape) > 2 else 0  # of classes, or of rows
        by_row = meant == 0 and name == "pos_weight"
        if len(weight) != 1 or len(shape) < 2 or weight[0] < 2 or by_row:
            continue
        if weight[0] == shape[-1] == shape[meant]:
            ones = ", ".join("-1" if axis == meant else "1" for axis in range(len(shape)))
            return Finding(
                "note",
                f"`{name}` {weight} is read along the last axis of `input` {shape}.",
                f"axes {meant} and {len(shape) - 1} are both {weight[0]} long",
                f"if it is meant for axis {meant}, the wrong elements weigh more",
                batch.call(**{name: f"{name}.reshape({ones})"}) + f"  # for axis {meant}",
            )
    return None


_LABEL_0 = {
    "cosine_embedding_loss": "pairs labelled 0 count nothing: they vanish in silence",
    "hinge_embedding_loss": "pairs labelled 0 have no gradient within the margin, and beyond it "
    "are pulled together",
    "margin_ranking_loss": "pairs labelled 0 have no gradient",
    "soft_margin_loss": "elements labelled 0 cost log(2) whatever the model says, without gradient",
}


@pattern(domain=SIGN, explains=DomainError)
def no_sign(batch: Batch, name: str) -> Finding | None:
    """Labels 0 and 1, or others, where -1 and 1 are meant."""
    values = batch.values(name)
    if values is None or not values.finite.size:
        return None
    bad = (values.array != 1) & (values.array != -1)
    if not bad.any():
        return None
    severity, looks, mended = "error", "labels 0 and 1", f"2 * {name} - 1"
    changes = {name: mended}
    if batch.tensors[name].dtype is torch.bool:
        changes = {name: f"2 * {name}.int() - 1"}
    if values.only(-1, 0, 1) and values.low == -1:
        severity, looks, changes = "warning", "ties", {"mask": f"{name} != 0"}
    elif not values.only(0, 1):
        looks, changes = "other numbers", {name: f"torch.where({name} > 0, 1.0, -1.0)"}
    return Finding(
        severity,
        f"`{name}` must be -1 or 1; it holds {looks}.",
        f"{values.where(bad)}; range {values.span()}",
        _LABEL_0.get(batch.name, "the loss means nothing there"),
        batch.call(**changes),
    )
