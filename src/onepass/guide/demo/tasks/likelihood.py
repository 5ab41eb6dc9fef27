"""Distributions: a spread, counts, the opinion of a teacher."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from onepass.guide.demo import data, race
from onepass.guide.demo.task import Batch, Metric, Task, task
from onepass.guide.demo.tasks.parts import two_layers
from onepass.guide.demo.tasks.regression import nuclei

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

RADIUS_ERROR = 10  # a column of the breast cancer data


@task("gaussian_nll_loss")
def mean_and_variance() -> Task:
    """Breast cancer: the spread of the nuclei's radii, and how sure to be of each."""
    seen, unseen, known, truth = nuclei(RADIUS_ERROR)

    def step_loss(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
        features, target = batch
        mean, log_var = model(features).unbind(-1)
        return loss(mean, target, log_var.exp())

    def calibration(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        mean, log_var = model(features).unbind(-1)
        return ((target - mean).abs() < (0.5 * log_var).exp()).float().mean().item()

    return Task(
        model=lambda: nn.Linear(10, 2),
        train=(seen, (known - known.mean()) / known.std()),
        held_out=(unseen, (truth - known.mean()) / known.std()),
        metric=Metric("share within one sigma", calibration, better=math.erf(0.5**0.5)),
        inputs=race.mean_and_variance,
        step_loss=step_loss,
        steps=800,
    )


@task("poisson_nll_loss")
def lower_half() -> Task:
    """Digits: the pixel counts of the lower half from the upper half."""
    images, _ = data.digits()
    seen, unseen = data.split(images)
    constant = seen[:, 32:].mean(0)

    def explained(model: nn.Module, batch: Batch) -> float:
        upper, counts = batch
        model_deviance = deviance(model(upper).exp(), counts)
        return (1 - model_deviance / deviance(constant.clamp(min=1e-3), counts)).item()

    return Task(
        model=two_layers(32, 96, 32),
        train=(seen[:, :32] / 16, seen[:, 32:]),
        held_out=(unseen[:, :32] / 16, unseen[:, 32:]),
        metric=Metric("Poisson deviance explained", explained),
        inputs=race.counts,
        steps=500,
    )


def deviance(rate: Tensor, counts: Tensor) -> Tensor:
    """Twice the log-likelihood that a perfect model would gain over these rates, per count."""
    return 2 * (torch.xlogy(counts, counts / rate) - (counts - rate)).mean()


@task("kl_div")
def distillation() -> Task:
    """Digits: a small student learns the probabilities of a random forest."""
    images, digit = data.digits()
    (seen, unseen), (known, _) = data.split(images / 16), data.split(digit)
    forest = teacher(seen, known)
    # Of a row it trained on the forest is too sure: there only trees that never saw it vote.
    advice = data.floats(forest.oob_decision_function_)
    verdict = data.floats(forest.predict_proba(unseen.numpy()))

    def step_loss(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
        features, target = batch
        return loss(model(features).log_softmax(-1), target)

    def agreement(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        return (model(features).argmax(-1) == target.argmax(-1)).float().mean().item()

    return Task(
        model=two_layers(64, 32, 10),
        train=(seen, advice),
        held_out=(unseen, verdict),
        metric=Metric("top-1 agreement with the teacher", agreement),
        inputs=race.distributions,
        arguments={"reduction": "batchmean"},
        step_loss=step_loss,
    )


def teacher(features: Tensor, target: Tensor) -> RandomForestClassifier:
    """A forest of scikit-learn that knows which trees never saw a row."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(100, oob_score=True, random_state=data.SEED)
    return forest.fit(features.numpy(), target.numpy())
