"""What losses of vectors must do: checks, each of which some mutant must fail."""

import itertools
import math

import torch
from torch import tensor

from tests.rowwise.embeddings.calls import (
    COSINE,
    EXACT,
    INF,
    NORMS,
    REDUCTIONS,
    SHAPES,
    TRIPLET,
    assert_all_same,
    grid_of_triplets,
    hurt,
    on,
    pairs,
    results,
    triplets,
    upstream_of,
)
from tests.twins import assert_same

TF = torch.nn.functional


def assert_pairs_are_torchs(engine="cpu", shapes=SHAPES, curved=False):
    for shape, margin, reduction in itertools.product(shapes, (0.0, 0.3, -0.5), REDUCTIONS):
        options = {"margin": margin, "reduction": reduction}
        given = pairs(shape)
        theirs_given = [x.flatten(0, -2) if len(shape) > 2 else x for x in given[:2]]
        theirs_given.append(given[2].flatten() if len(shape) > 2 else given[2])
        ours = results(on(engine, COSINE), given, curved, **options)
        theirs = results(TF.cosine_embedding_loss, theirs_given, curved, **options)
        theirs = [b.reshape(a.shape) for a, b in zip(ours, theirs, strict=True)]
        if reduction == "none" and len(shape) > 2:  # upstream was drawn in another shape
            assert torch.equal(upstream_of(ours[0]).flatten(), upstream_of(ours[0].flatten()))
        assert_all_same(ours, theirs, EXACT, f"{shape} {options}")


def assert_triplets_are_torchs(engine="cpu", shapes=SHAPES, norms=NORMS, curved=False):
    for shape, p, swap, reduction in itertools.product(shapes, norms, (False, True), REDUCTIONS):
        if p < 1 and shape[-1] > 20:
            continue  # distances of thousands, whose difference has lost the digits compared
        for margin, eps in ((1.0, 1e-6), (0.5, 0.25)):
            options = {"margin": margin, "p": p, "eps": eps, "swap": swap, "reduction": reduction}
            ours = results(on(engine, TRIPLET), triplets(shape), curved, **options)
            theirs = results(TF.triplet_margin_loss, triplets(shape), curved, **options)
            assert_all_same(ours, theirs, EXACT, f"{shape} {options}")


def assert_euclidean_triplets_are_torchs():
    assert_triplets_are_torchs(shapes=[(300, 5)], norms=(2.0,))


def assert_what_does_not_count_is_nothing(name, engine="cpu"):
    """Rows that hold nan and infinities: value of the others alone, gradient exactly 0."""
    for shape, how, reduction in itertools.product([(40, 9), (300, 64)], (0, 1), REDUCTIONS):
        given = pairs(shape) if name == COSINE else triplets(shape)
        out = torch.arange(shape[0]) % 3 == 1
        weights = torch.where(out, 0.0, torch.linspace(0.5, 2, shape[0]).double())
        options = {"sample_weight": weights} if how else {"mask": ~out}
        weight = weights if how else (~out).double()
        ours = results(on(engine, name), hurt(given, out), reduction=reduction, **options)

        def by_hand(*tensors, weight=weight, reduction=reduction):
            value = getattr(TF, name)(*tensors, reduction="none") * weight
            if reduction == "none":
                return value
            return value.sum() if reduction == "sum" else value.sum() / weight.sum()

        assert_all_same(ours, results(by_hand, given), EXACT, f"{shape} {reduction}")
        for gradient in ours[1:]:
            assert not gradient[out].any()


def assert_short_and_long_vectors_have_a_direction(engine="cpu"):
    for dtype, sizes in (
        (torch.float32, (1e-40, 1e-25, 1e-7, 1.0, 1e7, 1e30, 3e38)),
        (torch.float64, (1e-310, 1e-170, 1e-7, 1.0, 1e30, 1e170, 1e308)),
    ):
        for a, b in itertools.product(sizes, sizes):
            one = tensor([[a, 0.0], [a, a], [a, 0.0]], dtype=dtype)
            other = tensor([[b, 0.0], [0.0, b], [0.0, -b]], dtype=dtype)
            loss = on(engine, COSINE)(one, other, torch.ones(3), reduction="none")
            cosine = tensor([1.0, math.sqrt(0.5), 0.0], dtype=dtype)
            assert_same(loss, 1 - cosine, 5e-7 if dtype is torch.float32 else 1e-14)
            if 1e-30 < a < 1e30:
                slope = on(engine, COSINE)
                leaf = one.clone().requires_grad_()
                (found,) = torch.autograd.grad(slope(leaf, other, torch.ones(3)), leaf)
                wanted = -tensor([[0.0, 0.0], [-0.5, 0.5], [0.0, -1.0]], dtype=dtype) / 3
                wanted[1] *= math.sqrt(0.5)
                assert_same(found * a, wanted, 1e-6 if dtype is torch.float32 else 1e-14)


def assert_distances_do_not_overflow(engine="cpu"):
    for p, size in itertools.product((2.0, 3.0, 0.5, 1.0, INF), (1e-30, 1.0, 1e15, 1e30)):
        given = triplets((30, 8))
        exact = results(TF.triplet_margin_loss, given, p=p, eps=0.0, margin=1.0)
        scaled = [t.float() * size for t in given]
        options = {"p": p, "eps": 0.0, "margin": float(size)}
        ours = results(on(engine, TRIPLET), scaled, **options)
        assert_all_same([ours[0].double() / size, *ours[1:]], exact, 1e-5, f"{p} {size}")


def assert_bits_do_not_depend_on_threads():
    before = torch.get_num_threads()
    try:
        for name, shape in itertools.product((COSINE, TRIPLET), ((30_000, 7), (3000, 300))):
            given = (
                pairs(shape, torch.float32) if name == COSINE else triplets(shape, torch.float32)
            )
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(results(on("cpu", name), given))
            for a, b in zip(*found, strict=True):
                assert torch.equal(a, b)
    finally:
        torch.set_num_threads(before)


def rows_of_many_blocks():
    assert_pairs_are_torchs(shapes=[(1500, 8)])
    assert_triplets_are_torchs(shapes=[(1500, 8)], norms=(2.0,))


def assert_kinks_are_torchs(engine="cpu", norms=(2.0, 1.0, INF)):
    """The hinge at 0, equal differences, distances that are 0, negatives at the same distance."""
    for p, swap, margin in itertools.product(norms, (False, True), (1.0, 2.0, 3.0, 4.0)):
        given = grid_of_triplets()
        options = {"p": p, "swap": swap, "margin": margin, "eps": 0.0, "reduction": "none"}
        ours = results(on(engine, TRIPLET), given, **options)
        theirs = results(TF.triplet_margin_loss, given, **options)
        assert_all_same(ours, theirs, EXACT, f"{options}")
