"""Triplets with a distance that a kernel knows have torch's results."""

import itertools

import pytest
import torch
from torch import tensor

from onepass import functional as F
from tests.rowwise.embeddings.calls import (
    DISTANCE,
    ENGINES,
    EXACT,
    HALF,
    INF,
    REDUCTIONS,
    SHAPES,
    assert_all_same,
    on,
    results,
    triplets,
    upstream_of,
)
from tests.rowwise.triplet_margin_with_distance.checks import (
    assert_distance_is_torchs,
    assert_kinks_are_torchs,
    assert_long_and_short_float32_have_a_direction,
    assert_many_tiles_are_torchs,
    assert_short_vectors_are_torchs,
)
from tests.rowwise.triplet_margin_with_distance.distances import (
    ALL_KINDS,
    cosine,
    norm,
    squared,
    written,
)
from tests.twins import assert_same

TF = torch.nn.functional


@pytest.mark.slow
@ENGINES
@ALL_KINDS
def test_known_distances_are_torchs(distance, engine):
    margins = (0.2, 1.5)
    assert_distance_is_torchs(distance, SHAPES, engine, curved=False, margins=margins)
    assert_distance_is_torchs(distance, [(5,), (9, 3), (33, 130)], engine, margins=margins)


@ENGINES
def test_short_vectors_are_torchs(engine):
    assert_short_vectors_are_torchs(engine)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_curves_of_short_vectors_are_torchs(engine):
    for length in (1e-6, 1.1e-8, 0.9e-8, 1e-9):
        anchor, positive, negative = triplets((6, 3))
        anchor = anchor * (length / anchor.norm(dim=-1, keepdim=True))
        options = {"distance_function": cosine, "margin": 1.5}
        given = anchor, positive, negative
        ours = results(on(engine, DISTANCE), given, True, **options)
        theirs = results(TF.triplet_margin_with_distance_loss, given, True, **options)
        for a, b in zip(ours, theirs, strict=True):
            assert ((a - b).abs() <= 1e-10 * b.abs().max()).all()


@ENGINES
def test_long_and_short_float32_have_a_direction(engine):
    assert_long_and_short_float32_have_a_direction(engine)


def test_squares_overflow_as_the_formula_says():
    long = tensor([[1e30, 0.0]])
    given = (0 * long, long, 0 * long)
    ours = F.triplet_margin_with_distance_loss(*given, distance_function=squared)
    assert ours == INF
    assert TF.triplet_margin_with_distance_loss(*given, distance_function=squared) == INF


@ENGINES
def test_kinks_are_torchs(engine):
    assert_kinks_are_torchs(engine)


def test_where_roots_of_squares_are_0_their_slope_is_that_of_the_norm():
    root = written("(a - b).square().sum(-1).sqrt()")
    given = tensor([[0.0, 0.0]]), tensor([[0.0, 0.0]]), tensor([[3.0, 4.0]])
    options = {"margin": 9.0, "distance_function": root}
    assert results(TF.triplet_margin_with_distance_loss, given, **options)[1].isnan().all()
    ours = results(on("cpu", DISTANCE), given, **options)
    theirs = results(
        TF.triplet_margin_with_distance_loss, given, margin=9.0, distance_function=norm(2.0)
    )
    assert_all_same(ours, theirs, 1e-6)


def test_equal_largest_differences_share_the_slope():
    largest = written("torch.max(torch.abs(a - b), dim=1).values")
    given = tensor([[0.0, 0.0]]), tensor([[1.0, 1.0]]), tensor([[0.0, 5.0]])
    options = {"margin": 9.0, "reduction": "sum"}
    slope = results(on("cpu", DISTANCE), given, distance_function=largest, **options)[1]
    amax = written("(a - b).abs().amax(-1)")
    torchs = TF.triplet_margin_with_distance_loss
    assert_same(slope, results(torchs, given, distance_function=amax, **options)[1], 1e-6)


def test_rows_of_many_tiles():
    assert_many_tiles_are_torchs()


@ALL_KINDS
def test_engines_agree(distance):
    for shape, reduction in itertools.product([(7,), (40, 9)], (*REDUCTIONS, "batchmean")):
        options = {"distance_function": distance, "reduction": reduction}
        both = [results(on(e, DISTANCE), triplets(shape), **options) for e in ("cpu", "eager")]
        assert_all_same(*both, EXACT, f"{shape} {reduction}")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@ALL_KINDS
def test_low_precision_is_the_float64_result_rounded(distance, dtype):
    half = torch.finfo(dtype).eps / 2 if dtype in HALF else 0.0
    for shape, reduction in itertools.product([(300, 5), (40, 64), (6, 9000)], REDUCTIONS):
        given = triplets(shape, dtype)
        options = {"distance_function": distance, "reduction": reduction, "margin": 1.0}
        ours = results(on("cpu", DISTANCE), given, **options)
        leaves = [t.double().requires_grad_() for t in given]
        value = TF.triplet_margin_with_distance_loss(*leaves, **options)
        upstream = upstream_of(ours[0]).double()
        exact = [value.detach(), *torch.autograd.grad(value, leaves, upstream)]
        sizes = distance(leaves[0], leaves[1]).detach() + distance(leaves[0], leaves[2]).detach()
        sizes = {"none": sizes, "sum": sizes.sum(), "mean": sizes.mean()}[reduction]
        for k, (a, b) in enumerate(zip(ours, exact, strict=True)):
            assert a.dtype is dtype
            scale = b.abs().amax() if k else 1 + sizes  # the value is a difference of distances
            room = half * b.abs() + 1e-6 * scale + torch.finfo(dtype).tiny
            assert ((a.double() - b).abs() <= room).all(), f"{shape} {reduction} {k}"


def test_bits_do_not_depend_on_threads():
    before = torch.get_num_threads()
    try:
        for distance, shape in itertools.product((cosine, squared), ((30_000, 7), (3000, 300))):
            given, bits = triplets(shape, torch.float32), []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                bits.append(results(on("cpu", DISTANCE), given, distance_function=distance))
            assert all(torch.equal(a, b) for a, b in zip(*bits, strict=True))
    finally:
        torch.set_num_threads(before)


@ALL_KINDS
def test_backward_twice_gives_the_same(distance):
    given = triplets((6, 4))
    leaf = given[0].clone().requires_grad_()
    value = F.triplet_margin_with_distance_loss(leaf, *given[1:], distance_function=distance)
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (again,) = torch.autograd.grad(value, leaf)
    assert torch.equal(first, again)


def test_layout_does_not_matter():
    given = triplets((6, 10))
    plain = results(on("cpu", DISTANCE), given, distance_function=cosine)
    apart = [t.t().contiguous().t() for t in given]
    assert_all_same(
        results(on("cpu", DISTANCE), apart, distance_function=cosine), plain, 1e-15
    )  # fmt: skip
