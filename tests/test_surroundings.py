"""What stands around a call: default devices, lazy views, batches of gradients, interruptions."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import onepass
import onepass.functional as F
from onepass.runtime.cpu import threads

SIZE = 5000


def pair():
    return torch.randn(SIZE, requires_grad=True), torch.randn(SIZE)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("size", [SIZE, 1 << 20])
def test_another_default_device_changes_nothing(reduction, size):
    input = torch.randn(2, size // 2, requires_grad=True)
    target = torch.randn(size // 2, 2).t()
    expected = F.l1_loss(input, target, reduction=reduction)
    with torch.device("meta"):
        value = F.l1_loss(input, target, reduction=reduction)
        (gradient,) = torch.autograd.grad(value, input, torch.ones(value.shape, device="cpu"))
    assert torch.equal(value, expected)
    assert gradient.device.type == "cpu"
    assert gradient.abs().max() > 0


def test_a_lazily_negated_upstream_keeps_its_sign():
    input, target = pair()
    upstream = torch.rand(SIZE)
    value = F.l1_loss(input, target, reduction="none")
    (plain,) = torch.autograd.grad(value, input, -upstream, retain_graph=True)
    (lazy,) = torch.autograd.grad(value, input, torch._neg_view(upstream))
    assert torch.equal(plain, lazy)


def test_gradients_come_in_batches():
    input, target = torch.randn(7, requires_grad=True), torch.randn(7).sign()
    upstreams = torch.tensor([1.0, 2.0, 3.0])
    value = F.soft_margin_loss(input, target)
    (batch,) = torch.autograd.grad(
        value, input, upstreams, is_grads_batched=True, retain_graph=True
    )
    (one,) = torch.autograd.grad(value, input)
    torch.testing.assert_close(batch, upstreams[:, None] * one)

    def each(x):
        return F.soft_margin_loss(x, target, reduction="none")

    jacobian = torch.autograd.functional.jacobian
    vectorized = jacobian(each, input.detach(), vectorize=True)
    torch.testing.assert_close(vectorized, jacobian(each, input.detach()))


def test_a_tensor_that_is_zero_without_memory_is_taken():
    target = torch.randn(SIZE)
    value = F.l1_loss(torch._efficientzerotensor(SIZE), target)
    assert value.item() == pytest.approx(target.abs().mean().item())


def test_products_of_half_weights_do_not_overflow():
    ones, zeros = torch.ones(70_000).half(), torch.zeros(70_000).half()
    weight = torch.full((70_000,), 60_000.0, dtype=torch.float16)
    assert F.mse_loss(ones, zeros, weight=weight, sample_weight=weight).item() == 1


def test_an_interrupted_call_leaves_nobody_writing():
    caller, done = threading.current_thread(), []

    def work(frame):
        if threading.current_thread() is caller:
            started.wait(5)
            raise KeyboardInterrupt
        started.set()
        for turn in range(10):
            time.sleep(0.01)
            done.append(turn)

    started = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        threads._by_python(work, 0, 2)
    assert len(done) == 10


@pytest.mark.parametrize("last", ["l1_loss", "huber_loss"])  # called before, and never
def test_a_loss_at_exit_still_works(last):
    text = (
        "import atexit, warnings, torch, onepass.functional as F\n"
        "warnings.simplefilter('error')\n"
        "x, y = torch.randn(2, 1 << 20)\n"
        "F.l1_loss(x, y)\n"
        "torch.set_num_threads(2)\n"
        f"atexit.register(lambda: print(F.{last}(x, y).isfinite().item()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "True", run.stderr


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), np.int64(2), 2])
def test_numbers_of_numpy_are_numbers(number):
    input, target = pair()
    expected = F.huber_loss(input, target, delta=2.0)
    assert torch.equal(F.huber_loss(input, target, delta=number), expected)
    normalized = F.l1_loss(input, target, normalizer=number)
    assert torch.equal(normalized, F.l1_loss(input, target, normalizer=2.0))


def test_complex_tensors_are_refused_unless_their_size_is_taken():
    one, two = torch.randn(2, 5, dtype=torch.complex64)
    expected = torch.nn.functional.l1_loss(one, two)
    torch.testing.assert_close(F.l1_loss(one, two), expected)
    for function in (F.mse_loss, F.huber_loss, F.soft_margin_loss):
        with pytest.raises(onepass.DtypeError, match="view_as_real"):
            function(one, two)


def test_what_is_no_tensor_is_named_before_anything_is_done_with_it():
    input, target = pair()
    with pytest.raises(onepass.DtypeError, match="`input` must be a tensor"):
        F.gaussian_nll_loss(None, target, target)
    with pytest.raises(onepass.DtypeError, match="`target` must be a tensor"):
        F.binary_cross_entropy_with_logits(input, None)
    with pytest.raises(onepass.DtypeError, match="`var` must be a tensor"):
        F.gaussian_nll_loss(input, target, True)
    with pytest.raises(onepass.DtypeError, match="`weight` must be a tensor"):
        F.mse_loss(input, target, weight=1.0, sample_weight=target)
    with pytest.raises(onepass.ShapeError, match="`weight` must broadcast"):
        F.mse_loss(input, target, weight=torch.ones(3))
    with pytest.raises(onepass.ParameterError, match="reduction"):
        F.mse_loss(input, target, reduction=["mean"])
    with pytest.raises(onepass.ParameterError, match="there is no loss None"):
        onepass.get(None)
    with pytest.raises(onepass.DeviceError, match="`mask`"):
        F.mse_loss(input, target, mask=torch.ones(SIZE, dtype=torch.bool, device="meta"))


def test_an_empty_batch_needs_no_kernel():
    with onepass.engine("cpu"):
        assert F.mse_loss(torch.zeros(0), torch.zeros(0), reduction="sum") == 0
