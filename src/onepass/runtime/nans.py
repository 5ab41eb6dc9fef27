"""Where a loss is nan for what it was given, so is its gradient: a broken prediction must not train
on.

Derivatives lose a nan by themselves: that of a kink compares, that of a linear loss does not look.
A loss that is nan of finite numbers, outside of its domain, keeps the slope that it has there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from onepass.runtime import internals


def lost(value: Tensor, operands: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> Tensor:
    """Where the unreduced loss is nan, and an operand there, or any weight, is not finite.

    Operands broadcast to the value, or are rows of it, along one more axis.
    """
    infinite = [_of_value(~t.isfinite(), value) for t in operands if t.is_floating_point()]
    infinite += [(~w.isfinite()).sum() > 0 for w in weights if w.is_floating_point()]
    anything = infinite[0]
    for each in infinite[1:]:
        anything = anything | each
    return value.isnan() & anything


def shown(value: Tensor, operands: Sequence[Tensor], weights: Sequence[Tensor] = ()) -> Tensor:
    """The unreduced loss, whose gradient by every operand is nan where it is lost."""
    asking = [t for t in operands if t.is_floating_point() and _may_be_differentiated(t)]
    if not asking:
        return value
    broken = lost(value, operands, weights)
    held = [torch.where(_along(broken, t), t, 0.0) for t in asking]
    summed = [t.sum(-1) if t.dim() > value.dim() else t for t in held]
    # Selected inside and outside, and times nan where it is lost alone: what is not lost takes no
    # part in any product with nan, there or on the way back.
    factor = torch.where(broken, math.nan, torch.ones_like(value))
    return torch.where(broken, factor * sum(summed), value)


def show(gradients: Sequence[Tensor | None], broken: Tensor) -> None:
    """Write nan into finished gradients, where the unreduced loss is lost."""
    for gradient in gradients:
        if gradient is not None:
            gradient.masked_fill_(_along(broken, gradient), math.nan)


def _may_be_differentiated(tensor: Tensor) -> bool:
    """Whether a gradient may be asked for; unknown under a transform or a trace, so True."""
    if tensor.requires_grad or internals.are_transforms_active():
        return True
    return not torch.compiler.is_compiling() and internals.tracing_state() is not None


def _along(broken: Tensor, tensor: Tensor) -> Tensor:
    """The mask in the shape of elements, or with one more axis for rows."""
    return broken.unsqueeze(-1) if tensor.dim() > broken.dim() else broken


def _of_value(holds: Tensor, value: Tensor) -> Tensor:
    """Elements to values: True for a row that has a True element."""
    return holds.sum(-1) > 0 if holds.dim() > value.dim() else holds
