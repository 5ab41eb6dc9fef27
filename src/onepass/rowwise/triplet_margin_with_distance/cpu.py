# pyright: reportMissingParameterType=false
"""The triplet margin loss of cosine distances, by tiles of rows: products, values, slopes.

    max(0, margin - cos(a, p) + cos(a, n)),  cos(x, y) = x.y / (m(x) m(y)),  m(x) = max(|x|, eps)
    d cos / d x = (y / m(y) - cos x / |x|) / m(x)

A gradient is a sum of the three vectors of its row. As in torch the slope does not see eps: it is
that of |x| even where m(x) is not. A vector without length has no |x| to move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tiles import RUN, TILE, rows_at_once
from onepass.rowwise.triplet_margin.cpu import (
    FAR,
    NEAR,
    OTHER,
    THREE,
    counts,
    hinged,
    nearer,
)
from onepass.rowwise.vectors import most, ordinary
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


ANCHOR, POSITIVE, NEGATIVE = 0, TILE, 2 * TILE  # where the vectors of a tile stand


def plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows."""
    anchor, positive, negative = (tensor.contiguous() for tensor in tensors)
    rows, features = call.shape.numel(), anchor.shape[-1]
    at_once = rows_at_once(features)
    return Plan(
        kernel=triplets,
        operands=(anchor, positive, negative),
        extras={},
        flags={"SWAPS": call.options["swap"]},
        numbers=("margin", "eps", most(call.precision)),
        integers=(rows, features, at_once),
        blocks=-(-rows // at_once),
    )


def triplets(
    anchor_at, positive_at, negative_at, weight_at, values_at,
    gradient_anchor_at, gradient_positive_at, gradient_negative_at, partials_at,
    margin, eps, most, scale,
    rows, features, at_once, next_block_at,
):  # fmt: skip
    # reads 3 per feature (then again, from cache) and writes 3
    one = real(1.0)
    dot_at, square_at, shrink_at = scratch(scale, THREE), scratch(scale, THREE), scratch(one, THREE)
    cross_at, own_at = scratch(one, THREE), scratch(one, THREE)
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        for k in range(count):
            if counts(weight_at, row + k):
                measure(
                    anchor_at, positive_at, negative_at, dot_at, square_at, shrink_at,
                    k, (row + k) * features, features, eps, most,
                )  # fmt: skip
        total = values(
            weight_at, values_at, dot_at, square_at, shrink_at, cross_at, own_at,
            row, count, margin, eps, scale,
        )  # fmt: skip
        write(partials_at, block, total)
        if GRADIENT_ANCHOR or GRADIENT_POSITIVE or GRADIENT_NEGATIVE:
            for k in range(count):
                slopes(
                    anchor_at, positive_at, negative_at,
                    gradient_anchor_at, gradient_positive_at, gradient_negative_at,
                    shrink_at, cross_at, own_at, k, (row + k) * features, features,
                )  # fmt: skip
        block = next_block(next_block_at)


def measure(
    anchor_at, positive_at, negative_at, dot_at, square_at, shrink_at,
    k, first, features, eps, most,
):  # fmt: skip
    """The products of a row, and what its vectors are shrunk by."""
    one = real(1.0)
    write(shrink_at, ANCHOR + k, one)
    write(shrink_at, POSITIVE + k, one)
    write(shrink_at, NEGATIVE + k, one)
    products(
        anchor_at, positive_at, negative_at, dot_at, square_at, k, first, features, one, one, one
    )
    if not logical_and(
        logical_and(ordinary(read(square_at, ANCHOR + k)), ordinary(read(square_at, POSITIVE + k))),
        ordinary(read(square_at, NEGATIVE + k)),
    ):
        a = shrinkage(anchor_at, first, features, eps, most)
        p = shrinkage(positive_at, first, features, eps, most)
        n = shrinkage(negative_at, first, features, eps, most)
        write(shrink_at, ANCHOR + k, a)
        write(shrink_at, POSITIVE + k, p)
        write(shrink_at, NEGATIVE + k, n)
        products(
            anchor_at, positive_at, negative_at, dot_at, square_at, k, first, features, a, p, n
        )


def shrinkage(input_at, first, features, eps, most):
    """1 / the largest element; 1 / eps where all are less, which are as good as nothing."""
    size = real(eps)
    for i in range(first, first + features):
        size = largest(size, absolute(load(input_at, i)))
    return real(1.0) / min(max(size, real(1.0 / most)), real(most))


def products(
    anchor_at, positive_at, negative_at, dot_at, square_at, k, first, features,
    shrink_anchor, shrink_positive, shrink_negative,
):  # fmt: skip
    """Of the shrunk vectors with each other and with themselves."""
    near, far, other = float64(0.0), float64(0.0), float64(0.0)
    anchors, positives, negatives = float64(0.0), float64(0.0), float64(0.0)
    for run in range(0, features, RUN):
        ap, an, pn, aa, pp, nn = (
            real(0.0), real(0.0), real(0.0), real(0.0), real(0.0), real(0.0),
        )  # fmt: skip
        for i in range(first + run, first + min(run + RUN, features)):
            a = shrink_anchor * load(anchor_at, i)
            p = shrink_positive * load(positive_at, i)
            n = shrink_negative * load(negative_at, i)
            ap, an = accumulate(ap, a * p), accumulate(an, a * n)
            if SWAPS:
                pn = accumulate(pn, p * n)
            aa, pp, nn = accumulate(aa, a * a), accumulate(pp, p * p), accumulate(nn, n * n)
        near, far, other = near + float64(ap), far + float64(an), other + float64(pn)
        anchors, positives = anchors + float64(aa), positives + float64(pp)
        negatives = negatives + float64(nn)
    write(dot_at, NEAR + k, near)
    write(dot_at, FAR + k, far)
    write(dot_at, OTHER + k, other)
    write(square_at, ANCHOR + k, anchors)
    write(square_at, POSITIVE + k, positives)
    write(square_at, NEGATIVE + k, negatives)


def values(
    weight_at, values_at, dot_at, square_at, shrink_at, cross_at, own_at,
    row, count, margin, eps, scale,
):  # fmt: skip
    """The sum of a tile's values. Leaves for the slopes what multiplies the other vector of a
    product in `cross`, and what multiplies a vector itself in `own`.
    """
    total = float64(0.0)
    for k in range(count):
        size_a, size_p = sqrt(read(square_at, ANCHOR + k)), sqrt(read(square_at, POSITIVE + k))
        size_n = sqrt(read(square_at, NEGATIVE + k))
        a = at_least(eps * float64(read(shrink_at, ANCHOR + k)), size_a)
        p = at_least(eps * float64(read(shrink_at, POSITIVE + k)), size_p)
        n = at_least(eps * float64(read(shrink_at, NEGATIVE + k)), size_n)
        near, far = read(dot_at, NEAR + k) / (a * p), read(dot_at, FAR + k) / (a * n)
        other = read(dot_at, OTHER + k) / (p * n) if SWAPS else float64(0.0)
        distance, from_anchor = 1.0 - far, float64(1.0)
        if SWAPS:
            distance, from_anchor = nearer(distance, 1.0 - other)
        value = margin + (1.0 - near) - distance
        loss, factor = hinged(weight_at, values_at, row + k, value, scale)
        total = accumulate(total, loss)
        if GRADIENT_ANCHOR or GRADIENT_POSITIVE or GRADIENT_NEGATIVE:
            moves, by_far = factor != 0.0, factor * from_anchor
            by_other = factor - by_far
            write(cross_at, NEAR + k, quotient(moves, -factor, a * p))
            write(cross_at, FAR + k, quotient(moves, by_far, a * n))
            write(cross_at, OTHER + k, quotient(moves, by_other, p * n))
            turn_a, turn_p = by_far * far - factor * near, by_other * other - factor * near
            turn_n = by_far * far + by_other * other
            write(own_at, ANCHOR + k, quotient(moves, turn_a, a * size_a))
            write(own_at, POSITIVE + k, quotient(moves, turn_p, p * size_p))
            write(own_at, NEGATIVE + k, quotient(moves, turn_n, n * size_n))
    return total


def at_least(least, size):
    return where(size < least, least, size)


def quotient(moves, pull, lengths):
    """pull / lengths; 0 where nothing moves, or a vector has no length."""
    return real(where(logical_and(moves, lengths != 0.0), pull / lengths, float64(0.0)))


def slopes(
    anchor_at, positive_at, negative_at,
    gradient_anchor_at, gradient_positive_at, gradient_negative_at,
    shrink_at, cross_at, own_at, k, first, features,
):  # fmt: skip
    """Of every feature of a triplet; exactly 0 where the triplet has none, whatever it holds."""
    near, far, other = read(cross_at, NEAR + k), read(cross_at, FAR + k), read(cross_at, OTHER + k)
    zero = real(0.0)
    if near == zero and far == zero and other == zero:
        for i in range(first, first + features):
            if GRADIENT_ANCHOR:
                store(gradient_anchor_at, i, zero)
            if GRADIENT_POSITIVE:
                store(gradient_positive_at, i, zero)
            if GRADIENT_NEGATIVE:
                store(gradient_negative_at, i, zero)
    else:
        shrink_a, own_a = read(shrink_at, ANCHOR + k), read(own_at, ANCHOR + k)
        shrink_p, own_p = read(shrink_at, POSITIVE + k), read(own_at, POSITIVE + k)
        shrink_n, own_n = read(shrink_at, NEGATIVE + k), read(own_at, NEGATIVE + k)
        for i in range(first, first + features):
            a, p = shrink_a * load(anchor_at, i), shrink_p * load(positive_at, i)
            n = shrink_n * load(negative_at, i)
            if GRADIENT_ANCHOR:
                store(gradient_anchor_at, i, shrink_a * (near * p + far * n - own_a * a))
            if GRADIENT_POSITIVE:
                store(gradient_positive_at, i, shrink_p * (near * a + other * n - own_p * p))
            if GRADIENT_NEGATIVE:
                store(gradient_negative_at, i, shrink_n * (far * a + other * p - own_n * n))
