"""What every row-wise loss must do, on legal inputs drawn from its declaration: a new loss gets
these by existing.
"""

import copy
import itertools
import math
import pickle

import pytest
import torch

import onepass
from onepass.define import Rowwise
from onepass.define.sampling import sample, settings, variants

ROWS = 6
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
REDUCTIONS = ("mean", "sum", "none", "batchmean")
LOSSES = [loss for loss in onepass.catalogue().values() if isinstance(loss, Rowwise)]
CASES = [
    pytest.param(loss, variant, options, optional, id=f"{loss.name}-{variant}-{options}-{optional}")
    for loss in LOSSES
    for variant in range(variants(loss))
    for options in settings(loss)
    for optional in (False, True)
]
PLAIN = [
    pytest.param(loss, variant, id=f"{loss.name}-{variant}")
    for loss in LOSSES
    for variant in range(variants(loss))
]
every_case = pytest.mark.parametrize("loss, variant, options, optional", CASES)
plain_cases = pytest.mark.parametrize("loss, variant", PLAIN)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(loss, variant=0, rows=ROWS, optional=False, dtype=torch.float64, seed=0):
    tensors = sample(loss, rows, generator(seed), variant=variant, optional=optional)
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}


def of_rows(loss, tensors):
    """The tensors that have a row for each value."""
    return [name for name in tensors if not loss.roles[name][0].is_shared]


def learned(loss, tensors):
    """The tensors that a gradient is asked of: but for the truth and weights of classes."""
    return [
        n
        for n, t in tensors.items()
        if n in loss.tensors and n != "target" and t.dtype.is_floating_point
    ]


def differentiated(loss, tensors, engine="auto", **given):
    """The value and the gradients, for a random gradient upstream."""
    names = learned(loss, tensors)
    leaves = {name: tensors[name].detach().clone().requires_grad_() for name in names}
    with onepass.engine(engine):
        value = loss(**(tensors | leaves), **given)
        upstream = torch.randn(value.shape, dtype=torch.float64, generator=generator(1))
        slopes = torch.autograd.grad(value, [*leaves.values()], upstream.to(value.dtype))
    return value.detach(), *slopes


def assert_alike(ours, theirs, tolerance, plain=None):
    """`plain` has results that are allowed to be as far off: torch's, in the same dtype."""
    for a, b, c in zip(ours, theirs, theirs if plain is None else plain, strict=True):
        exact = b.double()
        size, error = (x.abs().max().item() if x.numel() else 1.0 for x in (exact, exact - c))
        torch.testing.assert_close(a.double(), exact, rtol=tolerance, atol=tolerance * size + error)


@every_case
def test_value_and_gradients_are_those_of_the_definition(loss, variant, options, optional):
    for dtype, reduction in itertools.product(TOLERANCE, REDUCTIONS):
        tensors = drawn(loss, variant, optional=optional, dtype=dtype)
        exact = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
        plain = differentiated(loss, tensors, "eager", **options, reduction=reduction)
        theirs = differentiated(loss, exact, "eager", **options, reduction=reduction)
        for engine in ("cpu", "auto", "auto"):  # a call of a new kind, and one like it
            ours = differentiated(loss, tensors, engine, **options, reduction=reduction)
            assert {x.dtype for x in ours} == {dtype}
            assert_alike(ours, theirs, TOLERANCE[dtype], plain)


@every_case
def test_gradients_are_slopes_of_the_value(loss, variant, options, optional):
    tensors = drawn(loss, variant, optional=optional)
    names = learned(loss, tensors)
    leaves = [tensors[name].requires_grad_() for name in names]

    def value(*leaves):
        return loss(**(tensors | dict(zip(names, leaves, strict=True))), **options, reduction="sum")

    for engine in ("eager", "cpu"):
        with onepass.engine(engine):
            assert torch.autograd.gradcheck(value, leaves, atol=1e-6, rtol=1e-4)


@plain_cases
def test_second_derivatives_are_slopes_of_the_gradients(loss, variant):
    tensors = drawn(loss, variant, rows=3)
    names = learned(loss, tensors)
    leaves = [tensors[name].requires_grad_() for name in names]

    def value(*leaves):
        return loss(**(tensors | dict(zip(names, leaves, strict=True))), reduction="sum")

    assert torch.autograd.gradgradcheck(value, leaves, atol=1e-6, rtol=1e-4)


@every_case
def test_what_is_masked_out_cannot_hurt(loss, variant, options, optional):
    tensors = drawn(loss, variant, optional=optional)
    mask = torch.arange(ROWS) % 3 != 1
    rows = of_rows(loss, tensors)
    kept = {n: t[mask] if n in rows else t for n, t in tensors.items()}
    for bad in (math.nan, math.inf):
        hurt = dict(tensors)
        for name in rows:
            if tensors[name].is_floating_point():
                counts = mask.reshape(-1, *[1] * (tensors[name].dim() - 1))
                hurt[name] = torch.where(counts, tensors[name], bad)
            else:
                hurt[name] = torch.where(mask, tensors[name], 99)
        for reduction in ("mean", "sum"):
            value, *slopes = differentiated(loss, hurt, **options, mask=mask, reduction=reduction)
            expected, *right = differentiated(loss, kept, **options, reduction=reduction)
            for k, name in enumerate(learned(loss, tensors)):
                if name in rows:
                    assert not slopes[k][~mask].any()
                    slopes[k] = slopes[k][mask]
            assert_alike([value, *slopes], [expected, *right], 1e-12)


@every_case
def test_weights_of_rows_weigh_and_count(loss, variant, options, optional):
    tensors = drawn(loss, variant, optional=optional)
    weight = torch.rand(ROWS, dtype=torch.float64, generator=generator(2))
    whole = loss(**tensors, **options, sample_weight=weight, reduction="sum")
    each = loss(**tensors, **options, reduction="none")
    torch.testing.assert_close(whole, (weight * each).sum())
    mean = loss(**tensors, **options, sample_weight=weight, normalizer=2.5)
    torch.testing.assert_close(mean, whole / 2.5)
    if loss.variants[min(variant, len(loss.variants) - 1)].counts is None:
        mean = loss(**tensors, **options, sample_weight=weight)
        torch.testing.assert_close(mean, whole / weight.sum())


@plain_cases
def test_any_order_in_memory_is_the_same(loss, variant):
    tensors = drawn(loss, variant, dtype=torch.float32)
    flipped = {n: t.t().contiguous().t() if t.dim() == 2 else t for n, t in tensors.items()}
    apart = {n: torch.stack([t, t], -1)[..., 0] for n, t in tensors.items()}
    expected = differentiated(loss, tensors)
    for other in (flipped, apart):
        assert_alike(differentiated(loss, other), expected, 1e-6)


@plain_cases
def test_no_rows_and_one(loss, variant):
    none = drawn(loss, variant, rows=0)
    assert loss(**none, reduction="none").shape == (0,)
    assert loss(**none, reduction="sum") == 0
    assert loss(**none).isnan()
    one = drawn(loss, variant, rows=1)
    each = loss(**one, reduction="none")
    torch.testing.assert_close(loss(**one, reduction="sum"), each.sum())


@plain_cases
def test_finite_at_extremes(loss, variant):
    tensors = drawn(loss, variant, dtype=torch.float32)
    for size in (1e4, 1e-30):
        large = dict(tensors)
        for name in learned(loss, tensors):
            if not loss.roles[name][0].is_distribution:
                large[name] = tensors[name] * size
        assert all(x.isfinite().all() for x in differentiated(loss, large))


@plain_cases
def test_vmap_is_a_loop(loss, variant):
    batches = [drawn(loss, variant, seed=seed) for seed in range(3)]
    stacked = {name: torch.stack([b[name] for b in batches]) for name in batches[0]}
    names = [*stacked]

    def one(*tensors):
        return loss(**dict(zip(names, tensors, strict=True)))

    expected = torch.stack([loss(**batch) for batch in batches])
    torch.testing.assert_close(torch.vmap(one)(*stacked.values()), expected)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_pickled_and_copied_it_is_itself(loss):
    assert pickle.loads(pickle.dumps(loss)) is loss
    assert copy.deepcopy(loss) is loss
