"""Losses of vectors under torch.func and torch.compile, in threads, and a graph that is kept."""

import pytest
import torch
from torch.autograd import forward_ad

from onepass import functional as F
from tests.rowwise.embeddings.calls import (
    COSINE,
    DISTANCE,
    EXACT,
    TRIPLET,
    assert_all_same,
    on,
    pairs,
    results,
    triplets,
    upstream_of,
)
from tests.rowwise.embeddings.checks import assert_bits_do_not_depend_on_threads
from tests.twins import assert_same


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
