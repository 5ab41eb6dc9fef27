"""Train a model with one loss. Two runs of a task differ in nothing but the loss they are given."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onepass.guide.demo import data
from onepass.guide.demo.task import Batch, Task

# Of the metrics of two runs, as a share of what training gained: where they end is chaotic, but
# not by much. Torch.nn against itself, its first parameters one rounding off, ends 0.16% apart at
# most (smooth_l1_loss), and onepass against torch.nn no further. One held-out row may be 4% of the
# gain (gaussian_nll_loss), and may fall on either side of a threshold.
TOLERANCE = 0.05

# Sees a step before the optimizer takes it: loss, model, batch, and the value of the loss.
Watch = Callable[[nn.Module, nn.Module, Batch, Tensor], None]


@dataclass(frozen=True)
class Run:
    """The loss of every step, and the metric on held-out data before and after training."""

    trajectory: list[float]
    before: float
    after: float


def train(task: Task, loss: nn.Module, watch: Watch = lambda *_: None) -> Run:
    """Train from the demo's seed; the caller's loss and random numbers are left as they were."""
    loss = copy.deepcopy(loss)  # it may have parameters of its own
    with data.seeded():
        model = task.model()
    predictor = task.predictor(loss, model)
    before = measure(task, predictor)
    with one_thread():
        trajectory = list(descend(task, loss, model, watch))
    return Run(trajectory, before, measure(task, predictor))


def descend(task: Task, loss: nn.Module, model: nn.Module, watch: Watch) -> Iterator[float]:
    """The loss of each step of Adam, as the model learns, and the loss if it has parameters."""
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=task.rate)
    for batch in batches(task):
        optimizer.zero_grad()
        value = task.step_loss(loss, model, batch)
        value.backward()
        watch(loss, model, batch, value)
        optimizer.step()
        yield value.item()


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: to tiny models a second is only something to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def batches(task: Task) -> Iterator[Batch]:
    """The same random rows for every run of a task."""
    source = data.generator()
    for _ in range(task.steps):
        rows = torch.randint(len(task.train[0]), (task.rows,), generator=source)
        yield tuple(tensor[rows] for tensor in task.train)


def measure(task: Task, predictor: nn.Module) -> float:
    """The task's metric on the rows held out."""
    with torch.no_grad():
        return task.metric.measure(predictor, task.held_out)


def metric_difference(theirs: Run, ours: Run) -> float:
    """How far the metrics of two runs end apart, as a share of how far the first one moved it."""
    apart, moved = abs(theirs.after - ours.after), abs(theirs.after - theirs.before)
    if not moved:
        return 0.0 if not apart else math.inf
    return apart / moved
