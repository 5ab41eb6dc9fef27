"""Two losses on the same parameters: value and gradient, at every step of one training run.

Runs of their own cannot be compared number by number: training amplifies roundings. Torch.nn
against itself, its first parameters one rounding off, is 6e-4 apart after 500 steps of the task of
smooth_l1_loss. On the same parameters only the losses can differ.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onepass.guide.demo.task import Batch, Task

# Of value and gradient. Measured over all tasks, with and without AVX-512 in torch and in our
# kernels, with one thread and two, from many first parameters: values are at most 2.1e-7 apart,
# gradients 1.0e-6, which is nine roundings of their largest number. Other processors round
# otherwise, so five times that is allowed; a wrong loss is off by far more.
TOLERANCE = 5e-6


@dataclass(frozen=True)
class Difference:
    """How far two losses are apart on the same parameters."""

    value: float
    gradient: float

    @property
    def largest(self) -> float:
        """The larger of the two; nan if one is nan."""
        return largest([self.value, self.gradient])

    @property
    def agrees(self) -> bool:
        """Whether both are the same up to rounding; false for nan."""
        return self.largest <= TOLERANCE


class Comparison:
    """Evaluates torch.nn's loss on the parameters of every step of a run with another loss."""

    def __init__(self, task: Task, theirs: nn.Module) -> None:
        self.task = task
        self.theirs = copy.deepcopy(theirs)
        self.steps: list[Difference] = []

    def watch(self, ours: nn.Module, model: nn.Module, batch: Batch, value: Tensor) -> None:
        """Compare one step: `value` is that of `ours`, whose gradients are in the parameters."""
        self.theirs.load_state_dict(ours.state_dict())
        expected = self.task.step_loss(self.theirs, model, batch)
        parameters = [*model.parameters(), *self.theirs.parameters()]
        gradients = torch.autograd.grad(expected, parameters)
        found = map(gradient, [*model.parameters(), *ours.parameters()])
        self.steps.append(
            Difference(
                of_values(expected.item(), value.item()), of_gradients(gradients, tuple(found))
            )
        )

    def worst(self) -> Difference:
        """The largest differences at any step; nan if there is a nan at any step."""
        return Difference(
            largest(step.value for step in self.steps),
            largest(step.gradient for step in self.steps),
        )


def gradient(parameter: nn.Parameter) -> Tensor:
    """What `backward` has left in a parameter; zeros if it did not reach it."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def of_values(theirs: float, ours: float) -> float:
    """|a - b| / (1 + |a|): relative where a loss is large, absolute where it is small."""
    return abs(theirs - ours) / (1 + abs(theirs))


def of_gradients(theirs: Iterable[Tensor], ours: Iterable[Tensor]) -> float:
    """max |a - b| / max |a| over all parameters together, which no scale of the loss changes.

    Single numbers of a gradient may be sums that cancel: their own size says nothing of rounding.
    """
    a, b = (torch.cat([part.flatten() for part in parts]) for parts in (theirs, ours))
    apart = (a - b).abs().max()
    return (apart / a.abs().max()).item() if apart != 0 else 0.0


def largest(numbers: Iterable[float]) -> float:
    """The largest number; nan if one of them is nan, of which Python's `max` is not sure."""
    return torch.tensor(list(numbers), dtype=torch.float64).max().item()
