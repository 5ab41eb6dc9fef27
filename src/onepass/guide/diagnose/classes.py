"""What goes wrong with one class out of many: cross_entropy, nll_loss, multi_margin_loss."""

from __future__ import annotations

import math

import numpy as np

from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.guide.diagnose.batch import CLASS_LOSSES, Batch
from onepass.guide.diagnose.distributions import (
    SQUASHED,
    are_log_probabilities,
    are_probabilities,
    distinct,
    logsumexp,
    tolerance,
)
from onepass.guide.diagnose.finding import Finding, pattern
from onepass.guide.diagnose.values import numbers

_LABELLED = (*CLASS_LOSSES, "linear_cross_entropy")


@pattern("cross_entropy")
def softmax_twice(batch: Batch) -> Finding | None:
    """Probabilities where logits are meant."""
    input, classes = batch.values("input"), batch.classes
    if input is None or not classes or classes < 2 or not are_probabilities(batch, input):
        return None
    worst = float(np.abs(input.array.sum(-1) - 1).max())
    return Finding(
        "warning",
        "`input` holds probabilities; cross_entropy wants logits and takes the softmax itself.",
        f"all {input.array.size} values lie in {input.span()}, and all {len(input.array)} rows sum "
        f"to 1 within {worst:.1g}",
        f"the loss cannot fall below {_floor(classes):.4g} for C = {classes}, and the gradient "
        "fades where the model is sure and wrong",
        batch.call("nll_loss", input="input.log()") + "  # or pass the logits, without softmax",
    )


def _floor(classes: int) -> float:
    """The loss of a probability 1 at the true class: log(e + C - 1) - 1."""
    return math.log(math.e + classes - 1) - 1


@pattern("cross_entropy")
def squashed_logits(batch: Batch) -> Finding | None:
    """Logits of which none leaves [0, 1], as a sigmoid makes them."""
    input, classes = batch.values("input"), batch.classes
    if input is None or not classes or classes < 2 or not input.within(0, 1):
        return None
    if are_probabilities(batch, input) or distinct(input.finite) < SQUASHED:
        return None
    return Finding(
        "note",
        "All logits lie in [0, 1]: has a sigmoid been applied?",
        f"all {input.array.size} values lie in {input.span()}",
        f"if they cannot leave it, the loss cannot fall below {_floor(classes):.4g} for "
        f"C = {classes}; right if they are scores that may still grow",
        batch.call(input="input.logit()"),
    )


@pattern("nll_loss")
def no_log_probabilities(batch: Batch) -> Finding | None:
    """Probabilities or logits where log-probabilities are meant."""
    input, classes = batch.values("input"), batch.classes
    if input is None or not classes or classes < 2 or are_log_probabilities(batch, input):
        return None
    if _tells_axis(batch) == 2:
        return None  # which either_axis says
    sums = logsumexp(input.array)
    off = ~(np.abs(sums) <= tolerance(batch, "input"))
    off &= np.isfinite(input.array).any(-1)
    if 2 * np.count_nonzero(off) <= off.size:
        return None
    if are_probabilities(batch, input):
        return Finding(
            "warning",
            "`input` holds probabilities; nll_loss wants their logarithms.",
            f"all {input.array.size} values lie in {input.span()}, and all rows sum to 1",
            "the loss is minus a probability: it cannot fall below -1, and its gradient is the "
            "same however wrong the model is",
            batch.call(input="input.log()"),
        )
    return Finding(
        "error" if input.high > 0 else "warning",
        "`input` holds no log-probabilities.",
        f"their logsumexp over the classes is 0; here it is not in {input.where_rows(off)}, and "
        f"lies in [{sums.min():.4g}, {sums.max():.4g}]",
        "the loss has no lower bound: it falls for ever while the input only grows",
        batch.call("cross_entropy"),
    )


@pattern(*CLASS_LOSSES, explains=(ShapeError, DtypeError))
def classes_last(batch: Batch) -> Finding | None:
    """(B, T, V) with (B, T): the classes are on the last axis."""
    input, target = batch.shape("input"), batch.shape("target")
    if input is None or target is None or len(input) < 3 or batch.axis("input") == len(input) - 1:
        return None
    if target != input[:-1] or input[-1] == input[1]:
        return None
    return Finding(
        "error",
        f"The classes of `input` {input} are on its last axis.",
        f"`target` is {target}, which is `input` without the last axis; {batch.name} has the "
        f"classes on axis {batch.axis('input')}",
        "the loss refuses them; where the sizes agree by chance it compares the wrong numbers",
        _last(batch),
    )


@pattern(*CLASS_LOSSES)
def either_axis(batch: Batch) -> Finding | None:
    """(B, T, T) with (B, T): either axis may be that of the classes."""
    input, target = batch.shape("input"), batch.shape("target")
    if input is None or target not in (input, input[:-1]) or batch.axis("input") != 1:
        return None
    if len(input) != 3 or input[1] != input[2] or input[1] < 2:
        return None
    tells = _tells_axis(batch)
    if tells == 1:
        return None
    return Finding(
        "warning" if tells == 2 else "note",
        f"`input` {input} has the classes on its last axis, but axis 1 is taken."
        if tells == 2
        else f"`input` {input} has two axes that could hold the classes; axis 1 is taken.",
        f"axes 1 and 2 are both {input[1]} long"
        + ("; the distributions add up along axis 2 and not along axis 1" if tells == 2 else ""),
        "if it is (batch, position, class), the loss compares the wrong numbers in silence",
        _last(batch) + ("" if tells == 2 else "  # if the classes are last"),
    )


def _tells_axis(batch: Batch) -> int | None:
    """The axis, 1 or 2, along which there are distributions; None if nothing tells."""
    name = "target" if batch.axis("target") is not None else "input"
    mass = numbers(batch.seen[name])
    if mass is None or mass.ndim != 3 or (name == "input" and batch.name != "nll_loss"):
        return None
    mass = np.exp(np.minimum(mass, 1.0)) if name == "input" else mass
    found = [axis for axis in (1, 2) if (abs(mass.sum(axis) - 1) <= tolerance(batch, name)).all()]
    return found[0] if found else None


def _last(batch: Batch) -> str:
    if "dim" in batch.given:
        return batch.call(dim="-1")
    return batch.call(input="input.movedim(-1, 1)")


@pattern(*_LABELLED, explains=(DomainError, IndexError))
def labels_outside(batch: Batch) -> Finding | None:
    """Out-of-range class indices: counted from 1, or a mark for what is to be skipped."""
    labels, classes = batch.labels, batch.classes
    if labels is None or not classes or batch.rows is None or not labels.finite.size:
        return None
    bad = (labels.array < 0) | (labels.array >= classes)
    if not bad.any():
        return None
    marks = np.unique(labels.array[bad])
    from_one = labels.low >= 1 and labels.high == classes
    skipped = len(marks) == 1 and not from_one
    index = f"{int(marks[0])}"
    if from_one:
        problem, remedy = "The classes of `target` count from 1.", batch.call(target="target - 1")
    elif skipped:
        problem = f"`target` holds {index}, which is no class: a mark for rows to skip?"
        skips = "ignore_index" in batch.given
        remedy = batch.call(
            **({"ignore_index": index} if skips else {"mask": f"target != {index}"})
        )
    else:
        problem = "`target` holds what is no class."
        remedy = "target.unique()  # and give `input` as many classes"
    return Finding(
        "error",
        problem,
        f"{labels.where(bad)}; classes are 0 to {classes - 1}, `target` lies in {labels.span()}",
        "the loss refuses them"
        if not from_one
        else "the loss refuses class C, and would learn "
        "every other under the number of its neighbour",
        remedy,
    )


@pattern(*_LABELLED)
def one_class(batch: Batch) -> Finding | None:
    """A single class: there is nothing to choose."""
    if batch.classes != 1 or not batch.counts:
        return None
    return Finding(
        "error",
        "There is only one class: the loss is the same whatever the model says.",
        ", ".join(f"`{name}` {batch.shape(name)}" for name in batch.loss.tensors[:2]),
        "the loss falls for ever while the input only grows"
        if batch.name == "nll_loss"
        else "the gradient is 0 and nothing is learned",
        batch.call(
            "binary_cross_entropy_with_logits",
            input=_only_logit(batch),
            target="target.float()",
            weight=None,
        ),
    )


def _only_logit(batch: Batch) -> str:
    """The scores of the only class, in the shape of the target."""
    logits = "input"
    if batch.name == "linear_cross_entropy":
        logits = "(input @ linear_weight.T)"
    axis = batch.axis("input")
    return logits if batch.shape("target") == batch.shape("input") else f"{logits}.squeeze({axis})"


@pattern("cross_entropy", "linear_cross_entropy")
def no_distribution(batch: Batch) -> Finding | None:
    """Class probabilities that do not sum to 1: ids, logits, or several labels at once."""
    target = batch.values("target")
    if target is None or batch.axis("target") is None or not target.finite.size:
        return None
    ids = (batch.shape("target") or ())[:1]
    sums = target.array.sum(-1)
    name = batch.name
    if target.integral and target.high > 1:
        return Finding(
            "error",
            "`target` has the shape of `input` and is read as class probabilities, but looks like "
            "class ids.",
            f"whole numbers in {target.span()}, shape {batch.shape('target')}",
            "the ids weigh the classes: the larger the id, the larger the loss",
            batch.call(input="logits", target="target.long()")
            + f"  # logits ({', '.join(map(str, ids))}, C), target ({', '.join(map(str, ids))},)",
        )
    if target.low < -1e-6:
        return Finding(
            "error",
            "`target` is read as class probabilities, but has negative values.",
            f"{target.where(target.array < 0)}; range {target.span()}",
            "a negative probability rewards being wrong: the loss has no lower bound",
            batch.call(target=f"target.softmax({batch.axis('target')})"),
        )
    several = sums > 1 + 1e-3
    if target.only(0, 1) and several.any():
        return Finding(
            "warning",
            f"`target` marks several classes in a row; {name} is for exactly one.",
            f"{target.where_rows(several)}, up to {sums.max():.0f} classes in one",
            "the labels of a row compete: raising the score of one lowers the others",
            batch.call("binary_cross_entropy_with_logits", target="target.float()", weight=None),
        )
    return _unscaled(batch)


def _unscaled(batch: Batch) -> Finding | None:
    """Rows of probabilities that sum to something else than 1, or 0 where nothing is known."""
    target = batch.values("target")
    assert target is not None
    sums = target.array.sum(-1)
    off = ~((np.abs(sums - 1) < 0.02) | (sums == 0))
    if not off.any():
        return None
    axis = batch.axis("target")
    return Finding(
        "note",
        "Rows of class probabilities in `target` do not sum to 1.",
        f"{target.where_rows(off)}; the sums lie in [{sums.min():.4g}, {sums.max():.4g}]",
        "a row counts as much as its sum; right if that is its weight",
        batch.call(target=f"target / target.sum({axis}, keepdim=True)"),
    )


@pattern(*CLASS_LOSSES, explains=(ShapeError, DtypeError, ParameterError))
def one_hot(batch: Batch) -> Finding | None:
    """Whole numbers 0 and 1 with a single 1 in each row, instead of its index."""
    target, tensor = batch.values("target"), batch.tensors.get("target")
    if target is None or tensor is None or batch.axis("target") is None or not target.only(0, 1):
        return None
    taken = batch.name == "cross_entropy" and batch.outcome.error is None
    if batch.classes == 1 or (target.array.sum(-1) != 1).any():
        return None
    if taken and tensor.is_floating_point():
        return None
    return Finding(
        "note" if taken else "error",
        "`target` is one-hot; class indices say the same.",
        f"{len(target.array)} rows of zeros with a single 1, {tensor.dtype}",
        "indices need no pass over all classes, and with class weights the mean divides by the "
        "weights of the classes that occur instead of the rows"
        if taken
        else f"{batch.name} wants indices",
        batch.call(target=f"target.argmax({batch.axis('target')})"),
    )


@pattern(*_LABELLED, explains=ShapeError)
def class_weight(batch: Batch) -> Finding | None:
    """`weight` is one number for each class; here there is one for each row."""
    weight, rows = batch.shape("weight"), batch.shape("target")
    if not weight or not rows or batch.axis("target") is not None:
        return None
    classes = batch.classes
    if weight == rows and weight != (classes,):
        return Finding(
            "error",
            "`weight` has a number for each row; class weights have one for each class.",
            f"`weight` {weight}, `target` {rows}, {classes} classes",
            "the loss refuses it",
            batch.call(weight=None, sample_weight="weight"),
        )
    if weight == rows == (classes,) and weight != (1,):
        return Finding(
            "note",
            "There are as many rows as classes; `weight` is read as one number for each class.",
            f"`weight` {weight}, `input` {batch.shape('input')}",
            "if it is meant for the rows, the wrong rows weigh more",
            batch.call(weight=None, sample_weight="weight") + "  # if it is for the rows",
        )
    return None


@pattern(*CLASS_LOSSES, explains=(ShapeError, DtypeError, ParameterError))
def swapped(batch: Batch) -> Finding | None:
    """The target first, the scores second."""
    input, target = batch.tensors.get("input"), batch.tensors.get("target")
    if input is None or target is None or batch.outcome.error is None:
        return None
    scores_second = target.is_floating_point() and not input.is_floating_point()
    if not scores_second or target.dim() != input.dim() + 1:
        return None
    return Finding(
        "error",
        "`input` and `target` are swapped.",
        f"`input` {batch.shape('input')} is {input.dtype}, `target` {batch.shape('target')} is "
        f"{target.dtype}",
        "the loss refuses them",
        batch.call(input="target", target="input"),
    )
