"""cosine_embedding, triplet_margin and triplet_margin_with_distance: torch's results where they
are right, the right ones where they are not."""

import copy
import io
import itertools
import math
import pickle
import re

import pytest
import torch
from torch import tensor
from torch.autograd import forward_ad

import onepass
from onepass import functional as F
from onepass import nn
from onepass.printers import rows as printer
from tests.twins import assert_same

TF = torch.nn.functional
EXACT = 1e-12  # relative, in float64
INF, NAN = math.inf, math.nan
REDUCTIONS = ("mean", "sum", "none")
HALF = (torch.float16, torch.bfloat16)
ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])
SHAPES = [(5,), (1, 2), (9, 3), (300, 5), (40, 64), (33, 130), (4, 9000), (3, 4, 17)]
NORMS = (2.0, 1.0, INF, 3.0, 1.5, 0.5)
COSINE, TRIPLET = "cosine_embedding_loss", "triplet_margin_loss"
DISTANCE = "triplet_margin_with_distance_loss"


# Calls


def vectors(shape, seed, dtype=torch.float64):
    """Of lengths from 5 to 9: torch adds 1e-12 to the squares of them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=-1, keepdim=True)
    return (x * (5 + 4 * torch.rand((*shape[:-1], 1), generator=generator).double())).to(dtype)


def pairs(shape, dtype=torch.float64):
    """Two vectors in all angles, and a label: 1, -1 or none."""
    one = vectors(shape, 1, dtype)
    other = (one.double() * torch.linspace(-1, 1, shape[0] if shape[1:] else 1).double().reshape(
        -1, *[1] * (len(shape) - 1)
    ) + vectors(shape, 2)).to(dtype)  # fmt: skip
    label = torch.arange(math.prod(shape[:-1])).reshape(shape[:-1]) % 5 - 1
    label = torch.where(label > 1, label - 3, label)
    return one, other, label.to(dtype)


def triplets(shape, dtype=torch.float64):
    """Some beyond the margin, some not; some whose positive is closer to the negative."""
    return tuple(vectors(shape, seed, dtype) for seed in (3, 4, 5))


def upstream_of(value):
    generator = torch.Generator().manual_seed(6)
    return torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)


def results(function, tensors, curved=False, **options):
    """Value, gradients for a random upstream and, if `curved`, how those bend."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors[:2]]
    leaves += [
        t.detach().clone().requires_grad_() for t in tensors[2:] if t.dim() == tensors[0].dim()
    ]
    rest = tensors[len(leaves) :]
    value = function(*leaves, *rest, **options)
    slopes = torch.autograd.grad(value, leaves, upstream_of(value), create_graph=curved)
    found = [value.detach(), *(slope.detach() for slope in slopes)]
    if curved:
        along = [
            torch.sin(7 * torch.arange(s.numel()).double() + 1).reshape(s.shape) for s in slopes
        ]
        total = sum((a * s).sum() for a, s in zip(along, slopes, strict=True))
        bends = [None] * len(leaves)
        if total.requires_grad:
            bends = torch.autograd.grad(total, leaves, allow_unused=True)
        found += [
            torch.zeros_like(x) if b is None else b for b, x in zip(bends, leaves, strict=True)
        ]
    return found


def on(engine, name):
    """Our function on one engine."""

    def call(*tensors, **options):
        with onepass.engine(engine):
            return getattr(F, name)(*tensors, **options)

    return call


def assert_all_same(ours, theirs, tolerance, message=""):
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, message
        assert a.isfinite().all(), message
        assert_same(a.double(), b.double(), tolerance, f"{message} result {k}")


# Checks, each of which some mutant must fail


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


def hurt(tensors, rows):
    bad = tensor([NAN, INF, -INF, 1e308], dtype=tensors[0].dtype)
    return [
        torch.where(rows.unsqueeze(-1), bad[torch.arange(t.numel()) % 4].reshape(t.shape), t)
        if t.dim() == 2
        else t
        for t in tensors
    ]


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


def grid_of_triplets():
    """All triplets of a few corners of a grid whose distances are whole numbers."""
    corners = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0], [0.0, -4.0], [-3.0, 3.0]]).double()
    places = torch.tensor(list(itertools.product(range(5), repeat=3)))
    return tuple(corners[places[:, k]] for k in range(3))


# Parity


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


DISTANCES = {
    "none": None,
    "function": TF.pairwise_distance,
    "module": torch.nn.PairwiseDistance(p=3.0, eps=0.1),
    "keepdim": torch.nn.PairwiseDistance(keepdim=True),
    "squared": lambda x, y: (x - y).pow(2).sum(-1),
    "cosine": lambda x, y: 1 - TF.cosine_similarity(x, y, dim=-1),
    "negative norm": torch.nn.PairwiseDistance(p=-1.0),
}


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


# Where torch is wrong


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


@ENGINES
def test_anchor_equal_to_positive_is_torchs(engine):
    anchor, _, negative = triplets((4, 3))
    given = (anchor, anchor.clone(), negative)
    for eps in (1e-6, 0.0):
        ours = results(on(engine, TRIPLET), given, eps=eps, margin=9.0, curved=eps > 0)
        theirs = results(TF.triplet_margin_loss, given, eps=eps, margin=9.0, curved=eps > 0)
        assert_all_same(ours, theirs, 1e-9 if eps else EXACT)  # the bend is 1e6 there


# What does not count


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


# Kinks


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


# Layouts, broadcasts, dtypes


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


# Transforms, compilation, copies


@pytest.mark.parametrize("name", [COSINE, TRIPLET, DISTANCE])
def test_transforms(name):
    given = pairs((6, 4)) if name == COSINE else triplets((6, 4))
    call = getattr(F, name)
    plain = results(on("cpu", name), given)
    first = torch.func.grad(lambda x: call(x, *given[1:]))(given[0])
    assert_same(first * upstream_of(plain[0]), plain[1], EXACT)
    each = torch.func.vmap(call)(*given)
    assert_same(each, call(*given, reduction="none"), EXACT)
    along = torch.ones_like(given[0])
    _, moved = torch.func.jvp(lambda x: call(x, *given[1:]), (given[0],), (along,))
    assert_same(moved, (first * along).sum(), 1e-11)
    with forward_ad.dual_level():
        dual = call(forward_ad.make_dual(given[0], along), *given[1:])
        assert_same(forward_ad.unpack_dual(dual).tangent, moved, EXACT)


@pytest.mark.parametrize(
    "options", [{}, {"reduction": "none"}, {"mask": torch.arange(6) > 2}], ids=str
)
@pytest.mark.parametrize("name", [COSINE, TRIPLET, DISTANCE])
def test_compiles_in_one_graph(name, options):
    given = pairs((6, 4)) if name == COSINE else triplets((6, 4))
    torch._dynamo.reset()
    compiled = torch.compile(getattr(F, name), fullgraph=True, backend="eager")
    assert_all_same(
        results(compiled, given, **options), results(on("cpu", name), given, **options), EXACT
    )  # fmt: skip


MODULES = [
    (nn.CosineEmbeddingLoss(margin=0.2), "CosineEmbeddingLoss(margin=0.2)"),
    (nn.TripletMarginLoss(p=INF, swap=True), "TripletMarginLoss(p=inf, swap=True)"),
    (
        nn.TripletMarginWithDistanceLoss(margin=2.0),
        (
            "TripletMarginWithDistanceLoss(\n"
            "  margin=2.0\n"
            "  (distance_function): PairwiseDistance()\n"
            ")"
        ),
    ),
]


@pytest.mark.parametrize("module, text", MODULES, ids=[text for _, text in MODULES])
def test_modules(module, text):
    cosine = isinstance(module, nn.CosineEmbeddingLoss)
    given = pairs((6, 4)) if cosine else triplets((6, 4))
    value = module(*given)
    assert repr(module) == text
    assert module.state_dict() == {}
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(*given), value)
        assert repr(other) == text
    assert torch.equal(type(module)(**module.config())(*given), value)
    torchs = getattr(torch.nn, type(module).__name__)(**module.config())
    assert_same(value, torchs(*given), EXACT)
    masked = module(*given, mask=torch.arange(6) < 3)
    assert_same(masked, torchs(*(t[:3] for t in given)), EXACT)


def test_a_distance_with_parameters_is_part_of_the_module():
    class Learned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))

        def forward(self, x, y):
            return (self.scale * (x - y)).abs().sum(-1)

    loss = nn.TripletMarginWithDistanceLoss(distance_function=Learned(), margin=30.0)
    torchs = torch.nn.TripletMarginWithDistanceLoss(distance_function=Learned(), margin=30.0)
    assert list(loss.state_dict()) == list(torchs.state_dict()) == ["distance_function.scale"]
    for module in (loss, torchs):
        module(*triplets((6, 4))).backward()
    assert_same(loss.distance_function.scale.grad, torchs.distance_function.scale.grad, EXACT)
    buffer = io.BytesIO()
    torch.save(loss.state_dict(), buffer)
    buffer.seek(0)
    loss.load_state_dict(torch.load(buffer))


def test_built_by_name():
    assert repr(onepass.get("triplet_margin", p=1.0)) == "TripletMarginLoss(p=1.0)"
    assert isinstance(onepass.get("CosineEmbeddingLoss"), nn.CosineEmbeddingLoss)


def test_bits_do_not_depend_on_threads():
    assert_bits_do_not_depend_on_threads()


@pytest.mark.parametrize("name", [COSINE, TRIPLET])
def test_backward_twice_gives_the_same(name):
    given = pairs((6, 4)) if name == COSINE else triplets((6, 4))
    leaf = given[0].clone().requires_grad_()
    value = getattr(F, name)(leaf, *given[1:])
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    (again,) = torch.autograd.grad(value, leaf)
    assert torch.equal(first, again)


# Errors


X = torch.zeros(4, 3)
BY_ROW = torch.zeros(5, 3)
THREE = (X, X, X)


def every_pair(x, y):
    return torch.cdist(x, y)


def one_for_all(x, y):
    return (x - y).pow(2).sum()


def a_number(x, y):
    return 3.0


ERRORS = [
    (lambda: F.cosine_embedding_loss(X, torch.zeros(4, 5), torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: `input1` and `input2` must have as many features on their last axis; "
     "got input1 (4, 3) and input2 (4, 5).")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(4, 1)), onepass.ShapeError,
     ("cosine_embedding_loss: `target` must hold a label, 1 or -1, for each pair, (4,); "
     "got (4, 1). Did you mean target.squeeze(1)?")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(5)), onepass.ShapeError,
     "cosine_embedding_loss: `target` must hold a label, 1 or -1, for each pair, (4,); got (5,)."),
    (lambda: F.cosine_embedding_loss(X, X, 1.0), onepass.DtypeError,
     ("cosine_embedding_loss: `target` must be a tensor, got float: 1.0. "
     "Write torch.as_tensor(target).")),
    (lambda: F.cosine_embedding_loss(X, X[0], torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: the tensors must have the same number of axes; got input1 (4, 3), "
     "input2 (3,). Write unsqueeze(0) for one that serves all rows.")),
    (lambda: F.cosine_embedding_loss(X[:, None], X[None], torch.ones(4)), onepass.ShapeError,
     ("cosine_embedding_loss: the tensors must have the same rows, or rows that broadcast to those "
     "of one of them; got input1 (4, 1, 3), input2 (1, 4, 3).")),
    (lambda: F.cosine_embedding_loss(X + 0j, X, torch.ones(4)), onepass.DtypeError,
     ("cosine_embedding_loss: tensors must be real, got torch.complex64. "
     "Write torch.view_as_real(...).")),
    (lambda: F.cosine_embedding_loss(X, X, torch.ones(4), "a"), onepass.ParameterError,
     ("cosine_embedding_loss: `margin` must be any real number; got str: 'a'. "
     "It is one number for all elements.")),
    (lambda: F.triplet_margin_loss(X, X, BY_ROW), onepass.ShapeError,
     ("triplet_margin_loss: the tensors must have the same rows, or rows that broadcast to those "
     "of one of them; got anchor (4, 3), positive (4, 3), negative (5, 3).")),
    (lambda: F.triplet_margin_loss(X, X, X[:, :1]), onepass.ShapeError,
     ("triplet_margin_loss: `anchor` and `negative` must have as many features on their last axis; "
     "got anchor (4, 3) and negative (4, 1).")),
    (lambda: F.triplet_margin_loss(*(X[0, 0],) * 3), onepass.ShapeError,
     "triplet_margin_loss: `anchor` must have an axis of features, got a number."),
    (lambda: F.triplet_margin_loss(*THREE, margin=0), onepass.ParameterError,
     "triplet_margin_loss: `margin` must be a positive finite number, > 0; got 0."),
    (lambda: F.triplet_margin_loss(*THREE, p=0), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got 0."),
    (lambda: F.triplet_margin_loss(*THREE, p=NAN), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got nan."),
    (lambda: F.triplet_margin_loss(*THREE, eps="small"), onepass.ParameterError,
     ("triplet_margin_loss: `eps` must be any real number; got str: 'small'. "
     "It is one number for all elements.")),
    (lambda: F.triplet_margin_loss(*THREE, swap=1), onepass.ParameterError,
     "triplet_margin_loss: `swap` must be True or False, got int: 1."),
    (lambda: nn.TripletMarginLoss(p=-2.0), onepass.ParameterError,
     "triplet_margin_loss: `p` must be a positive number or inf, > 0; got -2.0."),
    (lambda: nn.TripletMarginLoss(margin=-1.0), onepass.ParameterError,
     "triplet_margin_loss: `margin` must be a positive finite number, > 0; got -1.0."),
    (lambda: nn.CosineEmbeddingLoss(margin=NAN), onepass.ParameterError,
     "cosine_embedding_loss: `margin` must be any real number; got nan."),
    (lambda: nn.TripletMarginWithDistanceLoss(distance_function=2), onepass.ParameterError,
     ("triplet_margin_with_distance_loss: `distance_function` must be a function of two tensors, "
     "or None for the Euclidean distance; got int: 2.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, margin=0.0), onepass.ParameterError,
     "triplet_margin_with_distance_loss: `margin` must be a positive finite number, > 0; got 0.0."),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=every_pair),
     onepass.ShapeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return one distance for each of "
     "the 4 triplets, but every_pair returned (4, 4) for anchor (4, 3). "
     "Write it so that it reduces the axes behind the first.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=one_for_all),
     onepass.ShapeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return one distance for each of "
     "the 4 triplets, but one_for_all returned () for anchor (4, 3). "
     "Write it so that it reduces the axes behind the first.")),
    (lambda: F.triplet_margin_with_distance_loss(*THREE, distance_function=a_number),
     onepass.DtypeError,
     ("triplet_margin_with_distance_loss: `distance_function` must return a tensor, but a_number "
     "returned float: 3.0.")),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", ERRORS, ids=range(len(ERRORS)))
def test_errors(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


# The tests are tested


MUTANTS = [
    ("1.0 - cosine", "1.0 + cosine", assert_pairs_are_torchs),
    ("cosine - margin", "cosine", assert_pairs_are_torchs),
    ("within = excess < 0.0", "within = excess <= -1.0", assert_pairs_are_torchs),
    ("shrink1 * (cross * x2 - own1 * x1)", "shrink1 * (cross * x2)", assert_pairs_are_torchs),
    ("cross * x1 - own2 * x2", "cross * x1 - own1 * x2", assert_pairs_are_torchs),
    ("dot + float64(part)", "float64(part)", assert_pairs_are_torchs),
    ("not logical_and(ordinary(square1), ordinary(square2))", "False",
     assert_short_and_long_vectors_have_a_direction),
    ("weight = read(weight_at, row + p)", "weight = float64(1.0)",
     lambda: assert_what_does_not_count_is_nothing(COSINE)),
    ("total = accumulate(total, loss)", "total = loss", assert_pairs_are_torchs),
    ("load(y_at, i) + eps", "load(y_at, i)", assert_triplets_are_torchs),
    ("load(y_at, i) + eps", "load(y_at, i) - eps", assert_triplets_are_torchs),
    ("near - far", "far - near", assert_triplets_are_torchs),
    ("margin + near", "near", assert_triplets_are_torchs),
    ("weight * value", "value", lambda: assert_what_does_not_count_is_nothing(TRIPLET)),
    ("scale * weight)", "scale)", lambda: assert_what_does_not_count_is_nothing(TRIPLET)),
    ("-near - other", "-near + other", assert_euclidean_triplets_are_torchs),
    ("logical_or(beyond, weight == 0.0)", "weight == 0.0", assert_euclidean_triplets_are_torchs),
    ("beyond = value < 0.0", "beyond = value <= 0.0", assert_kinks_are_torchs),
    ("float64(0.5), float64(1.0)", "float64(1.0), float64(1.0)", assert_kinks_are_torchs),
    (
        "read(pull_at, place) / ties",
        "read(pull_at, place)",
        lambda: assert_kinks_are_torchs(norms=(INF,)),
    ),
    ("logical_or(factor == 0.0, total == 0.0)", "factor == 0.0", assert_kinks_are_torchs),
    ("1.0 / p - 1.0", "1.0 / p", lambda: assert_triplets_are_torchs(norms=(3.0,))),
    ("TWO and not SQUARED and not ordinary(total)", "False",
     assert_distances_do_not_overflow),
    ("block * at_once\n", "block * at_once + (block == 3)\n", rows_of_many_blocks),
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
    rows_of_many_blocks()
    assert_short_and_long_vectors_have_a_direction()
