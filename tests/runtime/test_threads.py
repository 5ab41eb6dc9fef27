"""Blocks over threads: all of them, once, with the same bits whoever does them."""

import threading
import time
import warnings

import pytest
import torch

import onepass
from onepass import functional as F
from onepass.runtime import threads
from onepass.testing import draw
from tests.twins import LOSSES, names

AT_ONCE = threads._BLOCKS_AT_ONCE


@pytest.fixture(autouse=True)
def keep_the_number_of_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("loss", LOSSES, ids=names(LOSSES))
def test_the_bits_do_not_depend_on_the_number_of_threads(loss):
    generator = torch.Generator().manual_seed(9)
    tensors = [draw(loss.domains[n], (1_000_000,), generator).float() for n in loss.tensors]
    for reduction in ("mean", "sum", "none"):
        results = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            leaf = tensors[0].clone().requires_grad_()
            value = loss(leaf, *tensors[1:], reduction=reduction)
            plain = loss(*tensors, reduction=reduction)
            (gradient,) = torch.autograd.grad(value, leaf, torch.full_like(value, 0.7))
            results.append((value.detach(), plain, gradient))
        for result in results[1:]:
            assert all(map(torch.equal, result, results[0]))


def test_torchs_number_of_threads_is_left_alone():
    x = torch.randn(1_000_000, requires_grad=True)
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        F.l1_loss(x, torch.zeros(1_000_000)).backward()
        assert torch.get_num_threads() == number


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("blocks", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 5 * AT_ONCE + 3])
def test_every_block_is_done_once(number, blocks):
    torch.set_num_threads(number)
    done = []
    threads.over_blocks(lambda first, last: done.extend(range(first, last)), blocks)
    assert sorted(done) == list(range(blocks))


def test_no_more_threads_work_than_torch_has():
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        workers = set()

        def work(first, last, workers=workers):
            workers.add(threading.get_ident())
            time.sleep(0.005)

        threads.over_blocks(work, 12 * AT_ONCE)
        assert len(workers) == number
        assert threading.get_ident() in workers


def test_few_blocks_start_no_thread(monkeypatch):
    monkeypatch.setattr(threads, "_executor", None)  # calling it would raise
    torch.set_num_threads(3)
    done = []
    threads.over_blocks(lambda *blocks: done.append(blocks), AT_ONCE)
    torch.set_num_threads(1)
    threads.over_blocks(lambda *blocks: done.append(blocks), 100 * AT_ONCE)
    assert done == [(0, AT_ONCE), (0, 100 * AT_ONCE)]


def test_a_slow_thread_holds_nobody_up():
    torch.set_num_threads(2)
    taken = {}

    def work(first, last):
        me = threading.get_ident()
        taken[me] = taken.get(me, 0) + 1
        time.sleep(0.1 if me == threading.main_thread().ident else 0.001)

    threads.over_blocks(work, 20 * AT_ONCE)
    assert sum(taken.values()) == 20
    assert max(taken.values()) > 15


@pytest.mark.parametrize("in_caller", [True, False])
def test_an_exception_surfaces_and_the_pool_goes_on(in_caller):
    torch.set_num_threads(2)

    def work(first, last):
        time.sleep(0.002)
        if (threading.current_thread() is threading.main_thread()) == in_caller:
            raise ZeroDivisionError("of a kernel")

    with pytest.raises(ZeroDivisionError, match="of a kernel"):
        threads.over_blocks(work, 20 * AT_ONCE)
    done = []
    threads.over_blocks(lambda first, last: done.extend(range(first, last)), 20 * AT_ONCE)
    assert sorted(done) == list(range(20 * AT_ONCE))


def test_many_python_threads_call_at_once():
    torch.set_num_threads(2)
    x = torch.randn(600_000)
    expected = {k: F.l1_loss(x, torch.full_like(x, k)).item() for k in range(6)}
    found = {}

    def work(k):
        target = torch.full_like(x, k)
        found[k] = {F.l1_loss(x, target).item() for _ in range(5)}

    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {k: {value} for k, value in expected.items()}


def test_a_kernel_lets_other_threads_run():
    torch.set_num_threads(1)
    x, ticks, stop = torch.randn(4_000_000), [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    loss = onepass.catalogue()["poisson_nll_loss"]
    loss(x, x.abs(), full=True)
    ticker = threading.Thread(target=tick)
    ticker.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        loss(x, x.abs(), full=True)
        end = time.perf_counter()
    stop.set()
    ticker.join()
    assert sum(start < t < end for t in ticks) >= 2
