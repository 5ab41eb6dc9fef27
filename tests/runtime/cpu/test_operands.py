"""Tensors of one shape in one order of memory."""

import itertools

import pytest
import torch

from onepass import functional as F
from onepass.runtime.cpu import operands
from onepass.runtime.cpu.operands import aligned, common_stride

SHAPE = torch.Size([4, 3, 2, 5])


def filled(shape=SHAPE):
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


def channels_last():
    return filled().to(memory_format=torch.channels_last)


def test_the_first_dense_tensor_of_the_shape_gives_the_order():
    plain, last = filled(), channels_last()
    assert common_stride(SHAPE, [plain, last]) == plain.stride()
    assert common_stride(SHAPE, [last, plain]) == last.stride()
    assert common_stride(SHAPE, [plain[:1], last]) == last.stride()
    sparse = torch.stack([plain, plain], -1)[..., 0]
    assert common_stride(SHAPE, [sparse, last]) == last.stride()
    expanded = plain[:1].expand(SHAPE)
    assert common_stride(SHAPE, [expanded, last]) == last.stride()


def test_without_a_dense_tensor_the_order_is_rows():
    expanded = filled()[:1].expand(SHAPE)
    assert common_stride(SHAPE, [expanded]) == filled().stride()
    assert common_stride(torch.Size([4, 3]), [torch.ones(4, 1), torch.ones(1, 3)]) == (3, 1)
    assert common_stride(torch.Size([]), [torch.ones(())]) == ()


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_any_permutation_is_kept(order):
    x = filled((4, 3, 2)).permute(order)
    assert common_stride(x.shape, [x]) == x.stride()
    assert aligned(x, x.shape, x.stride()) is x


def test_what_lies_in_order_is_not_copied():
    x = filled()
    assert aligned(x, SHAPE, x.stride()) is x
    last = channels_last()
    assert aligned(last, SHAPE, last.stride()) is last
    part = x[1:3]
    assert aligned(part, part.shape, part.stride()) is part
    column = torch.ones(4, 1).as_strided((4, 1), (1, 7))  # the stride of a single column is moot
    assert aligned(column, column.shape, (1, 1)) is column


def test_a_single_number_stays_one():
    for number in (torch.ones(()), torch.ones(1), torch.ones(1, 1, 1)):
        assert aligned(number, SHAPE, filled().stride()) is number


def test_everything_else_is_copied_into_the_order():
    stride = channels_last().stride()
    row = torch.arange(5.0)
    for tensor in (filled(), row, filled()[:1], row.expand(SHAPE), filled().flip(0)[::1]):
        copy = aligned(tensor, SHAPE, stride)
        assert copy.shape == SHAPE
        assert copy.stride() == stride
        assert copy.dtype == tensor.dtype
        assert torch.equal(copy, tensor.expand(SHAPE))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_every_pair_of_orders_gives_the_same_numbers(reduction):
    x, y = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    expected = (x - y).abs()
    layouts = [
        lambda t: t,
        lambda t: t.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        lambda t: t.transpose(0, 1).contiguous().transpose(0, 1),
        lambda t: torch.stack([t, t * torch.nan], -1)[..., 0],
        lambda t: torch.cat([t * torch.nan, t])[6:],
        lambda t: t.flip(1).contiguous().flip(1),
    ]
    for first, second in itertools.product(layouts, repeat=2):
        leaf = first(x).detach().requires_grad_()
        value = F.l1_loss(leaf, second(y), reduction=reduction)
        value.sum().backward()
        torch.testing.assert_close(
            value, expected if reduction == "none" else expected.mean(), rtol=1e-14, atol=0
        )
        scale = 1 if reduction == "none" else 1 / x.numel()
        torch.testing.assert_close(leaf.grad, torch.sign(x - y) * scale, rtol=1e-14, atol=0)
        leaf.grad = None


def test_the_unreduced_loss_has_the_order_of_its_input():
    last = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    each = F.l1_loss(last, torch.zeros(2, 3, 4, 5), reduction="none")
    assert each.stride() == last.stride()
    flipped = torch.randn(5, 4).t()
    assert F.l1_loss(flipped, torch.zeros(4, 5), reduction="none").stride() == flipped.stride()
    rows = F.l1_loss(torch.randn(1, 5).expand(4, 5), torch.zeros(4, 5), reduction="none")
    assert rows.is_contiguous()


def test_a_number_is_ordinary_whatever_the_first_one_was():
    operands._one_of.cache_clear()
    with torch.inference_mode():
        assert operands.number(1.5, torch.float32).is_inference()
    with torch.device("meta"):
        later = operands.number(2.5, torch.float32)
    assert not later.is_inference()
    assert later.item() == 2.5
