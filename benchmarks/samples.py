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
    """How to draw each argument, and which of them want a gradient.

    A variant of a loss names its function, and the few sizes that it is about.
    """

    draws: tuple[Draw, ...]
    gradients: tuple[bool, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    function: str = ""
    sizes: tuple[int, ...] = ()
    reads: bool = True  # whether the loss looks at every element of its first argument

    def sample(self, size: int, dtype: torch.dtype, seed: int = 0) -> Sample:
        """Draw in float32, so that every dtype gets the same numbers, rounded."""
        torch.manual_seed(seed)
        drawn = [draw(size) for draw in self.draws]
        tensors = [t.to(dtype) if t.is_floating_point() else t for t in drawn]
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


def rows(size: int, width: int) -> tuple[int, int]:
    """A shape of about `size` elements, as many rows of this width as there are."""
    return max(1, size // width), min(width, size)


def scores(size: int, classes: int) -> Tensor:
    """A row of logits each."""
    return torch.randn(rows(size, classes))


def labels(size: int, classes: int) -> Tensor:
    """The class of each row."""
    count, classes = rows(size, classes)
    return torch.randint(classes, (count,))


def log_softmaxed(size: int, classes: int) -> Tensor:
    """Log-probabilities, a row each."""
    return scores(size, classes).log_softmax(1)


def softmaxed(size: int, classes: int) -> Tensor:
    """Probabilities, a row each."""
    return scores(size, classes).softmax(1)


def row_signs(size: int, width: int) -> Tensor:
    """A target -1 or 1 for each row."""
    return signs(rows(size, width)[0])


def pixels(size: int) -> Tensor:
    """Logits of 21 classes for maps of 256 x 256 pixels."""
    return torch.randn(max(1, size // (21 << 16)), 21, 256, 256)


def pixel_labels(size: int) -> Tensor:
    """The class of each pixel."""
    return torch.randint(21, (max(1, size // (21 << 16)), 256, 256))


def classified(classes: int, *sizes: int) -> Recipe:
    """Cross entropy of that many classes, at these sizes."""
    draws = partial(scores, classes=classes), partial(labels, classes=classes)
    return Recipe(draws, _PAIR, function="cross_entropy", sizes=sizes)


_probability = partial(uniform, low=0.01, high=0.99)  # float16 rounds 1 - 1e-4 up to 1
_variance = partial(uniform, low=0.1, high=2.0)
_distance = partial(uniform, low=0.0, high=2.0)
_logits = partial(in_rows, normal)
_labels = partial(in_rows, bits)
_PAIR = (True, False)
_CLASSES = 1000
_scores, _row_labels = partial(scores, classes=_CLASSES), partial(labels, classes=_CLASSES)
_WIDTH = 128
_embedding, _similar = partial(scores, classes=_WIDTH), partial(row_signs, width=_WIDTH)
_HEADLINE = 8_388_608

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
    "cross_entropy": Recipe((_scores, _row_labels), _PAIR),
    "nll_loss": Recipe(
        (partial(log_softmaxed, classes=_CLASSES), _row_labels), _PAIR, reads=False
    ),
    "multi_margin_loss": Recipe((_scores, _row_labels), _PAIR),
    "cosine_embedding_loss": Recipe((_embedding, _embedding, _similar), (True, True, False)),
    "triplet_margin_loss": Recipe((_embedding,) * 3, (True,) * 3),
    "triplet_margin_with_distance_loss": Recipe((_embedding,) * 3, (True,) * 3),
    "cross_entropy, 5 classes": classified(5, 50),
    "cross_entropy, 10 classes": classified(10, 320, _HEADLINE),
    "cross_entropy, 32,000 classes": classified(32_000, _HEADLINE),
    "cross_entropy, 128,256 classes": classified(128_256, _HEADLINE),
    "cross_entropy, maps of 21 classes": Recipe(
        (pixels, pixel_labels), _PAIR, function="cross_entropy", sizes=(8 * 21 << 16,)
    ),
    "cross_entropy, probabilities": Recipe(
        (_scores, partial(softmaxed, classes=_CLASSES)), _PAIR,
        function="cross_entropy", sizes=(_HEADLINE,),
    ),
}  # fmt: skip
