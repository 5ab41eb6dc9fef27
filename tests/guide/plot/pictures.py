"""What is on a picture, and whether it can be read."""

import itertools
from contextlib import contextmanager

import numpy as np
import torch
from matplotlib.text import Text

from onepass.guide.plot.draw import EDGE, KINK

WIDTHS = ("wide", "narrow")


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
