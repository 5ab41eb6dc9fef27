"""`python -m benchmarks run [--quick]` and `python -m benchmarks table`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from . import fresh, linear, machine, report
from .harness import FULL, QUICK, Row, measure, plan
from .samples import RECIPES

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console(width=None if sys.stdout.isatty() else 128)

QUIET = 0.05  # the share of the machine that others may use before we say so


@app.command()
def run(
    quick: Annotated[bool, typer.Option(help="Few sizes, float32, few rounds.")] = False,
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Default: unless quick.")
    ] = None,
    loss: Annotated[list[str] | None, typer.Option(help="Only these losses.")] = None,
    name: Annotated[str | None, typer.Option(help="The results file: full, or quick.")] = None,
) -> None:
    """Measure, and write results/NAME.json.

    The file has two parts: linear_cross_entropy, and all other losses. A part of which nothing is
    measured stays as it was; the other is written anew, with the chosen losses alone.
    """
    losses = _losses(loss)
    if not losses:
        raise typer.Exit(1)
    others = [name for name in losses if name != linear.LOSS]
    compiled = not quick if compiled is None else compiled
    with machine.bystanders() as bystanders:
        results = _compared(others, quick=quick, compiled=compiled) if others else {}
        alone = _linear(quick=quick) if linear.LOSS in losses else {}
    _quiet(bystanders.share)
    here = {"machine": machine.machine() | {"bystanders": bystanders.share}}
    if results:
        results |= here
    if alone:
        results[linear.LOSS] = alone | here
    console.print()
    path = report.save(name or ("quick" if quick else "full"), results)
    console.print(Markdown(report.section(report.load(path.stem))))
    console.print(f"written: {path.relative_to(path.parents[2])}")


@app.command()
def table(
    name: Annotated[str, typer.Option(help="The results file to quote.")] = "full",
    noisy: Annotated[bool, typer.Option(help="Even if the machine was not quiet.")] = False,
) -> None:
    """Rewrite the README's numbers from results/NAME.json."""
    try:
        results = report.load(name)
    except FileNotFoundError:
        console.print(f"[red]no results/{name}.json: `python -m benchmarks run` writes it")
        raise typer.Exit(1) from None
    if not noisy and not _quiet(report.bystanders(results)):
        console.print("[red]this run is not to be quoted: measure again on a quiet machine")
        raise typer.Exit(1)
    report.rewrite_readme(results)
    console.print(f"{report.README.name} now quotes results/{name}.json")


def _quiet(share: float | None) -> bool:
    """Whether the others left the machine to us; says so if not."""
    if share is None or share <= QUIET:
        return True
    console.print(f"[yellow]not quiet: other programs used {share:.0%} of this machine")
    return False


def _losses(chosen: Sequence[str] | None) -> list[str]:
    """The catalogue's names that can be drawn; what is left out is said aloud."""
    catalogue = import_module("onepass").catalogue()
    others = catalogue.keys() - {linear.LOSS}
    variants = [name for name, recipe in RECIPES.items() if recipe.function in others]
    names = list(chosen or [*catalogue, *variants])
    for name in names:
        if name not in RECIPES:
            console.print(f"[yellow]not measured: {name} has no recipe in samples.py")
    return [name for name in names if name in RECIPES]


def _compared(losses: list[str], *, quick: bool, compiled: bool) -> report.Record:
    rows = _measured(losses, quick=quick, compiled=compiled)
    whole = list(dict.fromkeys(RECIPES[name].function or name for name in losses))
    with console.status("new processes: imports, first calls, memory peaks"):
        starts = _fresh(whole, quick=quick, compiled=compiled)
    return {"rows": [asdict(row) for row in rows], **starts}


def _linear(*, quick: bool) -> report.Record:
    with console.status(f"{linear.LOSS} and its matrix products"):
        found = linear.measure(quick=quick)
    for rival, error in found.errors.items():
        console.print(f"[yellow]{linear.LOSS}: {rival}: {error}")
    return asdict(found)


def _measured(losses: list[str], *, quick: bool, compiled: bool) -> list[Row]:
    rows: list[Row] = []
    lines = report.live_table()
    cases = plan(losses, quick=quick, compiled=compiled)
    with Live(lines, console=console, vertical_overflow="visible"):  # it grows past the screen
        for row in measure(cases, QUICK if quick else FULL):
            rows.append(row)
            lines.add_row(*report.live_cells(row))
            for rival, error in row.errors.items():
                console.print(f"[yellow]{row.loss} {row.dtype} {row.size}: {rival}: {error}")
    return rows


def _fresh(losses: list[str], *, quick: bool, compiled: bool) -> dict[str, object]:
    first = fresh.first_calls(losses, repeats=1 if quick else 3)
    if compiled:
        first["compiled"] = fresh.compiled_first_call(losses[0])
    peaks = [fresh.peak(loss) for loss in (losses[:1] if quick else losses)]
    return {
        "import_seconds": fresh.import_seconds(),
        "first_calls": {key: asdict(value) for key, value in first.items()},
        "peaks": [asdict(peak) for peak in peaks],
    }


if __name__ == "__main__":
    app()
