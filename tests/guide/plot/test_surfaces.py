"""Surfaces of a loss, and that they can be read."""

import math

import pytest

from onepass.guide.plot import plot
from onepass.guide.plot.surfaces import SURFACES
from tests.guide.plot.pictures import WIDTHS, assert_readable


def heights(figure):
    """The bands of both panels, from the lowest to the highest."""
    return [panel.collections[0].levels for panel in figure.axes[:2]]


def test_surface_of_cross_entropy_is_the_surprise():
    value, size = heights(plot("cross_entropy", surface=True))
    assert value.min() <= 0 < 6 < value.max()  # -log of probabilities from 1 to 0.001
    assert size.max() == pytest.approx(math.sqrt(2), abs=0.3)  # of p - 1 at another corner


def test_surface_of_a_constant_gradient_is_flat():
    (_, size) = heights(plot("nll_loss", surface=True))
    assert size == pytest.approx([0.5, 1.5])
    bar = plot("nll_loss", surface=True).axes[3]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["1"]


def test_surface_knows_the_settings():
    plain = heights(plot("cross_entropy", surface=True))[1]
    smoothed = plot("cross_entropy", surface=True, label_smoothing=0.3)
    assert heights(smoothed)[1].max() < plain.max()
    assert "label_smoothing = 0.3" in smoothed.get_suptitle()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_can_be_read(name, width):
    assert_readable(plot(name, surface=True, width=width))
