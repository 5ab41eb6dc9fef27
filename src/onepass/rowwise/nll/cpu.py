# pyright: reportMissingParameterType=false
"""nll_loss by blocks: their gradient is zeros, then a slope at each row's label.

Scores are walked as they lie, (outers, classes, inner): rows whose classes touch have inner = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.tally import count_of
from onepass.rowwise.tiles import laid_out
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *


ROOM = 16384  # scores of a turn
PIECE = 256  # rows side by side, at least: shorter runs of zeros are written slowly


def plan(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Turns of whole outers, or of pieces of one where it is long."""
    input, target = tensors
    classes, rows = input.shape[-1], target.numel()
    input, beside, adjacent = laid_out(input, most_across=classes, fewest=1)
    inner = beside if adjacent else 1
    piece = min(inner, max(PIECE, ROOM // max(1, classes)))
    at_once = max(1, ROOM // max(1, classes * inner)) if piece == inner else 1
    outers = rows // inner
    return Plan(
        kernel=at_labels,
        operands=(input, target.contiguous()),
        extras={"weight": call.options["weight"]},
        flags={"CLASS_WEIGHTED": call.options["weight"] is not None, "ALONE": False},
        numbers=(),
        integers=(outers, classes, inner, at_once, piece, call.options["ignore_index"]),
        blocks=-(-outers // at_once) * -(-inner // piece),
    )


def at_labels(
    input_at, target_at, class_weight_at, weight_at, values_at, gradient_input_at, partials_at,
    scale, outers, classes, inner, at_once, piece, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 label and 1 score per row, writes 1 per score
    pieces = (inner + piece - 1) // piece
    counted = float64(1.0)
    if ALONE:
        counted = count_of(
            target_at, class_weight_at, weight_at, 0, outers * inner, classes, ignore_index
        )
        scale = scale / counted
    block = next_block(next_block_at)
    while block // pieces * at_once < outers:
        start = block % pieces * piece
        count = min(piece, inner - start)
        first = block // pieces * at_once
        last = min(first + at_once, outers)
        if GRADIENT_INPUT:
            if count == inner:
                zeros(gradient_input_at, first * classes * inner, last * classes * inner)
            else:
                for c in range(first * classes, last * classes):
                    zeros(gradient_input_at, c * inner + start, c * inner + start + count)
        total = float64(0.0)
        for outer in range(first, last):
            for p in range(start, start + count):
                row = outer * inner + p
                share = share_of(target_at, class_weight_at, weight_at, row, classes, ignore_index)
                loss, label = share, read(target_at, row)
                if share != 0.0 and 0 <= label < classes:
                    at = (outer * classes + label) * inner + p
                    loss = -share * float64(load(input_at, at))
                    if GRADIENT_INPUT:
                        store(gradient_input_at, at, real(-scale * share))
                if EACH:
                    store_value(values_at, row, real(loss))
                total = total + loss
        write(partials_at, block, total / counted if ALONE else total)
        block = next_block(next_block_at)


def zeros(gradient_input_at, first, end):
    for i in range(first, end):
        store(gradient_input_at, i, real(0.0))


def share_of(target_at, class_weight_at, weight_at, row, classes, ignore_index):
    """Factor of the row's score: 0 if it does not count, nan if its label is out of range."""
    label = read(target_at, row)
    share = float64(1.0)
    if WEIGHTED:
        share = read(weight_at, row)
    if label == ignore_index:
        share = float64(0.0)
    if share != 0.0:
        if label < 0 or label >= classes:
            share = float64(nan)
        elif CLASS_WEIGHTED:
            share = share * float64(read(class_weight_at, label))
    return share
