"""The picture of an explanation shows its numbers and can be read."""

import sys

import numpy as np
import pytest
import torch

from onepass import explain
from tests.guide.explain.calls import LOSSES, normal, tensors_of
from tests.guide.plot.pictures import assert_readable

WIDTHS = ("wide", "narrow")


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_picture_can_be_read(loss, width):
    assert_readable(explain(loss, **tensors_of(loss)).plot(width=width))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_of_little_and_of_much_can_be_read(width):
    many = torch.randint(1000, (4000,))
    for shown in (
        explain("mse_loss", torch.zeros(0), torch.zeros(0)),
        explain("mse_loss", torch.tensor(1.0), torch.tensor(0.0)),
        explain("l1_loss", torch.ones(3, 2), torch.ones(3, 2)),
        explain("nll_loss", normal(4000, 1000).log_softmax(1), many),
        explain("huber_loss", 1e9 * normal(90, 80, 7, 6), normal(90, 80, 7, 6)),
    ):
        assert_readable(shown.plot(width=width))


def test_the_picture_shows_the_numbers():
    shown = explain("cross_entropy", **tensors_of("cross_entropy"))
    left, right = shown.plot().axes
    curves = {line.get_label(): line for line in left.get_lines()}
    named = {"cross_entropy", *(relative.name for relative in shown.relatives)}
    assert set(curves) == {*named, "if all pulled alike"}
    np.testing.assert_allclose(curves["cross_entropy"].get_xydata(), shown.spread.curve)
    even = curves["if all pulled alike"].get_xydata()
    np.testing.assert_allclose(even[:, 0], even[:, 1])
    bars = [round(bar.get_width(), 9) for bar in right.patches]
    groups = shown.groups["class"]
    assert bars == [round(x, 9) for group in groups for x in (group.loss, group.gradient)]
    assert [t.get_text() for t in right.get_yticklabels()] == [str(g.key) for g in groups]


def test_what_has_no_gradient_says_so():
    left, right = explain("mse_loss", torch.zeros(0), torch.zeros(0)).plot().axes
    assert [text.get_text() for text in left.texts] == ["no gradient"]
    assert [text.get_text() for text in right.texts] == ["no elements"]


def test_without_matplotlib_the_rest_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = explain("mse_loss", torch.ones(3), torch.zeros(3))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[guide\]'"):
        shown.plot()
    assert "mse_loss 1 (mean)" in str(shown)
