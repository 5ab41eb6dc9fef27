"""Losses of scores change nothing that is theirs, and their bits do not depend on threads."""

import torch

from onepass import functional as F
from tests.rowwise.results import assert_all_same, results
from tests.rowwise.scores.calls import EVERY, F32, INDEXED, by_hand, on, scores, targets


@EVERY
def test_targets_are_not_changed_and_have_no_gradient_of_their_own(name):
    input = scores(300, 7).requires_grad_()
    target = targets(name, input)
    before = target.clone(), input.detach().clone()
    getattr(F, name)(input, target).backward()
    assert torch.equal(target, before[0])
    assert torch.equal(input, before[1])


def assert_bits_do_not_depend_on_threads(name):
    before = torch.get_num_threads()
    try:
        for shape in ((3000, 300), (40_000, 5), (8, 20, 3000), (3, 1500, 700)):
            input = scores(*shape, dtype=F32)
            target = targets(name, input)
            target = target if name in INDEXED else target.float()
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(results(on("cpu", name), input, target))
            for a, b in zip(*found, strict=True):
                assert torch.equal(a, b), f"{name} {shape}"
            exact = results(by_hand(name), input.double(), target)
            assert_all_same([t.double() for t in found[0]], exact, 1e-5, str(shape))
    finally:
        torch.set_num_threads(before)


@EVERY
def test_bits_do_not_depend_on_threads(name):
    assert_bits_do_not_depend_on_threads(name)
