"""What commands print: text for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from onepass.guide.evaluate import Progress as Advance

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


class Terminal(Console):
    """A console that shows text as it is: nothing in it is markup, or obeyed by a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
        """rich's, with the characters that a terminal obeys written out."""
        for segment in super().render(*arguments, **options):
            shown = "\n".join(map(printable, segment.text.split("\n")))
            yield segment if segment.control else Segment(shown, segment.style)


def printable(text: str) -> str:
    """The text, with control characters, and those that turn its direction, as their codes."""
    return "".join(f"\\u{ord(c):04x}" if _is_obeyed(c) else c for c in text)


def _is_obeyed(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _DIRECTIONS
        or character in "\u061c\u200e\u200f"
    )


_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def say(words: str, err: bool = False) -> None:
    """One line, whatever names it holds."""
    typer.echo(printable(words), err=err)


def print_json(content: Any) -> None:
    """JSON on stdout; nan and infinities, which it does not have, are null."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo("\n".join(map(printable, text.split("\n"))))


def _plain(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content if isinstance(content, str | int | None) else str(content)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows under headers, numbers to the right."""
    table = Table(box=box.HORIZONTALS, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        numeric = all(isinstance(row[place], int | float) for row in rows)
        table.add_column(
            Text(printable(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(printable(_cell(value))) for value in row))
    Terminal().print(table)


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextmanager
def progress(total: int | None) -> Iterator[Advance]:
    """A bar on the error stream, if that is a terminal, for so many rows or losses."""
    console = Terminal(stderr=True)
    if not console.is_terminal:  # an older rich, told to be quiet, prints an empty line
        yield lambda done: None
        return
    columns = SpinnerColumn(), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


def note(words: str) -> None:
    """One line on the error stream beside what was asked for."""
    say(f"onepass: {words}", err=True)


def fail(problem: Exception | str, code: int) -> NoReturn:
    """End the program with one line on the error stream."""
    describe = getattr(problem, "format_message", problem.__str__)
    note(" ".join(describe().split()))
    raise SystemExit(code)
