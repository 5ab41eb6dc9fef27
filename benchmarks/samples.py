"""Legal inputs for every loss; how many of them are read and written follows from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor

Draw = Callable[[int], Tensor]

HEADLINE = 8_388_608  # elements: the size that most tables are about
CLASSES, LABELS, WIDTH = 1000, 64, 128  # of a row, where a loss says nothing else


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


@dataclass(frozen=True)
class Layer:
    """The shape of a linear_cross_entropy; its size is that of its logits."""

    rows: int
    features: int
    classes: int

    @property
    def size(self) -> int:
        return self.rows * self.classes


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


def rows(size: int, width: int) -> tuple[int, int]:
    """A shape of about `size` elements, as many rows of this width as there are."""
    return max(1, size // width), min(width, size)


def scores(size: int, width: int) -> Tensor:
    """Logits or an embedding, a row each."""
    return torch.randn(rows(size, width))


def labels(size: int, classes: int) -> Tensor:
    """The class of each row."""
    count, classes = rows(size, classes)
    return torch.randint(classes, (count,))


def bits_in_rows(size: int, width: int) -> Tensor:
    """Targets 0 and 1, a row each."""
    return torch.randint(2, rows(size, width)).float()


def log_probabilities(size: int, classes: int) -> Tensor:
    """Each row sums to 1 after exp."""
    return scores(size, classes).log_softmax(1)


def probabilities(size: int, classes: int) -> Tensor:
    """Each row sums to 1."""
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


def hidden(size: int, layer: Layer) -> Tensor:
    """As many rows as give `size` logits."""
    return torch.randn(rows(size, layer.classes)[0], layer.features)


def layer_weight(_: int, layer: Layer) -> Tensor:
    """For logits of variance 1; the same at any size."""
    return torch.randn(layer.classes, layer.features) / sqrt(layer.features)


def classified(classes: int, *sizes: int) -> Recipe:
    """Cross entropy of that many classes, at these sizes."""
    draws = partial(scores, width=classes), partial(labels, classes=classes)
    return Recipe(draws, _PAIR, function="cross_entropy", sizes=sizes)


def layered(layer: Layer) -> Recipe:
    """linear_cross_entropy of that shape."""
    draws = (
        partial(hidden, layer=layer),
        partial(layer_weight, layer=layer),
        partial(labels, classes=layer.classes),
    )
    sizes = (layer.size,)
    return Recipe(draws, (True, True, False), function="linear_cross_entropy", sizes=sizes)


_probability = partial(uniform, low=0.01, high=0.99)  # float16 rounds 1 - 1e-4 up to 1
_variance = partial(uniform, low=0.1, high=2.0)
_distance = partial(uniform, low=0.0, high=2.0)
_log_probabilities = partial(log_probabilities, classes=LABELS)
_probabilities = partial(probabilities, classes=LABELS)
_logits, _bits = partial(scores, width=LABELS), partial(bits_in_rows, width=LABELS)
_scores, _labels = partial(scores, width=CLASSES), partial(labels, classes=CLASSES)
_embedding, _similar = partial(scores, width=WIDTH), partial(row_signs, width=WIDTH)
_PAIR = (True, False)

LAYER, SMALL_LAYER = Layer(4096, 512, 50_000), Layer(512, 128, 5_000)

RECIPES: dict[str, Recipe] = {
    "l1_loss": Recipe((normal, normal), _PAIR),
    "mse_loss": Recipe((normal, normal), _PAIR),
    "huber_loss": Recipe((normal, normal), _PAIR),
    "smooth_l1_loss": Recipe((normal, normal), _PAIR),
    "gaussian_nll_loss": Recipe((normal, normal, _variance), (True, False, True)),
    "poisson_nll_loss": Recipe((normal, counts), _PAIR),
    "kl_div": Recipe((_log_probabilities, _probabilities), _PAIR, {"reduction": "batchmean"}),
    "binary_cross_entropy": Recipe((_probability, bits), _PAIR),
    "binary_cross_entropy_with_logits": Recipe((normal, bits), _PAIR),
    "multilabel_soft_margin_loss": Recipe((_logits, _bits), _PAIR),
    "soft_margin_loss": Recipe((normal, signs), _PAIR),
    "margin_ranking_loss": Recipe((normal, normal, signs), (True, True, False), {"margin": 0.5}),
    "hinge_embedding_loss": Recipe((_distance, signs), _PAIR),
    "cross_entropy": Recipe((_scores, _labels), _PAIR),
    "nll_loss": Recipe(
        (partial(log_probabilities, classes=CLASSES), _labels), _PAIR, reads=False
    ),
    "multi_margin_loss": Recipe((_scores, _labels), _PAIR),
    "cosine_embedding_loss": Recipe((_embedding, _embedding, _similar), (True, True, False)),
    "triplet_margin_loss": Recipe((_embedding,) * 3, (True,) * 3),
    "triplet_margin_with_distance_loss": Recipe((_embedding,) * 3, (True,) * 3),
    "cross_entropy, 5 classes": classified(5, 50),
    "cross_entropy, 10 classes": classified(10, 320, HEADLINE),
    "cross_entropy, 32,000 classes": classified(32_000, HEADLINE),
    "cross_entropy, 128,256 classes": classified(128_256, HEADLINE),
    "cross_entropy, maps of 21 classes": Recipe(
        (pixels, pixel_labels), _PAIR, function="cross_entropy", sizes=(8 * 21 << 16,)
    ),
    "cross_entropy, probabilities": Recipe(
        (_scores, partial(probabilities, classes=CLASSES)), _PAIR,
        function="cross_entropy", sizes=(HEADLINE,),
    ),
    "linear_cross_entropy": layered(LAYER),
    "linear_cross_entropy, small": layered(SMALL_LAYER),
}  # fmt: skip
