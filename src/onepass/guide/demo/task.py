"""What a task is: real data that suits a loss, a tiny model, and what counts on held-out data.

`@task("huber_loss")` on a function that prepares a `Task` is all it takes to demonstrate a loss.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor, nn

from onepass.guide.demo import race

Batch = tuple[Tensor, ...]
StepLoss = Callable[[nn.Module, nn.Module, Batch], Tensor]  # of loss, model, batch
Predictor = Callable[[nn.Module, nn.Module], nn.Module]  # of loss, model


@dataclass(frozen=True)
class Metric:
    """What the task is judged by, and which way is better: a number in `better` is the ideal."""

    name: str
    measure: Callable[[nn.Module, Batch], float]
    better: Literal["higher", "lower"] | float = "higher"
    format: str = ".1%"

    def beats(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other`."""
        if self.better == "higher":
            return value > other
        if self.better == "lower":
            return value < other
        return abs(value - self.better) < abs(other - self.better)


def supervised(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
    """The usual step: loss(model(features), target)."""
    features, target = batch
    return loss(model(features), target)


def model_alone(loss: nn.Module, model: nn.Module) -> nn.Module:
    """The usual predictor: the loss has done its work."""
    del loss
    return model


@dataclass(frozen=True)
class Task:
    """A loss at work. `rival` is what one would use without it, trained in the same way.

    `predictor` is what the metric measures: of a loss that has a layer, the model and that layer.
    """

    model: Callable[[], nn.Module]
    train: Batch
    held_out: Batch
    metric: Metric
    inputs: race.Inputs
    arguments: dict[str, object] = field(default_factory=dict)
    step_loss: StepLoss = supervised
    predictor: Predictor = model_alone
    rival: tuple[str, nn.Module] | None = None
    steps: int = 300
    rows: int = 256  # of a batch
    rate: float = 0.01
    loss: str = ""  # both filled in by `task`
    about: str = ""


TASKS: dict[str, Callable[[], Task]] = {}


def task(loss: str) -> Callable[[Callable[[], Task]], Callable[[], Task]]:
    """Register the task of a loss. The function's docstring is the line that the demo shows."""

    def register(prepare: Callable[[], Task]) -> Callable[[], Task]:
        line = inspect.getdoc(prepare) or ""

        def named() -> Task:
            return replace(prepare(), loss=loss, about=line.removesuffix("."))

        TASKS[loss] = named
        return named

    return register


def prepare(loss: str) -> Task:
    """The task of a loss, its data loaded."""
    if loss not in TASKS:
        raise LookupError(f"{loss} has no task yet: add @task({loss!r}) in guide/demo/tasks")
    return TASKS[loss]()
