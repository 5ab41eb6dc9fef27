"""Residuals are counted under the curves."""

import math

import numpy as np
import pytest
import torch

from onepass.guide.plot import plot
from onepass.guide.plot.draw import RESIDUALS
from tests.guide.plot.pictures import legend_of


def test_residuals_are_counted_under_the_curves():
    residuals = torch.randn(5000, dtype=torch.float64)
    figure = plot("huber_loss", residuals=residuals)
    for panel in figure.axes:
        (bars,) = [patch for patch in panel.patches if patch.get_label() == RESIDUALS]
        heights, edges, _ = bars.get_data()
        low, high = panel.get_xlim()
        counts, _ = np.histogram(residuals, edges)
        assert (edges[0], edges[-1]) == pytest.approx((low, high))
        np.testing.assert_allclose(heights / heights.max(), counts / counts.max())
        assert heights.max() < 0.5
    assert legend_of(figure)[-1] == "5,000 residuals"


def test_residuals_widen_the_axis_but_one_outlier_does_not():
    residuals = 10 * torch.randn(1000)
    residuals[0] = 1e6
    low, high = plot("huber_loss", residuals=residuals).axes[0].get_xlim()
    assert high == -low
    assert 20 < high < 40


def test_residuals_that_are_no_numbers_are_left_out():
    figure = plot("mse_loss", residuals=[0.5, math.nan, -1.0, math.inf])
    assert legend_of(figure)[-1] == "2 residuals"


def test_residuals_may_lie_beyond_a_domain():
    assert legend_of(plot("binary_cross_entropy", residuals=[7.0]))[-1] == "1 residual"
