"""What does not count in losses of scores is nothing, whatever it holds."""

import itertools

import pytest
import torch

import onepass
from onepass import functional as F
from tests.rowwise.results import INF, NAN, REDUCTIONS, assert_all_same, class_weight, results
from tests.rowwise.scores.calls import (
    ENGINES,
    EVERY,
    INDEXED,
    KERNELS,
    NAMES,
    OF_INDICES,
    by_hand,
    on,
    rows_of,
    scores,
    targets,
)
from tests.rowwise.scores.checks import assert_what_does_not_count_is_nothing, hurt


@pytest.mark.slow
@ENGINES
@EVERY
@pytest.mark.parametrize("how", ["masked", "weighted"])
def test_what_does_not_count_is_nothing(how, name, engine):
    assert_what_does_not_count_is_nothing(name, how, engine)


@ENGINES
def test_ignored_rows_are_nothing(engine):
    assert_what_does_not_count_is_nothing("nll_loss", "ignored", engine)


@ENGINES
@OF_INDICES
def test_rows_of_a_class_without_weight_are_nothing(name, engine):
    for shape, p in itertools.product(KERNELS, (1, 2)):
        clean, weight = scores(*shape), class_weight(shape[1])
        target = targets(name, clean)
        input = hurt(clean, target == 0, 1)
        options = {"p": p} if name == "multi_margin_loss" else {}
        for reduction in REDUCTIONS:
            given = {"weight": weight, "reduction": reduction, **options}
            ours = results(on(engine, name), input, target, **given)
            assert_all_same(
                ours, results(by_hand(name), clean, target, **given), message=str(shape)
            )
            assert not ours[1].movedim(1, -1)[target == 0].any()


@ENGINES
def test_a_label_without_weight_is_nothing(engine):
    name, input = NAMES[2], scores(30, 6)
    target, weight = targets(name, input), class_weight(6)
    bad = input.clone()
    bad[::3, 0], bad[1::3, 0], bad[2::3, 0] = NAN, INF, -INF
    for reduction in REDUCTIONS:
        ours = results(on(engine, name), bad, target, weight=weight, reduction=reduction)
        assert_all_same(
            ours, results(by_hand(name), input, target, weight=weight, reduction=reduction)
        )
        assert not ours[1][:, 0].any()


@EVERY
@ENGINES
def test_second_derivatives_of_what_does_not_count_are_zero(engine, name):
    input = scores(30, 6)
    target, mask = targets(name, input), torch.arange(30) % 3 > 0
    bad = torch.where(mask.unsqueeze(-1), input, INF)
    for reduction in REDUCTIONS:
        given = {"mask": mask, "reduction": reduction, "curved": True}
        ours = results(on(engine, name), bad, target, **given)
        assert_all_same(ours, results(by_hand(name), input, target, **given))


@ENGINES
@EVERY
def test_nothing_that_counts_is_a_mean_of_nothing(name, engine):
    for shape in KERNELS:
        input = scores(*shape)
        target, none = targets(name, input), torch.zeros(rows_of(name, input), dtype=torch.bool)
        for reduction in ("mean", "batchmean"):
            value, slope = results(on(engine, name), input, target, mask=none, reduction=reduction)
            assert value.isnan()
            assert not slope.nan_to_num(0.0).any()
            if engine == "cpu":
                assert not slope.any()
        value, slope = results(on(engine, name), input, target, mask=none, reduction="sum")
        assert value == 0
        assert not slope.any()
    if name == "nll_loss":
        value, slope = results(on(engine, name), scores(4, 3), torch.full((4,), -100))
        assert value.isnan()
        assert not slope.nan_to_num(0.0).any()


@ENGINES
@EVERY
def test_no_rows_are_a_mean_of_nothing(name, engine):
    input = torch.zeros(0, 5)
    target = torch.zeros(0, dtype=torch.int64) if name in INDEXED else input
    with onepass.engine("auto" if engine == "cpu" else engine):
        function = getattr(F, name)
        assert function(input, target).isnan()
        assert function(input, target, reduction="sum") == 0
        assert function(input, target, reduction="none").shape == (0,)
        assert function(input, target, reduction="batchmean").isnan()
