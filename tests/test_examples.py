"""The examples run, say what they promise, and their losses pass the checks they advertise."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from sklearn.metrics import mean_pinball_loss

import onepass
from onepass.define import Pointwise
from onepass.testing import check_loss

EXAMPLES = Path(__file__).parents[1] / "examples"
DOI = re.compile(r"\(\d{4}\), doi:10\.\d{4}/\S+")


def imported(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULES = {path.stem: imported(path.stem) for path in sorted(EXAMPLES.glob("*.py"))}
LOSSES = {
    name: next(thing for thing in vars(module).values() if isinstance(thing, Pointwise))
    for name, module in MODULES.items()
}
every_example = pytest.mark.parametrize("name", MODULES)


def test_there_are_examples():
    assert MODULES.keys() >= {"charbonnier", "focal", "quantile"}


@every_example
def test_an_example_runs_and_prints(name, capsys):
    MODULES[name].main()
    assert capsys.readouterr().out.strip()


@every_example
def test_a_formula_is_short_and_names_its_source(name):
    lines = inspect.getsource(LOSSES[name].formula).splitlines()
    assert len([line for line in lines if line.strip()]) < 12
    assert DOI.search(MODULES[name].__doc__)
    assert LOSSES[name].__doc__


@pytest.mark.slow
@every_example
def test_a_users_loss_has_every_property(name, monkeypatch):
    loss = LOSSES[name]
    monkeypatch.setitem(sys.modules, loss.formula.__module__, MODULES[name])
    check_loss(loss)


@every_example
def test_a_users_loss_is_a_module(name):
    loss = onepass.nn.PointwiseLoss(LOSSES[name], reduction="sum")
    input, target = torch.rand(2, 50)
    torch.testing.assert_close(loss(input, target), LOSSES[name](input, target, reduction="sum"))
    assert loss.config() == {"loss": LOSSES[name], "reduction": "sum"}


def test_charbonnier_is_near_the_absolute_error():
    input, target = torch.randn(2, 1000, dtype=torch.float64)
    value = LOSSES["charbonnier"](input, target, eps=1e-6)
    torch.testing.assert_close(value, onepass.functional.l1_loss(input, target), rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantile_is_scikit_learns_pinball(level):
    input, target, weight = torch.rand(3, 500, dtype=torch.float64)
    expected = mean_pinball_loss(target, input, sample_weight=weight, alpha=level)
    value = LOSSES["quantile"](input, target, level=level, sample_weight=weight)
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_quantile_training_comes_to_rest_at_the_quantile(capsys):
    MODULES["quantile"].main()
    printed = re.findall(r"fitted ([\d.]+), quantile ([\d.]+)", capsys.readouterr().out)
    assert len(printed) == 3
    for fitted, exact in printed:
        assert float(fitted) == pytest.approx(float(exact), abs=0.02)


def test_focal_without_focus_is_balanced_cross_entropy():
    input, target = torch.randn(100, dtype=torch.float64), torch.rand(100, dtype=torch.float64)
    value = LOSSES["focal"](input, target, gamma=0.0, alpha=0.5, reduction="none")
    plain = torch.nn.functional.binary_cross_entropy_with_logits(input, target, reduction="none")
    torch.testing.assert_close(value, plain / 2)


def test_focal_is_the_formula_of_its_paper():
    input = torch.randn(100, dtype=torch.float64)
    target = (torch.rand(100) < 0.5).double()
    right = torch.where(target == 1, torch.sigmoid(input), 1 - torch.sigmoid(input))
    alpha = torch.where(target == 1, 0.25, 0.75)
    paper = -alpha * (1 - right) ** 2 * torch.log(right)
    torch.testing.assert_close(LOSSES["focal"](input, target, reduction="none"), paper)
