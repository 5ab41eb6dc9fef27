"""The first losses of a process: from several threads at once, and interrupted."""

import os
import signal
import subprocess
import sys
import threading

import pytest

THREADS = """
import sys, threading, warnings
warnings.simplefilter("error")
import torch
import torch.nn.functional as theirs
import onepass.functional as ours

threads = int(sys.argv[1])
generator = torch.Generator().manual_seed(0)
x, y = torch.randn(2, 30_000, generator=generator)
logits, labels = torch.randn(300, 7, generator=generator), torch.randint(7, (300,))
CALLS = [
    ("mse_loss", x, y), ("cross_entropy", logits, labels), ("huber_loss", x[:10], y[:10]),
    ("multi_margin_loss", logits, labels), ("soft_margin_loss", x, y.sign()),
]
barrier, failed = threading.Barrier(threads), []

def work(k):
    name, input, target = CALLS[k % len(CALLS)]
    ends = []
    barrier.wait()
    for losses in (ours, theirs):
        leaf = input.clone().requires_grad_()
        getattr(losses, name)(leaf, target).backward()
        ends.append(leaf.grad)
    torch.testing.assert_close(*ends)

def tried(k):
    try:
        work(k)
    except BaseException as error:
        failed.append(f"{CALLS[k % len(CALLS)][0]}: {error!r}")

workers = [threading.Thread(target=tried, args=(k,)) for k in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(failed or "right")
"""


def together(threads, folder):
    command = [sys.executable, "-c", THREADS, str(threads)]
    environment = os.environ | {"ONEPASS_CACHE_DIR": str(folder)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("threads", [2, 8, 64])
def test_the_first_losses_may_come_from_many_threads(threads, tmp_path):
    for _ in ("cold", "warm"):
        assert together(threads, tmp_path / "kernels") == "right"


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 4, 8, 16, 64])
def test_they_are_right_every_time(threads, tmp_path):
    for k in range(10):
        assert together(threads, tmp_path / f"kernels{k // 2}") == "right"


LOOP = """
import signal, torch, onepass.functional as F
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
x, y = torch.randn(4_000_000, requires_grad=True), torch.zeros(4_000_000)
interrupted = 0
while interrupted < 12:
    try:
        if not interrupted:
            F.mse_loss(x, y).backward()
        print("ready", flush=True)
        while True:
            x.grad = None
            F.mse_loss(x, y).backward()
    except KeyboardInterrupt:
        interrupted += 1
print("interrupted", interrupted, flush=True)
"""


def test_every_interrupt_in_a_loop_of_large_losses_arrives():
    command = [sys.executable, "-W", "error", "-c", LOOP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loop:
        watchdog = threading.Timer(120, loop.kill)
        watchdog.start()
        try:
            for k in range(12):
                assert loop.stdout.readline() == "ready\n"
                signal.sigtimedwait([], 0.03 + 0.011 * k)  # another moment of a step each time
                loop.send_signal(signal.SIGINT)
            assert loop.communicate(timeout=30)[0] == "interrupted 12\n"
        finally:
            watchdog.cancel()
            loop.kill()


TIMED = """
import signal, time, warnings
warnings.simplefilter("error")
import torch, onepass
from onepass.runtime.cpu import compiler

class Late(Exception):
    pass

def handler(*_):
    raise Late

def slow(*arguments):
    time.sleep(0.3)
    return compiled(*arguments)

compiled, compiler.compiled = compiler.compiled, slow
signal.signal(signal.SIGALRM, handler)
x, y = torch.randn(2, 5000)
caught = 0
for k in range(12):
    loss = onepass.pointwise(lambda input, target: torch.abs(input - target) * (1.5 + k))
    signal.setitimer(signal.ITIMER_REAL, 0.02 + 0.02 * k)
    try:
        loss(x, y)
    except Late:
        caught += 1
    with onepass.engine("cpu"):  # the kernel is made; another engine would be an error
        torch.testing.assert_close(loss(x, y), (x - y).abs().mean() * (1.5 + k))
print("caught", caught)
"""


def test_what_a_signal_handler_raises_passes_through_the_compiler(tmp_path):
    environment = os.environ | {"ONEPASS_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, "-c", TIMED]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "caught 12\n", done.stderr
