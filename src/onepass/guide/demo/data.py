"""The real data of the demo: it ships inside scikit-learn, so nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SEED = 42
HELD_OUT = 0.25


def load(name: str) -> tuple[Tensor, Tensor]:
    """Features `(rows, columns)` and target `(rows,)`: diabetes, digits, wine or breast_cancer.

    Rows come shuffled, always in the same order. Raises ModuleNotFoundError without scikit-learn.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        message = "the demo's data comes with scikit-learn: pip install 'onepass[demo]'"
        raise ModuleNotFoundError(message, name="sklearn") from error
    features, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = torch.randperm(len(target), generator=generator())
    return floats(features)[order], floats(target)[order]


def digits() -> tuple[Tensor, Tensor]:
    """Images `(rows, 64)`, whose pixels count the dots of ink in a 4 x 4 block, and the digits."""
    return load("digits")


def standard(features: Tensor) -> Tensor:
    """Columns with the training rows' mean 0 and standard deviation 1."""
    seen, _ = split(features)
    return (features - seen.mean(0)) / seen.std(0)


def split(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows to train on and the rows held out."""
    kept = len(rows) - round(len(rows) * HELD_OUT)
    return rows[:kept], rows[kept:]


def pairs(rows: int, count: int) -> tuple[Tensor, Tensor]:
    """Indices of `count` pairs of different rows."""
    first = torch.randint(rows, (count,), generator=generator())
    step = torch.randint(1, rows, (count,), generator=generator(SEED + 1))
    return first, (first + step) % rows


def triplets(label: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of `count` rows, of another row with the same label, and of one with another."""
    source = generator()
    anchor = torch.randint(len(label), (count,), generator=source)
    alike = label[anchor].unsqueeze(1) == label  # (count, rows)
    others = alike.logical_not()
    alike[torch.arange(count), anchor] = False
    positive, negative = (
        torch.multinomial(choice.float(), 1, generator=source).squeeze(1)
        for choice in (alike, others)
    )
    return anchor, positive, negative


@contextmanager
def seeded() -> Iterator[None]:
    """Torch's random numbers from the demo's seed; the caller's are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def generator(seed: int = SEED) -> torch.Generator:
    """A source of random numbers of its own: the caller's is left as it was."""
    return torch.Generator().manual_seed(seed)


def floats(array: ArrayLike) -> Tensor:
    """An array of numpy as a tensor of float32."""
    return torch.as_tensor(array, dtype=torch.float32)
