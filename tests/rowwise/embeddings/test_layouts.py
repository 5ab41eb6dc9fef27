"""Losses of vectors in every layout, of rows that broadcast, and of labels of any dtype."""

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.embeddings.calls import (
    COSINE,
    ENGINES,
    EXACT,
    TRIPLET,
    assert_all_same,
    on,
    pairs,
    results,
    triplets,
)
from tests.twins import assert_same

TF = torch.nn.functional


@pytest.mark.parametrize("name", [COSINE, TRIPLET])
def test_layout_does_not_matter(name):
    given = pairs((6, 10)) if name == COSINE else triplets((6, 10))
    plain = results(on("cpu", name), given)
    call = on("cpu", name)
    for change in (
        lambda t: t.t().contiguous().t() if t.dim() == 2 else t,
        lambda t: torch.stack([t, -t], -1)[..., 0],
        lambda t: torch.cat([t, t])[: len(t)].flip(0).flip(0),
    ):

        def changed(*tensors, change=change, **options):
            return call(*(change(t) for t in tensors), **options)

        assert_all_same(results(changed, given), plain, 1e-15)


@ENGINES
def test_rows_broadcast_to_those_of_another_tensor(engine):
    anchor, positive, negative = triplets((6, 4))
    for given in ((anchor[:1], positive, negative), (anchor, positive[:1], negative[:1])):
        ours = results(on(engine, TRIPLET), given, swap=True)
        assert_all_same(ours, results(TF.triplet_margin_loss, given, swap=True), EXACT)
    one, other, label = pairs((6, 4))
    for given in ((one[:1], other, label), (one, other[:1], label), (one, other, label[:1])):
        assert_all_same(
            results(on(engine, COSINE), given), results(TF.cosine_embedding_loss, given), EXACT
        )
    assert_same(
        on(engine, COSINE)(one, other, tensor(1)),
        TF.cosine_embedding_loss(one, other, torch.ones(6)), EXACT,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.float32, torch.float16])
def test_labels_of_any_dtype(dtype):
    one, other, label = pairs((6, 4))
    ours = F.cosine_embedding_loss(one, other, label.to(dtype))
    assert_same(ours, TF.cosine_embedding_loss(one, other, label), EXACT)


def test_bool_labels_and_labels_that_ask_for_a_gradient():
    one, other, _ = pairs((6, 4))
    truth = torch.arange(6) % 2 == 0
    ours = F.cosine_embedding_loss(one, other, truth)
    assert_same(ours, TF.cosine_embedding_loss(one, other, truth), EXACT)
    label = torch.ones(6, dtype=torch.float64, requires_grad=True)
    F.cosine_embedding_loss(one.requires_grad_(), other, label).backward()
    assert label.grad is None
    almost = torch.full((6,), 1 + 1e-12, dtype=torch.float64)
    assert F.cosine_embedding_loss(one.detach().float(), other.float(), almost) == 0


def test_the_result_has_the_promoted_dtype():
    x = torch.randn(4, 3)
    assert F.triplet_margin_loss(x.half(), x, x).dtype is torch.float32
    assert F.cosine_embedding_loss(x.half(), x.half(), torch.ones(4)).dtype is torch.float16
    assert F.triplet_margin_loss(x.int(), x.int(), x).dtype is torch.float32
    mixed = x.half().requires_grad_()
    F.triplet_margin_loss(mixed, x, -x).backward()
    assert mixed.grad.dtype is torch.float16
