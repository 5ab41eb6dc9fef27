"""The CPU engine: which kernels take a call, and what it takes to run them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from onepass.runtime import checks, eager
from onepass.runtime.call import Call, Gradients, RowCall
from onepass.runtime.circumstances import PLAIN, is_data
from onepass.runtime.cpu import recipes, torch_op
from onepass.runtime.cpu.recipes import Recipe
from onepass.runtime.runner import Places, Run


def obstacle(call: Call | RowCall, tensors: Sequence[Tensor]) -> str | None:
    """Which of the call's tensors no kernel can read."""
    for tensor in tensors:
        if not is_data(tensor):
            return f"a tensor is {_described(tensor)}"
    for weight in call.weights:
        if weight.requires_grad or not is_data(weight):
            return f"a weight or the normalizer is {_described(weight)}"
    return None


def _described(tensor: Tensor) -> str:
    kind = "" if type(tensor) in PLAIN else f"a {type(tensor).__name__}, "
    kind += "lazily negated, " if tensor.is_neg() else ""
    kind += "asking for its gradient, " if tensor.requires_grad else ""
    return f"{kind}{tensor.dtype}, {tensor.layout}, on {tensor.device}"


def value(call: Call | RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The reduced loss."""
    return call.loss.cpu.value(call, tensors)


def values(call: Call | RowCall, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """The unreduced loss, and where it is nan, if it is anywhere."""
    return call.loss.cpu.values(call, tensors)


def value_and_gradients(
    call: Call | RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor | None = None,
) -> tuple[Tensor, Gradients]:
    """The reduced loss and its finished gradients."""
    if upstream is None:
        return call.loss.cpu.value_and_gradients(call, tensors, needs_grad)
    call = call.without_launches()  # tensors that autograd saved may have other strides
    return call.loss.cpu.value_and_gradients(call, tensors, needs_grad, upstream.item())


def gradients(
    call: Call | RowCall,
    tensors: Sequence[Tensor],
    needs_grad: Sequence[bool],
    upstream: Tensor,
    lost: Tensor | None,
) -> Gradients:
    """The gradients of the unreduced loss: slopes times upstream; nan where it is lost."""
    return call.loss.cpu.gradients(call, tensors, needs_grad, upstream, lost)


def scaled(call: Call | RowCall, gradients: Gradients, upstream: Tensor) -> Gradients | None:
    """Finished gradients times one upstream, in place; None for a half type: it is to be scaled
    before it is rounded.
    """
    factor = upstream.item()
    if factor == 1:
        return gradients
    if call.dtype.itemsize == 2:
        return None
    for gradient in gradients:
        if gradient is not None:
            gradient.mul_(factor)
    return gradients


def definition(call: Call | RowCall, tensors: Sequence[Tensor]) -> Tensor:
    """The loss by its definition; labels and values are refused as by the kernels."""
    if isinstance(call, RowCall) and call.loss.refuse is not None:
        call.loss.refuse(call, tensors)
    value = eager.evaluate(call, tensors)
    if value.isnan().any():
        if isinstance(call, Call):
            checks.values(call, tensors)
        elif call.checks_values:
            eager.refuse_nan(call, tensors)
    return value


def runner(call: Call | RowCall, tensors: Sequence[Tensor], otherwise: Run) -> Run:
    """What runs the calls of this kind: torch's own operation, if it is faster, or `otherwise`."""
    if torch_op.suits(call, tensors):
        return torch_op.runner(call, otherwise)
    if isinstance(call, RowCall):
        call.launches = {}
    return otherwise


def recipe(call: Call | RowCall, tensors: Sequence[Tensor], places: Places) -> Recipe | None:
    """How native.cpp runs the calls of this kind."""
    return recipes.of(call, tensors, places)
