"""Every loss at work on real data, trained with torch.nn and with onepass, and both timed.

known.py      numbers that every loss must reproduce before anything is trained
data.py       real data that ships inside scikit-learn
task.py       what a task is: model, step, metric
tasks/        a task for every loss
training.py   one run from a fixed seed
race.py       value and gradient of 8 million elements
report.py     the table, and the JSON file
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

import onepass
from onepass.guide.demo import data, race, tasks, training
from onepass.guide.demo.task import Task

__all__ = ["STAGES", "TOLERANCE", "Result", "run"]

STAGES = ("trains with torch.nn", "trains with onepass", "races")
TOLERANCE = 1e-4  # of trajectories: roundings that a few hundred steps may pile up

Progress = Callable[[str, str], None]  # (loss, stage), as the stage begins


@dataclass(frozen=True)
class Result:
    """What came of one task: the run of torch.nn, of onepass, of the rival loss, and the race."""

    task: Task
    theirs: training.Run
    ours: training.Run
    rival: training.Run | None
    race: race.Race

    @property
    def difference(self) -> float:
        """The largest difference of the two trajectories."""
        return training.difference(self.theirs, self.ours)

    @property
    def agrees(self) -> bool:
        """Whether the trajectories are the same up to rounding; false for nan."""
        return self.difference <= TOLERANCE


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
    with onepass.engine("cpu"):  # by our kernels, however small the batches are
        our_run = training.train(task, ours)
    progress(name, STAGES[2])
    return Result(task, their_run, our_run, rival, race.race(theirs, ours, task.inputs))


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
