"""An explanation as a matplotlib Figure that reads on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onepass.guide.explain.table import place_in_words
from onepass.guide.plot.draw import COLORS, DASHES, FONT, GREY, canvas, entitle, furnish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onepass.guide.explain import Explanation
    from onepass.guide.explain.parts import Spread

_BARS = 8
_LEAST = 4  # rows, so that few bars are not thick
_COLUMNS = 3  # of the key
_FEW = 50  # elements, whose shares span less than two powers of ten
_LOSS, _GRADIENT = COLORS[:2]
_POINTS = 60  # of the curve that all alike would make
_SHARE = "share of the gradient"


def figure(shown: Explanation, width: str) -> Figure:
    """On one panel who holds how much of the gradient, on the other which groups or elements."""
    drawn, (left, right) = canvas(width)
    _curves(left, shown)
    _bars(right, shown)
    _key(drawn, (left, right))
    many = f"{shown.counting:,} element{'s'[: shown.counting != 1]}"
    value = f"{shown.spread.value:.4g}".replace("-", "−")
    entitle(drawn, [shown.loss, f"{value} ({shown.reduction}), {many}"], width)
    return drawn


def _curves(panel: Axes, shown: Explanation) -> None:
    """The share of the gradient that the largest elements hold."""
    from matplotlib.ticker import LogLocator, NullFormatter

    furnish(panel, "share of the elements, largest gradients first", _SHARE)
    spreads = [spread for spread in (shown.spread, *shown.relatives) if spread.curve]
    for place, spread in enumerate(spreads):
        x, y = zip(*spread.curve, strict=True)
        panel.plot(
            x, y, linestyle=DASHES[place % len(DASHES)], linewidth=2 if place else 3,
            color=COLORS[(place + 1) % len(COLORS)], label=_named(spread, shown),
            marker="o" if len(x) == 1 else None,
        )  # fmt: skip
    if not spreads:
        _say(panel, "no gradient")
    elif shown.spread.elements > 1:
        even = np.geomspace(1 / shown.spread.elements, 1, _POINTS)
        panel.plot(even, even, color=GREY, linewidth=1, label="if all pulled alike")
    panel.set_xscale("log")
    panel.set_xlim(0.9 / max(shown.counting, 2), 1.1)
    panel.set_ylim(0, 1.03)
    if shown.counting < _FEW:
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.tick_params(which="minor", color=GREY)
    panel.xaxis.set_minor_formatter(NullFormatter())
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(_percent)


def _named(spread: Spread, shown: Explanation) -> str:
    """A relative may make other elements of the same tensors, rows or their numbers."""
    others = spread.elements != shown.spread.elements
    return f"{spread.name}, of {spread.elements:,} elements" if others else spread.name


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.3g}%"


def _bars(panel: Axes, shown: Explanation) -> None:
    """The largest groups, or elements if there are no groups."""
    by, rows = _rows(shown)
    both = any(loss is not None for _, loss, _ in rows)
    furnish(panel, "share" if both else _SHARE, f"by {by}, largest gradients first")
    for place, (_, loss, gradient) in enumerate(rows):
        if loss is not None:
            panel.barh(place - 0.2, loss, 0.36, color=_LOSS, label="share of the loss")
        label = _SHARE if both else None  # of a single one the axis says what it is
        panel.barh(place + 0.2 * both, gradient, 0.36, color=_GRADIENT, label=label)
    panel.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    panel.set_ylim(max(len(rows), _LEAST) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_locator(_even())
    panel.xaxis.set_major_formatter(_percent)
    if not rows:
        _say(panel, "no elements")


def _even() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, steps=[1, 2, 5, 10])


def _rows(shown: Explanation) -> tuple[str, list[tuple[str, float | None, float]]]:
    """Name, share of the loss, share of the gradient."""
    for by, groups in shown.groups.items():
        return by, [(str(g.key).replace("-", "−"), g.loss, g.gradient) for g in groups[:_BARS]]
    return "element", [(place_in_words(e.place), None, e.share) for e in shown.largest[:_BARS]]


def _say(panel: Axes, words: str) -> None:
    """In the middle of a panel that has nothing to show."""
    panel.text(
        0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", color=GREY,
        fontsize=FONT,
    )  # fmt: skip


def _key(drawn: Figure, panels: Sequence[Axes]) -> None:
    """Every label once, below the panels, in as many columns as fit."""
    named: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    for columns in range(min(_COLUMNS, len(named)), 0, -1):
        legend = drawn.legend(
            named.values(), named.keys(), loc="outside lower left", ncols=columns, frameon=False,
            labelcolor=GREY, fontsize=FONT - 1,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent().width < 0.97 * drawn.bbox.width:
            break
        legend.remove()
