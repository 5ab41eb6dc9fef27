"""What stands on a command line: columns, tensors and options."""

import numpy as np
import pytest
import torch

import onepass.functional as F
from tests.cli.commands import assert_refused, printed, tensors


def test_evaluate_tensors_of_other_names(houses):
    price, estimate, weight = tensors(houses, "price", "estimate", "weight")
    given = ("--input", "estimate", "--target", "price", "--var", "weight", "--full")
    shown = printed("evaluate", "gaussian_nll", houses, *given)
    expected = F.gaussian_nll_loss(estimate, price, weight, full=True).item()
    assert float(shown) == pytest.approx(expected, rel=1e-7)
    files = []
    for name, values in (("input", estimate), ("target", price), ("var", weight)):
        np.save(houses.parent / f"{name}.npy", values)
        files += [f"--{name}", houses.parent / f"{name}.npy"]
    assert printed("evaluate", "gaussian_nll", "--full", *files) == shown  # without FILE
    assert printed("evaluate", "gaussian_nll", *files, "--full=true") == shown


def test_options_are_spelled_as_in_python_or_with_dashes(tmp_path):
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=source), torch.randint(3, (40,), generator=source)
    np.savez(tmp_path / "x.npz", x=x, y=y)
    given = ("evaluate", "cross_entropy", tmp_path / "x.npz", "--input", "x", "--target", "y")
    expected = F.cross_entropy(x, y, label_smoothing=0.1, ignore_index=-1).item()
    for smoothing in ("--label-smoothing", "--label_smoothing"):
        shown = printed(*given, smoothing, "0.1", "--ignore-index", "-1")
        assert float(shown) == pytest.approx(expected, rel=1e-6)


def test_evaluate_a_layer(tmp_path):
    source = torch.Generator().manual_seed(0)
    hidden, layer = torch.randn(40, 3, generator=source), torch.randn(5, 3, generator=source)
    target = torch.randint(5, (40,), generator=source)
    np.savez(tmp_path / "x.npz", hidden=hidden, layer=layer, target=target)
    given = ("--input", "hidden", "--linear-weight", "layer", "--target", "target")
    shown = printed("evaluate", "linear_cross_entropy", tmp_path / "x.npz", *given)
    expected = F.linear_cross_entropy(hidden, layer, target).item()
    assert float(shown) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_an_option_of_many_digits_is_the_float_it_spells(houses, command, digits):
    given = (command, "huber", houses, "--input", "estimate", "--target", "price", "--delta")
    assert_refused(*given, "1" * digits, says="`delta` must be a positive finite number, > 0")
