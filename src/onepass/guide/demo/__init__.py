"""Every loss at work on real data, trained with torch.nn and with onepass, and both timed.

known.py      numbers that every loss must reproduce before anything is trained
data.py       real data that ships inside scikit-learn
task.py       what a task is: model, step, metric
tasks/        a task for every loss
training.py   one run from a fixed seed, and whether two end alike
steps.py      value and gradient of both losses at every step of a run
race.py       value and gradient of 8 million elements
report.py     the table, and the JSON file
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

import onepass
from onepass.guide.demo import data, race, steps, tasks, training
from onepass.guide.demo.task import Task

__all__ = ["STAGES", "Result", "run"]

STAGES = ("trains with torch.nn", "trains with onepass", "races")

Progress = Callable[[str, str], None]  # (loss, stage), as the stage begins


@dataclass(frozen=True)
class Result:
    """What came of one task: runs with torch.nn, onepass and the rival loss, and the race.

    `difference` is that of value and gradient on the same parameters, at any step of our run.
    """

    task: Task
    theirs: training.Run
    ours: training.Run
    rival: training.Run | None
    difference: steps.Difference
    race: race.Race

    @property
    def metric_difference(self) -> float:
        """How far the metrics of the two runs are apart, as a share of what training gained."""
        return training.metric_difference(self.theirs, self.ours)

    @property
    def learns_the_same(self) -> bool:
        """Whether both runs end with the same metric, or nearly so; false for nan."""
        return self.metric_difference <= training.TOLERANCE

    @property
    def agrees(self) -> bool:
        """Whether every step is that of torch.nn, and what comes of them; false for nan."""
        return self.difference.agrees and self.learns_the_same


def run(losses: Iterable[str] | None = None, progress: Progress = lambda *_: None) -> list[Result]:
    """The demo of every loss of the catalogue, or of some of them."""
    names = onepass.catalogue() if losses is None else losses
    return [work(name, progress) for name in names]


def work(name: str, progress: Progress) -> Result:
    """Train one loss on its task, with torch.nn and with onepass, then race the two."""
    progress(name, STAGES[0])
    task = tasks.prepare(name)
    theirs, ours = twins(task)
    their_run = training.train(task, theirs)
    rival = training.train(task, task.rival[1]) if task.rival else None
    progress(name, STAGES[1])
    comparison = steps.Comparison(task, theirs)
    with onepass.engine("cpu"):  # by our kernels, however small the batches are
        our_run = training.train(task, ours, comparison.watch)
    progress(name, STAGES[2])
    raced = race.race(theirs, ours, task.inputs)
    return Result(task, their_run, our_run, rival, comparison.worst(), raced)


def twins(task: Task) -> tuple[nn.Module, nn.Module]:
    """The loss of torch.nn and of onepass: the task's arguments, and the same parameters."""
    ours = onepass.catalogue()[task.loss].module
    if ours is None:
        raise LookupError(f"{task.loss} has no class in onepass.nn, so it has no twin in torch.nn")
    theirs = getattr(torch.nn, ours.__name__)
    with data.seeded():
        pair = theirs(**task.arguments), ours(**task.arguments)
    pair[1].load_state_dict(pair[0].state_dict())
    return pair
