"""Distances that no kernel knows are called as they are, and no oftener than is needed."""

import functools
import gc

import pytest
import torch
from torch.autograd import forward_ad

from onepass import functional as F
from onepass import nn
from onepass.rowwise.triplet_margin_with_distance import recognise
from tests.rowwise.embeddings.calls import (
    DISTANCE,
    EXACT,
    assert_all_same,
    on,
    results,
    triplets,
    upstream_of,
)
from tests.rowwise.triplet_margin_with_distance.distances import (
    COSINE,
    SOME_KINDS,
    cosine,
    found,
    squared,
    written,
)
from tests.twins import assert_same

TF = torch.nn.functional


def assert_called(function, calls, times, **options):
    """As often as that for each of three losses."""
    for expected in times:
        calls.clear()
        F.triplet_margin_with_distance_loss(
            *triplets((6, 4)), distance_function=function, **options
        )
        assert len(calls) == expected, calls


@pytest.mark.parametrize("swap, pairs", [(False, 2), (True, 3)])
def test_a_distance_that_is_not_recognised_is_tried_once(swap, pairs):
    calls = []

    def own(a, b):
        calls.append((a, b))
        return (a - b).norm(dim=-1) + a.norm(dim=-1)

    assert_called(own, calls, [pairs + 1, pairs, pairs], swap=swap)
    assert all(type(x) is torch.Tensor for pair in calls for x in pair)


def test_a_recognised_distance_is_asked_once_per_loss():
    calls = []

    def known(a, b):
        calls.append((a, b))
        return (a - b).norm(dim=-1)

    assert_called(known, calls, [1, 1, 1], swap=True)


def test_a_method_that_is_not_recognised_is_tried_once():
    class Owner:
        def __init__(self):
            self.calls = []

        def distance(self, a, b):
            self.calls.append((a, b))
            return (a * b).sum(-1).abs()

    owner = Owner()
    for expected in (3, 2):
        owner.calls.clear()
        F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=owner.distance)
        assert len(owner.calls) == expected


def test_what_cannot_be_remembered_is_called_all_the_same():
    class Unhashable:
        __hash__ = None

        def __call__(self, a, b):
            return (a * b).sum(-1).abs()

    function, given = Unhashable(), triplets((6, 4))
    ours = F.triplet_margin_with_distance_loss(*given, distance_function=function)
    theirs = TF.triplet_margin_with_distance_loss(*given, distance_function=function)
    assert_same(ours, theirs, EXACT)


def test_functions_are_remembered_weakly():
    gc.collect()
    before = len(recognise._others)
    function = written("(a + b).norm(dim=-1)")
    assert found(function) is None
    assert len(recognise._others) == before + 1
    del function
    gc.collect()
    assert len(recognise._others) == before


def test_the_distance_sees_the_tensors_of_the_call():
    seen, given = [], triplets((6, 4))

    def own(a, b):
        seen.append((a, b))
        return (a - b).exp().sum(-1)

    F.triplet_margin_with_distance_loss(*given, distance_function=own, swap=True)
    anchor, positive, negative = given
    expected = [(anchor, positive), (anchor, negative), (positive, negative)]
    assert all(a is c and b is d for (a, b), (c, d) in zip(seen[1:], expected, strict=True))


def test_modules_of_more_than_their_forward_are_called():
    calls = []

    class Counted(torch.nn.Module):
        def forward(self, a, b):
            calls.append((a, b))
            return (a - b).norm(dim=-1)

    assert_called(Counted(), calls, [1, 1])
    learned, buffered, hooked, inside = Counted(), Counted(), Counted(), Counted()
    learned.scale = torch.nn.Parameter(torch.ones(()))
    buffered.register_buffer("seen", torch.zeros(()))
    hooked.register_forward_hook(lambda *_: None)
    inside.layer = torch.nn.Linear(4, 4)
    for module in (learned, buffered, hooked, inside):
        assert_called(module, calls, [2, 2])


def test_a_distance_without_a_slope_keeps_none():
    @torch.no_grad()
    def still(a, b):
        return (a - b).norm(dim=-1)

    assert found(still) is None
    leaf = torch.ones(6, 4, requires_grad=True)
    loss = F.triplet_margin_with_distance_loss(leaf, -leaf, 2 * leaf, distance_function=still)
    assert not loss.requires_grad
    with torch.no_grad():
        assert found(cosine) == COSINE


def test_tensors_that_are_not_plain_or_not_alike_are_left_to_the_function():
    class Mine(torch.Tensor):
        pass

    plain, wide = torch.ones(6, 4), torch.ones(6, 4, dtype=torch.float64)
    for other in (plain.as_subclass(Mine), plain[:1], wide, plain.to_sparse(), plain.to("meta")):
        assert recognise.recognised(cosine, [plain, plain, other]) is None
    assert recognise.recognised(cosine, [plain, None, 3]) is None
    assert found(cosine, (6, 0)) is None
    assert found(cosine, ()) is None
    assert found(cosine, dtype=torch.int64) is None
    assert found(cosine, dtype=torch.complex64) is None
    given = triplets((6, 4))
    for tensors in ((given[0][:1], *given[1:]), (given[0], given[1][:1], given[2][:1])):
        ours = results(on("auto", DISTANCE), tensors, distance_function=squared)
        torchs = TF.triplet_margin_with_distance_loss
        assert_all_same(ours, results(torchs, tensors, distance_function=squared), EXACT)


@SOME_KINDS
def test_transforms_go_through_the_function(distance):
    given = triplets((6, 4))
    call = functools.partial(F.triplet_margin_with_distance_loss, distance_function=distance)
    plain = results(call, given)
    first = torch.func.grad(lambda x: call(x, *given[1:]))(given[0])
    assert_same(first * upstream_of(plain[0]), plain[1], EXACT)
    each = torch.func.vmap(call)(*given)
    assert_same(each, call(*given, reduction="none"), EXACT)
    along = torch.ones_like(given[0])
    with forward_ad.dual_level():
        dual = call(forward_ad.make_dual(given[0], along), *given[1:])
        assert_same(forward_ad.unpack_dual(dual).tangent, (first * along).sum(), 1e-11)


@SOME_KINDS
def test_compiles_in_one_graph(distance):
    given = triplets((6, 4))
    call = functools.partial(F.triplet_margin_with_distance_loss, distance_function=distance)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    assert_all_same(results(compiled, given), results(call, given), EXACT)


def test_the_module_asks_its_distance_too():
    given = triplets((6, 4))
    ours = nn.TripletMarginWithDistanceLoss(distance_function=cosine, margin=0.3, swap=True)
    theirs = torch.nn.TripletMarginWithDistanceLoss(distance_function=cosine, margin=0.3, swap=True)
    assert_all_same(results(ours, given), results(theirs, given), EXACT)
