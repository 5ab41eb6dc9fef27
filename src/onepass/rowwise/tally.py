# pyright: reportMissingParameterType=false
"""How much all rows count together, and whether every class index is one: a pass over labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from onepass.rowwise.labels import refuse_out_of_range
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan
from onepass.runtime.cpu.rows import total as total_of

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *

AT_ONCE = 16384  # labels


def tally(call: RowCall, tensors: Sequence[Tensor]) -> float:
    """The sum of the counts, once all labels are known to be in range."""
    input, target = tensors
    weight, target = call.options["weight"], target.contiguous()
    if weight is not None:
        weight = weight.detach().to(call.precision).contiguous()
    plan = Plan(
        kernel=tallied,
        operands=(target,),
        extras={"weight": weight},
        flags={"CLASS_WEIGHTED": weight is not None},
        numbers=(),
        integers=(target.numel(), input.shape[-1], call.options["ignore_index"]),
        blocks=-(-target.numel() // AT_ONCE),
    )
    total = total_of(call, plan)
    if total != total:
        refuse_out_of_range(call, tensors)
    return total


def tallied(
    target_at, class_weight_at, weight_at, values_at, partials_at, scale,
    rows, classes, ignore_index, next_block_at,
):  # fmt: skip
    # reads 1 label per row; nan if one is out of range
    block = next_block(next_block_at)
    while block * AT_ONCE < rows:
        first, end = block * AT_ONCE, min((block + 1) * AT_ONCE, rows)
        total = count_of(target_at, class_weight_at, weight_at, first, end, classes, ignore_index)
        write(partials_at, block, total)
        block = next_block(next_block_at)


def count_of(target_at, class_weight_at, weight_at, first, end, classes, ignore_index):
    """How much rows count together, nan if the label of one that counts is out of range: a
    kernel's, for others as well.
    """
    total = float64(0.0)
    for row in range(first, end):
        label = read(target_at, row)
        legal = logical_and(label >= 0, label < classes)
        count = float64(1.0)
        if CLASS_WEIGHTED:
            count = float64(read(class_weight_at, label if legal else 0))
        if WEIGHTED:
            count = count * read(weight_at, row)
        count = where(legal, count, float64(nan))
        if WEIGHTED:
            count = where(read(weight_at, row) == 0.0, float64(0.0), count)
        total = accumulate(total, where(label == ignore_index, float64(0.0), count))
    return total
