"""Models and measures that several tasks share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from onepass.guide.demo.task import Batch


def linear(columns: int) -> Callable[[], nn.Module]:
    """One number a row, `(rows,)`, from a linear map."""
    return lambda: nn.Sequential(nn.Linear(columns, 1), nn.Flatten(0))


def two_layers(columns: int, hidden: int, outputs: int) -> Callable[[], nn.Module]:
    """A network of one hidden layer, `(rows, outputs)`."""
    return lambda: nn.Sequential(nn.Linear(columns, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def accuracy(model: nn.Module, batch: Batch) -> float:
    """The share of rows whose class scores highest."""
    features, target = batch
    return (model(features).argmax(-1) == target).float().mean().item()


def auc(score: Tensor, positive: Tensor) -> float:
    """The share of (positive, negative) pairs in which the positive scores higher."""
    gap = score[positive].unsqueeze(1) - score[~positive]  # (positives, negatives)
    return ((gap > 0).float() + 0.5 * (gap == 0).float()).mean().item()
