"""cosine_embedding_loss and the triplet losses have torch's results."""

import itertools

import pytest
import torch
from torch import tensor

from tests.rowwise.embeddings.calls import (
    COSINE,
    DISTANCE,
    DISTANCES,
    ENGINES,
    EXACT,
    HALF,
    INF,
    NORMS,
    REDUCTIONS,
    SHAPES,
    TRIPLET,
    assert_all_same,
    on,
    pairs,
    results,
    triplets,
    upstream_of,
)
from tests.rowwise.embeddings.checks import (
    assert_kinks_are_torchs,
    assert_pairs_are_torchs,
    assert_triplets_are_torchs,
)

TF = torch.nn.functional


@ENGINES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cosine_embedding_is_torchs(shape, engine):
    assert_pairs_are_torchs(engine, [shape], curved=True)


@ENGINES
@pytest.mark.parametrize("p", NORMS)
def test_triplet_margin_is_torchs(p, engine):
    assert_triplets_are_torchs(engine, norms=(p,))


@pytest.mark.parametrize("p", NORMS)
def test_second_derivatives_of_triplet_margin_are_torchs(p):
    assert_triplets_are_torchs("cpu", [(5,), (9, 3), (33, 130)], (p,), curved=True)


@ENGINES
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
def test_triplet_margin_with_distance_is_torchs(distance, engine):
    for shape, swap, reduction in itertools.product([(5, 2), (40, 33)], (False, True), REDUCTIONS):
        options = {"distance_function": distance, "swap": swap, "reduction": reduction}
        ours = results(on(engine, DISTANCE), triplets(shape), True, margin=0.7, **options)
        torchs = TF.triplet_margin_with_distance_loss
        theirs = results(torchs, triplets(shape), True, margin=0.7, **options)
        assert_all_same(ours, theirs, EXACT, f"{shape} {swap} {reduction}")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("name, options", [
    (COSINE, {}), (COSINE, {"margin": 0.3}), (TRIPLET, {}), (TRIPLET, {"swap": True}),
    (TRIPLET, {"p": 1.0}), (TRIPLET, {"p": INF}), (TRIPLET, {"p": 3.0}), (TRIPLET, {"p": 1.5}),
])  # fmt: skip
def test_low_precision_is_the_float64_result_rounded(name, options, dtype):
    for shape, reduction in itertools.product([(300, 5), (40, 64), (6, 9000)], REDUCTIONS):
        given = pairs(shape, dtype) if name == COSINE else triplets(shape, dtype)
        ours = results(on("cpu", name), given, reduction=reduction, **options)
        wide = [t.double() for t in given]
        leaves = [t.requires_grad_() for t in wide]
        value = getattr(TF, name)(*leaves, reduction=reduction, **options)
        upstream = upstream_of(ours[0]).double()
        wanted = leaves[:2] if name == COSINE else leaves
        exact = [value.detach(), *torch.autograd.grad(value, wanted, upstream)]
        sizes = torch.ones(shape[0]) if name == COSINE else distances(wide, options.get("p", 2.0))
        sizes = {"none": sizes, "sum": sizes.sum(), "mean": sizes.mean()}[reduction]
        half = torch.finfo(dtype).eps / 2 if dtype in HALF else 0.0
        for k, (a, b) in enumerate(zip(ours, exact, strict=True)):
            assert a.dtype is dtype
            scale = b.abs().amax() if k else sizes  # the value is a difference of distances
            room = half * b.abs() + 5e-7 * scale + torch.finfo(dtype).tiny
            assert ((a.double() - b).abs() <= room).all(), f"{shape} {reduction} {k}"


def distances(given, p):
    near, far = (TF.pairwise_distance(given[0], other, p).detach() for other in given[1:])
    return near + far


@pytest.mark.parametrize("name", [COSINE, TRIPLET, DISTANCE])
def test_engines_agree(name):
    for shape, reduction in itertools.product([(7,), (40, 9)], (*REDUCTIONS, "batchmean")):
        given = pairs(shape) if name == COSINE else triplets(shape)
        found = [results(on(e, name), given, reduction=reduction) for e in ("cpu", "eager")]
        assert_all_same(*found, EXACT, f"{shape} {reduction}")


@ENGINES
def test_kinks_of_triplets_are_torchs(engine):
    assert_kinks_are_torchs(engine)


@ENGINES
def test_the_kink_of_dissimilar_pairs_is_torchs(engine):
    one = tensor([[48.0, 64.0], [64.0, 48.0], [0.0, 80.0]], dtype=torch.float64)
    given = one, tensor([[80.0, 0.0]], dtype=torch.float64).expand(3, 2), -torch.ones(3)
    for place, cosine in enumerate((0.6, 0.8, 0.0)):
        options = {"margin": cosine, "reduction": "none"}
        ours = results(on(engine, COSINE), given, **options)
        assert ours[0][place] == 0
        assert ours[1][place].any()  # the slope at the kink is that of the cosine
    # torch's 1e-12 moves the others off the kink
    theirs = results(TF.cosine_embedding_loss, given, **options)
    assert_all_same(ours, theirs, EXACT)


@ENGINES
def test_anchor_equal_to_positive_is_torchs(engine):
    anchor, _, negative = triplets((4, 3))
    given = (anchor, anchor.clone(), negative)
    for eps in (1e-6, 0.0):
        ours = results(on(engine, TRIPLET), given, eps=eps, margin=9.0, curved=eps > 0)
        theirs = results(TF.triplet_margin_loss, given, eps=eps, margin=9.0, curved=eps > 0)
        assert_all_same(ours, theirs, 1e-9 if eps else EXACT)  # the bend is 1e6 there
