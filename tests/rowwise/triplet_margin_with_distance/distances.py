"""Distances as they are written, and what is recognised of them."""

import functools
import math

import pytest
import torch

from onepass.rowwise.triplet_margin_with_distance import recognise
from tests.rowwise.embeddings.calls import INF

TF = torch.nn.functional


def of_norm(p, eps=0.0):
    return recognise.NORM, eps, p


SQUARED = recognise.SQUARED, 0.0, 2.0
COSINE = recognise.COSINE, 1e-8, 2.0


def cosine(a, b, eps=1e-8):
    return 1 - TF.cosine_similarity(a, b, dim=-1, eps=eps)


def squared(a, b):
    return (a - b).square().sum(-1)


def norm(p):
    return lambda a, b: torch.linalg.vector_norm(a - b, ord=p, dim=-1)


KINDS = {
    "cosine": cosine,
    "cosine, eps": functools.partial(cosine, eps=6.5),
    "squared": squared,
    "1": norm(1.0),
    "2": norm(2.0),
    "3": norm(3.0),
    "inf": norm(INF),
}
ALL_KINDS = pytest.mark.parametrize("distance", KINDS.values(), ids=KINDS)
SOME_KINDS = pytest.mark.parametrize(
    "distance", [cosine, squared, norm(3.0)], ids=["cosine", "squared", "3"]
)


def written(text):
    """The function with this body."""
    names = {"torch": torch, "F": TF, "math": math, "W": torch.eye(4, dtype=torch.float64)}
    return eval(f"lambda a, b: {text}", names)


def found(function, shape=(6, 4), **kind):
    return recognise.recognised(function, [torch.ones(shape, **kind) for _ in range(3)])
