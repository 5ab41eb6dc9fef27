"""Numbers that differ from step to step, such as an annealed delta, make calls of one kind."""

import math

import numpy as np
import pytest
import torch

import onepass
from onepass.define import Pointwise
from onepass.define.sampling import inside, sample

VALUES = (-0.9, 0.3, 0.45, 0.6, 0.9, 1.5, 7.0)
NUMBERS = [
    pytest.param(loss, name, id=f"{loss.name}-{name}")
    for loss in onepass.catalogue().values()
    for name in (*(name for name in loss.options if name in loss.domains), "normalizer")
]
each_number = pytest.mark.parametrize("loss, name", NUMBERS)


@pytest.fixture(params=["as built", "by_python"])
def cache(request):
    """The cache of native.cpp, where that is built, and that of Python."""
    if request.param == "by_python":
        request.getfixturevalue("by_python")


@pytest.fixture
def prepared(monkeypatch):
    """Counts the calls of a loss that are checked."""

    def count(loss):
        checked, prepare = [], loss._calls._prepare

        def noted(*given):
            checked.append(given)
            return prepare(*given)

        monkeypatch.setattr(loss._calls, "_prepare", noted)
        monkeypatch.setattr(loss._calls, "_calls", None)  # whatever others have called
        return checked

    return count


def drawn(loss, dtype=torch.float32):
    tensors = sample(loss, 6, torch.Generator().manual_seed(0))
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}


def legal(loss, name):
    domains = dict(loss.domains) | {"normalizer": onepass.define.NONNEGATIVE}
    return inside(domains[name], VALUES)


def results(loss, tensors, **options):
    """The value, its gradient, that of a second backward, and the second derivative's size."""
    first = loss.tensors[0]
    leaf = tensors[first].clone().requires_grad_()
    value = loss(**(tensors | {first: leaf}), **options)
    slopes = [torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2)]
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    return value.detach(), *slopes, slope.detach()


@each_number
def test_every_number_gives_its_own_value_and_gradients(loss, name, cache):
    tensors = drawn(loss)
    for value in legal(loss, name) * 2:
        with onepass.engine("cpu"):
            expected = results(loss, tensors, **{name: value})
        found = results(loss, tensors, **{name: value})
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=3e-6, atol=1e-7)


@each_number
def test_only_the_first_number_is_checked(loss, name, cache, prepared):
    tensors = drawn(loss)
    checked = prepared(loss)
    losses = {loss(**tensors, **{name: value}).item() for value in legal(loss, name)}
    loss(**tensors, **{name: np.float64(legal(loss, name)[0])})
    assert len(checked) == 1
    if name != "eps":  # which keeps a formula from dividing by 0, and need not show
        assert len(losses) > 1


@each_number
def test_an_illegal_number_is_refused_after_legal_ones(loss, name, cache):
    tensors = drawn(loss)
    bad = [math.nan, "1", True]
    if name == "normalizer" or not loss.domains[name].contains(-1.0):
        bad.append(-1.0)
    for value in legal(loss, name)[:2]:
        loss(**tensors, **{name: value})
    for value in bad:
        with pytest.raises(onepass.ParameterError, match=f"`{name}`"):
            loss(**tensors, **{name: value})


@pytest.mark.parametrize("loss", onepass.catalogue().values(), ids=lambda loss: loss.name)
def test_a_normalizer_may_be_a_tensor(loss, cache, prepared):
    tensors = drawn(loss)
    checked = prepared(loss)
    for number in (torch.tensor(3.0), torch.tensor(5.0), torch.tensor(0.25)):
        torch.testing.assert_close(
            loss(**tensors, normalizer=number), loss(**tensors, reduction="sum") / number
        )
    assert len(checked) <= 2  # that of the sum, too
    with pytest.raises(onepass.ParameterError, match="`normalizer`"):
        loss(**tensors, normalizer=torch.tensor(-1.0))


POINTWISE = [loss for loss in onepass.catalogue().values() if isinstance(loss, Pointwise)]


def weightings(shape, seed):
    source = torch.Generator().manual_seed(seed)
    weight, mask = torch.rand(shape, generator=source), torch.rand(shape, generator=source) < 0.5
    yield {"weight": weight}
    yield {"sample_weight": weight}
    yield {"sample_weight": weight, "reduction": "sum"}
    yield {"mask": mask}
    yield {"mask": mask, "normalizer": seed + 0.5}


@pytest.mark.parametrize("loss", POINTWISE, ids=lambda loss: loss.name)
def test_every_weight_gives_its_own_value_and_gradients(loss, cache):
    tensors = drawn(loss)
    for seed in range(3):
        for given in weightings(tensors[loss.tensors[0]].shape, seed):
            with onepass.engine("cpu"):
                expected = results(loss, tensors, **given)
            for a, b in zip(results(loss, tensors, **given), expected, strict=True):
                torch.testing.assert_close(a, b, rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("loss", POINTWISE, ids=lambda loss: loss.name)
def test_only_the_first_weights_are_checked(loss, cache, prepared):
    tensors = drawn(loss)
    checked = prepared(loss)
    for seed in range(3):
        for given in weightings(tensors[loss.tensors[0]].shape, seed):
            loss(**tensors, **given)
    assert len(checked) == 5
