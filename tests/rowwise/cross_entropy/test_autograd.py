"""cross_entropy under autograd, torch.func, torch.compile and autocast."""

import pytest
import torch
from torch.autograd import forward_ad

import onepass
from onepass import functional as F
from onepass import nn
from tests.rowwise.cross_entropy.calls import EVERY_KERNEL, by_hand, labels, logits, on, options_of
from tests.rowwise.results import (
    EXACT,
    NAN,
    REDUCTIONS,
    assert_all_same,
    class_weight,
    results,
    upstream_of,
)


@EVERY_KERNEL
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_retained_graph_scales_nothing_twice(reduction, shape):
    input = logits(*shape)
    target, leaf = labels(input, -100), input.clone().requires_grad_()
    with onepass.engine("cpu"):
        value = F.cross_entropy(leaf, target, reduction=reduction)
        expected = by_hand(leaf, target, reduction=reduction)
        for factor in (3.0, 1.0, -0.5, 1.0):
            upstream = factor * torch.linspace(1, 2, value.numel()).reshape(value.shape).double()
            (found,) = torch.autograd.grad(value, leaf, upstream, retain_graph=True)
            (wanted,) = torch.autograd.grad(expected, leaf, upstream, retain_graph=True)
            assert_all_same([found], [wanted], EXACT, reduction)
            found.fill_(NAN)  # ours to change: the next backward makes its own


@EVERY_KERNEL
def test_none_takes_each_rows_own_upstream(shape):
    input = logits(*shape)
    target, leaf = labels(input, -100), input.clone().requires_grad_()
    each = on("cpu")(leaf, target, reduction="none")
    slopes = results(by_hand, input, target, reduction="sum")[1]
    slopes /= upstream_of(torch.zeros((), dtype=torch.float64))
    plain = torch.randn(each.shape, dtype=torch.float64)
    zero_first = plain.clone()
    zero_first[0] = 0
    for upstream in (
        plain,
        zero_first,
        torch.stack([plain, plain * NAN], -1)[..., 0],
        plain.transpose(0, -1).contiguous().transpose(0, -1),
        plain[:1].expand_as(plain),
    ):
        (found,) = torch.autograd.grad(each, leaf, upstream, retain_graph=True)
        assert_all_same([found], [slopes * upstream.unsqueeze(1)], EXACT)


@pytest.mark.parametrize("name", ["plain", "together", "everything"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck_of_both_orders(name, reduction):
    input = logits(4, 3, 2).requires_grad_()
    options = options_of(name, 3)
    target = labels(input, options.get("ignore_index"))

    def function(x):
        return F.cross_entropy(x, target, reduction=reduction, **options)

    assert torch.autograd.gradcheck(function, (input,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (input,))


@pytest.mark.parametrize("name", ["plain", "together", "everything"])
def test_transforms_agree(name):
    input, options = logits(6, 5), options_of(name, 5)
    target = labels(input, options.get("ignore_index"))
    slope = results(by_hand, input, target, reduction="sum", **options)[1]
    slope /= upstream_of(torch.zeros((), dtype=torch.float64))

    def total(x):
        return F.cross_entropy(x, target, reduction="sum", **options)

    def each(x):
        return F.cross_entropy(x, target, reduction="none", **options)

    def one(x, y):
        return F.cross_entropy(x, y, reduction="sum", **options)

    close = torch.testing.assert_close
    close(torch.func.grad(total)(input), slope)
    close(torch.func.jacrev(total)(input), slope)
    close(torch.func.jacfwd(total)(input), slope)
    direction = torch.randn(6, 5, dtype=torch.float64)
    value, along = torch.func.jvp(each, (input,), (direction,))
    close(value, each(input))
    close(along, (slope * direction).sum(1))
    upstream = torch.randn(6, dtype=torch.float64)
    close(torch.func.vjp(each, input)[1](upstream)[0], slope * upstream[:, None])
    close(torch.vmap(one)(input, target), each(input))
    close(torch.vmap(torch.func.grad(one))(input, target), slope)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(input, direction)
        value, along = forward_ad.unpack_dual(total(dual))
    close(along, (slope * direction).sum())
    by_reverse = torch.autograd.functional.hessian(total, input)
    close(torch.func.hessian(total)(input), by_reverse)
    close(torch.autograd.functional.hessian(total, input, vectorize=True), by_reverse)
    expected = torch.autograd.functional.hessian(
        lambda x: by_hand(x, target, reduction="sum", **options), input
    )
    close(by_reverse, expected)


def test_gradients_in_batches():
    input, target = logits(6, 5).requires_grad_(), labels(logits(6, 5))
    each = F.cross_entropy(input, target, reduction="none")
    upstream = torch.randn(3, 6, dtype=torch.float64)
    (found,) = torch.autograd.grad(each, input, upstream, is_grads_batched=True, retain_graph=True)
    for k in range(3):
        (expected,) = torch.autograd.grad(each, input, upstream[k], retain_graph=True)
        torch.testing.assert_close(found[k], expected)


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", ["plain", "together", "everything"])
def test_compile_traces_through_value_and_gradient(name, backend):
    input, options = logits(6, 5), options_of(name, 5)
    target = labels(input, options.get("ignore_index"))
    mask = torch.arange(6) > 0
    for given in ({}, {"mask": mask}, {"reduction": "none"}, {"reduction": "batchmean"}):
        compiled = torch.compile(F.cross_entropy, fullgraph=True, backend=backend)
        ours = results(compiled, input, target, **options, **given)
        assert_all_same(
            ours, results(by_hand, input, target, **options, **given), EXACT, f"{given}"
        )


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_module_is_the_module():
    module = nn.CrossEntropyLoss(class_weight(5), label_smoothing=0.1, dim=-1)
    input, target = logits(6, 5), labels(logits(6, 5))
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(input, target), module(input, target))


def test_without_a_gradient_there_is_no_graph():
    input, target = logits(300, 7).requires_grad_(), labels(logits(300, 7))
    expected = by_hand(input, target).item()
    with onepass.engine("cpu"):
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                value = F.cross_entropy(input, target)
            assert not value.requires_grad
            assert value.item() == pytest.approx(expected)
            assert value.is_inference() == (context is torch.inference_mode)
        assert not F.cross_entropy(input.detach(), target).requires_grad
    with torch.inference_mode():
        assert F.cross_entropy(input.clone(), target.clone()).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_computes_in_float32(dtype):
    input = logits(40, 5, dtype=dtype).requires_grad_()
    target = labels(input)
    exact = by_hand(input, target).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = F.cross_entropy(input, target)
        each = F.cross_entropy(input, target, reduction="none")
    assert value.dtype == each.dtype == torch.float32
    assert value.item() == pytest.approx(exact, rel=1e-6)
    value.backward()
    assert input.grad.dtype == dtype


@EVERY_KERNEL
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_change_in_place_raises(reduction, shape):
    leaf, target = logits(*shape).requires_grad_(), labels(logits(*shape))
    x = leaf * 1
    value = F.cross_entropy(x, target, reduction=reduction)
    target.add_(1)  # no class any more
    if reduction == "none":
        with pytest.raises(RuntimeError, match="inplace operation"):
            value.sum().backward()
    value = F.cross_entropy(x, labels(leaf), reduction="none")
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="inplace operation"):
        value.sum().backward()
