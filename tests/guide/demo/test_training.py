"""A run of a task depends on its loss alone, and trains that loss's parameters, too."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from onepass.guide import demo
from onepass.guide.demo import steps, tasks, training
from tests.guide.demo.comparison import compared
from tests.guide.demo.scaled import Scaled


def test_a_run_is_reproducible_and_leaves_the_callers_torch_as_it_was():
    task = replace(tasks.prepare("mse_loss"), steps=5)
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = training.train(task, nn.MSELoss())
    assert torch.equal(torch.rand(3), expected)
    assert training.train(task, nn.MSELoss()) == first
    assert torch.get_num_threads() == threads


def test_twins_start_from_the_same_parameters_which_the_callers_seed_does_not_change():
    task = tasks.prepare("linear_cross_entropy")
    torch.manual_seed(0)
    theirs, ours = demo.twins(task)
    torch.manual_seed(1)
    again, _ = demo.twins(task)
    assert list(theirs.state_dict()) == list(ours.state_dict()) == ["linear.weight"]
    assert torch.equal(theirs.linear.weight, ours.linear.weight)
    assert torch.equal(theirs.linear.weight, again.linear.weight)


def test_parameters_of_a_loss_are_trained_in_a_copy():
    task = replace(tasks.prepare("mse_loss"), steps=5)
    loss = Scaled()
    first, second = training.train(task, loss), training.train(task, loss)
    assert first == second
    assert loss.scale == 1
    assert all(copied.scale != 1 for copied in Scaled.copies)
    assert len(Scaled.copies) == 2


def test_a_layer_of_the_loss_may_predict():
    seen = []

    def predictor(loss, model):
        seen.append((loss, model))
        return nn.Sequential(model, loss.get_submodule("linear"))

    task = replace(tasks.prepare("linear_cross_entropy"), steps=2, predictor=predictor)
    theirs, _ = demo.twins(task)
    run = training.train(task, theirs)
    ((loss, model),) = seen
    assert not torch.equal(loss.linear.weight, theirs.linear.weight)
    features, target = task.held_out
    right = loss.linear(model(features)).argmax(-1) == target
    assert run.after == right.float().mean().item()


def test_the_run_reports_its_progress():
    seen = []
    demo.run(["mse_loss"], lambda loss, stage: seen.append((loss, stage)))
    assert seen == [("mse_loss", stage) for stage in demo.STAGES]


class ScaleOff(Scaled):
    """The gradient of its own parameter is one per cent off."""

    def __deepcopy__(self, memo):
        copied = ScaleOff()
        copied.load_state_dict(self.state_dict())
        return copied

    def forward(self, input, target):
        off = self.scale + 0.01 * (self.scale - self.scale.detach())
        return nn.functional.mse_loss(off * input, target)


def test_the_gradient_of_the_losss_own_parameters_counts(monkeypatch):
    right = compared(monkeypatch, Scaled(), Scaled())
    assert right.difference == steps.Difference(0.0, 0.0)
    wrong = compared(monkeypatch, Scaled(), ScaleOff())
    assert wrong.difference.value < steps.TOLERANCE < wrong.difference.gradient


def test_metrics_differ_by_a_share_of_what_training_gains():
    def run(before, after):
        return training.Run([], before, after)

    assert training.metric_difference(run(0.5, 0.9), run(0.5, 0.8)) == pytest.approx(0.25)
    assert training.metric_difference(run(80.0, 60.0), run(80.0, 61.0)) == 0.05
    assert training.metric_difference(run(0.5, 0.5), run(0.5, 0.5)) == 0
    assert training.metric_difference(run(0.5, 0.5), run(0.5, 0.6)) == math.inf
