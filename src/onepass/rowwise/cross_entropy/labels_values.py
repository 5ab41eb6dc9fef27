# pyright: reportMissingParameterType=false
"""Cross entropy of class labels: what both kernels make of a tile's labels, and its values.

    loss = share (lse(x) - x[label]) + spread sum(w (lse(x) - x)) + z_loss lse(x)^2

with lse = log(sum(exp(x))), share = (1 - smoothing) w[label], spread = smoothing / classes.
Logits are taken relative to `top`: the largest of them, or the label's own where a row can be
summed as it is. The label's exponential is kept apart from the `others`, so that neither
lse(x) - x[label] nor the slope at the label, which is share (p - 1), cancels where the row is
confident. A row that does not count has the label -1 here.
"""

from typing import TYPE_CHECKING

from onepass.rowwise.cross_entropy.logits import class_weight, with_limit
from onepass.rowwise.tally import count_of

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def spread_over(class_weight_at, classes, smoothing, spread):
    """What smoothing gives all classes together."""
    if not (SMOOTHED and CLASS_WEIGHTED):
        return smoothing
    total = float64(0.0)
    for c in range(classes):
        total = accumulate(total, float64(read(class_weight_at, c)))
    return spread * total


def labels(target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index):
    """Lays the labels of a tile out, -1 where a row does not count; nan if one that does has no
    class, else 0.
    """
    wrong = float64(0.0)
    for p in range(count):
        label = read(target_at, row + p)
        counts = label != ignore_index
        if WEIGHTED:
            counts = logical_and(counts, read(weight_at, row + p) != 0.0)
        legal = logical_and(label >= 0, label < classes)
        lost = where(counts, float64(nan), float64(0.0))
        wrong = accumulate(wrong, where(legal, float64(0.0), lost))
        label = label if logical_and(counts, legal) else -1
        if CLASS_WEIGHTED and not SMOOTHED and not SQUARED:  # nothing but its class counts in a row
            label = -1 if class_weight(class_weight_at, max(label, 0)) == real(0.0) else label
        write(label_at, p, int32(label))
    return wrong


def divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index):
    """What the kernel itself divides by."""
    if ALONE:
        return count_of(target_at, class_weight_at, weight_at, 0, rows, classes, ignore_index)
    return float64(1.0)


def values(
    class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at, common_at,
    row, count, keep, spread, spread_mass, z_loss, scale,
):  # fmt: skip
    """The sum of a tile's values, from each row's `top`, and relative to it from its `own` logit,
    the sum of the `others`' exponentials and `short`, which is spread sum(w (top - x)).

    Leaves for the slopes what multiplies the exponentials in `common`, the label's slope in `own`,
    and in `short` what pulls at every class in proportion to its weight.
    """
    total = float64(0.0)
    for p in range(count):
        label, own, others = read(label_at, p), read(own_at, p), read(others_at, p)
        share = keep * class_weight(class_weight_at, max(label, int32(0)))
        itself = exp(own)
        whole = with_limit(read(top_at, p), others + itself)
        others = whole - itself if absolute(read(top_at, p)) == real(inf) else others
        size = where(own == real(0.0), log1p(others), log(whole))
        value = share * (size - own)
        mass = spread_mass
        if SMOOTHED:
            value = value + spread_mass * size + read(short_at, p)
        if SQUARED:
            size = size + read(top_at, p)
            value = value + z_loss * size * size
            mass = mass + real(2.0) * z_loss * size
        weight = read(weight_at, row + p) if WEIGHTED else float64(1.0)
        loss = where(label < int32(0), float64(0.0), weight * float64(value))
        total = accumulate(total, loss)
        if EACH:
            store_value(values_at, row + p, real(loss))
        if GRADIENT_INPUT:
            factor = real(scale * weight)
            slope = (mass * itself - share * others) / whole
            if SMOOTHED:
                slope = slope - spread * class_weight(class_weight_at, max(label, int32(0)))
                write(short_at, p, factor * spread)
            write(own_at, p, factor * slope)
            write(common_at, p, factor * (share + mass) / whole)
    return total
