"""torch's own operation for tiny calls, where ours costs more than its arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from onepass.runtime.call import Call, RowCall
from onepass.runtime.runner import Run

_REDUCTIONS = ("none", "mean", "sum")  # torch's C++ enumeration, from 0
# Elements up to which torch's operation is faster. It stays below torch's grain, where torch shares
# a sum among threads and its bits depend on their number.
_TINY = 16384
_WIDE = 64 * _TINY  # the same of the scores of that many rows, most of which are only set to 0


def suits(call: Call | RowCall, tensors: Sequence[Tensor]) -> bool:
    """Whether that is the faster way for a call of plain tensors without weights."""
    small = call.loss.torch_op is not None and call.shape.numel() <= _TINY
    if not small or call.dtype.itemsize < 4 or call.reduction not in _REDUCTIONS:
        return False
    if call.weight is not None or call.denominator is not None:
        return False
    if isinstance(call, RowCall):
        return _suits_rows(call, tensors)
    return _suits_elements(call, tensors)


def _suits_rows(call: RowCall, tensors: Sequence[Tensor]) -> bool:
    input = tensors[0]
    weights = [option for option in call.options.values() if isinstance(option, Tensor)]
    return (
        not weights
        and input.numel() <= _WIDE
        and input.dim() <= 2  # beyond, torch's classes are on axis 1
        and (call.reduction != "mean" or call.counts_rows)
    )


def _suits_elements(call: Call, tensors: Sequence[Tensor]) -> bool:
    return (
        all(t.shape == call.shape and t.dtype is call.dtype for t in tensors)
        and all(call.parameters.values())  # torch's operations take a parameter 0 differently
    )


def runner(call: Call | RowCall, otherwise: Run) -> Run:
    """What runs calls of this one's kind, or leaves them to `otherwise`."""
    operation, number = call.loss.torch_op, _REDUCTIONS.index(call.reduction)
    assert operation is not None

    def run(call: Call | RowCall, tensors: tuple[Tensor, ...]) -> Tensor:
        try:
            value = operation(*tensors, number, **call.options)
        except (IndexError, RuntimeError):
            # An out-of-range label, of which the kernel's refusal says more, or a tensor made in
            # inference mode, which torch's operation would save.
            return otherwise(call, tensors)
        if isinstance(call, RowCall) and math.isnan((value.sum() if value.dim() else value).item()):
            return otherwise(call, tensors)  # torch's gradient would not show it
        return value

    return run
