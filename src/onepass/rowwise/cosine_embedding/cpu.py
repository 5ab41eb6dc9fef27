# pyright: reportMissingParameterType=false
"""The cosine embedding loss, by tiles of rows: their products, their values, their slopes.

    cos = x1.x2 / (|x1| |x2|),  d cos / d x1 = (x2 / |x2| - cos x1 / |x1|) / |x1|

torch adds 1e-12 to both squared lengths; without it short vectors have their direction too, and
one without length has the cosine 0 and no slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tiles import RUN, TILE, rows_at_once
from onepass.rowwise.vectors import most, ordinary
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows."""
    input1, input2, target = (tensor.contiguous() for tensor in tensors)
    rows, features = target.numel(), input1.shape[-1]
    at_once = rows_at_once(features)
    return Plan(
        kernel=pairs,
        operands=(input1, input2, target),
        extras={},
        flags={"CHECKED": call.checks_values},
        numbers=("margin", most(call.precision)),
        integers=(rows, features, at_once),
        blocks=-(-rows // at_once),
    )


def pairs(
    input1_at, input2_at, target_at, weight_at, values_at,
    gradient_input1_at, gradient_input2_at, partials_at,
    margin, most, scale,
    rows, features, at_once, next_block_at,
):  # fmt: skip
    # reads 2 per feature (then again, from cache) and writes 2
    one = real(1.0)
    dot_at, square1_at, square2_at = (
        scratch(scale, TILE),
        scratch(scale, TILE),
        scratch(scale, TILE),
    )
    shrink1_at, shrink2_at, cross_at = scratch(one, TILE), scratch(one, TILE), scratch(one, TILE)
    own1_at, own2_at = scratch(one, TILE), scratch(one, TILE)
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        for p in range(count):
            first = (row + p) * features
            dot, square1, square2 = float64(0.0), float64(0.0), float64(0.0)
            shrink1, shrink2 = one, one
            if counts(target_at, weight_at, row + p):
                dot, square1, square2 = products(input1_at, input2_at, first, features, one, one)
                if not logical_and(ordinary(square1), ordinary(square2)):
                    shrink1 = shrinkage(input1_at, first, features, most)
                    shrink2 = shrinkage(input2_at, first, features, most)
                    dot, square1, square2 = products(
                        input1_at, input2_at, first, features, shrink1, shrink2
                    )
            write(dot_at, p, dot)
            write(square1_at, p, square1)
            write(square2_at, p, square2)
            write(shrink1_at, p, shrink1)
            write(shrink2_at, p, shrink2)
        total = values(
            target_at, weight_at, values_at, dot_at, square1_at, square2_at,
            cross_at, own1_at, own2_at, row, count, margin, scale,
        )  # fmt: skip
        write(partials_at, block, total)
        if GRADIENT_INPUT1 or GRADIENT_INPUT2:
            for p in range(count):
                slopes(
                    input1_at, input2_at, gradient_input1_at, gradient_input2_at,
                    (row + p) * features, features, read(cross_at, p),
                    read(own1_at, p), read(own2_at, p), read(shrink1_at, p), read(shrink2_at, p),
                )  # fmt: skip
        block = next_block(next_block_at)


def counts(target_at, weight_at, row):
    label = load(target_at, row)
    labelled = logical_or(label == real(1.0), label == real(-1.0))
    return logical_and(labelled, read(weight_at, row) != 0.0) if WEIGHTED else labelled


def products(input1_at, input2_at, first, features, shrink1, shrink2):
    """x1.x2, x1.x1 and x2.x2 of the shrunk vectors."""
    dot, square1, square2 = float64(0.0), float64(0.0), float64(0.0)
    for run in range(0, features, RUN):
        part, part1, part2 = real(0.0), real(0.0), real(0.0)
        for i in range(first + run, first + min(run + RUN, features)):
            x1, x2 = shrink1 * load(input1_at, i), shrink2 * load(input2_at, i)
            part = accumulate(part, x1 * x2)
            part1 = accumulate(part1, x1 * x1)
            part2 = accumulate(part2, x2 * x2)
        dot, square1 = dot + float64(part), square1 + float64(part1)
        square2 = square2 + float64(part2)
    return dot, square1, square2


def shrinkage(input_at, first, features, most):
    """1 / the largest element; 1 where all are 0."""
    size = real(0.0)
    for i in range(first, first + features):
        size = largest(size, absolute(load(input_at, i)))
    if size == real(0.0):
        return real(1.0)
    return real(1.0) / min(max(size, real(1.0 / most)), real(most))


def values(
    target_at, weight_at, values_at, dot_at, square1_at, square2_at, cross_at, own1_at, own2_at,
    row, count, margin, scale,
):  # fmt: skip
    """The sum of a tile's values. Leaves for the slopes what multiplies the other vector in
    `cross`, and what multiplies the vector itself in `own`.
    """
    total = float64(0.0)
    for p in range(count):
        label = load(target_at, row + p)
        dot, square1, square2 = read(dot_at, p), read(square1_at, p), read(square2_at, p)
        lengths = sqrt(square1 * square2)
        missing = lengths == 0.0
        cosine = where(missing, float64(0.0), dot / lengths)
        excess = cosine - margin
        within = excess < 0.0
        excess = where(within, float64(0.0), excess)
        value = where(label == real(1.0), 1.0 - cosine, excess)
        pull = where(label == real(1.0), float64(-1.0), where(within, float64(0.0), float64(1.0)))
        used = logical_or(label == real(1.0), label == real(-1.0))
        weight = float64(1.0)
        if WEIGHTED:
            weight = read(weight_at, row + p)
            used = logical_and(used, weight != 0.0)
        loss = where(used, weight * value, float64(0.0))
        if CHECKED:
            legal = logical_or(label == real(1.0), label == real(-1.0))
            loss = where(logical_or(legal, weight == 0.0), loss, float64(nan))
        total = accumulate(total, loss)
        if EACH:
            store_value(values_at, row + p, real(loss))
        if GRADIENT_INPUT1 or GRADIENT_INPUT2:
            factor = where(
                logical_and(used, logical_not(missing)), scale * weight * pull, float64(0.0)
            )
            moves = factor != 0.0
            turning = factor * cosine
            write(cross_at, p, real(where(moves, factor / lengths, float64(0.0))))
            write(own1_at, p, real(where(moves, turning / square1, float64(0.0))))
            write(own2_at, p, real(where(moves, turning / square2, float64(0.0))))
    return total


def slopes(
    input1_at, input2_at, gradient_input1_at, gradient_input2_at, first, features,
    cross, own1, own2, shrink1, shrink2,
):  # fmt: skip
    """Of every feature of a pair; exactly 0 where the pair has none, whatever it holds."""
    if cross == real(0.0) and own1 == real(0.0) and own2 == real(0.0):
        for i in range(first, first + features):
            if GRADIENT_INPUT1:
                store(gradient_input1_at, i, real(0.0))
            if GRADIENT_INPUT2:
                store(gradient_input2_at, i, real(0.0))
    else:
        for i in range(first, first + features):
            x1, x2 = shrink1 * load(input1_at, i), shrink2 * load(input2_at, i)
            if GRADIENT_INPUT1:
                store(gradient_input1_at, i, shrink1 * (cross * x2 - own1 * x1))
            if GRADIENT_INPUT2:
                store(gradient_input2_at, i, shrink2 * (cross * x1 - own2 * x2))
