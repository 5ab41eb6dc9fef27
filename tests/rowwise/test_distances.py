"""Distances of one's own in triplet_margin_with_distance_loss: which of them a kernel knows, that
these are torch's, and that all others are called as they are.
"""

import functools
import gc
import itertools
import math

import pytest
import torch
from torch import tensor
from torch.autograd import forward_ad

import onepass
from onepass import functional as F
from onepass import nn
from onepass.printers import rows as printer
from onepass.rowwise.triplet_margin_with_distance import recognise
from tests.rowwise.test_embeddings import (
    DISTANCE,
    ENGINES,
    EXACT,
    HALF,
    INF,
    NAN,
    REDUCTIONS,
    assert_all_same,
    grid_of_triplets,
    hurt,
    on,
    results,
    triplets,
    upstream_of,
)
from tests.twins import assert_same

TF = torch.nn.functional
SHAPES = [(5,), (1, 2), (9, 3), (300, 5), (40, 64), (33, 130), (4, 9000), (3, 4, 17)]


# Distances as they are written


def of_norm(p, eps=0.0):
    return recognise.NORM, eps, p


SQUARED = recognise.SQUARED, 0.0, 2.0
COSINE = recognise.COSINE, 1e-8, 2.0


def cosine(a, b, eps=1e-8):
    return 1 - TF.cosine_similarity(a, b, dim=-1, eps=eps)


def squared(a, b):
    return (a - b).square().sum(-1)


def norm(p):
    return lambda a, b: torch.linalg.vector_norm(a - b, ord=p, dim=-1)


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


KINDS = {
    "cosine": cosine,
    "cosine, eps": functools.partial(cosine, eps=6.5),
    "squared": squared,
    "1": norm(1.0),
    "2": norm(2.0),
    "3": norm(3.0),
    "inf": norm(INF),
}
ALL_KINDS = pytest.mark.parametrize("distance", KINDS.values(), ids=KINDS)
SOME_KINDS = pytest.mark.parametrize(
    "distance", [cosine, squared, norm(3.0)], ids=["cosine", "squared", "3"]
)


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


def written(text):
    """The function with this body."""
    names = {"torch": torch, "F": TF, "math": math, "W": torch.eye(4, dtype=torch.float64)}
    return eval(f"lambda a, b: {text}", names)


def found(function, shape=(6, 4), **kind):
    return recognise.recognised(function, [torch.ones(shape, **kind) for _ in range(3)])


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


# What is called as it is


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


# Parity. Checks, each of which some mutant must fail


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


@pytest.mark.slow
@ENGINES
@ALL_KINDS
def test_known_distances_are_torchs(distance, engine):
    margins = (0.2, 1.5)
    assert_distance_is_torchs(distance, SHAPES, engine, curved=False, margins=margins)
    assert_distance_is_torchs(distance, [(5,), (9, 3), (33, 130)], engine, margins=margins)


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


@ENGINES
def test_long_and_short_float32_have_a_direction(engine):
    assert_long_and_short_float32_have_a_direction(engine)


def test_squares_overflow_as_the_formula_says():
    long = tensor([[1e30, 0.0]])
    given = (0 * long, long, 0 * long)
    ours = F.triplet_margin_with_distance_loss(*given, distance_function=squared)
    assert ours == INF
    assert TF.triplet_margin_with_distance_loss(*given, distance_function=squared) == INF


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


def assert_many_tiles_are_torchs():
    assert_distance_is_torchs(cosine, [(1500, 8)], curved=False)
    assert_distance_is_torchs(squared, [(1500, 8)], curved=False)


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


# What does not count, and what is nan


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


WRONG = {
    "torch.cdist(a, b)": "returned (6, 6) for anchor (6, 4)",
    "(a - b).square().sum()": "returned () for anchor (6, 4)",
    "(a - b).norm(dim=0)": "returned (4,) for anchor (6, 4)",
}


@pytest.mark.parametrize("text, message", WRONG.items(), ids=WRONG)
def test_a_wrong_shape_is_refused(text, message):
    function = written(text)
    for _ in range(2):
        with pytest.raises(onepass.ShapeError) as caught:
            F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=function)
        assert message in str(caught.value)


def test_an_error_of_the_function_is_its_own():
    def broken(a, b):
        raise ZeroDivisionError("mine")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match=r"^mine$") as caught:
            F.triplet_margin_with_distance_loss(*triplets((6, 4)), distance_function=broken)
        assert caught.value.__context__ is None


# The tests are tested


MUTANTS = [
    ("if SQUARED:\n        return total", "if False:\n        return total",
     assert_squares_are_torchs),
    ("real(2.0 * factor)", "real(factor)", assert_squares_are_torchs),
    ("(1.0 - near) - distance", "near - distance", assert_cosines_are_torchs),
    ("1.0 - far, float64(1.0)", "1.0 - far, float64(0.5)", assert_cosines_are_torchs),
    ("weight * value", "value", assert_what_does_not_count_is_nothing),
    ("scale * weight)", "scale)", assert_what_does_not_count_is_nothing),
    ("logical_or(beyond, weight == 0.0)", "weight == 0.0", assert_cosines_are_torchs),
    ("value < 0.0\n", "value <= 0.0\n", assert_kinks_are_torchs),
    ("float64(0.5), float64(1.0)", "float64(1.0), float64(1.0)", assert_kinks_are_torchs),
    ("far > other", "far < other", assert_cosines_are_torchs),
    ("a * size_a", "a * a", assert_short_vectors_are_torchs),
    ("turn_p = by_far * far - factor * near, by_other * other - factor * near",
     "turn_p = by_far * far - factor * near, by_other * other", assert_cosines_are_torchs),
    ("turn_n = by_far * far + by_other * other", "turn_n = by_far * far",
     assert_cosines_are_torchs),
    ("lengths != 0.0", "lengths == lengths", assert_short_vectors_are_torchs),
    ("size < least", "size < 0.0", assert_cosines_are_torchs),
    ("eps * float64(read(shrink_at, ANCHOR + k))", "eps", assert_short_vectors_are_torchs),
    ("size = real(eps)", "size = real(0.0)", assert_long_and_short_float32_have_a_direction),
    ("if not logical_and(\n", "if False and not logical_and(\n",
     assert_long_and_short_float32_have_a_direction),
    ("logical_and(square > LOW, square < HIGH)", "logical_and(square >= 0.0, square < HIGH)",
     assert_long_and_short_float32_have_a_direction),
    ("shrink_n * (far * a", "(far * a", assert_short_vectors_are_torchs),
    ("near * p + far * n - own_a * a", "near * p + far * n", assert_cosines_are_torchs),
    ("near * a + other * n", "near * a - other * n", assert_cosines_are_torchs),
    ("far + float64(an)", "float64(an)", assert_cosines_are_torchs),
    ("block * at_once\n", "block * at_once + (block == 3)\n", assert_many_tiles_are_torchs),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("was, becomes, check", MUTANTS, ids=[f"{a} -> {b}" for a, b, _ in MUTANTS])
@pytest.mark.usefixtures("fresh")
def test_a_mutant_is_caught(was, becomes, check, monkeypatch):
    right, changed = printer.text, []

    def wrong(*arguments):
        text = right(*arguments)
        changed.append(was in text)
        return text.replace(was, becomes)

    monkeypatch.setattr(printer, "text", wrong)
    with pytest.raises(AssertionError):
        check()
    assert any(changed)


def test_the_checks_hold_without_a_mutant():
    for check in {check for _, _, check in MUTANTS}:
        check()
