"""An explanation in the terminal: four small tables, each of at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from onepass.guide.demo.report import fold
from onepass.guide.explain.parts import TOPS, Spread

if TYPE_CHECKING:
    from onepass.guide.explain import Explanation

_ROWS = 5  # of elements and groups; the rest is in as_dict()
_BAR = 12


def table(shown: Explanation, *, narrow: bool) -> Group:
    """Everything that there is to be said; if narrow, the columns that matter most."""
    parts: list[RenderableType] = [_head(shown)]
    if shown.spread.elements:
        parts.append(_spreads(shown, narrow=narrow))
    if shown.largest:
        parts.append(_largest(shown, narrow=narrow))
    parts += [_groups(shown, by, narrow=narrow) for by in shown.groups]
    parts += _remarks(shown)
    return Group(*parts)


def place_in_words(place: tuple[int, ...]) -> str:
    """Where an element stands: "3", "3, 0", or that there is no other."""
    return ", ".join(map(str, place)) or "the only one"


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
    many = f"{shown.counting:,} of {shown.elements:,} elements count"
    text = Text.assemble(
        (shown.loss, "bold cyan"), f" {shown.spread.value:.6g} ({shown.reduction}), ", many,
        f" in shape {shown.shape}" if len(shown.shape) > 1 else "",
    )  # fmt: skip
    if shown.step > 1:
        text.append(f"; of every {shown.step} along one axis a single one was looked at", "dim")
    if shown.lost:
        text.append(f"\n{shown.lost:,} of them are not finite and left out", "red")
    return text


def _spreads(shown: Explanation, *, narrow: bool) -> Table:
    """What the largest elements hold, under the loss and its relatives."""
    counts = [math.ceil(top * shown.spread.elements) for top in TOPS]
    tops = [f"{count:,} ({top:.0%})" for count, top in zip(counts, TOPS, strict=True)]
    title = f"What the largest {' and '.join(tops)} of the elements hold"
    of_loss, of_gradient = (
        [f"{of},\ntop {top:.0%}" for top in TOPS] for of in ("loss", "gradient")
    )
    made = _table(title, "loss", *(() if narrow else ("value", *of_loss)), *of_gradient)
    for place, spread in enumerate((shown.spread, *shown.relatives)):
        made.add_row(*_spread(spread, shown, narrow=narrow), style=None if place else "bold")
    return made


def _spread(spread: Spread, shown: Explanation, *, narrow: bool) -> Iterable[str | Text]:
    others = spread.elements != shown.spread.elements
    yield Text.assemble(fold(spread.name), (f"\nof {spread.elements:,}" if others else "", "dim"))
    if not narrow:
        yield f"{spread.value:.4g}"
        yield from (f"{share:.0%}" for share in spread.loss)
    yield from (f"{share:.0%}" for share in spread.gradient)


def _largest(shown: Explanation, *, narrow: bool) -> Table:
    """The elements that pull hardest."""
    first = shown.largest[0]
    title = "The largest gradients" if first.share else "No gradient; the largest losses"
    names = () if narrow else tuple(first.numbers)
    made = _table(title, "element", *names, "loss", "gradient", "share")
    for element in shown.largest[:_ROWS]:
        held = [f"{element.numbers[name]:.4g}" for name in names]
        loss, gradient = f"{element.loss:.4g}", f"{element.gradient:.3g}"
        made.add_row(place_in_words(element.place), *held, loss, gradient, f"{element.share:.1%}")
    return made


def _groups(shown: Explanation, by: str, *, narrow: bool) -> Table:
    """Classes or columns."""
    groups = shown.groups[by]
    title = f"By {by}" + (f", the {_ROWS} largest" if len(groups) > _ROWS else "")
    whole = groups[0].loss is not None and not narrow
    made = _table(title, by, *(_WHOLE if whole else ()), "of the gradient")
    most = groups[0].gradient or 1.0
    for group in groups[:_ROWS]:
        held = (f"{group.elements:,}", f"{group.mean:.4g}", f"{group.loss:.0%}") if whole else ()
        bar = "█" * round(_BAR * group.gradient / most)
        pull = Text.assemble((f"{bar:<{_BAR}}", "blue"), f"{group.gradient:>5.0%}")
        made.add_row(str(group.key), *held, pull)
    return made


_WHOLE = ("elements", "mean loss", "of the loss")


def _remarks(shown: Explanation) -> Iterable[RenderableType]:
    """What a robust loss would discount, and which relatives do not take these tensors."""
    robust = shown.robust
    if robust is not None:
        furthest = "; ".join(map(place_in_words, robust.places[:3]))
        yield Text(
            f"huber_loss with delta={robust.delta:.3g}, 1.345 robust standard deviations of the "
            f"errors, would take {robust.removed:.0%} off the gradient of mse_loss, all of it from "
            f"{robust.elements:,} elements. Furthest off: {furthest}"
        )
    if shown.refused:
        lines = [f"{name}: {why}" for name, why in shown.refused.items()]
        yield Text("Relatives that these tensors do not suit", "dim")
        yield Padding(Text("\n".join(lines), "dim"), (0, 0, 0, 2), expand=False)
