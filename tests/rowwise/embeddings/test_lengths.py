"""Losses of vectors of any length, also of none, and of no vectors."""

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.embeddings.calls import COSINE, ENGINES, NORMS, TRIPLET, on, results
from tests.rowwise.embeddings.checks import (
    assert_distances_do_not_overflow,
    assert_short_and_long_vectors_have_a_direction,
)
from tests.twins import assert_same

TF = torch.nn.functional


@ENGINES
def test_short_and_long_vectors_have_a_direction(engine):
    assert_short_and_long_vectors_have_a_direction(engine)


@ENGINES
def test_a_short_vector_that_points_the_same_way_costs_nothing(engine):
    given = tensor([[1e-7, 0.0]]), tensor([[1.0, 0.0]]), tensor([1.0])
    assert abs(on(engine, COSINE)(*given).item()) < 6e-8
    assert TF.cosine_embedding_loss(*given).item() > 0.89


@ENGINES
def test_a_vector_without_length_has_the_cosine_0_and_no_gradient(engine):
    one, other = tensor([[0.0, 0.0], [3.0, 4.0]]), tensor([[1.0, 2.0], [4.0, 3.0]])
    for target, values in ((1.0, [1.0, 0.04]), (-1.0, [0.1, 1.06])):
        label = tensor([target, target])
        ours = results(on(engine, COSINE), (one, other, label), margin=-0.1, reduction="none")
        assert_same(ours[0], tensor(values), 1e-6)
        assert not ours[1][0].any()
        assert not ours[2][0].any()
        assert ours[1][1].any()


@ENGINES
def test_distances_do_not_overflow(engine):
    assert_distances_do_not_overflow(engine)


@ENGINES
def test_no_features(engine):
    empty = torch.zeros(3, 0)
    assert on(engine, COSINE)(empty, empty, tensor([1.0, -1.0, 0.0])).item() == pytest.approx(1 / 3)
    for p in NORMS:
        assert on(engine, TRIPLET)(empty, empty, empty, p=p).item() == 1.0


def test_no_rows():
    empty = torch.zeros(0, 4)
    assert F.cosine_embedding_loss(empty, empty, torch.zeros(0)).isnan()
    assert F.triplet_margin_loss(empty, empty, empty, reduction="sum") == 0
    assert F.triplet_margin_loss(empty, empty, empty, reduction="none").shape == (0,)
