"""One class of many."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, one_hot, pad

from onepass.guide.demo import data, race
from onepass.guide.demo.task import Batch, Metric, Task, task
from onepass.guide.demo.tasks.parts import accuracy

FEW = 100  # rows to learn from
IMAGES, FEATURES = 1_024, 64


@task("cross_entropy")
def upper_half() -> Task:
    """Digits: which of the ten, from the upper half alone."""
    seen, unseen, known, truth = digits()
    return Task(
        model=lambda: nn.Linear(32, 10),
        train=(seen[:, :32], known),
        held_out=(unseen[:, :32], truth),
        metric=Metric("accuracy", accuracy),
        inputs=race.classes,
        rival=("with mse_loss of one-hot targets", OneHotMSE()),
    )


@task("nll_loss")
def sum_of_two() -> Task:
    """Digits: learn to read them from nothing but the sums of two."""
    seen, unseen, known, truth = digits()
    first, second = data.pairs(len(known), 5_000)

    # Manhaeve et al. (2018), arXiv:1805.10872
    def step_loss(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
        *images, total = batch
        return loss(sum_log_probability(*(model(x).log_softmax(-1) for x in images)), total)

    return Task(
        model=lambda: nn.Linear(64, 10),
        train=(seen[first], seen[second], known[first] + known[second]),
        held_out=(unseen, truth),
        metric=Metric("single digits right", accuracy),
        inputs=race.class_log_probabilities,
        step_loss=step_loss,
        rival=("with mse_loss of the mean", MeanMSE()),
    )


@task("multi_margin_loss")
def few_labels() -> Task:
    """Digits: which of the ten, after seeing a hundred; a linear support vector machine."""
    seen, unseen, known, truth = digits()
    return Task(
        model=lambda: nn.Linear(64, 10),
        train=(seen[:FEW], known[:FEW]),
        held_out=(unseen, truth),
        metric=Metric("accuracy", accuracy),
        inputs=race.classes,
        arguments={"p": 2},
        rival=("with mse_loss of one-hot targets", OneHotMSE()),
    )


@task("linear_cross_entropy")
def which_image() -> Task:
    """Digits: which of 1024 images this is, a third of whose pixels are lost."""
    seen, _, _, _ = digits()
    return Task(
        model=lambda: nn.Linear(64, FEATURES),
        train=damaged(seen[:IMAGES], 50_000, data.SEED),
        held_out=damaged(seen[:IMAGES], 4_000, data.SEED + 1),
        metric=Metric("images recognised", accuracy),
        inputs=race.hidden_states(FEATURES, IMAGES),  # as many logits as others have elements
        arguments={"in_features": FEATURES, "num_classes": IMAGES},
        predictor=lambda loss, model: nn.Sequential(model, loss.get_submodule("linear")),
        steps=400,
    )


class OneHotMSE(nn.Module):
    """Squared error of scores, whose target is 1 for the class and 0 for the others."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, one_hot(target, input.shape[-1]).to(input.dtype))


class MeanMSE(nn.Module):
    """Squared error of the mean class of a row of log-probabilities."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        mean = input.exp() @ torch.arange(input.shape[-1], dtype=input.dtype)
        return mse_loss(mean, target.to(input.dtype))


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images to train on and held out, then the digits of both as class indices."""
    images, digit = data.digits()
    return *data.split(images / 16), *data.split(digit.long())


def sum_log_probability(first: Tensor, second: Tensor) -> Tensor:
    """Log-probabilities `(rows, 19)` of the sum of two independent digits."""
    joint = first.unsqueeze(-1) + second.unsqueeze(-2)  # (rows, 10, 10)
    # Each line is moved one to the right of the line above it: columns are sums then.
    skewed = pad(joint, (0, 10), value=-torch.inf).flatten(1)[:, :-10].unflatten(1, (10, 19))
    return skewed.logsumexp(1)


def damaged(images: Tensor, count: int, seed: int) -> Batch:
    """So many random images with a third of their pixels black, and which image each is."""
    source = data.generator(seed)
    which = torch.randint(len(images), (count,), generator=source)
    kept = torch.rand(count, images.shape[1], generator=source) > 1 / 3
    return images[which] * kept, which
