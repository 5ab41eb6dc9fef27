# pyright: reportMissingParameterType=false
"""Cross entropy of class labels: the kernel that takes the rows of a tile side by side.

For class axes that are not the last, and for few classes.
"""

from typing import TYPE_CHECKING

from onepass.rowwise.cross_entropy.labels_values import divisor, labels, spread_over, values
from onepass.rowwise.cross_entropy.logits import (
    apart,
    class_weight,
    finite,
    flattened,
    grown,
    logit,
)
from onepass.rowwise.tiles import ROOM, TILE, place

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


def across(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    smoothing, z_loss, cap, scale,
    rows, classes, inner, at_once, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 per logit, writes 1; a tile's logits wait in `x_at`, classes apart by `at_once`
    if IN_PLACE:
        gradient_input_at = input_at
    spread = smoothing / float64(classes)
    spread_mass = real(spread_over(class_weight_at, classes, smoothing, spread))
    keep, spread = real(1.0 - smoothing), real(spread)
    z_loss, cap = real(z_loss), real(cap)
    top_at, own_at, others_at = scratch(cap, TILE), scratch(cap, TILE), scratch(cap, TILE)
    short_at, common_at, label_at = scratch(cap, TILE), scratch(cap, TILE), scratch(int32(0), TILE)
    x_at, base_at = scratch(cap, ROOM), scratch(cap, TILE)
    tiles = (inner + at_once - 1) // at_once
    whole = divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index)
    scale = scale / whole
    block = next_block(next_block_at)
    while block < rows // inner * tiles:
        start = block % tiles * at_once
        count = min(at_once, inner - start)
        row = block // tiles * inner + start
        base = (row - start) * classes + (start if ADJACENT else start * classes)
        wrong = labels(
            target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index
        )
        fetch(input_at, x_at, base, classes, inner, at_once, count, cap)
        for p in range(count):
            write(top_at, p, real(-inf))
            write(others_at, p, real(0.0))
            write(short_at, p, real(0.0))
        for c in range(classes):
            for p in range(count):
                write(top_at, p, largest(read(top_at, p), read(x_at, c * at_once + p)))
        for p in range(count):
            label = max(read(label_at, p), int32(0))
            write(own_at, p, apart(read(x_at, label * at_once + p), read(top_at, p)))
            write(base_at, p, finite(read(top_at, p)))
        for c in range(classes):
            weight = class_weight(class_weight_at, c)
            for p in range(count):
                x = read(x_at, c * at_once + p)
                e = grown(x, read(base_at, p), real(0.0))
                other = where(read(label_at, p) == int32(c), real(0.0), e)
                write(others_at, p, read(others_at, p) + other)
                if SMOOTHED and weight != real(0.0):
                    short = spread * weight * apart(x, read(top_at, p))
                    write(short_at, p, read(short_at, p) - short)
                write(x_at, c * at_once + p, e)
        total = values(
            class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at,
            common_at, row, count, keep, spread, spread_mass, z_loss, scale,
        )  # fmt: skip
        write(partials_at, block, (total + wrong) / whole)
        if GRADIENT_INPUT:
            for c in range(classes):
                weight = class_weight(class_weight_at, c)
                for p in range(count):
                    slope = read(common_at, p) * read(x_at, c * at_once + p)
                    if SMOOTHED:
                        slope = slope - read(short_at, p) * weight
                    label = read(label_at, p)
                    slope = where(label == int32(c), read(own_at, p), slope)
                    write(x_at, c * at_once + p, where(label < int32(0), real(0.0), slope))
            hand_over(input_at, x_at, gradient_input_at, base, classes, inner, at_once, count, cap)
        block = next_block(next_block_at)


def fetch(input_at, x_at, base, classes, inner, at_once, count, cap):
    for c in range(classes):
        for p in range(count):
            write(x_at, c * at_once + p, logit(input_at, place(base, p, c, classes, inner), cap))


def hand_over(input_at, x_at, gradient_input_at, base, classes, inner, at_once, count, cap):
    for c in range(classes):
        for p in range(count):
            i = place(base, p, c, classes, inner)
            slope = read(x_at, c * at_once + p)
            if CAPPED:  # what does not count keeps its 0, whatever it holds
                flat = flattened(input_at, i, cap)
                slope = where(slope == real(0.0), slope, slope * flat)
            store(gradient_input_at, i, slope)
