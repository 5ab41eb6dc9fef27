"""Vectors in pairs and triplets, and losses of them on every engine."""

import itertools
import math

import pytest
import torch
from torch import tensor

import onepass
from onepass import functional as F
from tests.twins import assert_same

TF = torch.nn.functional
EXACT = 1e-12  # relative, in float64
INF, NAN = math.inf, math.nan
REDUCTIONS = ("mean", "sum", "none")
HALF = (torch.float16, torch.bfloat16)
ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
SHAPES = [(5,), (1, 2), (9, 3), (300, 5), (40, 64), (33, 130), (4, 9000), (3, 4, 17)]
NORMS = (2.0, 1.0, INF, 3.0, 1.5, 0.5)
COSINE, TRIPLET = "cosine_embedding_loss", "triplet_margin_loss"
DISTANCE = "triplet_margin_with_distance_loss"


def vectors(shape, seed, dtype=torch.float64):
    """Of lengths from 5 to 9: torch adds 1e-12 to the squares of them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=-1, keepdim=True)
    return (x * (5 + 4 * torch.rand((*shape[:-1], 1), generator=generator).double())).to(dtype)


def pairs(shape, dtype=torch.float64):
    """Two vectors in all angles, and a label: 1, -1 or none."""
    one = vectors(shape, 1, dtype)
    other = (one.double() * torch.linspace(-1, 1, shape[0] if shape[1:] else 1).double().reshape(
        -1, *[1] * (len(shape) - 1)
    ) + vectors(shape, 2)).to(dtype)  # fmt: skip
    label = torch.arange(math.prod(shape[:-1])).reshape(shape[:-1]) % 5 - 1
    label = torch.where(label > 1, label - 3, label)
    return one, other, label.to(dtype)


def triplets(shape, dtype=torch.float64):
    """Some beyond the margin, some not; some whose positive is closer to the negative."""
    return tuple(vectors(shape, seed, dtype) for seed in (3, 4, 5))


def upstream_of(value):
    generator = torch.Generator().manual_seed(6)
    return torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)


def results(function, tensors, curved=False, **options):
    """Value, gradients for a random upstream and, if `curved`, how those bend."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors[:2]]
    leaves += [
        t.detach().clone().requires_grad_() for t in tensors[2:] if t.dim() == tensors[0].dim()
    ]
    rest = tensors[len(leaves) :]
    value = function(*leaves, *rest, **options)
    slopes = torch.autograd.grad(value, leaves, upstream_of(value), create_graph=curved)
    found = [value.detach(), *(slope.detach() for slope in slopes)]
    if curved:
        along = [
            torch.sin(7 * torch.arange(s.numel()).double() + 1).reshape(s.shape) for s in slopes
        ]
        total = sum((a * s).sum() for a, s in zip(along, slopes, strict=True))
        bends = [None] * len(leaves)
        if total.requires_grad:
            bends = torch.autograd.grad(total, leaves, allow_unused=True)
        found += [
            torch.zeros_like(x) if b is None else b for b, x in zip(bends, leaves, strict=True)
        ]
    return found


def on(engine, name):
    """Our function on one engine."""

    def call(*tensors, **options):
        with onepass.engine(engine):
            return getattr(F, name)(*tensors, **options)

    return call


def assert_all_same(ours, theirs, tolerance, message=""):
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, message
        assert a.isfinite().all(), message
        assert_same(a.double(), b.double(), tolerance, f"{message} result {k}")


def hurt(tensors, rows):
    bad = tensor([NAN, INF, -INF, 1e308], dtype=tensors[0].dtype)
    return [
        torch.where(rows.unsqueeze(-1), bad[torch.arange(t.numel()) % 4].reshape(t.shape), t)
        if t.dim() == 2
        else t
        for t in tensors
    ]


def grid_of_triplets():
    """All triplets of a few corners of a grid whose distances are whole numbers."""
    corners = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0], [0.0, -4.0], [-3.0, 3.0]]).double()
    places = torch.tensor(list(itertools.product(range(5), repeat=3)))
    return tuple(corners[places[:, k]] for k in range(3))


DISTANCES = {
    "none": None,
    "function": TF.pairwise_distance,
    "module": torch.nn.PairwiseDistance(p=3.0, eps=0.1),
    "keepdim": torch.nn.PairwiseDistance(keepdim=True),
    "squared": lambda x, y: (x - y).pow(2).sum(-1),
    "cosine": lambda x, y: 1 - TF.cosine_similarity(x, y, dim=-1),
    "negative norm": torch.nn.PairwiseDistance(p=-1.0),
}
