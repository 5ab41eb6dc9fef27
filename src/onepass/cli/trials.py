"""onepass against torch.nn: demo and bench."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import onepass
from onepass.cli.output import JsonOption, Terminal, print_json, print_table, progress
from onepass.guide import demo as demos
from onepass.guide.demo import known, race, report, tasks
from onepass.guide.names import loss_named


def demo(
    loss: Annotated[
        list[str] | None,
        typer.Option(metavar="LOSS", help="Only this loss; may be given again."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything to FILE.", dir_okay=False)
    ] = None,
) -> None:
    """Train every loss on real data and time it.

    Everything is done with torch.nn and with onepass. Exits with 1 if value or gradient of the two
    differ at any step, on the same parameters, or if the two trainings end with other metrics.
    """
    console = Terminal()
    names = _names(loss)
    checked = known.check(names if loss else None)
    console.print(report.known_numbers(checked))
    with report.progress(console, len(names)) as advance:
        results = demos.run(names, advance)
    console.print(report.table(results), report.summary(results))
    if json:
        report.write(json, checked, results)
        console.print(f"written to {json}")
    if not all(row.agrees for row in [*checked, *results]):
        raise typer.Exit(1)


def bench(
    loss: Annotated[
        list[str] | None, typer.Argument(metavar="LOSS", help="Only these losses.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Time value and gradient against torch.nn.

    Of 8 million elements; for the other sizes see benchmarks/ in the repository.
    """
    names, races = _names(loss), {}
    with progress(len(names)) as advance:
        for name in names:
            races[name] = _race(name)
            advance(1)
    if json:
        print_json({
            "machine": report.machine(),
            "versions": report.versions(),
            "losses": [
                {"loss": name, **asdict(raced), "speedup": raced.speedup}
                for name, raced in races.items()
            ],
        })  # fmt: skip
        return
    rows = [
        (name, *(_milliseconds(laps) for laps in (r.theirs, r.ours)), f"{r.speedup:.1f}x")
        for name, r in races.items()
    ]
    print_table(("loss", "torch.nn, ms", "onepass, ms", "faster"), rows)


def _race(name: str) -> race.Race:
    task = tasks.prepare(name)
    return race.race(*demos.twins(task), task.inputs)


def _milliseconds(laps: list[float]) -> float:
    return round(1e3 * statistics.median(laps), 1)


def _names(given: list[str] | None) -> list[str]:
    return [loss_named(name).name for name in given or onepass.catalogue()]
