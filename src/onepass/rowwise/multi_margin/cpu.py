# pyright: reportMissingParameterType=false
"""multi_margin_loss by tiles of rows, in one pass: a slope needs nothing of the rest of its row.

`along` goes along each row, `across` takes the rows of a tile side by side: for class axes that
are not the last, and for few classes.

    loss = w[label] sum over i != label of hinge(margin - x[label] + x[i]) / classes

with hinge(s) = max(0, s)^p. The slope at the label is minus the sum of the others'. A row that
does not count has the label -1 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tiles import ROOM, RUN, TILE, place, tiled
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows, or across them where classes are few or apart."""
    input, target = tensors
    tiles = tiled(input, keeps_adjacent=False)
    weight, p = call.options["weight"], call.options["p"]
    return Plan(
        kernel=across if tiles.across else along,
        operands=(tiles.input, target.contiguous()),
        extras={"weight": weight},
        flags={"CLASS_WEIGHTED": weight is not None, "SQUARED_HINGE": p == 2} | tiles.flags,
        numbers=("margin",),
        integers=tiles.integers,
        blocks=tiles.blocks,
    )


def label_of(target_at, class_weight_at, weight_at, row, classes):
    """-1 where the row does not count, `classes` for an out-of-range label."""
    label = read(target_at, row)
    if label < 0 or label >= classes:
        label = classes
    elif CLASS_WEIGHTED and read(class_weight_at, label) == real(0.0):
        label = int64(-1)
    if WEIGHTED and read(weight_at, row) == 0.0:
        label = int64(-1)
    return label


def share_of(class_weight_at, weight_at, row, label, classes):
    """Factor of the row's hinges: 0 if it does not count, nan if its label is out of range."""
    share = float64(1.0) / float64(classes)
    if CLASS_WEIGHTED:
        share = share * float64(read(class_weight_at, label if 0 <= label < classes else 0))
    if WEIGHTED:
        share = share * read(weight_at, row)
    share = where(label < classes, share, float64(nan))
    return where(label < 0, float64(0.0), share)


def steepness(scale, share):
    """Of a hinge by its slack, relative to `step`."""
    return real(scale * share * 2.0) if SQUARED_HINGE else real(scale * share)


def step_of(hinge):
    return hinge if SQUARED_HINGE else where(hinge == real(0.0), real(0.0), real(1.0))


def along(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    margin, scale, rows, classes, at_once, next_block_at,
):  # fmt: skip
    # reads 1 per score, writes 1
    block = next_block(next_block_at)
    while block * at_once < rows:
        total = float64(0.0)
        for row in range(block * at_once, min((block + 1) * at_once, rows)):
            first, end = row * classes, (row + 1) * classes
            label = label_of(target_at, class_weight_at, weight_at, row, classes)
            share = share_of(class_weight_at, weight_at, row, label, classes)
            loss = share
            if 0 <= label < classes:
                at = first + label
                factor = steepness(scale, share)
                lead = real(margin) - load(input_at, at)
                cost, pull = hinges(input_at, gradient_input_at, first, at, lead, factor)
                more, further = hinges(input_at, gradient_input_at, at + 1, end, lead, factor)
                loss = share * (cost + more)
                if GRADIENT_INPUT:
                    store(gradient_input_at, at, real(-float64(factor) * (pull + further)))
            elif GRADIENT_INPUT:
                for i in range(first, end):
                    store(gradient_input_at, i, real(0.0))
            if EACH:
                store_value(values_at, row, real(loss))
            total = total + loss
        write(partials_at, block, total)
        block = next_block(next_block_at)


def hinges(input_at, gradient_input_at, first, end, lead, factor):
    """The sum of the hinges of some classes, and of their steps."""
    cost, pull = float64(0.0), float64(0.0)
    for run in range(first, end, RUN):
        part, steps = real(0.0), real(0.0)
        for i in range(run, min(run + RUN, end)):
            slack = lead + load(input_at, i)
            hinge = where(slack <= real(0.0), real(0.0), slack)
            step = step_of(hinge)
            part = accumulate(part, hinge * step)
            steps = accumulate(steps, step)
            if GRADIENT_INPUT:
                store(gradient_input_at, i, factor * step)
        cost, pull = cost + float64(part), pull + float64(steps)
    return cost, pull


def across(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    margin, scale, rows, classes, inner, at_once, next_block_at,
):  # fmt: skip
    # reads 1 per score, writes 1; where rows do not touch, a tile's scores wait in `x_at`
    margin = real(margin)
    lead_at, factor_at, label_at = (
        scratch(margin, TILE),
        scratch(margin, TILE),
        scratch(int32(0), TILE),
    )
    cost_at, pull_at, share_at = (
        scratch(margin, TILE),
        scratch(margin, TILE),
        scratch(float64(0.0), TILE),
    )
    x_at = scratch(margin, ROOM)
    tiles = (inner + at_once - 1) // at_once
    block = next_block(next_block_at)
    while block < rows // inner * tiles:
        start = block % tiles * at_once
        count = min(at_once, inner - start)
        row = block // tiles * inner + start
        base = (row - start) * classes + (start if ADJACENT else start * classes)
        if not ADJACENT:
            for c in range(classes):
                for p in range(count):
                    write(x_at, c * at_once + p, load(input_at, base + p * classes + c))
        for p in range(count):
            label = label_of(target_at, class_weight_at, weight_at, row + p, classes)
            share = share_of(class_weight_at, weight_at, row + p, label, classes)
            write(share_at, p, share)
            label = label if label < classes else -1
            at = place(base, p, max(label, 0), classes, inner)
            write(label_at, p, int32(label))
            write(lead_at, p, margin - load(input_at, at))
            # The scale may be infinite where no row counts.
            write(factor_at, p, steepness(scale, share) if label >= 0 else real(0.0))
            write(cost_at, p, real(0.0))
            write(pull_at, p, real(0.0))
        for c in range(classes):
            for p in range(count):
                i = c * at_once + p
                x = load(input_at, base + c * inner + p) if ADJACENT else read(x_at, i)
                slack, label = read(lead_at, p) + x, read(label_at, p)
                apart = logical_or(label == int32(c), label < int32(0))
                hinge = where(logical_or(apart, slack <= real(0.0)), real(0.0), slack)
                step = step_of(hinge)
                write(cost_at, p, read(cost_at, p) + hinge * step)
                write(pull_at, p, read(pull_at, p) + step)
                if GRADIENT_INPUT:
                    slope = read(factor_at, p) * step
                    if ADJACENT:
                        store(gradient_input_at, base + c * inner + p, slope)
                    else:
                        write(x_at, i, slope)
        if GRADIENT_INPUT and not ADJACENT:
            for c in range(classes):
                for p in range(count):
                    store(gradient_input_at, base + p * classes + c, read(x_at, c * at_once + p))
        total = float64(0.0)
        for p in range(count):
            loss = read(share_at, p) * float64(read(cost_at, p))
            if EACH:
                store_value(values_at, row + p, real(loss))
            total = accumulate(total, loss)
        write(partials_at, block, total)
        if GRADIENT_INPUT:
            for p in range(count):
                at = place(base, p, max(int64(read(label_at, p)), 0), classes, inner)
                store(gradient_input_at, at, -read(factor_at, p) * read(pull_at, p))
        block = next_block(next_block_at)
