"""Cross entropy by tiles of rows, their sums, values and slopes: the plans of its kernels.

labels_along.py     the kernel of class labels that goes along each row
labels_across.py    the one that takes the rows of a tile side by side
labels_values.py    what these two share: the loss's formula, labels, values
probabilities.py    the kernel of class probabilities
logits.py           what all of them share: logits, exponentials, class weights
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from onepass.rowwise.cross_entropy.labels_across import across
from onepass.rowwise.cross_entropy.labels_along import along
from onepass.rowwise.cross_entropy.probabilities import along_probabilities
from onepass.rowwise.tiles import tiled, tiled_along
from onepass.runtime.call import RowCall
from onepass.runtime.cpu.rows import Plan


def plan_of_labels(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows, or across them where classes are few or apart."""
    input, target = tensors
    tiles = tiled(input, keeps_adjacent=True)
    return Plan(
        kernel=across if tiles.across else along,
        operands=(tiles.input, target.long().contiguous()),
        extras={"weight": _class_weight(call)},
        flags=flags(call) | {"ALONE": False} | tiles.flags,
        numbers=_numbers(call),
        integers=(*tiles.integers, call.options["ignore_index"]),
        blocks=tiles.blocks,
    )


def plan_of_probabilities(call: RowCall, tensors: Sequence[Tensor]) -> Plan:
    """Along the rows."""
    input, target = tensors
    tiles = tiled_along(input)
    return Plan(
        kernel=along_probabilities,
        operands=(tiles.input, target.contiguous()),
        extras={"weight": _class_weight(call)},
        flags=flags(call),
        numbers=_numbers(call),
        integers=tiles.integers,
        blocks=tiles.blocks,
    )


def flags(call: RowCall) -> dict[str, bool]:
    """Which of the options there are."""
    options = call.options
    return {
        "CLASS_WEIGHTED": options["weight"] is not None,
        "SMOOTHED": options["label_smoothing"] > 0,
        "SQUARED": options["z_loss"] > 0,
        "CAPPED": options["softcap"] is not None,
    }


def _numbers(call: RowCall) -> tuple[str | float, ...]:
    return "label_smoothing", "z_loss", 1.0 if call.options["softcap"] is None else "softcap"


def _class_weight(call: RowCall) -> Tensor | None:
    weight = call.options["weight"]
    return None if weight is None else weight.detach().to(call.precision).contiguous()
