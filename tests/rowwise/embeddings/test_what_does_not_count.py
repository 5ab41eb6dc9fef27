"""What does not count in losses of vectors is nothing, whatever it holds."""

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.embeddings.calls import (
    COSINE,
    DISTANCE,
    DISTANCES,
    ENGINES,
    EXACT,
    INF,
    NAN,
    TRIPLET,
    on,
    pairs,
    results,
    triplets,
)
from tests.rowwise.embeddings.checks import assert_what_does_not_count_is_nothing
from tests.twins import assert_same

TF = torch.nn.functional


@ENGINES
@pytest.mark.parametrize("name", [COSINE, TRIPLET, DISTANCE])
def test_what_does_not_count_is_nothing(name, engine):
    assert_what_does_not_count_is_nothing(name, engine)


def test_what_does_not_count_is_nothing_to_a_distance_of_ones_own():
    given = triplets((6, 3))
    bad = [t.clone() for t in given]
    for t in bad:
        t[2] = NAN
    mask = torch.arange(6) != 2
    squared = DISTANCES["squared"]
    ours = F.triplet_margin_with_distance_loss(*bad, distance_function=squared, mask=mask)
    kept = [t[mask] for t in given]
    torchs = TF.triplet_margin_with_distance_loss(*kept, distance_function=squared)
    assert_same(ours, torchs, EXACT)


@ENGINES
def test_a_pair_with_another_label_is_nothing(engine):
    one, other, _ = pairs((5, 3))
    one[1], other[2] = NAN, INF
    label = tensor([1.0, 0.0, 2.0, NAN, -1.0])
    ours = results(on(engine, COSINE), (one, other, label), reduction="none")
    assert ours[0].isfinite().all()
    for gradient in ours[1:]:
        assert not gradient[1:4].any()
    assert ours[0][1:4].tolist() == [0, 0, 0]


@ENGINES
def test_weights_and_normalizer(engine):
    one, other, label = pairs((4, 3))
    weight = tensor([1.0, 2.0, 0.0, 3.0])
    each = TF.cosine_embedding_loss(one, other, label, reduction="none")
    call = on(engine, COSINE)
    assert_same(call(one, other, label, sample_weight=weight), (weight * each).sum() / 6, EXACT)
    assert_same(call(one, other, label, normalizer=7), each.sum() / 7, EXACT)
    rest = call(one, other, label, sample_weight=weight, reduction="batchmean")
    assert_same(rest, (weight * each).sum() / 3, EXACT)
