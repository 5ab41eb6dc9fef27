"""An explanation as a matplotlib Figure that reads on white and on black."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onepass.errors import ParameterError
from onepass.guide.plot.draw import COLORS, DASHES, FONT, GREY, SIZES, canvas, entitle, furnish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onepass.guide.explain import Explanation

_BARS = 8
_FEW = 50  # elements, whose shares span less than two powers of ten
_LOSS, _GRADIENT = COLORS[:2]


def figure(shown: Explanation, width: str) -> Figure:
    """On one panel who holds how much of the gradient, on the other which groups or elements."""
    if width not in SIZES:
        raise ParameterError(f"plot: `width` must be one of {', '.join(SIZES)}; got {width!r}.")
    drawn, (left, right) = canvas(width)
    _curves(left, shown)
    _bars(right, shown)
    title = f"{shown.loss} {shown.spread.value:.4g} ({shown.reduction})"
    entitle(drawn, [title, f"{shown.counting} elements"], width)
    handles, labels = _handles(left, right)
    drawn.legend(
        handles, labels, loc="outside lower left", ncols=2 if width == "wide" else 1,
        frameon=False, labelcolor=GREY, fontsize=FONT,
    )  # fmt: skip
    return drawn


def _curves(panel: Axes, shown: Explanation) -> None:
    """The share of the gradient that the largest elements hold."""
    from matplotlib.ticker import LogLocator, NullFormatter

    furnish(panel, "share of the elements, largest gradients first", "share of the gradient")
    for place, spread in enumerate((shown.spread, *shown.relatives)):
        x, y = zip(*spread.curve, strict=True) if spread.curve else ((), ())
        style: dict[str, Any] = {"color": COLORS[(place + 1) % len(COLORS)], "label": spread.name}
        panel.plot(
            x, y, linestyle=DASHES[place % len(DASHES)], linewidth=2 if place else 3, **style
        )
    panel.set_xscale("log")
    panel.set_xlim(0.9 / max(shown.counting, 2), 1.1)
    panel.set_ylim(0, 1.03)
    if shown.counting < _FEW:
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_minor_formatter(NullFormatter())
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(_percent)


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.3g}%"


def _bars(panel: Axes, shown: Explanation) -> None:
    """The largest groups, or elements if there are no groups."""
    by, rows = _rows(shown)
    furnish(panel, "share", f"by {by}, largest gradients first")
    for place, (_, loss, gradient) in enumerate(rows):
        if loss is not None:
            panel.barh(place - 0.2, loss, 0.36, color=_LOSS, label="of the loss")
        panel.barh(place + 0.2 * (loss is not None), gradient, 0.36, color=_GRADIENT,
                   label="of the gradient")  # fmt: skip
    panel.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(_percent)


def _rows(shown: Explanation) -> tuple[str, list[tuple[str, float | None, float]]]:
    """Name, share of the loss, share of the gradient."""
    for by, groups in shown.groups.items():
        return by, [(str(g.key), g.loss, g.gradient) for g in groups[:_BARS]]
    places: list[tuple[str, float | None, float]] = [
        (", ".join(map(str, e.place)), None, e.share) for e in shown.largest[:_BARS]
    ]
    return "element", places


def _handles(*panels: Axes) -> tuple[list[Any], list[str]]:
    """Every label once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
