"""Blocks over threads: all of them, once, with the same bits whoever does them."""

import ctypes
import threading
import time

import pytest
import torch

from onepass import functional as F
from onepass.printers.cpu import BLOCK
from onepass.runtime.cpu import threads
from onepass.testing import draw
from tests.twins import LOSSES, names

SIZES = [1, 2, 5, 40]


@pytest.fixture(autouse=True)
def keep_the_number_of_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["openmp", "python"])
def team(request, monkeypatch):
    """Torch's threads, and those that take their place where there are none."""
    if request.param == "python":
        monkeypatch.setattr(threads, "_openmp", None)
    elif threads._openmp is None:
        pytest.skip("no OpenMP here that can be called")
    return request.param


class Turns:
    """An entry in Python that takes blocks as a kernel does, and remembers who took which."""

    def __init__(self, number, pause=0.0):
        self.left, self.taken = list(range(number)), []
        self.lock, self.pause = threading.Lock(), pause
        self.entry = threads.ENTRY(self)

    def __call__(self, frame):
        while True:
            with self.lock:
                if not self.left:
                    return
                self.taken.append((self.left.pop(0), threading.get_ident()))
            time.sleep(self.pause)


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


def test_torchs_number_of_threads_is_left_alone(team):
    x = torch.randn(1_000_000, requires_grad=True)
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        F.l1_loss(x, torch.zeros(1_000_000)).backward()
        assert torch.get_num_threads() == number


def test_openmp_is_the_one_that_torch_loaded():
    if threads._openmp is None:
        pytest.skip("no OpenMP here that can be called")
    before = _openmp_libraries()
    F.l1_loss(torch.zeros(9 * BLOCK), torch.zeros(9 * BLOCK))
    assert _openmp_libraries() == before
    assert len(before) <= 1


def _openmp_libraries():
    try:
        with open("/proc/self/maps") as maps:
            files = {line.split()[-1] for line in maps}
    except OSError:
        pytest.skip("no /proc here")
    torchs = torch.__path__[0]
    return {file for file in files if "omp" in file.rsplit("/", 1)[-1] and torchs in file}


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("blocks", SIZES)
def test_every_turn_is_taken_once(team, number, blocks):
    torch.set_num_threads(number)
    work = Turns(blocks)
    threads.together(work.entry, 0, blocks)
    assert [turn for turn, _ in work.taken] == list(range(blocks))


def test_no_more_threads_work_than_torch_has(team):
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        work = Turns(30, pause=0.003)
        threads.together(work.entry, 0, 30)
        workers = {who for _, who in work.taken}
        assert len(workers) == number
        assert threading.get_ident() in workers


def test_no_more_threads_are_woken_than_there_are_turns(monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "_openmp", lambda entry, frame, number, _: asked.append(number))
    torch.set_num_threads(3)
    calls = []
    for blocks in (1, 2, 3, 4):
        threads.together(calls.append, 7, blocks)
    assert (calls, asked) == ([7], [2, 3, 3])


def test_a_frame_arrives(team):
    torch.set_num_threads(2)
    seen = ctypes.c_int64(0)

    def look(frame):
        ctypes.c_int64.from_address(frame).value = 5

    threads.together(threads.ENTRY(look), ctypes.addressof(seen), 2)
    assert seen.value == 5


def test_a_slow_thread_holds_nobody_up(team):
    torch.set_num_threads(2)
    x, y = torch.randn(2, 40 * BLOCK)
    expected = F.l1_loss(x, y)
    start = threading.Event()

    class Slow(Turns):
        def __call__(self, frame):
            if threading.current_thread() is threading.main_thread():
                start.wait(0.2)
            super().__call__(frame)

    work = Slow(20, pause=0.001)
    threads.together(work.entry, 0, 20)
    assert len(work.taken) == 20
    assert sum(who == threading.get_ident() for _, who in work.taken) < 5
    assert torch.equal(F.l1_loss(x, y), expected)


@pytest.mark.parametrize("in_caller", [True, False])
def test_an_exception_of_a_python_thread_surfaces(in_caller):
    def work(frame):
        time.sleep(0.01)
        if (threading.current_thread() is threading.main_thread()) == in_caller:
            raise ZeroDivisionError("of a kernel")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="of a kernel"):
            threads._by_python(work, 0, 2)


def test_python_threads_that_never_woke_are_not_waited_for():
    busy = threading.Event()
    started = threads._started(lambda _: busy.wait(2), 0, 2)
    try:
        calls = []
        start = time.perf_counter()
        threads._by_python(calls.append, 3, 3)
        assert time.perf_counter() - start < 1
        assert calls == [3]
    finally:
        busy.set()
        for helper in started:
            helper.result()


def test_many_python_threads_call_at_once(team):
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


def test_a_kernel_lets_other_threads_run(team):
    torch.set_num_threads(1 if team == "python" else 2)
    x, ticks, stop = torch.randn(30_000_000), [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    F.poisson_nll_loss(x, x.abs(), full=True)
    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    F.poisson_nll_loss(x, x.abs(), full=True)
    end = time.perf_counter()
    stop.set()
    ticker.join()
    assert sum(start < t < end for t in ticks) >= 2
