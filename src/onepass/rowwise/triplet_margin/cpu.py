# pyright: reportMissingParameterType=false
"""The triplet margin loss, by tiles of rows: their distances, their values, their slopes.

    max(0, margin + |a - p| - |a - n|),  |x| = sum(abs(x + eps)^p)^(1/p)

A distance is kept as the sum of its powers (for p = inf the largest of its differences), of
differences that are shrunk where their powers, or the sum of these, would over- or underflow.
Squared distances are the sum of the squares as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tiles import RUN, TILE, rows_at_once
from onepass.rowwise.vectors import most, ordinary
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


NEAR, FAR, OTHER, THREE = 0, TILE, 2 * TILE, 3 * TILE  # where the distances of a tile stand


def plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows."""
    anchor, positive, negative = (tensor.contiguous() for tensor in tensors)
    rows, features = call.shape.numel(), anchor.shape[-1]
    at_once = rows_at_once(features)
    p = call.options["p"]
    return Plan(
        kernel=triplets,
        operands=(anchor, positive, negative),
        extras={},
        flags={
            "ONE": p == 1,
            "TWO": p == 2,
            "INFINITE": p == math.inf,
            "SQUARED": call.options.get("squared", False),
            "SWAPS": call.options["swap"],
        },
        numbers=("margin", "p", "eps", most(call.precision)),
        integers=(rows, features, at_once),
        blocks=-(-rows // at_once),
    )


def triplets(
    anchor_at, positive_at, negative_at, weight_at, values_at,
    gradient_anchor_at, gradient_positive_at, gradient_negative_at, partials_at,
    margin, p, eps, most, scale,
    rows, features, at_once, next_block_at,
):  # fmt: skip
    # reads 3 per feature (then again, from cache) and writes 3
    eps = real(eps)
    sum_at, shrink_at, pull_at = scratch(scale, THREE), scratch(eps, THREE), scratch(eps, THREE)
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        for k in range(count):
            first = (row + k) * features
            if counts(weight_at, row + k):
                measure(
                    anchor_at, positive_at, sum_at, shrink_at, NEAR + k, first, features,
                    p, eps, most,
                )  # fmt: skip
                measure(
                    anchor_at, negative_at, sum_at, shrink_at, FAR + k, first, features,
                    p, eps, most,
                )  # fmt: skip
                if SWAPS:
                    measure(
                        positive_at, negative_at, sum_at, shrink_at, OTHER + k, first, features,
                        p, eps, most,
                    )  # fmt: skip
        total = values(
            weight_at, values_at, sum_at, shrink_at, pull_at, row, count, margin, p, scale
        )  # fmt: skip
        write(partials_at, block, total)
        if GRADIENT_ANCHOR or GRADIENT_POSITIVE or GRADIENT_NEGATIVE:
            for k in range(count):
                first = (row + k) * features
                if INFINITE:
                    share(anchor_at, positive_at, sum_at, pull_at, NEAR + k, first, features, eps)
                    share(anchor_at, negative_at, sum_at, pull_at, FAR + k, first, features, eps)
                    if SWAPS:
                        share(
                            positive_at, negative_at, sum_at, pull_at, OTHER + k, first, features,
                            eps,
                        )  # fmt: skip
                slopes(
                    anchor_at, positive_at, negative_at,
                    gradient_anchor_at, gradient_positive_at, gradient_negative_at,
                    sum_at, shrink_at, pull_at, k, first, features, p, eps,
                )  # fmt: skip
        block = next_block(next_block_at)


def counts(weight_at, row):
    return read(weight_at, row) != 0.0 if WEIGHTED else True


def difference(x_at, y_at, i, eps):
    return load(x_at, i) - load(y_at, i) + eps


def measure(x_at, y_at, sum_at, shrink_at, place, first, features, p, eps, most):
    """The sum of the powers of a row, and what its differences are shrunk by."""
    shrink = real(1.0)
    if INFINITE:
        total = float64(longest(x_at, y_at, first, features, eps))
    elif ONE or TWO:
        total = powers(x_at, y_at, first, features, p, eps, real(1.0))
        if TWO and not SQUARED and not ordinary(total):
            shrink = shrinkage(x_at, y_at, first, features, eps, most)
            total = powers(x_at, y_at, first, features, p, eps, shrink)
    else:
        shrink = shrinkage(x_at, y_at, first, features, eps, most)
        total = powers(x_at, y_at, first, features, p, eps, shrink)
    write(sum_at, place, total)
    write(shrink_at, place, shrink)


def powers(x_at, y_at, first, features, p, eps, shrink):
    total = float64(0.0)
    for run in range(0, features, RUN):
        part = real(0.0)
        for i in range(first + run, first + min(run + RUN, features)):
            size = shrink * difference(x_at, y_at, i, eps)
            if TWO:
                part = accumulate(part, size * size)
            elif ONE:
                part = accumulate(part, absolute(size))
            else:
                part = accumulate(part, raised(absolute(size), p))
        total = total + float64(part)
    return total


def raised(size, exponent):
    """size^exponent of a size in [0, 1]: wide, since the logarithm's error is multiplied."""
    return real(exp64(exponent * log64(float64(size))))


def longest(x_at, y_at, first, features, eps):
    """The largest size of a difference; nan if there is one.

    Sizes are compared as integers, in the same order, above which nan stands: LLVM vectorises the
    maximum of integers, but not that of floating-point numbers.
    """
    pattern = bits(real(0.0))
    for i in range(first, first + features):
        pattern = max(pattern, bits(absolute(difference(x_at, y_at, i, eps))))
    return from_bits(pattern)


def shrinkage(x_at, y_at, first, features, eps, most):
    """1 / the largest difference; 1 where all are 0."""
    size = longest(x_at, y_at, first, features, eps)
    if size == real(0.0):
        return real(1.0)
    return real(1.0) / min(max(size, real(1.0 / most)), real(most))


def values(weight_at, values_at, sum_at, shrink_at, pull_at, row, count, margin, p, scale):
    """The sum of a tile's values. Leaves in the pulls what multiplies the slopes of the powers."""
    total = float64(0.0)
    for k in range(count):
        near, far = (
            distance(sum_at, shrink_at, NEAR + k, p),
            distance(sum_at, shrink_at, FAR + k, p),
        )
        from_anchor = float64(1.0)
        if SWAPS:
            far, from_anchor = nearer(far, distance(sum_at, shrink_at, OTHER + k, p))
        loss, factor = hinged(weight_at, values_at, row + k, margin + near - far, scale)
        total = accumulate(total, loss)
        if GRADIENT_ANCHOR or GRADIENT_POSITIVE or GRADIENT_NEGATIVE:
            write(pull_at, NEAR + k, pull(sum_at, NEAR + k, factor, p))
            write(pull_at, FAR + k, pull(sum_at, FAR + k, factor * from_anchor, p))
            if SWAPS:
                write(pull_at, OTHER + k, pull(sum_at, OTHER + k, factor - factor * from_anchor, p))
    return total


def nearer(far, other):
    """The smaller one, and how much of its slope is by `far`: half of it where they tie."""
    tie = where(far == other, float64(0.5), float64(1.0))
    return minimum(far, other), where(far > other, float64(0.0), tie)


def hinged(weight_at, values_at, row, value, scale):
    """max(0, value) of a row with its weight, and what multiplies the slope of the value."""
    beyond = value < 0.0
    value = where(beyond, float64(0.0), value)
    weight = read(weight_at, row) if WEIGHTED else float64(1.0)
    loss = where(weight == 0.0, float64(0.0), weight * value)
    if EACH:
        store_value(values_at, row, real(loss))
    return loss, where(logical_or(beyond, weight == 0.0), float64(0.0), scale * weight)


def distance(sum_at, shrink_at, place, p):
    total = read(sum_at, place)
    if SQUARED:
        return total
    if TWO:
        total = sqrt(total) / float64(read(shrink_at, place))
    elif not (ONE or INFINITE):
        total = exp64(log64(total) / p) / float64(read(shrink_at, place))
    return total


def pull(sum_at, place, factor, p):
    """factor times the slope of the distance by the sum of its powers; 0 where that is 0."""
    if SQUARED:
        return real(2.0 * factor)
    slope, total = factor, read(sum_at, place)
    if TWO:
        slope = factor / sqrt(total)
    elif not (ONE or INFINITE):
        slope = factor * exp64(log64(total) * (1.0 / p - 1.0))
    return real(where(logical_or(factor == 0.0, total == 0.0), float64(0.0), slope))


def share(x_at, y_at, sum_at, pull_at, place, first, features, eps):
    """The differences that are the largest share its slope."""
    if read(pull_at, place) != real(0.0):
        size, ties = real(read(sum_at, place)), real(0.0)
        for i in range(first, first + features):
            tie = absolute(difference(x_at, y_at, i, eps)) == size
            ties = accumulate(ties, where(tie, real(1.0), real(0.0)))
        write(pull_at, place, read(pull_at, place) / ties)


def slopes(
    anchor_at, positive_at, negative_at,
    gradient_anchor_at, gradient_positive_at, gradient_negative_at,
    sum_at, shrink_at, pull_at, k, first, features, p, eps,
):  # fmt: skip
    """Of every feature of a triplet; exactly 0 where the triplet has none, whatever it holds."""
    near_pull, far_pull = read(pull_at, NEAR + k), read(pull_at, FAR + k)
    other_pull = read(pull_at, OTHER + k) if SWAPS else real(0.0)
    still = logical_and(near_pull == real(0.0), far_pull == real(0.0))
    if logical_and(still, other_pull == real(0.0)):
        for i in range(first, first + features):
            zero = real(0.0)
            hand_over(
                gradient_anchor_at, gradient_positive_at, gradient_negative_at, i, zero, zero, zero
            )
    else:
        near_size, far_size = real(read(sum_at, NEAR + k)), real(read(sum_at, FAR + k))
        near_shrink, far_shrink = read(shrink_at, NEAR + k), read(shrink_at, FAR + k)
        for i in range(first, first + features):
            x = difference(anchor_at, positive_at, i, eps)
            near = near_pull * slope(x, near_shrink, near_size, p)
            x = difference(anchor_at, negative_at, i, eps)
            far = far_pull * slope(x, far_shrink, far_size, p)
            other = real(0.0)
            if SWAPS:
                x = difference(positive_at, negative_at, i, eps)
                size = real(read(sum_at, OTHER + k))
                other = other_pull * slope(x, read(shrink_at, OTHER + k), size, p)
            hand_over(
                gradient_anchor_at, gradient_positive_at, gradient_negative_at, i, near, far, other
            )


def slope(x, shrink, size, p):
    """Of the power of a difference, without the p that the sum's root cancels."""
    if TWO:
        return shrink * x
    if ONE:
        return sign(x)
    if INFINITE:
        return where(absolute(x) == size, sign(x), real(0.0))
    steep = sign(x) * raised(absolute(shrink * x), p - 1.0)
    return where(x == real(0.0), real(0.0), steep)


def hand_over(gradient_anchor_at, gradient_positive_at, gradient_negative_at, i, near, far, other):
    if GRADIENT_ANCHOR:
        store(gradient_anchor_at, i, near - far)
    if GRADIENT_POSITIVE:
        store(gradient_positive_at, i, -near - other)
    if GRADIENT_NEGATIVE:
        store(gradient_negative_at, i, far + other)
