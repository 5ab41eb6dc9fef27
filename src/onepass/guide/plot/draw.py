"""Curves as a matplotlib Figure that reads on white and on black, wide and narrow.

Never pyplot, never rcParams: whatever an application draws beside it stays as it is.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from onepass.guide.plot.curves import Curve, inside, limits, seen
from onepass.guide.plot.sections import Axis

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each has a contrast of 3 and more with white and with near-black (a relative luminance of 0.125 to
# 0.295), and differs from the others without red, green or blue, too (CIE76 of 20 and more).
COLORS = (
    "#2478c0", "#cc5418", "#9000fc", "#009cb4", "#c08484", "#9c4878", "#78603c", "#9c60fc",
)  # fmt: skip
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
GREY = "#7a7a7a"  # of words: a contrast of 4.3 with both
SIZES = {"wide": (8.0, 3.7), "narrow": (3.75, 6.4)}  # inches; a phone has 3.75 at 96 an inch
LETTERS = {"wide": 84, "narrow": 38}  # that fit into a line of the title
FONT = 9.0
# Labels that no legend shows; what a legend says of those marks.
CURVE, KINK, EDGE, RESIDUALS = "_curve", "_kink", "_edge", "_residuals"
MARKS = {KINK: "kink", EDGE: "edge of the domain"}
_THIN, _THICK = 1.7, 3.3  # lines, in points
_UNSEEN = 1e-4  # settings up to this size change nothing that can be seen
_STEP = 1e-7  # of the axis: how close to a kink its two sides are drawn
_BINS = 48
_TALLEST = 0.35  # bar of the histogram, of the panel's height


def figure(curves: Sequence[Curve], residuals: Tensor | None, width: str) -> Figure:
    """Value and gradient of the curves, beside each other or one above the other."""
    drawn, panels = canvas(width)
    axis, unit = curves[0].section.axis, curves[0].section.unit
    low, high = limits(axis, [kink for curve in curves for kink in curve.kinks], residuals)
    labels = (f"value ({unit})" if unit else "value", f"gradient by {axis.by}")
    for panel, label in zip(panels, labels, strict=True):
        furnish(panel, axis.label, label)
        _frame(panel, axis, low, high)
    if residuals is not None:
        _histogram(panels, residuals, low, high)
    _lines(panels, curves, low, high)
    entitle(drawn, title(curves), width)
    _key(drawn, curves, residuals)
    return drawn


# What all pictures share.


def canvas(width: str) -> tuple[Figure, list[Axes]]:
    """An empty figure and its two panels."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot needs matplotlib: pip install 'onepass[guide]'", name=error.name
        ) from error
    drawn = Figure(figsize=SIZES[width], layout="constrained", facecolor="none")
    FigureCanvasAgg(drawn)  # measures texts
    rows, columns = (1, 2) if width == "wide" else (2, 1)
    return drawn, list(drawn.subplots(rows, columns).flat)


def furnish(panel: Axes, horizontal: str, vertical: str) -> None:
    """Words, ticks and spines in a grey that reads on any ground."""
    panel.set_facecolor("none")
    panel.set_xlabel(horizontal, color=GREY, fontsize=FONT)
    panel.set_title(vertical, color=GREY, fontsize=FONT, loc="left")
    panel.tick_params(colors=GREY, labelsize=FONT - 1)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["bottom", "left"]].set_color(GREY)
    panel.grid(color=GREY, alpha=0.2, linewidth=0.6)
    panel.set_axisbelow(True)


def entitle(drawn: Figure, parts: Iterable[str], width: str) -> None:
    """The title, on the left, in lines that fit."""
    lines = [line for part in parts for line in textwrap.wrap(part, LETTERS[width])]
    drawn.suptitle("\n".join(lines), x=0.012, ha="left", color=GREY, fontsize=FONT + 2)


def equations(settings: Mapping[str, Any], always: Sequence[str] = ()) -> list[str]:
    """Settings in words; those that cannot be seen, options that are off or an eps, if asked."""
    return [
        f"{name} = {_shown(setting)}"
        for name, setting in settings.items()
        if name in always or (setting is not None and abs(setting) > _UNSEEN)
    ]


def _shown(setting: Any) -> str:
    if setting is None or isinstance(setting, bool):
        return str(setting)
    return f"{setting:g}".replace("-", "−")


# Names of curves, and how they are told apart.


def title(curves: Sequence[Curve]) -> list[str]:
    """The loss, and the settings that all of its curves share."""
    first = curves[0]
    if _are_several(curves):
        return [f"{first.loss.name} and alternatives"]
    varying = _varying(first, curves)
    shared = {name: s for name, s in first.settings.items() if name not in varying}
    return [first.loss.name, ", ".join(equations(shared))]


def names(curves: Sequence[Curve]) -> list[str]:
    """What tells each curve from the others; nothing, of a single one."""
    if _are_several(curves):
        return [
            ", ".join([curve.loss.name, *equations(curve.settings, _varying(curve, curves))])
            for curve in curves
        ]
    varying = _varying(curves[0], curves)
    return [
        ", ".join(equations({name: curve.settings[name] for name in varying}, varying))
        for curve in curves
    ]


def _are_several(curves: Sequence[Curve]) -> bool:
    return any(curve.loss is not curves[0].loss for curve in curves)


def _varying(curve: Curve, curves: Sequence[Curve]) -> list[str]:
    """The settings in which the curves of its loss differ."""
    own = [other.settings for other in curves if other.loss is curve.loss]
    return [name for name in curve.settings if any(s[name] != own[0][name] for s in own)]


def styles(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """A colour for each loss and each setting that was chosen, a dash for those that were not.

    Of several losses the later ones are thinner, so that a curve under another one is seen.
    """
    hues = _numbered([(curve.loss, _told(curve, curves, chosen=True)) for curve in curves])
    dashes = [_place_in_loss(curve, curves) for curve in curves]
    losses = _numbered([curve.loss for curve in curves])
    if not any(hues):
        hues, dashes = dashes, hues
    return [
        {
            "color": COLORS[hue],
            "linestyle": DASHES[dash % len(DASHES)],
            "linewidth": _THIN + (_THICK - _THIN) * (1 - (loss + 1) / (max(losses) + 1)),
        }
        for hue, dash, loss in zip(hues, dashes, losses, strict=True)
    ]


def _place_in_loss(curve: Curve, curves: Sequence[Curve]) -> int:
    """Which of its loss's settings that were not chosen it has."""
    own = [other for other in curves if other.loss is curve.loss]
    return _numbered([_told(other, curves, chosen=False) for other in own])[own.index(curve)]


def _numbered(things: Sequence[Any]) -> list[int]:
    """Which of the different ones each is, in the order in which they come."""
    different = list(dict.fromkeys(things))
    return [different.index(thing) for thing in things]


def _told(curve: Curve, curves: Sequence[Curve], *, chosen: bool) -> tuple[Any, ...]:
    """The settings, chosen or not, that tell it from the others of its loss."""
    names = [name for name in _varying(curve, curves) if (name in curve.chosen) == chosen]
    return tuple(curve.settings[name] for name in names)


# What is in the panels, and below them.


def _frame(panel: Axes, axis: Axis, low: float, high: float) -> None:
    """From where to where, a little beyond the edges of the domain, which are marked."""
    from matplotlib.ticker import MaxNLocator

    ends = [end for end in (axis.domain.low, axis.domain.high) if math.isfinite(end)]
    beyond = 0.03 * (high - low)
    panel.set_xlim(low - beyond * (low in ends), high + beyond * (high in ends))
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if axis.ticks:
        places, words = zip(*axis.ticks, strict=True)
        panel.set_xticks(places, words)
    for end in ends:
        panel.axvline(end, color=GREY, linestyle=(0, (3, 3)), linewidth=1.0, label=EDGE)


def _lines(panels: Sequence[Axes], curves: Sequence[Curve], low: float, high: float) -> None:
    """Every curve in both panels."""
    spans: list[list[tuple[float, float]]] = [[], [(0.0, 0.0)]]  # a gradient's sign is to be seen
    for curve, name, style in zip(curves, names(curves), styles(curves), strict=True):
        x, at = _positions(curve, low, high)
        for panel, y, span in zip(panels, curve.evaluate(x), spans, strict=True):
            # Open at a kink, where a mark says what the loss itself makes of it.
            panel.plot(x, torch.where(at, math.nan, y), label=name or CURVE, **style)
            if at.any():
                panel.plot(x[at], y[at], "o", color=style["color"], markersize=4.5, label=KINK)
            span.append(seen(y))
    for panel, span in zip(panels, spans, strict=True):
        bottom, top = min(low for low, _ in span), max(high for _, high in span)
        room = 0.06 * (top - bottom) or 0.5
        panel.set_ylim(bottom - room, top + room)


def _positions(curve: Curve, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Where a curve is drawn, (n), and which of these are kinks."""
    even = inside(curve.section.axis.domain, low, high)
    kinks = torch.tensor([kink for kink in curve.kinks if low < kink < high], dtype=even.dtype)
    step = _STEP * (high - low)
    x = torch.cat([even, kinks, kinks - step, kinks + step]).unique()
    return x, torch.isin(x, kinks)


def _histogram(panels: Sequence[Axes], residuals: Tensor, low: float, high: float) -> None:
    """The residuals at the foot of the panels: which parts of the curves are in use."""
    within = residuals[(residuals >= low) & (residuals <= high)]
    counts, edges = torch.histogram(within, _BINS, range=(low, high))
    heights = _TALLEST * counts / counts.max().clamp_min(1)
    for panel in panels:
        across = panel.get_xaxis_transform()  # heights are shares of the panel's
        panel.stairs(
            heights, edges, fill=True, color=GREY, alpha=0.35, label=RESIDUALS, transform=across
        )


def _key(drawn: Figure, curves: Sequence[Curve], residuals: Tensor | None) -> None:
    """What everything is, below the panels, in as many columns as fit."""
    handles = {artist.get_label(): artist for artist in drawn.axes[0].get_children()}
    named = {name: handles[name] for name in names(curves) if name}
    named |= {said: _sample(handles[mark]) for mark, said in MARKS.items() if mark in handles}
    if residuals is not None:
        named[f"{len(residuals):,} residual{'s'[: len(residuals) != 1]}"] = handles[RESIDUALS]
    for columns in range(min(4, len(named)), 0, -1):
        legend = drawn.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=columns,
            frameon=False, labelcolor=GREY, fontsize=FONT - 1,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent().width < 0.97 * drawn.bbox.width:
            break
        legend.remove()


def _sample(mark: Artist) -> Artist:
    """A mark without the colour of a curve."""
    from matplotlib.lines import Line2D

    sample = Line2D([], [])
    sample.update_from(mark)
    sample.set_color(GREY)
    return sample
