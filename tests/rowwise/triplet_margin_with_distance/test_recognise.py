"""Which distances a kernel knows, and that these are torch's."""

import functools

import pytest
import torch

from onepass import functional as F
from onepass.rowwise.triplet_margin_with_distance import recognise
from tests.rowwise.embeddings.calls import EXACT, INF, triplets
from tests.rowwise.triplet_margin_with_distance.checks import assert_distance_is_torchs
from tests.rowwise.triplet_margin_with_distance.distances import (
    COSINE,
    SQUARED,
    found,
    of_norm,
    written,
)
from tests.twins import assert_same

TF = torch.nn.functional


def with_checks(a, b):
    """Looks at what is known without data."""
    assert a.shape == b.shape
    assert a.size(-1) == b.shape[a.ndim - 1]
    assert a.dtype.is_floating_point
    assert a.dim() == 2
    assert a.device.type == "cpu"
    return TF.pairwise_distance(a, b, p=3, eps=0.5)


def with_names(a, b):
    difference = a - b
    values, _ = torch.max(abs(difference), dim=1)
    return values


class OfModules(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.similarity = torch.nn.CosineSimilarity(dim=-1, eps=0.25)

    def forward(self, a, b):
        return 1.0 - self.similarity(a, b)


SPELLINGS = {
    "1 - F.cosine_similarity(a, b)": COSINE,
    "1.0 - F.cosine_similarity(b, a, dim=-1)": COSINE,
    "1 - torch.cosine_similarity(a, b, 1, 0.5)": (recognise.COSINE, 0.5, 2.0),
    "1 - F.cosine_similarity(x1=a, x2=b, eps=0)": (recognise.COSINE, 0.0, 2.0),
    "1 - torch.nn.CosineSimilarity()(a, b)": COSINE,
    "torch.rsub(torch.nn.CosineSimilarity(dim=-1, eps=0.5)(a, b), 1)":
        (recognise.COSINE, 0.5, 2.0),
    "(a - b).square().sum(-1)": SQUARED,
    "((a - b) ** 2).sum(dim=1)": SQUARED,
    "((a - b) ** 2.0).sum(axis=(1,))": SQUARED,
    "torch.sum(torch.pow(a - b, 2), 1)": SQUARED,
    "torch.square(torch.sub(b, a)).sum(dim=[-1])": SQUARED,
    "(lambda d: (d * d).sum(-1))(a - b)": SQUARED,
    "a.sub(b).abs().pow(2).sum(-1, keepdim=False)": SQUARED,
    "(a - b).norm(dim=-1) ** 2": SQUARED,
    "F.pairwise_distance(a, b, eps=0.5).square()": (recognise.SQUARED, 0.5, 2.0),
    "(a - b).norm(dim=-1)": of_norm(2.0),
    "(a - b).norm(2, 1)": of_norm(2.0),
    "(b - a).norm(p=1, dim=1)": of_norm(1.0),
    "torch.norm(a - b, dim=1)": of_norm(2.0),
    "torch.norm(a - b, p=3, dim=(-1,))": of_norm(3.0),
    "torch.norm(a - b, math.inf, -1)": of_norm(INF),
    "torch.linalg.norm(a - b, dim=-1)": of_norm(2.0),
    "torch.linalg.norm(a - b, 1, -1)": of_norm(1.0),
    "torch.linalg.vector_norm(a - b, dim=-1)": of_norm(2.0),
    "torch.linalg.vector_norm(a - b, ord=1.5, dim=-1)": of_norm(1.5),
    "torch.linalg.vector_norm((a - b).abs(), ord=math.inf, dim=1)": of_norm(INF),
    "torch.sqrt(((a - b) ** 2).sum(-1))": of_norm(2.0),
    "(a - b).pow(2).sum(1).sqrt()": of_norm(2.0),
    "((a - b) ** 2).sum(1) ** 0.5": of_norm(2.0),
    "(a - b).abs().sum(-1)": of_norm(1.0),
    "torch.abs(a - b).sum(dim=-1)": of_norm(1.0),
    "(a - b).abs().amax(-1)": of_norm(INF),
    "torch.amax(abs(a - b), dim=-1)": of_norm(INF),
    "torch.max(torch.abs(a - b), dim=1).values": of_norm(INF),
    "(a - b).abs().max(-1)[0]": of_norm(INF),
    "F.pairwise_distance(a, b)": of_norm(2.0, 1e-6),
    "F.pairwise_distance(a, b, 1.0, 0.0)": of_norm(1.0),
    "F.pairwise_distance(a, b, p=3, eps=0.5)": of_norm(3.0, 0.5),
    "torch.nn.PairwiseDistance(p=3.0, eps=0.5)(a, b)": of_norm(3.0, 0.5),
}  # fmt: skip
CALLABLES = {
    "function": (TF.pairwise_distance, of_norm(2.0, 1e-6)),
    "module": (torch.nn.PairwiseDistance(3.0, 0.1), of_norm(3.0, 0.1)),
    "module of modules": (OfModules(), (recognise.COSINE, 0.25, 2.0)),
    "bound method": (OfModules().forward, (recognise.COSINE, 0.25, 2.0)),
    "partial": (functools.partial(TF.pairwise_distance, p=1), of_norm(1.0, 1e-6)),
    "checks": (with_checks, of_norm(3.0, 0.5)),
    "names": (with_names, of_norm(INF)),
}

NEAR_MISSES = [
    "(a - b).norm(dim=0)",
    "(a - b).norm()",
    "(a - b).norm(dim=(0, 1))",
    "1 - F.cosine_similarity(a, b, dim=0)",
    "(a - b).square().sum()",
    "(a - b).square().sum((-1, -2))",
    "(a - b).norm(dim=-1, keepdim=True)",
    "(a - b).abs().amax(-1, keepdim=True)",
    "(a - b).square().sum(-1, True)",
    "F.pairwise_distance(a, b, keepdim=True)",
    "F.cosine_similarity(a, b)",
    "1 - F.cosine_similarity(a, b) ** 2",
    "1 - F.cosine_similarity(a, b).square()",
    "2 - F.cosine_similarity(a, b)",
    "1 - F.cosine_similarity(a, a)",
    "1 - F.cosine_similarity(a, b, eps=torch.tensor(1e-8))",
    "torch.rsub(F.cosine_similarity(a, b), 1, alpha=2)",
    "F.cosine_similarity(a, b) - 1",
    "((a - b) @ W).norm(dim=-1)",
    "(a - b @ W).norm(dim=-1)",
    "(a - W[0]).norm(dim=-1)",
    "(W[0] - a).norm(dim=-1)",
    "(a - b).norm(dim=-1) + 1",
    "2 * (a - b).norm(dim=-1)",
    "torch.sub(a, b, alpha=2).norm(dim=-1)",
    "(a - b).sum(-1)",
    "(a - b).amax(-1)",
    "(a - b).abs().amin(-1)",
    "(a - b).square().mean(-1)",
    "(a - b).square().sum(-1, dtype=torch.float64)",
    "(a - b).pow(3).sum(-1)",
    "((a - b) * (b - a)).sum(-1)",
    "(a - b).square().sum(-1) ** 2",
    "(a - b).norm(p=1, dim=-1) ** 2",
    "(a - b).norm(dim=-1) ** 3",
    "(a + b).norm(dim=-1)",
    "(a - a).norm(dim=-1)",
    "(a - 1).norm(dim=-1)",
    "(a - b).norm(p=0, dim=-1)",
    "(a - b).norm(p=-1, dim=-1)",
    "(a - b).norm(p=W[0, 0], dim=-1)",
    "F.pairwise_distance(b, a)",
    "F.pairwise_distance(a, b, eps=torch.tensor(0.1))",
    "F.pairwise_distance(a, a)",
    "(a - b).detach().norm(dim=-1)",
    "(a - b).norm(dim=-1) if (a - b).norm() else a.norm(dim=-1)",
    "(a - b).norm(dim=-1) if a.sum() > 0 else a.norm(dim=-1)",
    "torch.max(torch.abs(a - b), dim=1)",
    "torch.max(torch.abs(a - b))",
    "torch.stack([a, b]).norm(dim=-1)",
    "torch.cdist(a, b)",
    "a - b",
    "1.0",
    "None",
    "undefined",
]


@pytest.mark.slow
@pytest.mark.parametrize("text, distance", SPELLINGS.items(), ids=SPELLINGS)
def test_a_spelling_is_recognised_and_is_torchs(text, distance):
    assert found(written(text)) == distance
    assert_distance_is_torchs(written(text), [(6, 4)])


@pytest.mark.parametrize("function, distance", CALLABLES.values(), ids=CALLABLES)
def test_a_callable_is_recognised_and_is_torchs(function, distance):
    assert found(function) == distance
    assert_distance_is_torchs(function, [(6, 4)])


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_not_recognised(text):
    assert found(written(text)) is None


def test_the_last_axis_is_told_by_the_number_of_axes():
    by_number, from_the_end = written("(a - b).norm(dim=1)"), written("(a - b).norm(dim=-1)")
    assert [found(by_number, s) is not None for s in [(4,), (6, 4), (2, 6, 4)]] == [0, 1, 0]
    assert all(found(from_the_end, s) for s in [(4,), (6, 4), (2, 6, 4)])
    assert found(written("(a - b).norm(dim=2)"), (2, 6, 4))
    assert found(written("1 - F.cosine_similarity(a, b)"), (2, 6, 4)) is None


def test_closures_may_change():
    power = 2.0

    def distance(a, b):
        return (a - b).norm(p=power, dim=-1)

    for power in (2.0, 1.0):
        assert found(distance) == of_norm(power)
        given = triplets((6, 4))
        ours = F.triplet_margin_with_distance_loss(*given, distance_function=distance)
        assert_same(ours, F.triplet_margin_loss(*given, p=power, eps=0.0), EXACT)
