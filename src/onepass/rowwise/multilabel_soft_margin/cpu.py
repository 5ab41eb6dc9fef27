"""multilabel_soft_margin_loss on the CPU: the kernels of its element, over all rows at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from onepass.pointwise.binary import multilabel_soft_margin_loss as of_elements
from onepass.runtime import reduce
from onepass.runtime.call import Call, Gradients, RowCall
from onepass.runtime.cpu import elements
from onepass.runtime.cpu.operands import divisor_of
from onepass.runtime.cpu.recipes import Layout


def value(call: RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    return elements.value(_reduced(call, tensors), tensors)


def values(call: RowCall, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and the rows in which it is nan, if there are any."""
    each, lost = elements.values(_unreduced(call, tensors), tensors)
    return each.mean(-1).to(call.dtype), None if lost is None else lost.any(-1)


def value_and_gradients(
    call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool], upstream: float = 1.0
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    return elements.value_and_gradients(_reduced(call, tensors), tensors, needs_grad, upstream)


def gradients(
    call: RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    shape = tensors[0].shape
    upstream = (upstream.to(call.precision) / shape[-1]).unsqueeze(-1).expand(shape)
    lost = None if lost is None else lost.unsqueeze(-1).expand(shape)
    return elements.gradients(_unreduced(call, tensors), tensors, needs_grad, upstream, lost)


def layout(call: RowCall, tensors: Sequence[Tensor], needs_grad: Sequence[bool]) -> Layout | None:
    """How a kernel takes a reduced call; None if that takes more than a kernel."""
    if call.weight is not None or call.options["weight"] is not None:
        return None
    if call.denominator is not None:  # a normalizer counts rows, and the kernel elements
        return None
    return elements.layout(_reduced(call, tensors), tensors, needs_grad)


def _reduced(call: RowCall, tensors: Sequence[Tensor]) -> Call:
    """The sum over all elements, divided by rows times labels."""
    return _of_elements(call, tensors, "mean", divisor_of(call) * tensors[0].shape[-1])


def _unreduced(call: RowCall, tensors: Sequence[Tensor]) -> Call:
    return _of_elements(call, tensors, "none", None)


def _of_elements(
    call: RowCall, tensors: Sequence[Tensor], reduction: str, denominator: float | None
) -> Call:
    of_rows = None if call.weight is None else call.weight.unsqueeze(-1)
    each = reduction == "none"
    return Call(
        shape=tensors[0].shape,
        dtype=call.precision if each else call.dtype,
        reduction=reduction,
        weight=reduce.product(call.options["weight"], of_rows),
        denominator=denominator,
        counting=None,
        checks_values=call.checks_values,
        loss=of_elements,
        names=call.names,
        parameters={},
        flags={},
    )
