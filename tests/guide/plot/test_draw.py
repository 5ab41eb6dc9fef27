"""Everything on a picture can be seen and read."""

import matplotlib as mpl
import numpy as np
import pytest

import onepass
from onepass.guide.plot import plot
from onepass.guide.plot.draw import COLORS, GREY
from tests.guide.plot.own import OWN
from tests.guide.plot.pictures import WIDTHS, assert_readable, curves, points

LOSSES = tuple(onepass.catalogue())


def test_runaway_ends_do_not_flatten_the_rest():
    value, gradient = plot("binary_cross_entropy").axes
    assert value.get_ylim()[1] < 5
    assert -40 < gradient.get_ylim()[0] < gradient.get_ylim()[1] < 40


def test_all_of_a_tame_curve_is_seen():
    for name in ("mse_loss", "poisson_nll_loss", "cosine_embedding_loss"):
        for panel in plot(name).axes:
            low, high = panel.get_ylim()
            for line in curves(panel):
                _, y = points(line)
                assert low < y.min() <= y.max() < high


def test_gradient_is_seen_with_its_sign():
    low, high = plot("nll_loss").axes[1].get_ylim()
    assert low < -1 < 0 < high


def luminance(color):
    levels = np.array(mpl.colors.to_rgb(color))
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#0f1115"])
def test_colors_read_on_white_and_on_black(ground):
    assert all(contrast(color, ground) >= 3 for color in COLORS)
    assert contrast(GREY, ground) >= 4.2


def test_what_cannot_be_read_is_noticed():
    figure = plot("mse_loss")
    figure.text(0.2, 0.5, "one")
    assert_readable(figure)
    figure.text(0.2, 0.5, "another")
    with pytest.raises(AssertionError, match="lies on"):
        assert_readable(figure)
    figure = plot("mse_loss")
    figure.text(0.98, 0.5, "too long")
    with pytest.raises(AssertionError, match="cut off"):
        assert_readable(figure)


CROWDED = {
    "family": {"loss": "poisson_nll_loss", "target": list(range(8))},
    "alternatives": {
        "loss": "triplet_margin_with_distance_loss",
        "margin": [0.5, 1, 2],
        "alternatives": ["triplet_margin_loss"],
        "residuals": [0.0, 1.0, 12.0],
    },
    "long": {"loss": "binary_cross_entropy_with_logits", "alternatives": ["soft_margin_loss"]},
    "far": {"loss": "huber_loss", "delta": [1, 250]},
}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("loss", [*LOSSES, *OWN], ids=[*LOSSES, *(loss.name for loss in OWN)])
def test_every_picture_can_be_read(loss, width):
    assert_readable(plot(loss, width=width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("options", CROWDED.values(), ids=CROWDED)
def test_crowded_pictures_can_be_read(options, width):
    assert_readable(plot(**options, width=width))


def test_narrow_is_one_above_the_other_and_fits_a_phone():
    wide, narrow = (plot("l1_loss", width=width) for width in WIDTHS)
    assert narrow.get_figwidth() * 96 <= 360 < wide.get_figwidth() * 96
    assert wide.axes[0].get_position().y0 == pytest.approx(wide.axes[1].get_position().y0)
    assert narrow.axes[0].get_position().x0 == pytest.approx(narrow.axes[1].get_position().x0)
