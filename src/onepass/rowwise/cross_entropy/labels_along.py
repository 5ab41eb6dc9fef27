# pyright: reportMissingParameterType=false
"""Cross entropy of class labels: the kernel that goes along each row."""

from typing import TYPE_CHECKING

from onepass.rowwise.cross_entropy.labels_values import divisor, labels, spread_over, values
from onepass.rowwise.cross_entropy.logits import (
    apart,
    class_weight,
    clear,
    finite,
    flattened,
    grown,
    logit,
    top_of,
    waits,
)
from onepass.rowwise.tiles import RUN, TILE

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *

# A row is summed as it is if the label's logit lies between these, and the exponentials, which stop
# growing at REACH, make no more than MOST. Beyond, slopes could become too small to be precise.
LOWEST, HIGHEST, REACH, MOST = -20.0, 30.0, 60.0, 1e13


def along(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    smoothing, z_loss, cap, scale,
    rows, classes, at_once, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 per logit (then again, from cache) and writes 1
    if IN_PLACE:
        gradient_input_at = input_at
    spread = smoothing / float64(classes)
    spread_mass = real(spread_over(class_weight_at, classes, smoothing, spread))
    keep, spread = real(1.0 - smoothing), real(spread)
    z_loss, cap = real(z_loss), real(cap)
    top_at, own_at, others_at = scratch(cap, TILE), scratch(cap, TILE), scratch(cap, TILE)
    short_at, common_at, label_at = scratch(cap, TILE), scratch(cap, TILE), scratch(int32(0), TILE)
    peaks_at = scratch(cap, TILE)
    piece = max(RUN, (classes + TILE - 1) // TILE)
    pieces = (classes + piece - 1) // piece
    whole = divisor(target_at, class_weight_at, weight_at, rows, classes, ignore_index)
    scale = scale / whole
    block = next_block(next_block_at)
    while block * at_once < rows:
        row = block * at_once
        count = min(at_once, rows - row)
        wrong = labels(
            target_at, class_weight_at, weight_at, label_at, row, count, classes, ignore_index
        )
        for p in range(count):
            first, label = (row + p) * classes, read(label_at, p)
            if label >= 0:
                at, end = first + label, first + classes
                own = logit(input_at, at, cap)
                top, others = sums(
                    input_at, gradient_input_at, peaks_at, p * pieces, first, at, end, piece, own,
                    cap,
                )  # fmt: skip
                if SMOOTHED:
                    short = shortfall(input_at, class_weight_at, first, end, top, cap)
                    write(short_at, p, spread * short)
                write(top_at, p, top)
                write(others_at, p, real(others))
                write(own_at, p, apart(own, top))
        total = values(
            class_weight_at, weight_at, values_at, label_at, top_at, own_at, others_at, short_at,
            common_at, row, count, keep, spread, spread_mass, z_loss, scale,
        )  # fmt: skip
        write(partials_at, block, (total + wrong) / whole)
        if GRADIENT_INPUT:
            for p in range(count):
                first, label = (row + p) * classes, read(label_at, p)
                if label >= 0:
                    slope, at = read(own_at, p), first + label
                    if CAPPED:
                        slope = slope * flattened(input_at, at, cap)
                    slopes(
                        input_at, class_weight_at, gradient_input_at, peaks_at, p * pieces, first,
                        first + classes, piece, read(top_at, p), read(common_at, p),
                        read(short_at, p), cap,
                    )  # fmt: skip
                    store(gradient_input_at, at, slope)
                else:
                    clear(gradient_input_at, first, first + classes)
        block = next_block(next_block_at)


def sums(
    input_at, gradient_input_at, peaks_at, number, first, at, end, piece, own, cap,
):  # fmt: skip
    """What the logits of a row are taken relative to, and the sum of the others' exponentials.

    Where that cannot be summed as it is, each piece of the row is relative to the largest logit so
    far: what was summed before a larger one is scaled down. `peaks` keeps, from `number` on, what
    the exponentials of each piece are relative to.
    """
    plain = logical_and(own >= real(LOWEST), own <= real(HIGHEST))
    while True:
        top, total = real(0.0) if plain else real(-inf), float64(0.0)
        for start in range(first, end, piece):
            stop, place = min(start + piece, end), number + (start - first) // piece
            if not plain:
                peak = largest(top, top_of(input_at, start, stop, cap))
                if peak > top:
                    total = total * float64(decay(top - peak))
                    top = peak
            write(peaks_at, place, top)
            total = total + exponentials(input_at, gradient_input_at, start, stop, at, top, cap)
            if plain and not total <= MOST:
                break
        if not plain:
            return top, total
        if total <= MOST:
            return own, total * float64(decay(-own))
        plain = False


def exponentials(input_at, gradient_input_at, first, end, at, top, cap):
    """Their sum without the one `at` the label; each is kept where its slope will stand."""
    total, base, reach = float64(0.0), finite(top), reach_above(top)
    for run in range(first, end, RUN):
        stop = min(run + RUN, end)
        if run <= at < stop:
            part = run_of(input_at, gradient_input_at, run, stop, at, base, reach, cap, skips=True)
        else:
            part = run_of(input_at, gradient_input_at, run, stop, at, base, reach, cap, skips=False)
        total = total + float64(part)
    return total


def run_of(input_at, gradient_input_at, first, end, at, base, reach, cap, skips):
    """The same of one run, which `skips` the one `at` the label if that is in it."""
    part = real(0.0)
    for i in range(first, end):
        e = grown(logit(input_at, i, cap), base, reach)
        left_out = logical_and(skips, int32(i) == int32(at))
        part = accumulate(part, where(left_out, real(0.0), e))
        if GRADIENT_INPUT and waits():
            store(gradient_input_at, i, e)
    return part


def reach_above(top):
    """Up to which distance from `top` exponentials grow; of infinite logits each counts 1."""
    return real(0.0) if top == real(inf) else real(REACH)


def shortfall(input_at, class_weight_at, first, end, top, cap):
    """sum(w (top - x)); a class without weight has none, whatever its logit."""
    total = float64(0.0)
    for run in range(first, end, RUN):
        part = real(0.0)
        for i in range(run, min(run + RUN, end)):
            weight = class_weight(class_weight_at, i - first)
            short = -weight * apart(logit(input_at, i, cap), top)
            part = accumulate(part, where(weight == real(0.0), real(0.0), short))
        total = total + float64(part)
    return real(total)


def slopes(
    input_at, class_weight_at, gradient_input_at, peaks_at, number, first, end, piece, top, common,
    pull, cap,
):  # fmt: skip
    """Of every class as if it were not the label."""
    for start in range(first, end, piece):
        peak = read(peaks_at, number)
        factor = common if peak == top else common * decay(peak - top)
        base, reach, number = finite(peak), reach_above(peak), number + 1
        for i in range(start, min(start + piece, end)):
            if waits():
                slope = factor * load(gradient_input_at, i)
            else:
                slope = factor * grown(logit(input_at, i, cap), base, reach)
            if SMOOTHED:
                slope = slope - pull * class_weight(class_weight_at, i - first)
            if CAPPED:
                slope = slope * flattened(input_at, i, cap)
            store(gradient_input_at, i, slope)
