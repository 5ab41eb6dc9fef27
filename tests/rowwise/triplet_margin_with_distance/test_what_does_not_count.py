"""What does not count in triplets with a distance is nothing; what is nan is seen."""

import pytest
import torch

from onepass import functional as F
from onepass.rowwise.triplet_margin_with_distance import recognise
from tests.rowwise.embeddings.calls import ENGINES, EXACT, NAN, REDUCTIONS, triplets
from tests.rowwise.triplet_margin_with_distance.checks import assert_what_does_not_count_is_nothing
from tests.rowwise.triplet_margin_with_distance.distances import ALL_KINDS, KINDS, cosine, written
from tests.twins import assert_same

TF = torch.nn.functional


@ENGINES
@ALL_KINDS
def test_what_does_not_count_is_nothing(distance, engine):
    assert_what_does_not_count_is_nothing(distance, engine)


@pytest.mark.parametrize(
    "options",
    [
        {"reduction": "sum", "sample_weight": torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0])},
        {"mask": torch.tensor([True, False, True, True, False])},
        {"normalizer": 7.0},
        {"reduction": "none"},
        {"reduction": "batchmean", "mask": torch.tensor([False, False, True, True, False])},
    ],
    ids=" ".join,
)
def test_a_distance_that_is_not_recognised_is_weighted_as_others_are(options):
    given = triplets((5, 3))

    def own(a, b):
        return torch.linalg.vector_norm((a - b).clone(), dim=-1)

    assert recognise.recognised(own, given) is None
    ours = F.triplet_margin_with_distance_loss(*given, distance_function=own, **options)
    known = F.triplet_margin_with_distance_loss(
        *given, distance_function=lambda a, b: torch.linalg.vector_norm(a - b, dim=-1), **options
    )
    torch.testing.assert_close(ours, known, rtol=1e-12, atol=0)


def test_a_weight_that_asks_for_its_gradient():
    given = triplets((6, 4))
    weight = torch.ones(6, dtype=torch.float64, requires_grad=True)
    options = {"distance_function": cosine, "reduction": "none"}
    F.triplet_margin_with_distance_loss(*given, sample_weight=weight, **options).sum().backward()
    each = TF.triplet_margin_with_distance_loss(*given, **options)
    assert_same(weight.grad, each, EXACT)


@pytest.mark.parametrize(
    "distance",
    [*KINDS.values(), written("(a - b).exp().sum(-1)")],
    ids=[*KINDS, "own"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_seen(distance, place):
    """In the value, for whatever tensor it is in."""
    given = [t.clone() for t in triplets((6, 4))]
    given[place][2, 1] = NAN
    for reduction in REDUCTIONS:
        options = {"distance_function": distance, "reduction": reduction, "margin": 9.0}
        value = F.triplet_margin_with_distance_loss(*given, **options)
        assert value.isnan().nonzero().tolist() == ([[2]] if reduction == "none" else [[]])
    leaf = given[place].clone().requires_grad_()
    given[place] = leaf
    F.triplet_margin_with_distance_loss(*given, **options | {"reduction": "sum"}).backward()
    assert leaf.grad[[0, 1, 3, 4, 5]].isfinite().all()


def test_a_distance_that_is_nan_is_a_loss_that_is_nan():
    def broken(a, b):
        return (a - b).norm(dim=-1) * NAN

    assert F.triplet_margin_with_distance_loss(
        *triplets((6, 4)), distance_function=broken
    ).isnan()  # fmt: skip
