"""Two classes, several labels."""

from __future__ import annotations

import torch
from torch import nn

from onepass.guide.demo import data, race
from onepass.guide.demo.task import Batch, Metric, Task, task
from onepass.guide.demo.tasks.parts import auc, linear, two_layers


@task("binary_cross_entropy")
def malignant() -> Task:
    """Breast cancer: malignant or benign, from the probability of a sigmoid."""
    features, benign = data.load("breast_cancer")
    (seen, unseen), (known, truth) = data.split(data.standard(features)), data.split(1 - benign)
    return Task(
        model=lambda: nn.Sequential(nn.Linear(30, 1), nn.Sigmoid(), nn.Flatten(0)),
        train=(seen, known),
        held_out=(unseen, truth),
        metric=Metric("AUC", lambda m, b: auc(m(b[0]), b[1] == 1), format=".4f"),
        inputs=race.probabilities,
    )


@task("binary_cross_entropy_with_logits")
def rare_digit() -> Task:
    """Digits: is it an 8? One in ten is, so positives weigh nine times as much."""
    images, digit = data.digits()
    (seen, unseen), (known, truth) = data.split(images / 16), data.split((digit == 8).float())

    def balanced_accuracy(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        right = ((model(features) > 0) == (target == 1)).float()
        return (right[target == 1].mean() + right[target == 0].mean()).item() / 2

    return Task(
        model=linear(64),
        train=(seen, known),
        held_out=(unseen, truth),
        metric=Metric("balanced accuracy", balanced_accuracy),
        inputs=race.logits,
        arguments={"pos_weight": torch.tensor(9.0)},
        rival=("without pos_weight", nn.BCEWithLogitsLoss()),
    )


@task("soft_margin_loss")
def odd_or_even() -> Task:
    """Digits: odd (-1) or even (+1)."""
    images, digit = data.digits()
    (seen, unseen), (known, truth) = data.split(images / 16), data.split(1 - 2 * (digit % 2))

    def accuracy(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        return (model(features) * target > 0).float().mean().item()

    return Task(
        model=lambda: nn.Sequential(two_layers(64, 32, 1)(), nn.Flatten(0)),
        train=(seen, known),
        held_out=(unseen, truth),
        metric=Metric("accuracy", accuracy),
        inputs=race.signs,
    )


@task("multilabel_soft_margin_loss")
def properties() -> Task:
    """Digits: which of even, prime, five or more, with a hole apply."""
    images, digit = data.digits()
    sets = [{0, 2, 4, 6, 8}, {2, 3, 5, 7}, {5, 6, 7, 8, 9}, {0, 6, 8, 9}]
    labels = torch.tensor([[d in s for s in sets] for d in digit.int().tolist()]).float()
    (seen, unseen), (known, truth) = data.split(images / 16), data.split(labels)

    def all_right(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        return ((model(features) > 0) == (target == 1)).all(-1).float().mean().item()

    return Task(
        model=two_layers(64, 32, 4),
        train=(seen, known),
        held_out=(unseen, truth),
        metric=Metric("all four labels right", all_right),
        inputs=race.logits,
    )
