"""A process that runs for long stays as large as it is: calls, shapes and formulas come and go."""

import gc
import subprocess
import sys
import weakref

import pytest
import torch

import onepass
from onepass import functional as F

PROCESS = """
import gc, sys, torch, onepass, onepass.functional as F

def size():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def calls(count):
    x, y = torch.randn(10, 7, requires_grad=True), torch.randn(10, 7)
    labels = torch.randint(7, (10,))
    for _ in range(count // 4):
        F.mse_loss(x, y).backward()
        F.cross_entropy(x, labels).backward()
        F.huber_loss(x, y, reduction="none").sum().backward()
        F.l1_loss(x, y, sample_weight=y[:, :1].abs()).backward()

def shapes(count):
    for k in range(count // 2):
        x, y = torch.randn(2, 1 + seen + k)
        x.requires_grad_()
        F.mse_loss(x, y).backward()
        F.cross_entropy(x[None], torch.tensor([k])).backward()

def formulas(count):
    x, y = torch.randn(2, 5000)
    x.requires_grad_()
    for k in range(count):
        loss = onepass.pointwise(lambda input, target: torch.abs(input - target) * (seen + k + 0.5))
        loss(x, y).backward()

def redefinitions(count):
    x, y = torch.randn(2, 5000)
    for _ in range(count):
        onepass.pointwise(lambda input, target: torch.abs(input - target) * 0.25)(x, y)

what, warm, count = globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
seen = 0
what(warm)
before, seen = size(), warm
what(count)
print((size() - before) / count)
"""


# bytes for each, and how many come before
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "what, warm, count, most",
    [
        ("calls", 10_000, 100_000, 10),
        ("shapes", 4000, 20_000, 200),
        ("formulas", 100, 400, 60_000),
        ("redefinitions", 100, 1000, 5000),
    ],
)
def test_memory_does_not_grow_with(what, warm, count, most, tmp_path, monkeypatch):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    command = [sys.executable, "-W", "ignore", "-c", PROCESS, what, str(warm), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert float(done.stdout) < most


def formula():
    return onepass.pointwise(lambda input, target: torch.abs(input - target) * 3.75)


def kernels_of(loss):
    return list(loss.kernels.values())


def test_losses_of_one_formula_share_its_kernels():
    x, y = torch.randn(2, 5000)
    first, second = formula(), formula()
    assert torch.equal(first(x, y), second(x, y))
    assert kernels_of(first) == kernels_of(second) != []


def test_a_kernel_is_freed_with_the_last_that_may_run_it():
    x, y = torch.randn(5000, requires_grad=True), torch.randn(5000)
    first, second = formula(), formula()
    losses = [first(x, y), second(x, y), first(x, y, reduction="none")]
    kernels = [weakref.ref(kernel) for kernel in kernels_of(first)]
    del first
    gc.collect()
    assert all(kernel() for kernel in kernels[:1])
    del second
    gc.collect()
    for loss in losses:  # whose graphs hold what they need
        loss.sum().backward()
    del losses, loss
    gc.collect()
    assert not any(kernel() for kernel in kernels)
    again = formula()
    torch.testing.assert_close(again(x, y), 3.75 * F.l1_loss(x, y))
