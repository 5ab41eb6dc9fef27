"""The race: its inputs, its laps, its speedup."""

import inspect

import pytest
import torch
from torch import nn

import onepass
from onepass.guide import demo
from onepass.guide.demo import data, race, tasks
from tests.guide.demo.comparison import SMALL
from tests.guide.demo.scaled import Scaled

LOSSES = list(onepass.catalogue())


@pytest.mark.parametrize("name", LOSSES)
def test_race_inputs_are_legal_and_only_what_a_model_makes_is_trained(name):
    task = tasks.prepare(name)
    theirs, ours = demo.twins(task)
    tensors = task.inputs(SMALL, data.generator())
    assert ours(*tensors).isfinite()
    names = inspect.signature(theirs.forward).parameters
    of_a_model = "input log_input input1 input2 var anchor positive negative"
    for tensor, argument in zip(tensors, names, strict=True):
        assert tensor.requires_grad == (argument in of_a_model.split()), argument


def test_laps_alternate():
    order = []

    class Logged(nn.MSELoss):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, input, target):
            order.append(self.name)
            return super().forward(input, target)

    outcome = race.race(Logged("A"), Logged("B"), race.regression)
    assert "".join(order) == "ABABAB"  # the first two warm up
    assert len(outcome.theirs) == len(outcome.ours) == race.PAIRS
    assert outcome.elements == 200


def test_every_lap_makes_its_gradients_anew():
    loss = Scaled()
    tensors = race.regression(SMALL, data.generator())
    race.lap(loss, tensors)
    first = tensors[0].grad, loss.scale.grad
    race.lap(loss, tensors)
    assert torch.equal(tensors[0].grad, first[0])
    assert torch.equal(loss.scale.grad, first[1])


def test_speedup_is_the_median_ratio():
    assert race.Race(1, [2.0, 4.0, 900.0], [1.0, 1.0, 1.0]).speedup == 4
