"""Pairs and triplets: which is more, which are alike.

The embeddings are linear and their rates low, so that roundings of a run grow little. They may
turn the gradient of a pair on or off where a distance is computed by the loss and is that of the
margin: none comes nearer to it than 3.7e-6, which is some forty roundings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, hinge_embedding_loss, mse_loss, normalize

from onepass.guide.demo import data, race
from onepass.guide.demo.task import Batch, Metric, Task, task
from onepass.guide.demo.tasks.parts import auc, linear
from onepass.guide.demo.tasks.regression import diabetes


@task("margin_ranking_loss")
def ranking() -> Task:
    """Diabetes: rank the patients by progression, learning from pairs alone."""
    seen, unseen, known, truth = diabetes()

    def concordance(model: nn.Module, batch: Batch) -> float:
        first, second, order = batch
        return ((model(first) - model(second)) * order > 0).float().mean().item()

    return Task(
        model=linear(10),
        train=comparisons(seen, known),
        held_out=comparisons(unseen, truth),
        metric=Metric("pairs ordered right", concordance),
        inputs=race.score_pairs,
        arguments={"margin": 0.5},
        step_loss=of_pairs,
    )


def comparisons(features: Tensor, target: Tensor) -> Batch:
    """Pairs of rows, and +1 where the first has the larger target, -1 where the second has."""
    first, second = data.pairs(len(target), 5_000)
    order = (target[first] - target[second]).sign()
    decided = order != 0
    return features[first][decided], features[second][decided], order[decided]


@task("hinge_embedding_loss")
def same_cultivar() -> Task:
    """Wine: do two bottles come from the same cultivar?"""
    features, cultivar = data.load("wine")
    (seen, unseen), (known, truth) = data.split(data.standard(features)), data.split(cultivar)

    def distance(model: nn.Module, batch: Batch) -> Tensor:
        first, second, _ = batch
        return torch.linalg.vector_norm(model(first) - model(second), dim=-1)

    def step_loss(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
        return loss(distance(model, batch), batch[-1])

    return Task(
        model=lambda: nn.Linear(13, 2),
        train=alike(seen, known),
        held_out=alike(unseen, truth),
        metric=Metric(
            "AUC of closeness", lambda m, b: auc(-distance(m, b), b[-1] == 1), format=".4f"
        ),
        inputs=race.distances,
        step_loss=step_loss,
    )


def alike(features: Tensor, label: Tensor) -> Batch:
    """Pairs of rows, and +1 where they share the label, -1 where they do not."""
    first, second = data.pairs(len(label), 2_000)
    same = (label[first] == label[second]).float()
    return features[first], features[second], 2 * same - 1


@task("cosine_embedding_loss")
def under_changing_light() -> Task:
    """Digits under changing light: do two images show the same digit?"""
    seen, unseen, known, truth = lit_digits()

    def closeness(model: nn.Module, batch: Batch) -> float:
        first, second, label = batch
        return auc(cosine_similarity(model(first), model(second)), label == 1)

    return Task(
        model=lambda: nn.Linear(64, 8),
        train=alike(seen, known),
        held_out=alike(unseen, truth),
        metric=Metric("AUC of the cosine", closeness, format=".4f"),
        inputs=race.vector_pairs,
        arguments={"margin": 0.3},
        step_loss=of_pairs,
        rival=("with mse_loss of the cosine", CosineMSE()),
        rate=0.003,
    )


@task("triplet_margin_loss")
def neighbours() -> Task:
    """Digits: place them in eight dimensions, the same digits near each other."""
    images, digit = data.digits()
    (seen, unseen), (known, truth) = data.split(images / 16), data.split(digit)
    return Task(
        model=lambda: nn.Linear(64, 8),
        train=triplets(seen, known),
        held_out=(unseen, truth),
        metric=Metric("nearest neighbours alike", lambda m, b: nearest_alike(m(b[0]), b[1])),
        inputs=race.vector_triplets,
        arguments={"swap": True},
        step_loss=of_three,
        rival=("with hinge_embedding_loss", TwoHinges()),
        rate=0.003,
    )


@task("triplet_margin_with_distance_loss")
def neighbours_by_angle() -> Task:
    """Digits under changing light: the nearest other by angle shows the same digit."""
    seen, unseen, known, truth = lit_digits()

    def alike_by_angle(model: nn.Module, batch: Batch) -> float:
        images, digit = batch
        return nearest_alike(normalize(model(images), dim=-1), digit)

    return Task(
        model=lambda: nn.Linear(64, 16),
        train=triplets(seen, known),
        held_out=(unseen, truth),
        metric=Metric("nearest neighbours alike", alike_by_angle),
        inputs=race.vector_triplets,
        arguments={"distance_function": cosine_distance, "margin": 0.5},
        step_loss=of_three,
        rival=("with triplet_margin_loss", nn.TripletMarginLoss()),
        rate=0.001,
    )


class CosineMSE(nn.Module):
    """Squared error of the cosine, whose target is the label -1 or +1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return mse_loss(cosine_similarity(input1, input2), target)


class TwoHinges(nn.Module):
    """The pairs of a triplet one by one: the positive near, the negative a margin away."""

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        near, far = (torch.linalg.vector_norm(anchor - x, dim=-1) for x in (positive, negative))
        one = torch.ones_like(near)
        return hinge_embedding_loss(near, one) + hinge_embedding_loss(far, -one)


def lit_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images in other lights, 1/12 to 3 times as bright, to train on and held out; their digits."""
    images, digit = data.digits()
    light = torch.empty(len(images), 1).uniform_(-2.5, 1, generator=data.generator()).exp()
    return *data.split(images / 16 * light), *data.split(digit)


def triplets(features: Tensor, label: Tensor) -> Batch:
    """Rows, others with the same label, and others with another."""
    return tuple(features[rows] for rows in data.triplets(label, 10_000))


def of_pairs(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
    """The loss of both sides of pairs after the model, and what is known of the pairs."""
    first, second, target = batch
    return loss(model(first), model(second), target)


def of_three(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
    """The loss of anchor, positive and negative after the model."""
    return loss(*map(model, batch))


def nearest_alike(points: Tensor, label: Tensor) -> float:
    """The share of points whose nearest other point has the same label."""
    distance = torch.cdist(points, points).fill_diagonal_(torch.inf)
    return (label[distance.argmin(1)] == label).float().mean().item()


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """One minus the cosine of the angle between two vectors."""
    return 1 - cosine_similarity(first, second)
