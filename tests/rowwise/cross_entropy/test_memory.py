"""cross_entropy's bits do not depend on threads, and it writes nothing but its gradient."""

import pytest
import torch

from tests.rowwise.cross_entropy.calls import (
    ENGINES,
    EVERY_KERNEL,
    labels,
    layouts,
    logits,
    on,
    options_of,
)
from tests.rowwise.cross_entropy.checks import (
    assert_a_class_out_of_range_raises,
    assert_bits_do_not_depend_on_threads,
)
from tests.rowwise.results import REDUCTIONS, results


def test_bits_do_not_depend_on_threads():
    assert_bits_do_not_depend_on_threads()


@EVERY_KERNEL
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_the_callers_tensors_never_change(name, shape):
    options = options_of(name, shape[1])
    for input in layouts(logits(*shape)):
        target = labels(input, options.get("ignore_index"))
        weights = torch.rand(target.shape, dtype=torch.float64)
        given = [input, target, weights, *(o for o in options.values() if torch.is_tensor(o))]
        before = [(t.clone(), t._version) for t in given]
        for reduction in REDUCTIONS:
            results(on("cpu"), input, target, sample_weight=weights, reduction=reduction, **options)
        for tensor_, (kept, version) in zip(given, before, strict=True):
            assert torch.equal(tensor_, kept)
            assert tensor_._version == version


@EVERY_KERNEL
def test_nothing_is_written_beside_the_gradient(shape, monkeypatch):
    from onepass.runtime.cpu import memory

    made = []

    def guarded(tensor):
        """The buffer asked for, between two fences."""
        count = tensor.numel()
        whole = torch.full((count + 128,), 7.0, dtype=tensor.dtype)
        made.append(whole)
        return whole[64 : 64 + count].as_strided(tensor.shape, tensor.stride(), 64)

    input, target = logits(*shape), labels(logits(*shape), -100)
    expected = results(on("cpu"), input, target)
    monkeypatch.setattr(memory, "like", guarded)
    ours = results(on("cpu"), input, target)
    assert torch.equal(ours[1], expected[1])
    assert made
    for whole in made:
        assert (whole[:64] == 7).all()
        assert (whole[-64:] == 7).all()


@ENGINES
@pytest.mark.parametrize("wrong", [None, -1, 10_000, -(2**40), 2**40, 2**63 - 1])
def test_a_class_out_of_range_raises_and_leaves_everything_as_it_was(wrong, engine):
    assert_a_class_out_of_range_raises(wrong, engine)
