"""The marks stand where a loss has kinks, and where its domain ends."""

import math

import numpy as np
import pytest
import torch

import onepass
from onepass.guide.plot import plot
from onepass.guide.plot.curves import curves_of
from onepass.guide.plot.draw import EDGE, KINK, MARKS
from tests.guide.plot.expected import KINKS
from tests.guide.plot.pictures import curves, jump, legend_of, marks

LOSSES = tuple(onepass.catalogue())


@pytest.mark.parametrize("name", LOSSES)
def test_kinks_are_found_where_the_loss_has_them_and_nowhere_else(name):
    found = curves_of(onepass.catalogue()[name], {})
    expected = KINKS.get(name, [[]] * len(found))
    for curve, places in zip(found, expected, strict=True):
        assert curve.kinks == pytest.approx(places, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_kinks_are_marked(name):
    figure = plot(name)
    places = sorted({round(k, 6) for found in KINKS.get(name, []) for k in found})
    for panel in figure.axes:
        assert marks(panel, KINK) == places
    assert (MARKS[KINK] in legend_of(figure)) == bool(places)


def test_kinks_move_with_the_parameters():
    assert marks(plot("huber_loss", delta=[0.5, 2, 50]).axes[0], KINK) == [
        -50,
        -2,
        -0.5,
        0.5,
        2,
        50,
    ]
    assert marks(plot("hinge_embedding_loss", margin=4.3).axes[0], KINK) == [4.3]
    assert marks(plot("smooth_l1_loss", beta=0).axes[0], KINK) == [0]
    assert marks(plot("triplet_margin_loss", margin=2, p=1, swap=True).axes[0], KINK) == [-2]
    cosine = plot("cosine_embedding_loss", margin=0.3).axes[0]
    assert marks(cosine, KINK) == [round(math.acos(0.3), 6)]


def test_mark_of_a_kink_is_the_gradient_that_the_loss_has_there():
    (mark,) = [line for line in plot("l1_loss").axes[1].get_lines() if line.get_label() == KINK]
    assert mark.get_xydata().tolist() == [[0.0, 0.0]]


def test_curve_is_open_at_a_jump():
    (line,) = curves(plot("l1_loss").axes[1])
    x, y = (np.asarray(data) for data in line.get_data())
    assert np.isnan(y[x == 0]).all()
    assert set(y[x != 0]) == {-1.0, 1.0}


def test_steep_is_no_kink():
    @onepass.pointwise
    def steep(input, target, *, sharpness: float = 1000.0):
        return torch.tanh(sharpness * (input - target))

    assert [curve.kinks for curve in curves_of(steep, {})] == [()]


def test_a_jump_of_the_value_is_a_kink():
    @onepass.pointwise
    def step(input, target):
        return torch.where(input - target > 0.7, 1.0, 0.0)

    assert [curve.kinks for curve in curves_of(step, {})] == [(0.7,)]


@pytest.mark.parametrize("name", LOSSES)
def test_smooth_losses_have_no_jump_of_the_gradient(name):
    loss = onepass.catalogue()[name]
    jumps = [jump(curve, kink) for curve in curves_of(loss, {}) for kink in curve.kinks]
    assert loss.card.smooth == all(size < 1e-3 for size in jumps)


@pytest.mark.parametrize(
    "name, edges",
    [
        ("binary_cross_entropy", [0, 1]),
        ("kl_div", [0, 1]),
        ("nll_loss", [0]),
        ("hinge_embedding_loss", [0]),
        ("cosine_embedding_loss", [0, round(math.pi, 6)]),
        ("mse_loss", []),
        ("cross_entropy", []),
    ],
)
def test_edges_of_the_domain_are_marked(name, edges):
    figure = plot(name)
    for panel in figure.axes:
        assert marks(panel, EDGE) == edges
        low, high = panel.get_xlim()
        assert all(low < edge < high for edge in edges)
    assert (MARKS[EDGE] in legend_of(figure)) == bool(edges)


def test_flag_decides_the_axis():
    log_rate, rate = (plot("poisson_nll_loss", log_input=flag).axes[0] for flag in (True, False))
    assert (log_rate.get_xlabel(), rate.get_xlabel()) == ("log of the rate", "rate")
    assert (marks(log_rate, EDGE), marks(rate, EDGE)) == ([], [0])
