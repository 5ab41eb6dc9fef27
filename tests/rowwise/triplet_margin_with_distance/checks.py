"""What triplets with a distance must do: checks, each of which some mutant must fail."""

import functools
import itertools

import torch
from torch import tensor

from tests.rowwise.embeddings.calls import (
    DISTANCE,
    EXACT,
    INF,
    REDUCTIONS,
    SHAPES,
    assert_all_same,
    grid_of_triplets,
    hurt,
    on,
    results,
    triplets,
    upstream_of,
)
from tests.rowwise.triplet_margin_with_distance.distances import KINDS, cosine, norm, squared
from tests.twins import assert_same

TF = torch.nn.functional


def assert_distance_is_torchs(distance, shapes, engine="cpu", curved=True, margins=(0.7,)):
    for shape, swap, reduction in itertools.product(shapes, (False, True), REDUCTIONS):
        for margin in margins:
            options = {"margin": margin, "swap": swap, "reduction": reduction}
            assert_call_is_torchs(distance, triplets(shape), engine, curved, **options)


def assert_call_is_torchs(distance, given, engine="cpu", curved=False, **options):
    options["distance_function"] = distance
    ours = results(on(engine, DISTANCE), given, curved, **options)
    theirs = results(TF.triplet_margin_with_distance_loss, given, curved, **options)
    assert_all_same(ours, theirs, EXACT, f"{given[0].shape} {options}")


def assert_cosines_are_torchs():
    """Of ordinary vectors, and of those that eps makes longer."""
    for name in ("cosine", "cosine, eps"):
        assert_distance_is_torchs(KINDS[name], SHAPES, curved=False, margins=(0.2, 1.5))


def assert_squares_are_torchs():
    assert_distance_is_torchs(squared, SHAPES, curved=False, margins=(0.7, 100.0))


def assert_short_vectors_are_torchs(engine="cpu"):
    """Around eps, and without length: torch's slope does not see eps."""
    lengths = [0.0, 1e-30, 1e-12, 0.9e-8, 1.1e-8, 1e-6, 1.0]
    sizes = tensor(list(itertools.product(lengths, repeat=3)), dtype=torch.float64)
    directions = [t / t.norm(dim=-1, keepdim=True) for t in triplets((len(sizes), 5))]
    given = [t * sizes[:, k : k + 1] for k, t in enumerate(directions)]
    for swap, margin in itertools.product((False, True), (0.3, 1.0, 1.7)):
        options = {"distance_function": cosine, "swap": swap, "margin": margin}
        options["reduction"] = "none"
        ours = results(on(engine, DISTANCE), given, **options)
        theirs = results(TF.triplet_margin_with_distance_loss, given, **options)
        assert_same(ours[0], theirs[0], EXACT)
        for a, b in zip(ours[1:], theirs[1:], strict=True):
            size = b.abs().amax(-1, keepdim=True)
            assert ((a - b).abs() <= EXACT * size).all(), f"{options}"


def assert_long_and_short_float32_have_a_direction(engine="cpu"):
    """As float64 has it, in which no square of a float32 over- or underflows."""
    lengths = (1e-30, 1e-12, 1e-7, 1.0, 1e12, 1e30)
    directions = [t / t.norm(dim=-1, keepdim=True) for t in triplets((12, 5))]
    # With eps short vectors are 1 away from all others: in float32 their swaps are ties.
    kinds = (1e-8, False), (0.0, False), (0.0, True)
    for sizes, (eps, swap) in itertools.product(itertools.product(lengths, repeat=3), kinds):
        given = [(t * size).float() for t, size in zip(directions, sizes, strict=True)]
        distance = functools.partial(cosine, eps=eps)
        options = {"distance_function": distance, "swap": swap, "reduction": "none", "margin": 0.9}
        ours = results(on(engine, DISTANCE), given, **options)
        wide = results(
            TF.triplet_margin_with_distance_loss, [t.double() for t in given], **options
        )  # fmt: skip
        assert_same(ours[0].double(), wide[0], 1e-6, f"{sizes}")
        upstream = (upstream_of(ours[0]).double() / upstream_of(wide[0])).unsqueeze(-1)
        for a, b in zip(ours[1:], wide[1:], strict=True):
            room = 2e-6 * b.abs().amax(-1, keepdim=True) + torch.finfo(torch.float32).tiny
            assert ((a.double() - upstream * b).abs() <= room).all(), f"{sizes}"


def assert_kinks_are_torchs(engine="cpu"):
    """The hinge at 0, distances that are 0, vectors without length, equal negatives."""
    kinds = [(distance, grid_of_triplets()) for distance in (squared, *map(norm, (1.0, 2.0, INF)))]
    kinds.append((cosine, grid_of_directions()))
    for (distance, given), swap in itertools.product(kinds, (False, True)):
        for margin in (1.0, 2.0, 9.0, 16.0):
            options = {"swap": swap, "margin": margin, "reduction": "none"}
            assert_call_is_torchs(distance, given, engine, **options)


def grid_of_directions():
    """All triplets of a few vectors whose cosines are -1, 0 and 1; one has no length."""
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, -2.0], [5.0, 0.0]]).double()
    places = torch.tensor(list(itertools.product(range(5), repeat=3)))
    return tuple(corners[places[:, k]] for k in range(3))


def assert_many_tiles_are_torchs():
    assert_distance_is_torchs(cosine, [(1500, 8)], curved=False)
    assert_distance_is_torchs(squared, [(1500, 8)], curved=False)


def assert_what_does_not_count_is_nothing(distance=cosine, engine="cpu"):
    for shape, weighted, reduction in itertools.product([(40, 9), (300, 64)], (0, 1), REDUCTIONS):
        given = triplets(shape)
        out = torch.arange(shape[0]) % 3 == 1
        weight = torch.where(out, 0.0, torch.linspace(0.5, 2, shape[0]).double())
        options = {"sample_weight": weight} if weighted else {"mask": ~out}
        weight = weight if weighted else (~out).double()
        options |= {"distance_function": distance, "reduction": reduction}
        ours = results(on(engine, DISTANCE), hurt(given, out), **options)

        def by_hand(*tensors, weight=weight, reduction=reduction):
            value = weight * TF.triplet_margin_with_distance_loss(
                *tensors, distance_function=distance, reduction="none"
            )
            if reduction == "none":
                return value
            return value.sum() if reduction == "sum" else value.sum() / weight.sum()

        assert_all_same(ours, results(by_hand, given), EXACT, f"{shape} {reduction}")
        for gradient in ours[1:]:
            assert not gradient[out].any()
