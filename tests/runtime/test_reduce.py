"""Who divides by what, by hand."""

import math

import pytest
import torch
from torch import nan, tensor

import onepass
from onepass import functional as F
from onepass.runtime import reduce

inf = math.inf
CPU = torch.device("cpu")
SHAPE = torch.Size([2, 3])
MASK = tensor([[True, False, True], [False, False, False]])
WEIGHT = tensor([[1.0, 0.0, 2.0], [0.0, 0.5, 0.0]])
ROW, COLUMN = tensor([1.0, 0.0, 3.0]), tensor([[0.0], [2.0]])


@pytest.mark.parametrize(
    "given, mean, rows",
    [
        ({}, 6, 2),
        ({"weight": WEIGHT}, 6, 2),
        ({"sample_weight": WEIGHT}, 3.5, 2),
        ({"sample_weight": ROW}, 8, 2),
        ({"sample_weight": COLUMN}, 6, 1),
        ({"sample_weight": tensor(2.0)}, 12, 2),
        ({"sample_weight": tensor(0.0)}, 0, 0),
        ({"sample_weight": tensor([[2]])}, 12, 2),
        ({"mask": MASK}, 2, 1),
        ({"mask": tensor([True, False, True])}, 4, 2),
        ({"mask": tensor([[True], [False]])}, 3, 1),
        ({"mask": tensor(True)}, 6, 2),
        ({"mask": tensor(False)}, 0, 0),
        ({"mask": MASK, "sample_weight": WEIGHT}, 3, 1),
        ({"mask": MASK, "sample_weight": COLUMN}, 0, 0),
        ({"mask": MASK, "weight": WEIGHT}, 2, 1),
        ({"weight": ROW, "sample_weight": WEIGHT}, 3.5, 2),
        ({"sample_weight": tensor([[True, False, True]])}, 4, 2),
        ({"sample_weight": torch.ones(2, 3, dtype=torch.int8) * 100}, 600, 2),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "batchmean", "sum", "none"])
def test_denominators(given, mean, rows, reduction):
    given = dict(given)
    weight = given.pop("weight", None)
    weighting = reduce.Weighting(reduction, **given)
    denominator = reduce.weighted("loss", SHAPE, CPU, weighting, weight).denominator
    if denominator is None:
        denominator = reduce.count(reduction, SHAPE)
    assert float(denominator) == {"mean": mean, "batchmean": rows}.get(reduction, 1)


@pytest.mark.parametrize("number", [7, 7.0, tensor(7), tensor(7.0)], ids=repr)
def test_a_normalizer_takes_the_denominators_place(number):
    for weight, *others in ((None, None, None), (WEIGHT, ROW, MASK)):
        weighting = reduce.Weighting("mean", *others, number)
        weighted = reduce.weighted("loss", SHAPE, CPU, weighting, weight)
        assert float(weighted.denominator) == 7
        assert (weighted.weight is None) == (weight is None)


@pytest.mark.parametrize("number", [-1, -0.5, nan, tensor(-1), tensor(-0.5), tensor(nan)], ids=repr)
def test_a_normalizer_is_not_negative(number):
    with pytest.raises(onepass.ParameterError, match="`normalizer` must be a number that is not"):
        F.l1_loss(torch.zeros(2), torch.ones(2), normalizer=number)


def test_a_normalizer_that_is_traced_is_not_asked_for():
    x, y, counts = torch.zeros(2), torch.ones(2), tensor([1.0, 4.0])
    values = torch.func.vmap(lambda n: F.l1_loss(x, y, normalizer=n))(counts)
    assert values.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("shape, rows", [((), 1), ((0,), 0), ((5,), 5), ((0, 3), 0), ((3, 0), 3)])
def test_counts_of_all_elements(shape, rows):
    shape = torch.Size(shape)
    assert reduce.count("mean", shape) == shape.numel()
    assert reduce.count("batchmean", shape) == rows
    assert reduce.count("sum", shape) == reduce.count("none", shape) == 1


def test_a_product_is_zero_wherever_the_second_is():
    a, b = tensor([nan, inf, -inf, 2.0, nan]), tensor([0.0, 0.0, 0.0, 3.0, 1.0])
    assert reduce.product(a, b).nan_to_num(-1).tolist() == [0, 0, 0, 6, -1]
    assert reduce.product(a, b != 0).nan_to_num(-1).tolist() == [0, 0, 0, 2, -1]
    assert reduce.product(None, b) is b
    assert reduce.product(a, None) is a
    assert reduce.product(None, None) is None


ENGINES = pytest.mark.parametrize("engine", ["cpu", "eager"])


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_weights_may_sum_to_more_than_a_half_holds(engine, dtype):
    x, y = torch.zeros(70_000), torch.ones(70_000)
    weight = torch.ones(70_000, dtype=dtype)
    heavy = torch.full((70_000,), 60_000.0, dtype=dtype)
    with onepass.engine(engine):
        for w in (weight, heavy):
            assert F.huber_loss(x, y, sample_weight=w).item() == pytest.approx(0.5, rel=1e-6)
            half = F.huber_loss(x.to(dtype), y.to(dtype), sample_weight=w)
            assert half.dtype == dtype
            assert half.item() == 0.5
        low = F.l1_loss(x.to(dtype), y.to(dtype), mask=torch.ones(70_000, dtype=torch.bool))
        assert low.item() == 1


@ENGINES
@pytest.mark.parametrize("poison", [nan, inf, -inf])
@pytest.mark.parametrize("name", ["sample_weight", "weight", "mask"])
def test_what_weighs_nothing_may_hold_anything(engine, poison, name):
    x = tensor([[1.0, poison, 3.0], [poison, 2.0, poison]], requires_grad=True)
    weight = tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    weighting = {name: weight != 0 if name == "mask" else weight}
    target = torch.where(weight != 0, 0.0, poison)
    with onepass.engine(engine):
        for reduction in ("mean", "sum", "none", "batchmean"):
            value = F.huber_loss(x, target, delta=10.0, reduction=reduction, **weighting)
            (gradient,) = torch.autograd.grad(value.sum(), x)
            assert value.isfinite().all()
            assert gradient.isfinite().all()
            assert torch.equal(gradient == 0, weight == 0)
            if reduction == "none":
                assert torch.equal(value == 0, weight == 0)


@ENGINES
def test_a_nan_that_counts_is_not_hidden(engine):
    x, y = tensor([nan, 1.0]), torch.zeros(2)
    with onepass.engine(engine):
        assert F.l1_loss(x, y, mask=tensor([True, True])).isnan()
        assert F.l1_loss(x, y, mask=tensor([True, False])).isnan()
        assert F.l1_loss(y, y, sample_weight=tensor([nan, 1.0])).isnan()


@ENGINES
def test_the_batchmean_counts_rows_with_anything_in_them(engine):
    x, y = torch.full((4, 3), 2.0, requires_grad=True), torch.zeros(4, 3)
    mask = torch.zeros(4, 3, dtype=torch.bool)
    mask[0] = mask[2, 1] = True
    with onepass.engine(engine):
        value = F.l1_loss(x, y, mask=mask, reduction="batchmean")
        value.backward()
    assert value.item() == 8 / 2
    assert torch.equal(x.grad, mask / 2)


@ENGINES
def test_nothing_that_counts_is_a_mean_of_nan_and_a_gradient_of_zero(engine):
    x, none = torch.ones(3, requires_grad=True), torch.zeros(3, dtype=torch.bool)
    for reduction in ("mean", "batchmean"):
        with onepass.engine(engine):
            value = F.l1_loss(x, torch.zeros(3), mask=none, reduction=reduction)
            (gradient,) = torch.autograd.grad(value, x)
        assert value.isnan()
        assert not gradient.any()


@ENGINES
def test_weights_and_normalizers_have_gradients_of_their_own(engine):
    if engine == "cpu":
        engine = "auto"  # which leaves the call to the definition
    x, y = torch.randn(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    weight = torch.rand(5, dtype=torch.float64).requires_grad_()
    number = tensor(3.0, dtype=torch.float64, requires_grad=True)
    with onepass.engine(engine):
        assert torch.autograd.gradcheck(lambda w: F.l1_loss(x, y, sample_weight=w), weight)
        assert torch.autograd.gradcheck(lambda n: F.l1_loss(x, y, normalizer=n), number)
