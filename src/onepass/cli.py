"""The command line: parses, calls, prints."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import onepass
from onepass.guide import demo as demos
from onepass.guide.demo import known, report

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def onepass_command() -> None:
    """Loss functions for PyTorch. One formula, one pass."""


@app.command()
def demo(
    loss: Annotated[
        list[str] | None, typer.Option(help="Only this loss; may be given again.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything to FILE.", dir_okay=False)
    ] = None,
) -> None:
    """Train every loss on real data, with torch.nn and with onepass, and time both."""
    console = Console()
    names = [known_loss(name) for name in loss or onepass.catalogue()]
    checked = known.check(names if loss else None)
    console.print(report.known_numbers(checked))
    try:
        with report.progress(console, len(names)) as progress:
            results = demos.run(names, progress)
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        fail(str(error), code=1)
    console.print(report.table(results), report.summary(results))
    if json:
        report.write(json, checked, results)
        console.print(f"written to {json}")
    if not all(row.agrees for row in [*checked, *results]):
        raise typer.Exit(1)


def known_loss(name: str) -> str:
    """The name, if the catalogue has such a loss; ends the program if not."""
    names = list(onepass.catalogue())
    if name not in names:
        close = get_close_matches(name, names, n=1, cutoff=0.3)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        fail(f"no loss is called {name!r}; {hint}", code=2)
    return name


def fail(message: str, code: int) -> NoReturn:
    """End the program with one line on the error stream."""
    typer.echo(f"onepass: {message}", err=True)
    raise typer.Exit(code)
