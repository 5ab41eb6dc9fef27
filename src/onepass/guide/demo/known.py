"""Known numbers: losses of fixed random inputs, computed long before this library existed.

From one source seeded with 42, `randn(10, 3, 5, 7)` is drawn again and again: draw 0, 1, 2, ...
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from onepass import functional

TOLERANCE = 2e-5  # relative; the last digits of a sum depend on the machine


@dataclass(frozen=True)
class Known:
    """What a loss of known inputs must be."""

    loss: str
    inputs: Callable[[], tuple[Tensor, ...]]
    mean: float
    sum: float
    arguments: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        given = (f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.loss}({', '.join(given)})"


@dataclass(frozen=True)
class Checked:
    """A known number beside what onepass makes of it."""

    known: Known
    mean: float
    sum: float

    @property
    def deviation(self) -> float:
        """The larger of the relative deviations of mean and sum."""
        return max(
            abs(self.mean - self.known.mean) / abs(self.known.mean),
            abs(self.sum - self.known.sum) / abs(self.known.sum),
        )

    @property
    def agrees(self) -> bool:
        """Whether both are right; false for nan."""
        return self.deviation <= TOLERANCE


def check(losses: Collection[str] | None = None) -> list[Checked]:
    """Every known number, or those of some losses, computed by onepass."""
    return [compute(known) for known in KNOWN if losses is None or known.loss in losses]


def compute(known: Known) -> Checked:
    """Mean and sum of one row of the table."""
    loss = getattr(functional, known.loss)
    inputs = known.inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # kl_div's mean is not the divergence
        mean, total = (loss(*inputs, **known.arguments, reduction=r) for r in ("mean", "sum"))
    return Checked(known, mean.item(), total.item())


@cache
def draws() -> list[Tensor]:
    """The first forty draws."""
    source = torch.Generator().manual_seed(42)
    return [torch.randn(10, 3, 5, 7, generator=source) for _ in range(40)]


def pair(first: int) -> Callable[[], tuple[Tensor, ...]]:
    """A draw and the next."""
    return lambda: (draws()[first], draws()[first + 1])


def gaussian() -> tuple[Tensor, ...]:
    """Input, target and a variance above 0."""
    return draws()[19], draws()[21], draws()[20].abs()


def counts() -> tuple[Tensor, ...]:
    """An input above 0, so that it may be a rate or its logarithm."""
    return draws()[37].abs(), draws()[38]


def divergence() -> tuple[Tensor, ...]:
    """Log-probabilities and probabilities."""
    first, second = (draw.abs() + 0.1 for draw in draws()[8:10])
    return first.log_softmax(-1), second.softmax(-1)


def log_divergence() -> tuple[Tensor, ...]:
    """Log-probabilities, twice."""
    first, second = (draw.abs() + 0.1 for draw in draws()[8:10])
    return first.log_softmax(-1), second.log_softmax(-1)


def classes() -> tuple[Tensor, ...]:
    """After ten draws: scores of five classes, and class indices."""
    source = torch.Generator().manual_seed(42)
    for _ in range(10):
        torch.randn(10, 3, 5, 7, generator=source)
    return torch.randn(10, 5, generator=source), torch.randint(5, (10,), generator=source)


KNOWN = (
    Known("l1_loss", pair(4), 1.134202480316162, 1190.91259765625),
    Known("mse_loss", pair(6), 1.8992314338684082, 1994.1929931640625),
    Known("huber_loss", pair(12), 1.0335075855255127, 1085.1829833984375, {"delta": 2.0}),
    Known("smooth_l1_loss", pair(14), 0.3367563486099243, 353.59417724609375, {"beta": 3.0}),
    Known("gaussian_nll_loss", gaussian, 8.570807456970215, 8999.34765625),
    Known("poisson_nll_loss", counts, 2.695701837539673, 2830.48681640625),
    Known("poisson_nll_loss", counts, 0.8175972104072571, 858.47705078125, {"log_input": False}),
    Known("kl_div", divergence, 0.05183225870132446, 54.42387008666992),
    Known("kl_div", log_divergence, 0.05183225870132446, 54.42387008666992, {"log_target": True}),
    Known("cross_entropy", classes, 1.5826647281646729, 15.826647758483887),
)
