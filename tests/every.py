"""Every loss of the catalogue: legal inputs of any batch size, and options other than the defaults.

What all losses must do is tested over this list; a test says that no loss is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import onepass
from onepass import functional as F

CLASSES, FEATURES = 5, 4
REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Every:
    """A loss, its inputs by number of rows, and its options."""

    name: str
    inputs: Callable[[int, Generator], tuple[Tensor, ...]]
    learned: tuple[int, ...] = (0,)  # the inputs that a model makes
    options: dict[str, Any] = field(default_factory=dict)
    layer: tuple[int, ...] = ()  # arguments that its class's constructor needs

    def __str__(self) -> str:
        return self.name

    @property
    def ours(self) -> Callable[..., Tensor]:
        """The function of this library."""
        return getattr(F, self.name)

    @property
    def theirs(self) -> Callable[..., Tensor]:
        """torch's."""
        return getattr(torch.nn.functional, self.name)

    @property
    def module(self) -> Any:
        """The class of this library."""
        return onepass.catalogue()[self.name].module

    def drawn(self, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of so many rows, the same for the same seed."""
        return self.inputs(rows, torch.Generator().manual_seed(seed))

    def of_module(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those that its module is called with."""
        return (tensors[0], *tensors[2:]) if self.layer else tensors


def _normal(rows: int, source: Generator, width: int = FEATURES) -> Tensor:
    return torch.randn(rows, width, generator=source)


def _uniform(rows: int, source: Generator) -> Tensor:
    return torch.rand(rows, FEATURES, generator=source)


def _pair(rows: int, source: Generator) -> tuple[Tensor, ...]:
    return _normal(rows, source), _normal(rows, source)


def _labels(rows: int, source: Generator) -> Tensor:
    return torch.randint(CLASSES, (rows,), generator=source)


def _signs(shape: tuple[int, ...], source: Generator) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=source) - 1


def _triplet(rows: int, source: Generator) -> tuple[Tensor, ...]:
    return _normal(rows, source), _normal(rows, source), _normal(rows, source)


EVERY = [
    Every("l1_loss", _pair),
    Every("mse_loss", _pair),
    Every("huber_loss", _pair, options={"delta": 0.5}),
    Every("smooth_l1_loss", _pair, options={"beta": 0.25}),
    Every(
        "gaussian_nll_loss",
        lambda n, g: (*_pair(n, g), _uniform(n, g) + 0.1),
        learned=(0, 2),
        options={"full": True, "eps": 0.01},
    ),
    Every(
        "poisson_nll_loss",
        lambda n, g: (_normal(n, g).abs(), (5 * _uniform(n, g)).floor()),
        options={"log_input": False, "full": True, "eps": 0.01},
    ),
    Every(
        "kl_div",
        lambda n, g: (_normal(n, g).log_softmax(-1), _normal(n, g).softmax(-1)),
        options={"log_target": True},
    ),
    Every(
        "binary_cross_entropy",
        lambda n, g: (_normal(n, g).sigmoid(), _uniform(n, g).round()),
        options={"weight": torch.tensor([0.5, 1.0, 2.0, 0.25])},
    ),
    Every(
        "binary_cross_entropy_with_logits",
        lambda n, g: (_normal(n, g), _uniform(n, g).round()),
        options={
            "weight": torch.tensor([0.5, 1.0, 2.0, 0.25]),
            "pos_weight": torch.tensor([3.0, 1.0, 0.25, 0.5]),
        },
    ),
    Every(
        "cross_entropy",
        lambda n, g: (_normal(n, g, CLASSES), _labels(n, g)),
        options={
            "weight": torch.tensor([0.5, 1.0, 2.0, 0.25, 1.5]),
            "ignore_index": 1,
            "label_smoothing": 0.1,
        },
    ),
    Every(
        "linear_cross_entropy",
        lambda n, g: (_normal(n, g), _normal(CLASSES, g), _labels(n, g)),
        learned=(0, 1),
        options={"ignore_index": 1, "label_smoothing": 0.1},
        layer=(FEATURES, CLASSES),
    ),
    Every(
        "nll_loss",
        lambda n, g: (_normal(n, g, CLASSES).log_softmax(-1), _labels(n, g)),
        options={"weight": torch.tensor([0.5, 1.0, 2.0, 0.25, 1.5]), "ignore_index": 1},
    ),
    Every(
        "multilabel_soft_margin_loss",
        lambda n, g: (_normal(n, g), _uniform(n, g).round()),
        options={"weight": torch.tensor([0.5, 1.0, 2.0, 0.25])},
    ),
    Every("soft_margin_loss", lambda n, g: (_normal(n, g), _signs((n, FEATURES), g))),
    Every(
        "multi_margin_loss",
        lambda n, g: (_normal(n, g, CLASSES), _labels(n, g)),
        options={"p": 2, "margin": 0.5, "weight": torch.tensor([0.5, 1.0, 2.0, 0.25, 1.5])},
    ),
    Every(
        "margin_ranking_loss",
        lambda n, g: (*_pair(n, g), _signs((n, FEATURES), g)),
        learned=(0, 1),
        options={"margin": 0.5},
    ),
    Every(
        "hinge_embedding_loss",
        lambda n, g: (_normal(n, g).abs(), _signs((n, FEATURES), g)),
        options={"margin": 0.5},
    ),
    Every(
        "cosine_embedding_loss",
        lambda n, g: (*_pair(n, g), _signs((n,), g)),
        learned=(0, 1),
        options={"margin": 0.25},
    ),
    Every(
        "triplet_margin_loss",
        _triplet,
        learned=(0, 1, 2),
        options={"margin": 0.5, "p": 1, "eps": 1e-3, "swap": True},
    ),
    Every(
        "triplet_margin_with_distance_loss",
        _triplet,
        learned=(0, 1, 2),
        options={"margin": 0.5, "swap": True},
    ),
]
NAMES = [every.name for every in EVERY]
OVER_LOSSES = pytest.mark.parametrize("every", EVERY, ids=NAMES)
OVER_REDUCTIONS = pytest.mark.parametrize(
    "reduction", ["mean", *(pytest.param(r, marks=pytest.mark.slow) for r in REDUCTIONS[1:])]
)
