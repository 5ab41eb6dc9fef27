"""Losses of scores that are infinite or nan, and at kinks."""

import pytest
import torch

from tests.rowwise.results import INF, NAN, assert_all_same, results
from tests.rowwise.scores.calls import ENGINES, EVERY, INDEXED, KERNELS, on, scores, targets, torchs
from tests.rowwise.scores.checks import assert_kinks_are_torchs


@ENGINES
@pytest.mark.parametrize("shape", KERNELS, ids=str)
def test_an_impossible_class_costs_infinity_with_a_finite_slope(shape, engine):
    input = scores(*shape)
    target = targets("nll_loss", input)
    input.scatter_(1, target.unsqueeze(1), -INF)
    value, slope = results(on(engine, "nll_loss"), input, target)
    assert value == INF
    assert slope.isfinite().all()
    assert torch.count_nonzero(slope) == target.numel()
    rest = scores(*shape).fill_(-INF).scatter_(1, target.unsqueeze(1), -0.5)
    assert on(engine, "nll_loss")(rest, target) == 0.5


@ENGINES
def test_at_a_kink_there_is_no_slope(engine):
    assert_kinks_are_torchs(engine=engine)


@ENGINES
@pytest.mark.parametrize("shape", KERNELS, ids=str)
@pytest.mark.parametrize("p", [1, 2])
def test_infinite_scores_of_a_margin(p, shape, engine):
    input, target = scores(*shape), targets("multi_margin_loss", scores(*shape))
    certain = input.scatter(1, target.unsqueeze(1), INF)
    value, slope = results(on(engine, "multi_margin_loss"), certain, target, p=p)
    assert value == 0
    assert not slope.any()
    out = torch.zeros(shape, dtype=torch.bool)
    out[:, 2:] = True
    out.scatter_(1, target.unsqueeze(1), False)
    given = {"reduction": "none", "p": p}
    ours = results(on(engine, "multi_margin_loss"), input.masked_fill(out, -INF), target, **given)
    theirs = results(torchs("multi_margin_loss"), input.masked_fill(out, -1e9), target, **given)
    assert_all_same(ours, theirs)
    impossible = on(engine, "multi_margin_loss")(
        input.scatter(1, target.unsqueeze(1), -INF), target, p=p
    )
    assert impossible == INF


@ENGINES
@EVERY
def test_a_nan_stays_a_nan_in_its_row_alone(name, engine):
    for shape in KERNELS:
        input = scores(*shape)
        target = targets(name, input)
        if name in INDEXED:
            target.flatten()[0] = 1
        first = (0, 1) + (0,) * (len(shape) - 2)
        input[first] = NAN
        value = on(engine, name)(input, target, reduction="none").flatten()
        assert value.isnan().sum() == 1
        assert on(engine, name)(input, target).isnan()
