"""A task for every loss: real data it suits, a tiny model, and what counts on held-out data.

`@task("huber_loss")` on a function that prepares a `Task` is all it takes to demonstrate a loss.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

import onepass.guide.demo.data as data
import onepass.guide.demo.race as race

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

Batch = tuple[Tensor, ...]
StepLoss = Callable[[nn.Module, nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Metric:
    """What the task is judged by, and which way is better: a number in `better` is the ideal."""

    name: str
    measure: Callable[[nn.Module, Batch], float]
    better: Literal["higher", "lower"] | float = "higher"
    format: str = ".1%"

    def beats(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other`."""
        if self.better == "higher":
            return value > other
        if self.better == "lower":
            return value < other
        return abs(value - self.better) < abs(other - self.better)


def supervised(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
    """The usual step: loss(model(features), target)."""
    features, target = batch
    return loss(model(features), target)


@dataclass(frozen=True)
class Task:
    """A loss at work. `rival` is what one would use without it, trained in the same way."""

    model: Callable[[], nn.Module]
    train: Batch
    held_out: Batch
    metric: Metric
    inputs: race.Inputs
    arguments: dict[str, object] = field(default_factory=dict)
    step_loss: StepLoss = supervised
    rival: tuple[str, nn.Module] | None = None
    steps: int = 300
    rows: int = 256  # of a batch
    rate: float = 0.01
    loss: str = ""  # both filled in by `task`
    about: str = ""


TASKS: dict[str, Callable[[], Task]] = {}


def task(loss: str) -> Callable[[Callable[[], Task]], Callable[[], Task]]:
    """Register the task of a loss. The function's docstring is the line that the demo shows."""

    def register(prepare: Callable[[], Task]) -> Callable[[], Task]:
        line = inspect.getdoc(prepare) or ""

        def named() -> Task:
            return replace(prepare(), loss=loss, about=line.removesuffix("."))

        TASKS[loss] = named
        return named

    return register


def prepare(loss: str) -> Task:
    """The task of a loss, its data loaded."""
    if loss not in TASKS:
        raise LookupError(f"{loss} has no task yet: add @task({loss!r}) to guide/demo/tasks.py")
    return TASKS[loss]()


# Models


def linear(columns: int) -> Callable[[], nn.Module]:
    """One number a row, `(rows,)`, from a linear map."""
    return lambda: nn.Sequential(nn.Linear(columns, 1), nn.Flatten(0))


def two_layers(columns: int, hidden: int, outputs: int) -> Callable[[], nn.Module]:
    """A network of one hidden layer, `(rows, outputs)`."""
    return lambda: nn.Sequential(nn.Linear(columns, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


# Regression


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
RADIUS_ERROR, AREA_ERROR = 10, 13  # columns of the breast cancer data, after ten means


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


# Likelihood and divergence


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


# Two classes, several labels


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


def auc(score: Tensor, positive: Tensor) -> float:
    """The share of (positive, negative) pairs in which the positive scores higher."""
    gap = score[positive].unsqueeze(1) - score[~positive]  # (positives, negatives)
    return ((gap > 0).float() + 0.5 * (gap == 0).float()).mean().item()


# Pairs


@task("margin_ranking_loss")
def ranking() -> Task:
    """Diabetes: rank the patients by progression, learning from pairs alone."""
    seen, unseen, known, truth = diabetes()

    def step_loss(loss: nn.Module, model: nn.Module, batch: Batch) -> Tensor:
        first, second, order = batch
        return loss(model(first), model(second), order)

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
        step_loss=step_loss,
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
