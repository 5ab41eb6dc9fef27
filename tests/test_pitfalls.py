"""Input that has a right answer and that torch gets wrong, or refuses."""

import math
import warnings

import pytest
import torch
from torch import nan, tensor

import onepass
import onepass.functional as F
from onepass.testing import Sample, draw, samples
from tests.twins import LOSSES, functions, names

inf = math.inf


def slopes(function, *tensors, **options):
    """Value, and gradients by all tensors."""
    leaves = [t.clone().requires_grad_() for t in tensors]
    value = function(*leaves, **options)
    return value, torch.autograd.grad(value.sum(), leaves, allow_unused=True)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
@pytest.mark.parametrize(
    "logit, target, loss, slope",
    [(inf, 1.0, 0.0, 0.0), (-inf, 0.0, 0.0, 0.0), (-inf, 1.0, inf, -1.0), (inf, 0.0, inf, 1.0)],
)
def test_bce_with_logits_at_infinity(engine, logit, target, loss, slope):
    with onepass.engine(engine):
        value, (gradient, _) = slopes(
            F.binary_cross_entropy_with_logits, tensor([logit]), tensor([target])
        )
    assert value.item() == loss
    assert gradient.item() == slope


def test_soft_margin_does_not_overflow():
    value, (gradient, _) = slopes(F.soft_margin_loss, tensor([100.0]), tensor([-1.0]))
    assert value.item() == 100
    assert gradient.item() == 1


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_kl_div_of_no_mass_is_nothing(engine):
    with onepass.engine(engine):
        value, (by_input, by_target) = slopes(
            F.kl_div, tensor([-inf, -1.0]), tensor([0.0, 0.5]), reduction="none"
        )
        assert value[0] == by_input[0] == by_target[0] == 0
        assert value[1].item() == pytest.approx(0.5 * (math.log(0.5) + 1))
        value, (by_input, by_target) = slopes(
            F.kl_div, tensor([-2.0]), tensor([-inf]), reduction="sum", log_target=True
        )
        assert value == by_input == by_target == 0


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (), (2, 2), (1, 3, 1, 2)])
def test_gaussian_variance_broadcasts(shape):
    input, target = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    var = torch.rand(shape).add(0.1)
    value, (_, _, gradient) = slopes(F.gaussian_nll_loss, input, target, var)
    expected = F.gaussian_nll_loss(input, target, var.expand(4, 3, 2, 2))
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert gradient.shape == var.shape


def test_gaussian_half_with_zero_variance_is_finite():
    # 16 elements: the slope by var is 5e5 over their number, and float16 ends at 65504
    one, zero = torch.ones(16, dtype=torch.float16), torch.zeros(16, dtype=torch.float16)
    value, gradients = slopes(F.gaussian_nll_loss, one, one, zero)
    assert value.item() == pytest.approx(math.log(1e-6) / 2, rel=1e-3)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[2][0].item() == pytest.approx(0.5e6 / 16, rel=1e-3)


def test_a_row_of_pos_weights_shows_the_reshape():
    maps = torch.zeros(2, 3, 4, 5)
    with pytest.raises(onepass.ShapeError, match=r"pos_weight\.reshape\(1, 3, 1, 1\)"):
        F.binary_cross_entropy_with_logits(maps, maps, pos_weight=torch.ones(3))


def test_huber_of_mixed_dtypes_differentiates():
    input = torch.randn(4, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, requires_grad=True)
    F.huber_loss(input, target).backward()
    assert input.grad.dtype == torch.float64
    assert target.grad.dtype == torch.float32
    assert F.huber_loss(input, target).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_bool_and_integer_targets_are_promoted(loss, dtype):
    sample = next(iter(samples(loss)))
    whole = torch.randint(0, 2, sample.tensors[0].shape)
    place = loss.tensors.index("target")
    tensors = [t.float() for t in sample.tensors]
    tensors[place] = whole.to(dtype)
    given = loss(*tensors, reduction="none")
    tensors[place] = whole.float()
    assert given.dtype == torch.float32
    assert torch.equal(given, loss(*tensors, reduction="none"))


def test_unsigned_targets_do_not_wrap():
    assert F.l1_loss(tensor([0.0]), tensor([200], dtype=torch.uint8)).item() == 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_more_elements_than_half_can_count(dtype):
    count = 70_000
    input = torch.ones(count, dtype=dtype, requires_grad=True)
    value = F.mse_loss(input, torch.zeros(count, dtype=dtype))
    value.backward(tensor(65536.0 / 2, dtype=dtype))
    assert value.item() == 1
    # scaled before it is rounded: 2 / 70000 alone is below what float16 holds exactly
    assert input.grad[0].item() == pytest.approx(2 / count * 32768, rel=torch.finfo(dtype).eps)


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_nan_targets_can_be_masked(loss):
    sample = next(iter(samples(loss)))
    mask = torch.rand(sample.tensors[0].shape) < 0.5
    place = loss.tensors.index("target")
    clean = sample.differentiated(mask=mask)
    hurt = list(sample.tensors)
    hurt[place] = torch.where(mask, hurt[place], nan)
    found = Sample(loss, tuple(hurt), {}).differentiated(mask=mask)
    for a, b in zip(found, clean, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_micro_batches_with_a_normalizer_add_up_to_the_mean(loss):
    sample = next(iter(samples(loss)))
    mask = torch.rand(sample.tensors[0].shape) < 0.5
    whole = sample(mask=mask)
    parts = [slice(0, 1), slice(1, 6)]
    total = sum(
        Sample(loss, tuple(t[part] for t in sample.tensors))(mask=mask[part], normalizer=mask.sum())
        for part in parts
    )
    assert total.item() == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_growing_both_sides_raises_and_names_the_squeeze(loss):
    ours, _ = functions(loss.name)
    tensors = [draw(loss.domains[n], (5,), torch.Generator()) for n in loss.tensors]
    tensors[0] = tensors[0].unsqueeze(1)
    with pytest.raises(onepass.ShapeError, match=rf"{loss.tensors[0]}\.squeeze\(1\)"):
        ours(*tensors, reduction="sum")


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_all_masked_is_nan_without_a_gradient(loss):
    sample = next(iter(samples(loss)))
    value, *gradients = sample.differentiated(mask=torch.zeros(6, 35, dtype=torch.bool))
    assert value.isnan()
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("engine", ["cpu", "eager"])
@pytest.mark.parametrize("bad", [1 + 2**-23, -1e-30, nan, 2.0])
def test_bce_names_the_value_outside(bad, engine):
    input = torch.full((3, 4), 0.5)
    input[1, 2] = bad
    input.requires_grad_()
    with onepass.engine(engine):
        for reduction in ("mean", "sum", "none"):
            with pytest.raises(onepass.DomainError, match=r"at \(1, 2\)") as caught:
                F.binary_cross_entropy(input, torch.rand(3, 4), reduction=reduction)
        assert ("nan" if math.isnan(bad) else repr(input[1, 2].item())) in str(caught.value)
        # what is masked out may hold anything
        assert F.binary_cross_entropy(input, torch.rand(3, 4), mask=input == 0.5).isfinite()


@pytest.mark.parametrize("engine", ["cpu", "eager"])
def test_gaussian_names_the_negative_variance(engine):
    var = torch.ones(5)
    var[3] = -0.25
    with onepass.engine(engine), pytest.raises(onepass.DomainError, match=r"-0\.25 at \(3,\)"):
        F.gaussian_nll_loss(torch.zeros(5), torch.zeros(5), var)


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_compile_traces_through_value_and_gradient(loss):
    sample = next(iter(samples(loss))).to(torch.float32)

    def total(*tensors):
        return loss(*tensors, reduction="sum")

    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    leaves = sample.leaves()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = compiled(*leaves)
    expected, *gradients = sample.differentiated(reduction="sum")
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    scale = torch.randn((), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).item()
    for a, b in zip(found, gradients, strict=True):
        if a is not None:
            torch.testing.assert_close(a * scale, b, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_functional_traces_through_compile(loss):
    ours, _ = functions(loss.name)
    sample = next(iter(samples(loss))).to(torch.float32)
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert compiled(*sample.tensors).item() == pytest.approx(
            ours(*sample.tensors).item(), rel=1e-5
        )


def test_autocast_computes_in_float32():
    low = torch.rand(8).to(torch.bfloat16)
    for loss in LOSSES:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert loss(*(low for _ in loss.tensors)).dtype == torch.float32, loss.name
