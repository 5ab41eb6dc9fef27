"""The curves are the loss, the marks stand where it has kinks, and everything can be read."""

import itertools
import math
import subprocess
import sys
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from matplotlib.text import Text

import onepass
from onepass.errors import DomainError, DtypeError, ParameterError
from onepass.guide.plot import plot, save
from onepass.guide.plot.curves import curves_of
from onepass.guide.plot.draw import COLORS, EDGE, GREY, KINK, MARKS, RESIDUALS
from onepass.guide.plot.surfaces import SURFACES

LOSSES = tuple(onepass.catalogue())
WIDTHS = ("wide", "narrow")


@onepass.pointwise
def log_cosh(input, target):
    return torch.log(torch.cosh(input - target))


@onepass.pointwise(target=onepass.SIGN)
def hinge(input, target, *, margin: float = 1.0):
    return torch.clamp(margin - target * input, min=0.0)


@onepass.pointwise(
    rate=onepass.POSITIVE,
    card=onepass.Card(
        task="survival",
        input="a rate",
        target="a time",
        best_for="times until an event",
        not_for="counts",
    ),
)
def exponential_nll(rate, time):
    return rate * time - torch.log(rate)


@onepass.pointwise
def entropy(input):
    return torch.where(input > 0, input * torch.log(input), 0.0)


OWN = (log_cosh, hinge, exponential_nll, entropy)


# What torch's functions say of the section that is drawn of each loss.


def at(x, value):
    return torch.full_like(x, value)


def two(p):
    return torch.stack([p, 1 - p], -1)


def scores(x):
    return torch.stack([x, 0 * x, 0 * x], -1), torch.zeros(len(x), dtype=torch.int64)


def vectors(x):
    return torch.stack([torch.cos(x), torch.sin(x)], -1), torch.tensor([[1.0, 0.0]]).to(x)


def triplet(x):
    return at(x, 0.0)[:, None], (50 + x)[:, None], at(x, -50.0)[:, None]


def each(function, values):
    return [lambda x, value=value: function(x, value) for value in values]


EXPECTED = {
    "l1_loss": [lambda x: T.l1_loss(x, 0 * x, reduction="none")],
    "mse_loss": [lambda x: T.mse_loss(x, 0 * x, reduction="none")],
    "huber_loss": [lambda x: T.huber_loss(x, 0 * x, reduction="none")],
    "smooth_l1_loss": [lambda x: T.smooth_l1_loss(x, 0 * x, reduction="none")],
    "gaussian_nll_loss": each(
        lambda x, v: T.gaussian_nll_loss(x, 0 * x, at(x, v), reduction="none"), (0.25, 1.0, 4.0)
    ),
    "poisson_nll_loss": each(
        lambda x, k: T.poisson_nll_loss(x, at(x, k), reduction="none"), (0.0, 2.0, 6.0)
    ),
    "kl_div": each(
        lambda x, p: T.kl_div(two(x).log(), two(at(x, p)), reduction="none").sum(-1),
        (0.1, 0.5, 0.9),
    ),
    "binary_cross_entropy": each(
        lambda x, y: T.binary_cross_entropy(x, at(x, y), reduction="none"), (0.0, 1.0)
    ),
    "binary_cross_entropy_with_logits": each(
        lambda x, y: T.binary_cross_entropy_with_logits(x, at(x, y), reduction="none"), (0.0, 1.0)
    ),
    "cross_entropy": [lambda x: T.cross_entropy(*scores(x), reduction="none")],
    "linear_cross_entropy": [lambda x: T.cross_entropy(*scores(x), reduction="none")],
    "nll_loss": [lambda x: T.nll_loss(*scores(x), reduction="none")],
    "multilabel_soft_margin_loss": each(
        lambda x, y: T.multilabel_soft_margin_loss(x[:, None], at(x, y)[:, None], reduction="none"),
        (0.0, 1.0),
    ),
    "soft_margin_loss": each(
        lambda x, y: T.soft_margin_loss(x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "multi_margin_loss": [lambda x: T.multi_margin_loss(*scores(x), reduction="none")],
    "margin_ranking_loss": each(
        lambda x, y: T.margin_ranking_loss(x, 0 * x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "hinge_embedding_loss": each(
        lambda x, y: T.hinge_embedding_loss(x, at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "cosine_embedding_loss": each(
        lambda x, y: T.cosine_embedding_loss(*vectors(x), at(x, y), reduction="none"), (-1.0, 1.0)
    ),
    "triplet_margin_loss": [lambda x: T.triplet_margin_loss(*triplet(x), reduction="none")],
    "triplet_margin_with_distance_loss": [
        lambda x: T.triplet_margin_with_distance_loss(*triplet(x), reduction="none")
    ],
}
KINKS = {
    "l1_loss": [[0]],
    "huber_loss": [[-1, 1]],
    "smooth_l1_loss": [[-1, 1]],
    "multi_margin_loss": [[1]],
    "margin_ranking_loss": [[0], [0]],
    "hinge_embedding_loss": [[1], []],
    "cosine_embedding_loss": [[math.pi / 2], []],
    "triplet_margin_loss": [[-1]],
    "triplet_margin_with_distance_loss": [[-1]],
}


def curves(panel):
    """The lines that are curves, not marks."""
    return [line for line in panel.get_lines() if line.get_label() not in (KINK, EDGE)]


def points(line):
    """Where a line is drawn, as tensors."""
    x, y = (torch.as_tensor(np.asarray(data, dtype=np.float64)) for data in line.get_data())
    return x[~y.isnan()], y[~y.isnan()]


def marks(panel, label):
    """Where marks stand on the axis, in order, each once."""
    found = [x for line in panel.get_lines() if line.get_label() == label for x in line.get_xdata()]
    return sorted({round(float(x), 6) for x in found})


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def jump(curve, kink):
    """Of the gradient."""
    _, gradient = curve.evaluate(torch.tensor([kink - 1e-6, kink + 1e-6], dtype=torch.float64))
    return abs(gradient[1] - gradient[0]).item()


# The curves.


def test_all_losses_have_an_expectation():
    assert set(EXPECTED) == set(LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_value_curves_are_the_loss(name):
    drawn = curves(plot(name).axes[0])
    assert len(drawn) == len(EXPECTED[name])
    for line, expected in zip(drawn, EXPECTED[name], strict=True):
        x, y = points(line)
        assert len(x) > 400
        torch.testing.assert_close(y, expected(x), rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_curves_are_the_slope(name):
    drawn = curves(plot(name).axes[1])
    kinks = torch.tensor([k for found in KINKS.get(name, []) for k in found], dtype=torch.float64)
    for line, expected in zip(drawn, EXPECTED[name], strict=True):
        x, y = points(line)
        away = ((x[:, None] - kinks).abs() > 1e-3).all(1)
        slope = (expected(x + 1e-6) - expected(x - 1e-6)) / 2e-6
        torch.testing.assert_close(y[away], slope[away], rtol=1e-4, atol=1e-4)


def test_gradients_are_the_kernels_where_plain_torch_has_none():
    x, gradient = points(curves(plot(entropy).axes[1])[0])
    assert (gradient[x < 0] == 0).all()
    torch.testing.assert_close(gradient[x > 0.1], x[x > 0.1].log() + 1)
    assert x.min() < -2


def test_method_of_a_loss_is_the_function():
    by_method = onepass.catalogue()["huber_loss"].plot(delta=2)
    for one, other in zip(by_method.axes, plot("huber_loss", delta=2).axes, strict=True):
        for ours, theirs in zip(one.get_lines(), other.get_lines(), strict=True):
            assert np.array_equal(ours.get_xydata(), theirs.get_xydata(), equal_nan=True)


# Kinks and edges.


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


# Families, alternatives, residuals.


def test_family_has_a_curve_for_each_value():
    figure = plot("huber_loss", delta=[0.5, 1, 2])
    for panel in figure.axes:
        drawn = curves(panel)
        assert len({line.get_color() for line in drawn}) == 3
        for line, delta in zip(drawn, (0.5, 1.0, 2.0), strict=True):
            assert line.get_label() == f"delta = {delta:g}"
    for line, delta in zip(curves(figure.axes[0]), (0.5, 1.0, 2.0), strict=True):
        x, y = points(line)
        torch.testing.assert_close(y, T.huber_loss(x, 0 * x, delta=delta, reduction="none"))
    assert legend_of(figure) == ["delta = 0.5", "delta = 1", "delta = 2", "kink"]


def test_families_cross_with_labels():
    figure = plot("binary_cross_entropy_with_logits", pos_weight=[1, 4])
    assert legend_of(figure) == [
        f"pos_weight = {weight}, target = {label}" for weight in (1, 4) for label in (0, 1)
    ]
    styles = [(line.get_color(), line.get_linestyle()) for line in curves(figure.axes[0])]
    assert len(set(styles)) == 4
    assert styles[0][0] == styles[1][0] != styles[2][0] == styles[3][0]
    x, y = points(curves(figure.axes[0])[3])
    weighted = T.binary_cross_entropy_with_logits(
        x, torch.ones_like(x), pos_weight=torch.tensor(4.0), reduction="none"
    )
    torch.testing.assert_close(y, weighted)


def test_tensors_that_stand_still_can_be_placed():
    figure = plot("gaussian_nll_loss", var=0.5, full=True)
    (line,) = curves(figure.axes[0])
    x, y = points(line)
    expected = T.gaussian_nll_loss(x, 0 * x, at(x, 0.5), full=True, reduction="none")
    torch.testing.assert_close(y, expected)
    assert figure.get_suptitle() == "gaussian_nll_loss\nfull = True, var = 0.5"


def test_number_of_classes_can_be_chosen():
    (two_classes, ten) = curves(plot("cross_entropy", classes=[2, 10]).axes[0])
    for line, others in ((two_classes, 1), (ten, 9)):
        x, y = points(line)
        torch.testing.assert_close(y, torch.log1p(others * torch.exp(-x)))


def test_values_may_be_a_tensor_or_an_array():
    for deltas in (torch.tensor([0.5, 2.0]), np.array([0.5, 2.0]), (0.5, 2.0)):
        assert len(curves(plot("huber_loss", delta=deltas).axes[0])) == 2


def test_title_says_what_holds_for_all_curves():
    assert plot("huber_loss", delta=2).get_suptitle() == "huber_loss\ndelta = 2"
    assert plot("mse_loss").get_suptitle() == "mse_loss"
    assert plot("soft_margin_loss", target=-1).get_suptitle() == "soft_margin_loss\ntarget = −1"


def test_alternatives_stand_on_the_same_axes():
    figure = plot("huber_loss", alternatives=["l1_loss", T.mse_loss])
    assert legend_of(figure) == ["huber_loss, delta = 1", "l1_loss", "mse_loss", "kink"]
    for line, name in zip(
        curves(figure.axes[0]), ("huber_loss", "l1_loss", "mse_loss"), strict=True
    ):
        x, y = points(line)
        torch.testing.assert_close(y, EXPECTED[name][0](x))


def test_one_alternative_needs_no_list():
    assert len(curves(plot("l1_loss", alternatives="mse_loss").axes[0])) == 2


def test_a_curve_under_another_one_is_wider():
    figure = plot("binary_cross_entropy_with_logits", alternatives=["soft_margin_loss"])
    ours, _, theirs, _ = curves(figure.axes[0])
    np.testing.assert_allclose(ours.get_ydata(), theirs.get_ydata(), atol=1e-9)
    assert ours.get_linewidth() > 1.3 * theirs.get_linewidth()


@pytest.mark.parametrize("home", [torch.nn, onepass.nn], ids=["torch.nn", "onepass.nn"])
def test_modules_keep_their_settings(home):
    figure = plot(home.HuberLoss(delta=2.0), alternatives=[home.SmoothL1Loss(beta=0.5)])
    assert legend_of(figure)[:2] == ["huber_loss, delta = 2", "smooth_l1_loss, beta = 0.5"]
    assert marks(figure.axes[0], KINK) == [-2, -0.5, 0.5, 2]


def test_settings_given_replace_those_of_a_module():
    assert marks(plot(torch.nn.HuberLoss(delta=2.0), delta=0.5).axes[0], KINK) == [-0.5, 0.5]


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


# A loss of one's own.


@pytest.mark.parametrize(
    "loss, axis, legend",
    [
        (log_cosh, "error = input − target", []),
        (hinge, "input", ["target = −1", "target = 1", "kink"]),
        (exponential_nll, "rate", ["edge of the domain"]),
        (entropy, "input", ["kink"]),
    ],
    ids=[loss.name for loss in OWN],
)
def test_own_loss_is_drawn_as_its_domains_say(loss, axis, legend):
    figure = plot(loss)
    assert figure.axes[0].get_xlabel() == axis
    assert legend_of(figure) == legend
    assert figure.get_suptitle().startswith(loss.name)


def test_own_loss_has_parameters_and_alternatives():
    figure = plot(hinge, margin=[0.5, 2.0], target=1)
    assert marks(figure.axes[0], KINK) == [0.5, 2]
    assert len(curves(plot(log_cosh, alternatives=["mse_loss"]).axes[0])) == 2


def test_own_loss_of_a_known_name_is_ones_own():
    @onepass.pointwise
    def hinge_embedding_loss(input, target):
        return (input - target) ** 4

    assert plot(hinge_embedding_loss).axes[0].get_xlabel() == "error = input − target"


def test_card_says_what_the_input_is():
    @onepass.pointwise(
        target=onepass.COUNT,
        card=onepass.Card(
            task="counts",
            input="a log-rate",
            target="a count",
            best_for="counts",
            not_for="prices",
        ),
    )
    def count(input, target):
        return torch.exp(input) - target * input

    assert plot(count).axes[0].get_xlabel() == "input: a log-rate"


def test_own_loss_by_its_module():
    (line,) = curves(plot(onepass.nn.PointwiseLoss(hinge, margin=3.0), target=1).axes[0])
    x, y = points(line)
    torch.testing.assert_close(y, torch.clamp(3 - x, min=0))


def test_half_lines_begin_at_their_end():
    @onepass.pointwise(time=onepass.Domain("a time since 2000", low=2000.0, inside=2001.0))
    def delay(time, *, due: float = 2010.0):
        return torch.clamp(time - due, min=0.0)

    panel = plot(delay).axes[0]
    assert (marks(panel, EDGE), marks(panel, KINK)) == ([2000], [2010])
    low, high = panel.get_xlim()
    assert 1999 < low < 2000 < 2010 < high < 2020


# What can be seen.


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


@contextmanager
def recorded_texts():
    """The texts that are drawn, each with its box."""
    found, draw = [], Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    Text.draw = record
    try:
        yield found
    finally:
        Text.draw = draw


def assert_readable(figure):
    """No text lies on another one, and none is cut off."""
    figure.draw_without_rendering()
    with recorded_texts() as texts:
        figure.canvas.draw()
    assert len(texts) > 5
    width, height = figure.bbox.size
    for text, box in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut off: {box}"
    for (one, box), (other, beside) in itertools.combinations(texts, 2):
        apart = not box.overlaps(beside)
        assert apart, f"{one!r} lies on {other!r}"


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


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_can_be_read(name, width):
    assert_readable(plot(name, surface=True, width=width))


def test_narrow_is_one_above_the_other_and_fits_a_phone():
    wide, narrow = (plot("l1_loss", width=width) for width in WIDTHS)
    assert narrow.get_figwidth() * 96 <= 360 < wide.get_figwidth() * 96
    assert wide.axes[0].get_position().y0 == pytest.approx(wide.axes[1].get_position().y0)
    assert narrow.axes[0].get_position().x0 == pytest.approx(narrow.axes[1].get_position().x0)


# Surfaces.


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


# Files.


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
@pytest.mark.parametrize("surface", [False, True], ids=["curves", "surface"])
def test_same_picture_is_the_same_file(tmp_path, suffix, surface):
    paths = [tmp_path / f"{k}.{suffix}" for k in range(2)]
    for path in paths:
        save(plot("gaussian_nll_loss", surface=surface), path)
    one, other = (path.read_bytes() for path in paths)
    assert one == other
    assert len(one) > 5000


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ParameterError) as error:
        save(plot("l1_loss"), tmp_path / "loss.gif")
    assert "save: the path must end with one of .svg, .png, .pdf; got" in str(error.value)
    assert "loss.gif" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_figure_is_transparent(tmp_path):
    save(plot("l1_loss"), tmp_path / "loss.png")
    picture = mpl.image.imread(tmp_path / "loss.png")
    assert picture[2, -2, 3] == 0


# What an application has beside it.


def test_settings_of_matplotlib_stay_as_they_are(tmp_path):
    before = dict(mpl.rcParams)
    save(plot("huber_loss", residuals=[1.0]), tmp_path / "loss.svg")
    plot("kl_div", surface=True)
    assert dict(mpl.rcParams) == before


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


IMPORTED = "import sys, onepass, onepass.guide.plot as p; {}; print('matplotlib{}' in sys.modules)"


def test_pyplot_is_never_imported(tmp_path):
    picture = f"p.save(p.plot('l1_loss'), {str(tmp_path / 'loss.svg')!r})"
    assert run(IMPORTED.format(picture, ".pyplot")).stdout == "False\n"
    assert (tmp_path / "loss.svg").exists()


def test_matplotlib_is_imported_by_the_first_picture():
    assert run(IMPORTED.format("0", "")).stdout == "False\n"
    assert run(IMPORTED.format("p.plot('l1_loss')", "")).stdout == "True\n"


def test_missing_matplotlib_is_named(monkeypatch):
    for name in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[guide\]'"):
        plot("l1_loss")


# Errors.


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"loss": "hubber_loss"}, ParameterError, ["hubber_loss", "huber_loss"]),
        (
            {"loss": "huber_loss", "delt": 1},
            ParameterError,
            ["huber_loss: there is no `delt`; it takes delta.", "Did you mean `delta`?"],
        ),
        (
            {"loss": "gaussian_nll_loss", "variance": 1},
            ParameterError,
            ["there is no `variance`", "eps, full, var"],
        ),
        ({"loss": "huber_loss", "delta": [1, -1]}, ParameterError, ["`delta` must be", "got -1"]),
        ({"loss": "huber_loss", "delta": "big"}, ParameterError, ["`delta` must be", "'big'"]),
        ({"loss": "huber_loss", "delta": []}, ParameterError, ["`delta` must be", "got []"]),
        ({"loss": "soft_margin_loss", "target": 0}, DomainError, ["`target`", "-1, 1", "got 0.0"]),
        ({"loss": "soft_margin_loss", "target": "yes"}, ParameterError, ["`target`", "'yes'"]),
        ({"loss": "gaussian_nll_loss", "var": [[1, 2]]}, ParameterError, ["`var`", "[1, 2]"]),
        ({"loss": "gaussian_nll_loss", "var": -1}, DomainError, ["`var`", ">= 0", "got -1.0"]),
        (
            {"loss": "cross_entropy", "classes": 1},
            ParameterError,
            ["`classes` must be an integer from 2 to 100; got 1."],
        ),
        (
            {"loss": "huber_loss", "delta": list(range(1, 10))},
            ParameterError,
            ["9 curves are too many", "at most 8", "fewer values"],
        ),
        (
            {"loss": "mse_loss", "alternatives": ["cross_entropy"]},
            ParameterError,
            [
                "cross_entropy is drawn over 'score of the true class, others 0'",
                "mse_loss over 'error = input − target'",
                "one by one",
            ],
        ),
        (
            {"loss": "poisson_nll_loss", "log_input": [True, False]},
            ParameterError,
            ["'rate'", "'log of the rate'", "share no axis"],
        ),
        (
            {"loss": "mse_loss", "width": "huge"},
            ParameterError,
            ["`width` must be one of wide, narrow; got 'huge'."],
        ),
        (
            {"loss": "mse_loss", "residuals": ["a"]},
            DtypeError,
            ["`residuals` must be a tensor, an array or a list of numbers", "['a']"],
        ),
        (
            {"loss": "mse_loss", "residuals": torch.ones(2, dtype=torch.complex64)},
            DtypeError,
            ["`residuals`", "complex"],
        ),
        (
            {"loss": "mse_loss", "residuals": [math.nan]},
            ParameterError,
            ["`residuals` holds no finite number"],
        ),
        (
            {"loss": "mse_loss", "surface": True},
            ParameterError,
            ["mse_loss has no surface", "gaussian_nll_loss, kl_div, cross_entropy"],
        ),
        (
            {"loss": "kl_div", "surface": True, "residuals": [1.0]},
            ParameterError,
            ["a surface takes no `alternatives` and no `residuals`"],
        ),
        (
            {"loss": "cross_entropy", "surface": True, "label_smoothing": 2.0},
            ParameterError,
            ["`label_smoothing` must be", "got 2.0"],
        ),
        ({"loss": "kl_div", "surface": True, "p": 1}, ParameterError, ["no `p`", "log_target"]),
    ],
    ids=lambda thing: None if not isinstance(thing, dict) else "-".join(map(str, thing)),
)
def test_what_cannot_be_drawn_is_said(options, error, says):
    with pytest.raises(error) as raised:
        plot(**options)
    for part in says:
        assert part in str(raised.value)


def test_loss_of_labels_only_has_no_axis():
    @onepass.pointwise(input=onepass.SIGN, target=onepass.SIGN)
    def disagreement(input, target):
        return 1 - input * target

    with pytest.raises(ParameterError, match="disagreement has no axis to draw over"):
        plot(disagreement)
