"""What the demo shows: a bar while it works, a table at the end, and everything as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import onepass
from onepass.guide import demo
from onepass.guide.demo import known, steps
from onepass.guide.demo.task import Metric
from onepass.guide.demo.training import Run

BARS = "▁▂▃▄▅▆▇█"
NAME = 20  # columns of the first cell
KEPT = 100  # points of a trajectory in the JSON file


@contextmanager
def progress(console: Console, losses: int) -> Iterator[demo.Progress]:
    """A progress bar for the demo of so many losses; it leaves no trace."""
    columns = (
        SpinnerColumn(),
        BarColumn(24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("reads the data", total=losses * len(demo.STAGES))
        begun = iter(range(losses * len(demo.STAGES)))

        def advance(loss: str, stage: str) -> None:
            bar.update(task, completed=next(begun), description=f"[bold]{loss}[/] {stage}")

        yield advance


def known_numbers(checked: Sequence[known.Checked]) -> Text:
    """One line when all is well, a line for each number that is off."""
    wrong = [row for row in checked if not row.agrees]
    text = Text()
    if checked:
        right = len(checked) - len(wrong)
        text.append("✗ " if wrong else "✓ ", "red" if wrong else "green")
        text.append(f"{right} of {len(checked)} known numbers agree to {known.TOLERANCE:.0e}")
    for row in wrong:
        text.append(f"\n  {row.known}: mean {row.mean!r}, known {row.known.mean!r}", "red")
        text.append(f"; sum {row.sum!r}, known {row.known.sum!r}", "red")
    return text


def table(results: Sequence[demo.Result]) -> Table:
    """A row a loss: how it fell, what came of its task, and how it compares with torch.nn.

    That is the time of many elements, and the largest difference of value or gradient at any step.
    """
    millions = results[0].race.elements / 1e6
    shown = Table(box=box.HORIZONTALS, show_lines=True, header_style="bold", pad_edge=False)
    shown.add_column("loss\nwhile it trains", min_width=NAME, no_wrap=True)
    shown.add_column("task\nmetric on held-out data", ratio=1)
    compared = f"torch.nn → onepass\n{millions:.3g}M elements\nvalue and gradient\nof every step"
    shown.add_column(compared, justify="right", no_wrap=True)
    for result in results:
        shown.add_row(falling(result), outcome(result), comparison(result))
    return shown


def falling(result: demo.Result) -> Text:
    """Name, sparkline of the training loss, and where it began and ended."""
    trajectory = result.ours.trajectory
    tenth = max(1, len(trajectory) // 10)
    first, last = trajectory[0], statistics.mean(trajectory[-tenth:])
    return Text.assemble(
        (fold(result.task.loss), "bold cyan"),
        (f"\n{sparkline(trajectory, NAME)}", "blue"),
        (f"\n{first:.3g} → {last:.3g}", "dim"),
    )


def fold(name: str) -> str:
    """A long name in several lines, broken before underscores."""
    lines = [""]
    for part in name.replace("_", " _").split(" "):
        if len(lines[-1]) + len(part) > NAME:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as bars, each the mean of its share of the steps; a dot if it is not finite."""
    width = min(width, len(values))
    cuts = [len(values) * i // width for i in range(width + 1)]
    means = [statistics.mean(values[start:end]) for start, end in pairwise(cuts)]
    finite = [mean for mean in means if math.isfinite(mean)] or [0.0]
    low, high = min(finite), max(finite)
    unit = (len(BARS) - 1) / (high - low or 1)
    return "".join(
        BARS[round((mean - low) * unit)] if math.isfinite(mean) else "·" for mean in means
    )


def outcome(result: demo.Result) -> Text:
    """The task, its metric after training, and what the rival reaches."""
    metric = result.task.metric
    text = Text.assemble(
        f"{result.task.about}\n",
        (f"{metric.name} {direction(metric)} ", "dim"),
        (f"{result.ours.after:{metric.format}}", "bold green"),
    )
    if result.task.rival and result.rival:
        text.append(f", {result.task.rival[0]} ", "dim")
        text.append(f"{result.rival.after:{metric.format}}", "yellow")
    return text


def direction(metric: Metric) -> str:
    """Which way is better."""
    if metric.better == "higher":
        return "↑"
    if metric.better == "lower":
        return "↓"
    return f"(ideal {metric.better:{metric.format}})"


def comparison(result: demo.Result) -> Text:
    """How many times as fast, the median lap of each, and how far the losses are apart."""
    race = result.race
    theirs, ours = (1e3 * statistics.median(laps) for laps in (race.theirs, race.ours))
    text = Text.assemble(
        (f"{race.speedup:.1f}x", f"bold {'green' if race.speedup >= 1 else 'red'}"),
        f"\n{theirs:.0f} → {ours:.0f} ms\n",
        (apart(result.difference.largest), "dim"),
        (" ✓", "green") if result.agrees else (" ✗", "bold red"),
    )
    if not result.learns_the_same:
        metric = f"{result.theirs.after:{result.task.metric.format}}"
        text.append(f"\ntorch.nn's metric {metric}", "red")
    return text


def apart(difference: float) -> str:
    """A difference of value or gradient, in words."""
    return f"{difference:.0e} apart" if difference else "identical"


def summary(results: Sequence[demo.Result]) -> Text:
    """A few lines on all losses: what was compared, and how fast they are."""
    agreeing = sum(result.agrees for result in results)
    worst = steps.largest(result.difference.largest for result in results)
    metrics = steps.largest(result.metric_difference for result in results)
    faster = statistics.geometric_mean(result.race.speedup for result in results)
    return Text.assemble(
        ("✓ ", "green") if agreeing == len(results) else ("✗ ", "bold red"),
        f"{agreeing} of {len(results)} losses train as with torch.nn: on the same parameters, "
        f"value and gradient of every step differ by at most {worst:.0e}; after a run of each, "
        f"the metrics differ by at most {metrics:.1%} of what training gains. At ",
        (f"{faster:.1f}x", "bold"),
        f" the speed of torch.nn on {_threads()} (geometric mean).",
    )


def _threads() -> str:
    count = torch.get_num_threads()
    return "one thread" if count == 1 else f"{count} threads"


def write(path: Path, checked: Sequence[known.Checked], results: Sequence[demo.Result]) -> None:
    """Everything in one JSON file."""
    content = {
        "machine": machine(),
        "versions": versions(),
        "known_numbers": [known_row(row) for row in checked],
        "losses": [loss_row(result) for result in results],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """Where it ran."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """What it ran on."""
    found = {"python": platform.python_version(), "onepass": onepass.__version__}
    for name in ("torch", "llvmlite", "scikit-learn"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def known_row(row: known.Checked) -> dict[str, object]:
    """A known number and ours."""
    ours = {"mean": row.mean, "sum": row.sum, "agrees": row.agrees}
    return {"loss": str(row.known), "known": {"mean": row.known.mean, "sum": row.known.sum}} | ours


def loss_row(result: demo.Result) -> dict[str, object]:
    """The runs and the race of one loss, and how far it is from torch.nn's."""
    task = result.task
    row = {
        "loss": task.loss,
        "task": task.about,
        "arguments": {name: plain(value) for name, value in task.arguments.items()},
        "metric": {"name": task.metric.name, "better": task.metric.better},
        "agrees": result.agrees,
        "difference": {
            "value": result.difference.value,
            "gradient": result.difference.gradient,
            "metric": result.metric_difference,
        },
        "torch": run_row(result.theirs),
        "onepass": run_row(result.ours),
        "race": {
            "elements": result.race.elements,
            "torch_seconds": result.race.theirs,
            "onepass_seconds": result.race.ours,
            "speedup": result.race.speedup,
        },
    }
    if task.rival and result.rival:
        row["rival"] = {"loss": task.rival[0], **run_row(result.rival)}
    return row


def run_row(run: Run) -> dict[str, object]:
    """The metric before and after, and every so many points of the trajectory."""
    every = -(-len(run.trajectory) // KEPT)
    return {
        "metric_before": run.before,
        "metric_after": run.after,
        "every": every,
        "trajectory": run.trajectory[::every],
    }


def plain(value: object) -> object:
    """An argument as JSON knows it."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return getattr(value, "__name__", value)
