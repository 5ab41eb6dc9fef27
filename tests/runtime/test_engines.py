"""An engine of another kind than the CPU's serves all losses: tests/toy.py."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import onepass
from onepass.errors import EngineError, EngineWarning
from onepass.runtime import dispatch
from onepass.runtime.engines import ENGINES
from tests.every import EVERY, REDUCTIONS
from tests.toy import Toy

ROOT = Path(__file__).parents[2]
SUITE = (
    "errors", "test_checking.py", "test_functional.py", "test_nans.py", "test_nn.py",
    "test_pitfalls.py", "test_torch_parity.py",
)  # fmt: skip


@pytest.fixture
def toy(monkeypatch):
    made = Toy()
    monkeypatch.setitem(ENGINES, "toy", made)
    return made


def results(every, reduction):
    tensors = every.drawn(6)
    for k in every.learned:
        tensors[k].requires_grad_()
    value = every.ours(*tensors, reduction=reduction, **every.options)
    upstream = torch.linspace(0.5, 2.0, value.numel()).reshape(value.shape)
    return value.detach(), *torch.autograd.grad(
        value, [tensors[k] for k in every.learned], upstream
    )


@pytest.mark.filterwarnings("ignore:kl_div")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("every", EVERY, ids=str)
def test_an_engine_chosen_by_name_computes_every_loss(toy, every, reduction):
    expected = results(every, reduction)
    assert not toy.calls
    with onepass.engine("toy"):
        found = results(every, reduction)
    assert toy.calls
    torch.testing.assert_close(found, expected)


def test_the_first_engine_that_can_read_the_tensors_is_taken(toy, monkeypatch):
    x, y = torch.randn(2, 5, dtype=torch.float64)
    loss = onepass.pointwise(lambda input, target: (input - target) ** 4)
    loss(x, y)
    assert not toy.calls
    monkeypatch.setattr(ENGINES["cpu"], "obstacle", lambda call, tensors: "it is busy")
    loss(x.float(), y.float())
    assert toy.calls == 1


def test_an_engine_that_cannot_read_the_tensors_is_an_error_if_chosen(toy):
    x = torch.randn(3, device="meta")
    with onepass.engine("toy"), pytest.raises(EngineError, match="the toy engine cannot run"):
        onepass.functional.mse_loss(x, x)


def test_an_engine_without_a_kernel_leaves_the_call_to_the_definition_and_says_so_once(
    toy, monkeypatch
):
    def lacks(*_):
        raise EngineError("mse_loss: the toy engine has no kernel of it")

    monkeypatch.setattr(dispatch, "_said", set())
    monkeypatch.setitem(ENGINES, "cpu", toy)
    for name in ("value", "values", "value_and_gradients"):
        monkeypatch.setattr(toy, name, lacks)
    x, y = torch.randn(2, 7, dtype=torch.float64)
    loss = onepass.pointwise(lambda input, target: (input - target) ** 2)
    twice = (*REDUCTIONS, *REDUCTIONS)
    with pytest.warns(EngineWarning, match="has no kernel of it. The definition runs") as said:
        found = [loss(x, y, reduction=reduction) for reduction in twice]
    expected = [torch.nn.functional.mse_loss(x, y, reduction=reduction) for reduction in twice]
    torch.testing.assert_close(found, expected)
    assert len(said) == 1


@pytest.mark.slow
def test_the_suite_runs_through_another_engine():
    files = [f"tests/{name}" for name in SUITE]
    options = ["-q", "--toy", "-m", "not slow", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
