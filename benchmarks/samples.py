"""Legal inputs for every loss; how many of them are read and written follows from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import Tensor

Draw = Callable[[int], Tensor]


@dataclass(frozen=True)
class Sample:
    """The arguments of one call: tensors in their order, then keywords."""

    tensors: tuple[Tensor, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors that want a gradient."""
        return [tensor for tensor in self.tensors if tensor.requires_grad]


@dataclass(frozen=True)
class Recipe:
    """How to draw each argument, and how many of the first ones want a gradient."""

    draws: tuple[Draw, ...]
    gradients: tuple[bool, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def sample(self, size: int, dtype: torch.dtype, seed: int = 0) -> Sample:
        """Draw in float32, so that every dtype gets the same numbers, rounded."""
        torch.manual_seed(seed)
        tensors = [draw(size).to(dtype) for draw in self.draws]
        for tensor, gradient in zip(tensors, self.gradients, strict=True):
            tensor.requires_grad_(gradient)
        return Sample(tuple(tensors), self.keywords)


def normal(size: int) -> Tensor:
    """Scores, logits, regression inputs and targets."""
    return torch.randn(size)


def uniform(size: int, low: float, high: float) -> Tensor:
    """Probabilities, variances, distances."""
    return torch.rand(size).mul_(high - low).add_(low)


def bits(size: int) -> Tensor:
    """Targets 0 and 1."""
    return torch.randint(2, (size,)).float()


def signs(size: int) -> Tensor:
    """Targets -1 and 1."""
    return bits(size).mul_(2).sub_(1)


def counts(size: int) -> Tensor:
    """Events: 0, 1, 2, ..."""
    return torch.poisson(torch.full((size,), 3.0))


def in_rows(draw: Draw, size: int) -> Tensor:
    """Rows of at most 64 classes: as many as divide the size."""
    return draw(size).view(-1, gcd(size, 64))


def log_probabilities(size: int) -> Tensor:
    """Each row sums to 1 after exp."""
    return in_rows(normal, size).log_softmax(dim=1)


def probabilities(size: int) -> Tensor:
    """Each row sums to 1."""
    return in_rows(normal, size).softmax(dim=1)


_probability = partial(uniform, low=0.01, high=0.99)  # float16 rounds 1 - 1e-4 up to 1
_variance = partial(uniform, low=0.1, high=2.0)
_distance = partial(uniform, low=0.0, high=2.0)
_logits = partial(in_rows, normal)
_labels = partial(in_rows, bits)
_PAIR = (True, False)

RECIPES: dict[str, Recipe] = {
    "l1_loss": Recipe((normal, normal), _PAIR),
    "mse_loss": Recipe((normal, normal), _PAIR),
    "huber_loss": Recipe((normal, normal), _PAIR),
    "smooth_l1_loss": Recipe((normal, normal), _PAIR),
    "gaussian_nll_loss": Recipe((normal, normal, _variance), (True, False, True)),
    "poisson_nll_loss": Recipe((normal, counts), _PAIR),
    "kl_div": Recipe((log_probabilities, probabilities), _PAIR, {"reduction": "batchmean"}),
    "binary_cross_entropy": Recipe((_probability, bits), _PAIR),
    "binary_cross_entropy_with_logits": Recipe((normal, bits), _PAIR),
    "multilabel_soft_margin_loss": Recipe((_logits, _labels), _PAIR),
    "soft_margin_loss": Recipe((normal, signs), _PAIR),
    "margin_ranking_loss": Recipe((normal, normal, signs), (True, True, False), {"margin": 0.5}),
    "hinge_embedding_loss": Recipe((_distance, signs), _PAIR),
}
