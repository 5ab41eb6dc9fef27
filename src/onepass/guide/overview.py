"""All losses in two tables, made of their cards: for the terminal and for docs/losses.md."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from onepass.catalogue import catalogue
from onepass.define import Card
from onepass.guide.demo.report import NAME, fold

# Which tasks belong into which table; a card names its task.
TABLES = {
    "Continuous outputs": ("regression", "counts", "distributions"),
    "Discrete outputs and rankings": (
        "classification",
        "binary",
        "multi-label",
        "ranking",
        "pairs",
        "metric learning",
    ),
}
HEADER = ("loss", "takes", "best for", "not for", "properties")
BEGIN, END = "<!-- made of the cards: begin -->", "<!-- made of the cards: end -->"


def overview() -> Group:
    """Both tables, for rich: `rich.print(overview())`."""
    return Group(*(_shown(title, rows) for title, rows in tables().items()))


def markdown() -> str:
    """Both tables as markdown, each under a heading."""
    head = (_line(HEADER), _line(["---"] * len(HEADER)))
    parts = ["\n".join((f"## {t}\n", *head, *_lines(rows))) for t, rows in tables().items()]
    return "\n\n".join(parts)


def rewritten(page: str) -> str:
    """The page with the tables between its markers as the cards have them.

    Raises ValueError if the page lacks one of the markers.
    """
    begin = page.index(BEGIN) + len(BEGIN)
    return f"{page[:begin]}\n\n{markdown()}\n\n{page[page.index(END, begin) :]}"


def tables() -> dict[str, dict[str, Card]]:
    """For each title the cards of its losses by name, in the order of the catalogue."""
    cards = {name: loss.card for name, loss in catalogue().items() if loss.card is not None}
    return {
        title: {name: card for name, card in cards.items() if card.task in tasks}
        for title, tasks in TABLES.items()
    }


def takes(card: Card) -> str:
    """What goes in: the input, and the target it is compared with."""
    return f"{card.input}; target: {card.target}"


def _lines(cards: dict[str, Card]) -> list[str]:
    return [
        _line((f"`{name}`", takes(card), card.best_for, card.not_for, "; ".join(card.properties)))
        for name, card in cards.items()
    ]


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(title: str, cards: dict[str, Card]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.HORIZONTALS,
        show_lines=True, header_style="bold", pad_edge=False, expand=True,
    )  # fmt: skip
    first, _, *others = HEADER
    table.add_column(first, width=NAME)
    for header in others:
        table.add_column(header, overflow="fold", ratio=1)
    for name, card in cards.items():
        named = Text.assemble((fold(name), "bold cyan"), (f"\n{takes(card)}", "dim"))
        table.add_row(named, card.best_for, card.not_for, "; ".join(card.properties))
    return table
