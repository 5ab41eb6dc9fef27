"""Kernels that cannot be made, kernels as Python, many kernels at once."""

import subprocess
import sys
import threading
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import onepass
from onepass import functional as F
from onepass.pointwise import regression
from onepass.printers.cpu import text
from onepass.printers.kernel import Kernel, Operand
from onepass.runtime.cpu import (
    compiler,
    intrinsics,
    kernels,
    language,
    processor,
    registers,
    vectormath,
)


@pytest.fixture
def broken(monkeypatch):
    """A compiler that fails."""

    def fails(*_):
        raise RuntimeError("no room for code")

    monkeypatch.setattr(kernels, "load", fails)


def fresh(factor):
    """A loss that no kernel was made for."""

    @onepass.pointwise
    def tripled(input, target):
        return factor * torch.abs(input - target)

    return tripled


def recorded(function, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = function(*arguments, **options)
    return value, [w for w in caught if w.category is onepass.EngineWarning]


@pytest.mark.usefixtures("broken")
def test_a_failing_compiler_is_said_once_and_the_definition_runs(monkeypatch):
    monkeypatch.setattr("onepass.runtime.dispatch._said", set())
    loss = fresh(3.0)
    x, y = torch.randn(2, 5000)
    leaf = x.clone().requires_grad_()
    value, said = recorded(loss, leaf, y)
    value.backward()
    assert value.item() == pytest.approx(3 * (x - y).abs().mean().item(), rel=1e-5)
    torch.testing.assert_close(leaf.grad, 3 * torch.sign(x - y) / 5000)
    (warning,) = said
    assert "tripled: " in str(warning.message)
    assert "no room for code" in str(warning.message)
    assert "definition runs instead" in str(warning.message)
    for reduction in ("mean", "sum"):
        value, said = recorded(loss, x, y, reduction=reduction)
        assert not said
        assert value.isfinite()


@pytest.mark.usefixtures("broken")
def test_an_engine_chosen_by_hand_raises_instead():
    loss, x = fresh(3.0), torch.randn(5000)
    with onepass.engine("cpu"), pytest.raises(onepass.EngineError, match="no room for code"):
        loss(x, x)
    with onepass.engine("eager"):
        assert loss(x, x) == 0


@pytest.mark.usefixtures("broken")
def test_a_kernel_that_was_made_before_still_runs(monkeypatch):
    loss, x = fresh(3.0), torch.randn(5000)
    monkeypatch.undo()
    before, _ = recorded(loss, x, -x)
    monkeypatch.setattr(kernels, "load", None)
    after, said = recorded(loss, x, -x)
    assert torch.equal(before, after)
    assert not said


@pytest.mark.parametrize("error", [OSError, MemoryError, RuntimeError, TypeError])
def test_what_the_system_refused_once_is_asked_for_again(error, monkeypatch):
    loss, x = fresh(5.0), torch.randn(5000)

    def fails(*_):
        raise error("not now")

    with monkeypatch.context() as patch, onepass.engine("cpu"):
        patch.setattr(kernels, "load", fails)
        with pytest.raises(MemoryError if error is MemoryError else onepass.EngineError):
            loss(x, -x)
    with onepass.engine("cpu"):
        if error in (OSError, MemoryError):
            torch.testing.assert_close(loss(x, -x), 5 * F.l1_loss(x, -x))
        else:  # the compiler's word is kept
            with pytest.raises(onepass.EngineError, match="not now"):
                loss(x, -x)


def test_the_texts_of_losses_of_one_name_are_kept_apart():
    x = torch.ones(5000)
    assert fresh(3.0)(x, 0 * x).item() == 3
    assert fresh(4.0)(x, 0 * x).item() == 4


@pytest.mark.parametrize("count", [1, 16384, 16385])
def test_a_kernel_runs_as_plain_python_too(count):
    loss = regression.huber_loss
    kernel = Kernel(
        name="huber_loss",
        operands=(Operand("input", "float64"), Operand("target", "float64")),
        parameters=("delta",),
        gradients=("input",),
        each=False,
        precision="float64",
        output="float64",
    )
    source = text(kernel, *loss.results(loss.tensors, loss.flags))
    x, y = np.random.default_rng(0).normal(size=(2, count))
    gradient, partials = np.empty(count), np.zeros(-(-count // 16384))
    compiler.plain(source)(x, y, gradient, partials, 0.5, 2.0, count, [0])
    leaf = torch.from_numpy(x).requires_grad_()
    value = F.huber_loss(leaf, torch.from_numpy(y), delta=0.5, reduction="sum")
    value.backward(torch.tensor(2.0, dtype=torch.float64))
    assert partials.sum() == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-12)


def test_loaded_kernels_are_remembered_per_kind():
    loss = fresh(5.0)
    x, y = torch.randn(2, 5000)
    for _ in range(3):
        loss(x, y)
    assert len(loss.kernels) == 1
    loss(x.double(), y)
    loss(x, y, reduction="none")
    loss(x, y, mask=x > 0)
    loss(x.clone().requires_grad_(), y)
    assert len(loss.kernels) == 5
    loss(x, y, reduction="sum")
    loss(x[:4999], y[:4999])
    assert len(loss.kernels) == 5


def test_threads_that_need_one_kernel_at_once_all_get_it():
    loss, x = fresh(7.0), torch.ones(5000)
    start, results = threading.Barrier(6), []

    def work():
        start.wait()
        results.append(loss(x, 0 * x).item())

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [7.0] * 6


def test_source_shows_what_is_compiled():
    shown = regression.huber_loss.source("cpu")
    assert "# huber_loss: " in shown
    assert "gradient_input" in shown
    assert "gradient_input" not in regression.huber_loss.source("cpu", gradient=False)
    assert "values" in regression.huber_loss.source("cpu", reduction="none", gradient=False)
    assert "def huber_loss(" in regression.huber_loss.source("eager")
    compile(shown, "shown", "exec")


@pytest.mark.usefixtures("broken")
def test_an_error_that_is_remembered_does_not_grow():
    loss, x = fresh(3.0), torch.randn(5000)
    lengths = set()
    for _ in range(3):
        with onepass.engine("cpu"), pytest.raises(onepass.EngineError) as caught:
            loss(x, x)
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


FAR_AWAY = """
import ctypes, torch
from onepass import functional as F
from onepass.define import Pointwise
from onepass.pointwise.regression import huber_loss
from onepass.runtime.cpu import kernels

PAGE, RESERVED = 4096, 0x4022  # private, anonymous, without memory behind it
system = ctypes.CDLL(None)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
system.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

def reserved(pages):
    place = system.mmap(None, pages * PAGE, 0, RESERVED, -1, 0)
    assert place != ctypes.c_void_p(-1).value, "there is no room for pages without memory"
    return place

kept = []

def huber():
    kernels._in_memory.clear()
    loss = Pointwise(huber_loss.formula, huber_loss.domains)
    assert loss(*torch.arange(10_000.0).view(2, 5000)).item() == 4999.5
    kept.extend(loss.kernels.values())
    return kept[-1].address

before = huber()
above, far = reserved(4096), reserved(3 << 18)
for pages in (4096, 256, 16, 4, 2, 1):
    while reserved(pages) > far:  # in a hole that there was
        pass
"""

SCATTERED = """
for page in range(0, 4096, 2):
    system.munmap(above + page * PAGE, PAGE)
scores, labels = torch.randn(300, 300, requires_grad=True), torch.arange(300)
slopes = [
    torch.autograd.grad(functional.cross_entropy(scores, labels), scores)
    for functional in (F, torch.nn.functional)
]
torch.testing.assert_close(*slopes)
"""

LOADED_AGAIN = """
assert abs(huber() - before) > 3 << 30
"""


@pytest.mark.skipif(sys.platform != "linux", reason="places memory by Linux's rules")
@pytest.mark.parametrize("then", [SCATTERED, LOADED_AGAIN], ids=["scattered", "loaded again"])
def test_a_kernel_needs_nothing_that_is_far_away(then):
    """3 GiB are between what was loaded before and all that is free, but for a page here and there;
    code reaches 2.
    """
    script = f"{FAR_AWAY}{then}print('computed')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "computed\n", done.stderr


def test_what_a_kernel_is_kept_by_has_read_every_file_that_emits_instructions(monkeypatch):
    read, read_text = set(), Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **options: read.add(path) or read_text(path, **options)
    )
    kernels._toolchain.__wrapped__()
    functions = [m for name, m in sys.modules.items() if name.startswith(vectormath.__name__)]
    assert vectormath.formats in functions
    emitting = (*functions, registers, intrinsics, language, compiler)
    assert {Path(module.__file__) for module in emitting} <= read


def test_the_processor_may_be_chosen(monkeypatch):
    for name in ("ONEPASS_CPU_NAME", "ONEPASS_CPU_FEATURES"):
        monkeypatch.delenv(name, raising=False)
    here, kept = processor.chosen(), kernels._toolchain.__wrapped__()
    monkeypatch.setenv("ONEPASS_CPU_NAME", "haswell")
    monkeypatch.setenv("ONEPASS_CPU_FEATURES", "+avx2,-avx512f")
    assert processor.chosen() == ("haswell", "+avx2,-avx512f") != here
    assert kernels._toolchain.__wrapped__() != kept  # its kernels are others in the cache
    monkeypatch.delenv("ONEPASS_CPU_NAME")
    assert processor.chosen() == (here[0], "+avx2,-avx512f")
