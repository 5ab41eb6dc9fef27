"""with_slope: a formula declares a derivative instead of having it derived.

Some losses are defined with a gradient that is not the derivative of their value: torch's
binary_cross_entropy bounds its logarithms but not its slope, gaussian_nll_loss floors the
variance and hides the floor from the gradient. `with_slope` says so in the formula's own text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onepass.formula.expression import Expression, answers


def with_slope(value: Tensor, input: Tensor, slope: Tensor | float) -> Tensor:
    """`value`, whose derivative by `input` is declared to be `slope`.

    The declared slope comes on top of what `value` has already, so detach what it replaces:
    `with_slope(value.detach(), input, slope)` has this slope alone, and another `with_slope` around
    it declares that by another tensor. `slope` is differentiable itself: second derivatives are
    those of the declared slopes. All three have the same shape, or broadcast to one.
    """
    if any(isinstance(thing, Expression) for thing in (value, input, slope)):
        return answers["with_slope"](value, input, slope)  # type: ignore[return-value]
    if not isinstance(slope, Tensor):
        slope = torch.full_like(input, slope)
    if not value.shape == input.shape == slope.shape:
        value, input, slope = torch.broadcast_tensors(value, input, slope)
    # torch.compile cannot trace a function that has a forward-mode rule; nor does it need one.
    function = _WithSlope if torch.compiler.is_compiling() else _WithSlopeBothModes
    return function.apply(value, input, slope)


class _WithSlope(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, input: Tensor, slope: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        (upstream,), (slope,) = grad_outputs, ctx.saved_tensors
        return upstream, upstream * slope, None


class _WithSlopeBothModes(_WithSlope):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])
        ctx.save_for_forward(inputs[2])

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor | None) -> Tensor:
        (saved,), (value, input, _) = ctx.saved_tensors, grad_inputs
        along = saved.new_zeros(()) if value is None else value
        return along if input is None else along + saved * input
