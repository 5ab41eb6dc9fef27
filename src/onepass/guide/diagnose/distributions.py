"""Whether rows of numbers are distributions, as exactly as their dtype can tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.values import Array, Flags, Values

_BY_CHANCE = 1e-5  # the odds that rows sum to 1 without being probabilities
_ROWS = 64  # among which different ones are counted
_MANY = 4096  # numbers among which different ones are counted
SQUASHED = 32  # different numbers in (0, 1) from which on they are hardly logits by chance


def tolerance(batch: Batch, name: str) -> float:
    """How far the logsumexp of a row of log-probabilities of that tensor may be from 0."""
    return max(1e-2, 16 * _eps(batch, name))


def _eps(batch: Batch, name: str) -> float:
    dtype = batch.tensors[name].dtype
    return torch.finfo(dtype).eps if dtype.is_floating_point else 1e-7


def add_up(rows: Array, slack: float) -> Flags:
    """Which rows (..., classes) sum to 1."""
    return np.abs(rows.sum(-1) - 1) <= slack


def are_probabilities(batch: Batch, values: Values) -> bool:
    """Whether all rows lie in [0, 1] and sum to 1, more of them than would by chance."""
    if values.array.ndim < 2 or not values.within(0, 1):
        return False
    slack = 16 * max(_eps(batch, values.name), 1e-7)
    different = len(np.unique(values.array[:_ROWS], axis=0))  # equal rows are no evidence
    by_chance = different * math.log(slack)
    return by_chance < math.log(_BY_CHANCE) and bool(add_up(values.array, slack).all())


def are_log_probabilities(batch: Batch, values: Values) -> bool:
    """Whether no value is positive and every row's logsumexp is 0."""
    if values.array.ndim < 2 or not values.high <= tolerance(batch, values.name):
        return False
    return bool((np.abs(logsumexp(values.array)) <= tolerance(batch, values.name)).all())


def logsumexp(rows: Array, axis: Any = -1) -> Array:
    """The logarithm of the sum of exponentials, of each row."""
    top = rows.max(axis, keepdims=True, initial=-math.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return (np.log(np.exp(rows - top).sum(axis, keepdims=True)) + top).squeeze(axis)


def distinct(values: Array) -> int:
    """How many different numbers strictly between 0 and 1 there are among the first ones."""
    some = values[:_MANY]
    return len(np.unique(some[(some > 0) & (some < 1)]))
