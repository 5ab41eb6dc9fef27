"""Calls like one before skip the checks, and only those."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import onepass.functional as F
from onepass.errors import DomainError, ParameterError
from onepass.runtime import call_cache, dispatch
from onepass.runtime.call import RowCall
from onepass.runtime.reduce import Weighting

pytestmark = pytest.mark.usefixtures("by_python")  # test_native.py has the other way


@pytest.fixture
def calls(monkeypatch):
    """The calls that run, in their order."""
    ran = []
    run = dispatch.run_by

    def noted(engine, call, tensors):
        ran.append(call)
        return run(engine, call, tensors)

    monkeypatch.setattr(dispatch, "run_by", noted)
    return ran


def _batch(seed=0, rows=7, classes=5):
    generator = torch.Generator().manual_seed(seed)
    x = 9 * torch.randn(rows, classes, generator=generator)
    return x.requires_grad_(), torch.randint(classes, (rows,), generator=generator)


def test_a_call_of_the_same_kind_is_the_same_call(calls):
    for seed in range(3):
        x, y = _batch(seed)
        loss = F.cross_entropy(x, y)
        loss.backward()
        twin = x.detach().double().requires_grad_()
        torch.nn.functional.cross_entropy(twin, y).backward()
        torch.testing.assert_close(x.grad, twin.grad.float(), rtol=2e-6, atol=1e-9)
    assert calls[0] is calls[1] is calls[2]
    assert isinstance(calls[0], RowCall)
    (launch,) = calls[0].launches.values()
    assert launch.operands == ()  # it keeps no tensor alive
    assert not any(launch.beside)


CHANGES = {
    "reduction": lambda x, y: F.cross_entropy(x, y, reduction="sum"),
    "option": lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    "ignored": lambda x, y: F.cross_entropy(x, y, ignore_index=2),
    "dtype": lambda x, y: F.cross_entropy(x.double(), y),
    "rows": lambda x, y: F.cross_entropy(x[:6], y[:6]),
    "order": lambda x, y: F.cross_entropy(x.t().contiguous().t(), y),
    "dtype of labels": lambda x, y: F.cross_entropy(x, y.int()),
    "mask": lambda x, y: F.cross_entropy(x, y, mask=y > 1),
    "weight": lambda x, y: F.cross_entropy(x, y, weight=torch.ones(5)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_differs_is_another_call(calls, change):
    x, y = _batch()
    F.cross_entropy(x, y)
    expected = change(x, y)
    assert calls[0] is not calls[1]
    with dispatch.engine("eager"):
        torch.testing.assert_close(change(x, y), expected, rtol=1e-5, atol=1e-6)


def test_data_that_weighs_is_each_calls_own(calls):
    x, y = _batch()
    for weight in (torch.ones(5), torch.arange(5.0)):
        ours = F.cross_entropy(x, y, weight=weight)
        torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(x, y, weight))
    first, second = (F.cross_entropy(x, y, mask=y != k) for k in (0, 1))
    assert first != second
    assert not any(call.launches for call in calls)


def test_true_is_no_number_here_either():
    x, y = _batch()
    F.cross_entropy(x, y, label_smoothing=1)
    with pytest.raises(ParameterError, match="label_smoothing"):
        F.cross_entropy(x, y, label_smoothing=True)


def test_labels_of_a_remembered_call_are_still_refused():
    x, y = _batch()
    F.cross_entropy(x, y)
    with pytest.raises(DomainError, match="got 5 at"):
        F.cross_entropy(x, torch.full_like(y, 5))


def test_transforms_and_autocast_are_asked_each_time(calls):
    x, y = _batch()
    x = x.detach().bfloat16()
    plain = F.cross_entropy(x, y)
    with torch.autocast("cpu"):
        assert F.cross_entropy(x, y).dtype is torch.float32
    assert F.cross_entropy(x, y).dtype is torch.bfloat16
    assert calls[0] is calls[2]
    rows = torch.vmap(F.cross_entropy)(x.unsqueeze(1), y.unsqueeze(1))
    torch.testing.assert_close(rows.mean(), plain, rtol=2e-2, atol=0)


def test_a_saved_tensor_that_comes_back_in_another_order_is_laid_out_runner():
    x, y = _batch(rows=6, classes=6)
    F.cross_entropy(x, y).backward()

    def transposed(tensor):
        return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor

    with torch.autograd.graph.saved_tensors_hooks(transposed, lambda tensor: tensor):
        loss = F.cross_entropy(x, y)
    expected, x.grad = x.grad, None
    loss.backward(retain_graph=True)
    loss.backward()
    torch.testing.assert_close(x.grad, 2 * expected)


def test_the_memory_of_calls_is_bounded(monkeypatch):
    monkeypatch.setattr(call_cache, "_MOST", 4)
    made = []

    def prepare(input, target, *weighting):
        made.append(input.shape)
        return F.rowwise.cross_entropy.of_labels.call(
            (input, target), {**OPTIONS, "weight": None}, Weighting(*weighting)
        )

    calls = call_cache.CallCache(prepare, ["input", "target", *Weighting._fields], {})
    for rows in (*range(1, 8), 7, 7):
        calls.run((torch.zeros(rows, 3), torch.zeros(rows, dtype=torch.long), *Weighting()))
    assert len(made) == 7


OPTIONS = {"ignore_index": -100, "label_smoothing": 0.0, "z_loss": 0.0, "softcap": None}


def test_threads_share_a_remembered_call_but_not_its_frame():
    batches = [_batch(seed, rows=64, classes=4096) for seed in range(4)]
    expected = [F.cross_entropy(x, y).item() for x, y in batches]  # remembers

    def losses(number):
        x, y = batches[number]
        with torch.no_grad():
            return {F.cross_entropy(x, y).item() for _ in range(200)}

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(losses, range(4)))
    assert found == [{value} for value in expected]


EMPTY = {
    "cross_entropy": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "multi_margin_loss": F.multi_margin_loss,
}


@pytest.mark.parametrize("reduction, value", [("mean", float("nan")), ("sum", 0.0)])
@pytest.mark.parametrize("loss", EMPTY.values(), ids=EMPTY)
def test_no_rows_are_no_rows_the_second_time_either(loss, reduction, value):
    for _ in range(3):
        x, y = _batch(rows=0)
        found = loss(x, y, reduction=reduction)
        found.backward()
        torch.testing.assert_close(found, torch.tensor(value), equal_nan=True)
        assert x.grad.shape == (0, 5)


def test_labels_that_torch_would_refuse_are_refused_in_our_words():
    x, y = _batch()
    for _ in range(2):
        F.nll_loss(x, y)
        with pytest.raises(DomainError, match="got 5 at"):
            F.nll_loss(x, torch.full_like(y, 5))
