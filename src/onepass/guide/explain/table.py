"""An explanation in the terminal: four small tables, each of at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from onepass.guide.demo.report import fold
from onepass.guide.explain.parts import TOPS, Spread

if TYPE_CHECKING:
    from onepass.guide.explain import Explanation

_ROWS = 5  # of elements and groups; the rest is in as_dict()
_BAR = 16


def table(shown: Explanation) -> Group:
    """Everything."""
    parts: list[RenderableType] = [_head(shown), _spreads(shown)]
    if shown.largest:
        parts.append(_largest(shown))
    parts += [_groups(shown, by) for by in shown.groups]
    parts.append(_remarks(shown))
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    made = Table(
        title=title, box=box.HORIZONTALS, header_style="bold", title_justify="left", pad_edge=False,
        title_style="bold",
    )  # fmt: skip
    made.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        made.add_column(column, justify="right", overflow="fold")
    return made


def _head(shown: Explanation) -> Text:
    """The loss, its value, and how many elements count."""
    shape = f", shape {shown.shape}" if shown.shape else ""
    text = Text.assemble(
        (shown.loss, "bold cyan"), f" {shown.spread.value:.6g} ({shown.reduction}), ",
        f"{shown.counting} of {math.prod(shown.shape)} elements count{shape}",
    )  # fmt: skip
    if shown.step > 1:
        text.append(f"; every {shown.step}th along one axis was looked at", "dim")
    if shown.lost:
        text.append(f"\n{shown.lost} of them are not finite and left out", "red")
    return text


def _spreads(shown: Explanation) -> Table:
    """What the largest elements hold, under the loss and its relatives."""
    tops = [f"{top:.0%}" for top in TOPS]
    heads = [f"{what},\ntop {top}" for what in ("loss", "gradient") for top in tops]
    made = _table("What the largest elements hold", "loss", "value", *heads)
    for place, spread in enumerate((shown.spread, *shown.relatives)):
        made.add_row(*_spread(spread), style=None if place else "bold")
    return made


def _spread(spread: Spread) -> Iterable[str]:
    yield fold(spread.name)
    yield f"{spread.value:.4g}"
    yield from (f"{share:.0%}" for share in (*spread.loss, *spread.gradient))


def _largest(shown: Explanation) -> Table:
    """The elements that pull hardest."""
    numbers = list(shown.largest[0].numbers)
    made = _table("The largest gradients", "element", *numbers, "loss", "gradient", "share")
    for element in shown.largest[:_ROWS]:
        place = ", ".join(map(str, element.place)) or "the only one"
        held = [f"{element.numbers[name]:.4g}" for name in numbers]
        loss, gradient = f"{element.loss:.4g}", f"{element.gradient:.3g}"
        made.add_row(place, *held, loss, gradient, f"{element.share:.1%}")
    return made


def _groups(shown: Explanation, by: str) -> Table:
    """Classes or columns."""
    groups = shown.groups[by]
    title = f"By {by}" + (f", the first {_ROWS}" if len(groups) > _ROWS else "")
    whole = groups[0].loss is not None
    heads = ("elements", "mean loss", "of the loss") if whole else ("elements",)
    made = _table(title, by, *heads, "of the gradient")
    for group in groups[:_ROWS]:
        losses = [] if group.loss is None else [f"{group.mean:.4g}", f"{group.loss:.0%}"]
        bar = "█" * round(_BAR * group.gradient)
        held = Text.assemble((f"{bar:<{_BAR}}", "blue"), f"{group.gradient:>5.0%}")
        made.add_row(str(group.key), str(group.elements), *losses, held)
    return made


def _remarks(shown: Explanation) -> Text:
    """What a robust loss would discount, and which relatives do not take these tensors."""
    text = Text()
    robust = shown.robust
    if robust is not None:
        furthest = ", ".join(str(place) for place in robust.places[:3])
        text.append(
            f"huber_loss with delta={robust.delta:.3g}, 1.345 robust standard deviations, would "
            f"take {robust.removed:.0%} off the gradient of a squared error, of "
            f"{robust.elements} elements; furthest off: {furthest}\n"
        )
    for name, why in shown.refused.items():
        text.append(f"{name}: {why}\n", "dim")
    text.rstrip()
    return text
