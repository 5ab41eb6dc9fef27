"""What losses there are, what each is, and how it looks: list, show, plot."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from onepass.cli import arguments
from onepass.cli.output import JsonOption, Terminal, print_json, say
from onepass.define import Pointwise, Rowwise
from onepass.errors import ParameterError, quoted
from onepass.guide import overview
from onepass.guide.names import function_of, loss_named, parameters_of
from onepass.guide.plot import plot as plotted
from onepass.guide.plot import save
from onepass.printers import infix

LossArgument = Annotated[
    str, typer.Argument(metavar="LOSS", help="Its name: huber_loss, huber or HuberLoss.")
]


WidthOption = Annotated[str, typer.Option(metavar="WIDTH", help="wide, or narrow for a phone.")]
_NARROW = 72  # columns below which words of a table of four columns would be broken


def list_losses(json: JsonOption = False) -> None:
    """List all losses: what each takes and is best for.

    Those for continuous outputs first, then those for discrete outputs and rankings.
    """
    if not json:
        console = Terminal()
        console.print(overview.overview() if console.width >= _NARROW else _narrow_list())
        return
    print_json([
        {"loss": name, "outputs": title, **asdict(card), "properties": card.properties}
        for title, cards in overview.tables().items()
        for name, card in cards.items()
    ])  # fmt: skip


def _narrow_list() -> Text:
    """What each loss is best for, one below the other."""
    text = Text()
    for title, cards in overview.tables().items():
        text.append(f"{title}\n\n", "bold")
        for name, card in cards.items():
            text.append(f"{name}\n", "bold cyan").append(f"{card.best_for}\n\n")
    text.rstrip()
    return text


def show(
    loss: LossArgument,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE", help="Print the kernel (cpu) or the definition (eager) instead."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show one loss: its card, arguments, definition and gradient.

    With --source cpu, the kernel that computes value and gradient in one pass.
    """
    found = loss_named(loss)
    if source is not None:
        if source not in ("cpu", "eager"):
            raise ParameterError(f"--source must be cpu or eager; got {quoted(source)}")
        content = found.source(source)
        print_json({"loss": found.name, source: content}) if json else typer.echo(content)
        return
    if json:
        print_json(_described(found))
    else:
        _print_description(_described(found))


def plot(
    context: typer.Context,
    loss: LossArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="An svg, png or pdf file.")
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="LOSS", help="Draw this one with it; may be given again."),
    ] = None,
    surface: Annotated[
        bool, typer.Option("--surface", help="Filled contours, of losses that have two axes.")
    ] = False,
    width: WidthOption = "wide",
) -> None:
    """Draw value and gradient of a loss.

    Its parameters are options, too; several values of one make a family of curves.

    For example:

    onepass plot huber_loss --delta 0.5 1 2 --against mse_loss -o huber.svg
    """
    settings = {
        name: _one_or_more([arguments.value(text) for text in texts])
        for name, texts in arguments.extra(context.args).items()
    }
    figure = plotted(loss, alternatives=against or (), surface=surface, width=width, **settings)
    save(figure, output)
    say(f"written to {output}")


def _one_or_more(values: list[Any]) -> Any:
    """An option without a value is a flag."""
    if not values:
        return True
    return values if len(values) > 1 else values[0]


def _described(loss: Pointwise | Rowwise) -> dict[str, Any]:
    card = loss.card
    assert card is not None  # every loss of the catalogue has one
    return {
        "loss": loss.name,
        "about": inspect.getdoc(function_of(loss)),
        **asdict(card),
        "properties": card.properties,
        "parameters": _parameters(loss),
        "definition": _undecorated(loss.source("eager")),
        "gradient": _gradient(loss) if isinstance(loss, Pointwise) else None,
    }


def _undecorated(source: str) -> str:
    """The function without what stands above it: the card is shown on its own."""
    decorator, keyword, function = source.partition("\ndef ")
    return f"def {function}" if keyword and decorator.startswith("@") else source


def _parameters(loss: Pointwise | Rowwise) -> dict[str, dict[str, Any]]:
    """What each argument may be, where the loss declares it, and its default."""
    domains = _domains(loss)
    found = {}
    for name, default in parameters_of(loss).items():
        domain = {"domain": str(domains[name])} if name in domains else {}
        found[name] = domain | ({} if default is inspect.Parameter.empty else {"default": default})
    return found


def _domains(loss: Pointwise | Rowwise) -> Mapping[str, Any]:
    if isinstance(loss, Pointwise):
        return {**loss.domains, **dict.fromkeys(loss.flags, "True or False")}
    return loss.domains


def _gradient(loss: Pointwise) -> str:
    """The derivative by each tensor, with the names that the author gave to parts of it."""
    results, names = loss.results(loss.tensors, loss.flags)
    return infix.text({f"gradient by {name}": results[name] for name in loss.tensors}, names)


_CARD = {  # its fields, in the words of the page
    "task": "task",
    "input": "input",
    "target": "target",
    "best_for": "best for",
    "not_for": "not for",
    "properties": "properties",
    "relatives": "relatives",
    "sources": "sources",
}
_CODE = {"definition": "Definition", "gradient": "Gradient"}


def _print_description(described: Mapping[str, Any]) -> None:
    console = Terminal()
    console.print(Text(described["loss"], "bold cyan"))
    paragraphs = described["about"].split("\n\n")
    console.print(Text("\n\n".join(" ".join(words.split()) for words in paragraphs)))
    _print_cells(console, "Card", [(name, _words(described[key])) for key, name in _CARD.items()])
    _print_cells(console, "Arguments", [
        (name, f"= {about['default']}" if "default" in about else "", about.get("domain", ""))
        for name, about in described["parameters"].items()
    ])  # fmt: skip
    for key, title in _CODE.items():
        if described[key]:
            console.print(Text(f"\n{title}", "bold"))
            console.print(Text(described[key].strip()), soft_wrap=True)


def _words(content: str | Sequence[str]) -> str:
    return content if isinstance(content, str) else "; ".join(content)


def _print_cells(console: Terminal, title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows of cells under a title; those of the card that say nothing are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for row in rows:
        if any(row[1:]) or title == "Arguments":
            grid.add_row(*map(Text, row))
    console.print(Text(f"\n{title}", "bold"))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))
