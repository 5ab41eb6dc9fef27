"""Every loss of the catalogue: legal inputs of any batch size, and options other than the defaults.

What all losses must do is tested over this list; a test says that no loss is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import onepass
from onepass import functional as F
from onepass.define.sampling import SIZES, sample

CLASSES, FEATURES = SIZES["classes"], SIZES["features"]
REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Every:
    """A loss, and options other than the defaults."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

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
    def learned(self) -> tuple[int, ...]:
        """The inputs that a model makes."""
        names = enumerate(onepass.catalogue()[self.name].tensors)
        return tuple(place for place, name in names if name != "target")

    @property
    def layer(self) -> tuple[int, ...]:
        """The arguments that its class's constructor needs, if it is a layer."""
        return (FEATURES, CLASSES) if onepass.catalogue()[self.name].shared else ()

    @property
    def module(self) -> Any:
        """The class of this library."""
        return onepass.catalogue()[self.name].module

    def drawn(self, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of so many rows, the same for the same seed."""
        source = torch.Generator().manual_seed(seed)
        drawn = sample(onepass.catalogue()[self.name], rows, source).values()
        return tuple(t.float() if t.is_floating_point() else t for t in drawn)

    def of_module(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those that its module is called with."""
        return (tensors[0], *tensors[2:]) if self.layer else tensors


def _weights(count: int) -> Tensor:
    return torch.tensor([0.5, 1.0, 2.0, 0.25, 1.5])[:count]


OPTIONS = {
    "huber_loss": {"delta": 0.5},
    "smooth_l1_loss": {"beta": 0.25},
    "gaussian_nll_loss": {"full": True, "eps": 0.01},
    "poisson_nll_loss": {"log_input": False, "full": True, "eps": 0.01},
    "kl_div": {"log_target": True},
    "binary_cross_entropy": {"weight": _weights(FEATURES)},
    "binary_cross_entropy_with_logits": {
        "weight": _weights(FEATURES),
        "pos_weight": torch.tensor([3.0, 1.0, 0.25, 0.5]),
    },
    "cross_entropy": {
        "weight": _weights(CLASSES), "ignore_index": 1, "label_smoothing": 0.1,
    },
    "linear_cross_entropy": {"ignore_index": 1, "label_smoothing": 0.1},
    "nll_loss": {"weight": _weights(CLASSES), "ignore_index": 1},
    "multilabel_soft_margin_loss": {"weight": _weights(FEATURES)},
    "multi_margin_loss": {"p": 2, "margin": 0.5, "weight": _weights(CLASSES)},
    "margin_ranking_loss": {"margin": 0.5},
    "hinge_embedding_loss": {"margin": 0.5},
    "cosine_embedding_loss": {"margin": 0.25},
    "triplet_margin_loss": {"margin": 0.5, "p": 1, "eps": 1e-3, "swap": True},
    "triplet_margin_with_distance_loss": {"margin": 0.5, "swap": True},
}  # fmt: skip
EVERY = [Every(name, OPTIONS.get(name, {})) for name in onepass.catalogue()]
NAMES = [every.name for every in EVERY]
OVER_LOSSES = pytest.mark.parametrize("every", EVERY, ids=NAMES)
OVER_REDUCTIONS = pytest.mark.parametrize(
    "reduction", ["mean", *(pytest.param(r, marks=pytest.mark.slow) for r in REDUCTIONS[1:])]
)
