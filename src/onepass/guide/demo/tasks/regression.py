"""Continuous outputs: spreads, progressions, boxes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onepass.guide.demo import data, race
from onepass.guide.demo.task import Batch, Metric, Task, task
from onepass.guide.demo.tasks.parts import linear, two_layers


@task("l1_loss")
def spread_of_areas() -> Task:
    """Breast cancer: the spread of the nuclei's areas; natural outliers, up to 22 medians."""
    seen, unseen, known, truth = nuclei(AREA_ERROR)
    unit = known.median()
    return Task(
        model=linear(10),
        train=(seen, known / unit),
        held_out=(unseen, truth / unit),
        metric=median_absolute_error(unit.item()),
        inputs=race.regression,
        rival=("with mse_loss", nn.MSELoss()),
    )


@task("mse_loss")
def progression() -> Task:
    """Diabetes: progression after one year from ten measurements."""
    seen, unseen, known, truth = diabetes()

    def explained(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        return (1 - (model(features) - target).square().mean() / target.var(correction=0)).item()

    return Task(
        model=linear(10),
        train=(seen, known),
        held_out=(unseen, truth),
        metric=Metric("variance explained", explained),
        inputs=race.regression,
    )


@task("huber_loss")
def corrupted_progression() -> Task:
    """Diabetes: progression, 8% of the targets corrupted."""
    seen, unseen, known, truth = diabetes()
    draw = torch.rand(known.shape, generator=data.generator())
    corrupted = torch.where(draw < 0.08, known + 10, known)  # ten standard deviations off
    return Task(
        model=linear(10),
        train=(seen, corrupted),
        held_out=(unseen, truth),
        metric=median_absolute_error(PROGRESSION_SPREAD),
        inputs=race.regression,
        arguments={"delta": 0.5},
        rival=("with mse_loss", nn.MSELoss()),
    )


@task("smooth_l1_loss")
def boxes() -> Task:
    """Digits somewhere on a canvas: find the box around each, 10% of the boxes wrong."""
    images, _ = data.digits()
    canvas, box = scatter(images)
    (seen, unseen), (known, truth) = data.split(canvas), data.split(box)
    wrong = torch.rand(len(known), 1, generator=data.generator()) < 0.1
    return Task(
        model=two_layers(256, 96, 4),
        train=(seen, torch.where(wrong, known.flip(0), known)),
        held_out=(unseen, truth),
        metric=Metric("overlap of the boxes (IoU)", lambda m, b: overlap(m(b[0]), b[1])),
        inputs=race.regression,
        arguments={"beta": 0.05},
        rival=("with mse_loss", nn.MSELoss()),
        steps=500,
        rate=0.003,
    )


PROGRESSION_MEAN, PROGRESSION_SPREAD = 152.0, 77.0
AREA_ERROR = 13  # a column of the breast cancer data


def diabetes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Measurements to train on and held out, then the progression of both, standardised."""
    features, target = data.load("diabetes")
    target = (target - PROGRESSION_MEAN) / PROGRESSION_SPREAD
    return *data.split(data.standard(features)), *data.split(target)


def nuclei(column: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean shape of a tumour's nuclei to train on and held out, then another column of both."""
    columns, _ = data.load("breast_cancer")
    return *data.split(data.standard(columns[:, :10])), *data.split(columns[:, column])


def median_absolute_error(unit: float) -> Metric:
    """The error that half of the held-out rows stay below, in the data's own unit."""

    def measure(model: nn.Module, batch: Batch) -> float:
        features, target = batch
        return (model(features) - target).abs().median().item() * unit

    return Metric("median absolute error", measure, better="lower", format=".1f")


def scatter(images: Tensor) -> tuple[Tensor, Tensor]:
    """Each 8 x 8 digit somewhere on an empty 16 x 16 canvas, and the box around its ink.

    Boxes `(rows, 4)` are left, top, right, bottom as shares of the canvas.
    """
    corners = torch.randint(0, 9, (len(images), 2), generator=data.generator()).tolist()
    canvas = torch.zeros(len(images), 16, 16)
    for page, image, (top, left) in zip(canvas, images, corners, strict=True):
        page[top : top + 8, left : left + 8] = image.view(8, 8) / 16
    return canvas.flatten(1), torch.stack([bounds(page) for page in canvas])


def bounds(page: Tensor) -> Tensor:
    """The smallest box that holds all the ink."""
    rows, columns = page.nonzero().T
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return torch.stack(edges) / len(page)


def overlap(box: Tensor, target: Tensor) -> float:
    """Mean share of intersection in union."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(-1)

    (low, high), (target_low, target_high) = box.chunk(2, -1), target.chunk(2, -1)
    shared = area(torch.maximum(low, target_low), torch.minimum(high, target_high))
    return (shared / (area(low, high) + area(target_low, target_high) - shared)).mean().item()
