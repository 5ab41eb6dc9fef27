"""A loss of one's own is drawn as its domains say."""

import pytest
import torch

import onepass
from onepass.guide.plot import plot
from onepass.guide.plot.draw import EDGE, KINK
from tests.guide.plot.own import OWN, entropy, exponential_nll, hinge, log_cosh
from tests.guide.plot.pictures import curves, legend_of, marks, points


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
