"""The race: value and gradient of 8 million elements, torch.nn against onepass."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

SHAPE = (8_192, 1_024)
PAIRS = 3

# Legal inputs of a loss; those that a model would produce require their gradient.
Inputs = Callable[[tuple[int, ...], Generator], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Race:
    """Seconds of each lap, torch.nn and onepass in turns, and the elements of a lap."""

    elements: int
    theirs: list[float]
    ours: list[float]

    @property
    def speedup(self) -> float:
        """How many times faster ours is: the median over pairs of neighbouring laps."""
        return statistics.median(a / b for a, b in zip(self.theirs, self.ours, strict=True))


def race(theirs: nn.Module, ours: nn.Module, inputs: Inputs) -> Race:
    """Time both on the same inputs, A B A B, after one lap each to warm up."""
    tensors = inputs(SHAPE, torch.Generator().manual_seed(0))
    for loss in (theirs, ours):
        lap(loss, tensors)
    laps = [(lap(theirs, tensors), lap(ours, tensors)) for _ in range(PAIRS)]
    return Race(math.prod(SHAPE), [a for a, _ in laps], [b for _, b in laps])


def lap(loss: nn.Module, tensors: tuple[Tensor, ...]) -> float:
    """Seconds for the value and the gradient of every input and parameter that requires one."""
    for tensor in (*tensors, *loss.parameters()):
        tensor.grad = None
    start = time.perf_counter()
    loss(*tensors).backward()
    return time.perf_counter() - start


def regression(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Any input, any target."""
    return trained(normal(shape, source)), normal(shape, source)


def mean_and_variance(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Mean, target, and a positive variance, which a model learns as well."""
    mean, target = regression(shape, source)
    return mean, target, trained(uniform(shape, source) + 0.1)


def counts(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Logarithm of the rate, and counts from 0 to 16."""
    return trained(normal(shape, source)), (17 * uniform(shape, source)).floor()


def distributions(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Rows of log-probabilities and rows of probabilities."""
    return trained(normal(shape, source).log_softmax(-1)), normal(shape, source).softmax(-1)


def probabilities(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Probabilities, and labels 0 and 1."""
    return trained(normal(shape, source).sigmoid()), uniform(shape, source).round()


def logits(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Any input, and labels 0 and 1."""
    return trained(normal(shape, source)), uniform(shape, source).round()


def signs(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Any input, and labels -1 and +1."""
    return trained(normal(shape, source)), 2 * uniform(shape, source).round() - 1


def score_pairs(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Two scores, both learned, and -1 or +1 for which should be higher."""
    first, order = signs(shape, source)
    return first, trained(normal(shape, source)), order


def distances(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Distances of zero and more, and labels -1 and +1."""
    _, label = signs(shape, source)
    return trained(2 * uniform(shape, source)), label


def classes(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Any row of scores, and the index of its class."""
    rows, count = shape
    return trained(normal(shape, source)), torch.randint(count, (rows,), generator=source)


def class_log_probabilities(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Rows of log-probabilities, and the index of the class of each."""
    scores, index = classes(shape, source)
    return trained(scores.detach().log_softmax(-1)), index


def hidden_states(features: int, count: int) -> Inputs:
    """Rows from which a layer makes the scores of `count` classes, and the index of the class."""

    def inputs(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
        hidden, _ = classes((shape[0], features), source)
        return hidden, torch.randint(count, shape[:1], generator=source)

    return inputs


def vector_pairs(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Rows of two vectors, both learned, and -1 or +1 for whether they are alike."""
    first, label = signs(shape, source)
    return first, trained(normal(shape, source)), label[:, 0]


def vector_triplets(shape: tuple[int, ...], source: Generator) -> tuple[Tensor, ...]:
    """Rows of anchor, positive and negative, all learned."""
    anchor, positive, negative = (trained(normal(shape, source)) for _ in range(3))
    return anchor, positive, negative


def normal(shape: tuple[int, ...], source: Generator) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=source)


def uniform(shape: tuple[int, ...], source: Generator) -> Tensor:
    """Numbers from 0 to 1."""
    return torch.rand(shape, generator=source)


def trained(tensor: Tensor) -> Tensor:
    """The tensor, asking for its gradient."""
    return tensor.requires_grad_()
