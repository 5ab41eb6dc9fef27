"""What files of numbers are good for: recommend, diagnose, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import onepass
from onepass.cli import arguments
from onepass.cli.losses import LossArgument
from onepass.cli.output import JsonOption, print_json, print_table, progress
from onepass.errors import ParameterError
from onepass.guide.diagnose import Finding
from onepass.guide.evaluate import evaluate as evaluated
from onepass.guide.files import known_rows, read
from onepass.guide.recommend import table
from onepass.runtime import checks, reduce

TableArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="CSV, Parquet, NPY, NPZ or safetensors, with all columns; without it, columns are "
        "written FILE or FILE:COLUMN.",
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="The input; given again, or as a pattern such as 'logit_*', columns stand side by "
        "side. The other tensors of a loss are options, too: --var, --input1, --anchor.",
    ),
]
TargetOption = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="The target.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="The target's classes in the order of the input's."),
]
LossOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An option of the loss: delta=2, weight=1,2,0.5."),
]
RowsOption = Annotated[int, typer.Option(min=1, help="Look at so many rows, the first ones.")]


def recommend(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet, NPY, NPZ or safetensors.")],
    target: Annotated[list[str], typer.Option(metavar="COLUMN", help="What is to be predicted.")],
    prediction: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="What a model predicts for it: its residuals say more; may be given again.",
        ),
    ] = None,
    rows: RowsOption = 1_000_000,
    json: JsonOption = False,
) -> None:
    """Which losses suit a target, best first, and why.

    onepass recommend houses.csv --target price --prediction estimate
    """
    files = arguments.Files(file)
    wanted = files.stack(target)
    predicted = files.stack(prediction) if prediction else None
    block = read([*wanted.columns, *(predicted.columns if predicted else ())], rows)
    truth = block[wanted.columns[0]] if len(wanted.columns) == 1 else wanted.tensor(block)
    found = onepass.recommend(truth, predicted.tensor(block) if predicted else None)
    if json:
        print_json([recommendation.as_dict() for recommendation in found])
    else:
        Console().print(table(found))


def diagnose(
    context: typer.Context,
    loss: LossArgument,
    file: TableArgument = None,
    input: InputOption = None,
    target: TargetOption = None,
    classes: ClassesOption = None,
    option: LossOption = None,
    rows: RowsOption = 1_000_000,
    json: JsonOption = False,
) -> None:
    """What is wrong with what a loss is given.

    Misuse, illegal values, outliers; exits with 1 if there is an error or a warning.

    onepass diagnose cross_entropy model.npz --input logits --target labels
    """
    call = arguments.call(loss, file, context.args, input, target, classes, option)
    block = read(call.data.columns(), rows)
    tensors = {name: stack.tensor(block) for name, stack in call.data.tensors.items()}
    findings = onepass.diagnose(call.loss, **tensors, **call.data.shared, **call.options)
    if json:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        _print_findings(findings)
    else:
        typer.echo(f"nothing found: {call.loss.name} suits {len(next(iter(block.values())))} rows")
    if any(finding.severity != "note" for finding in findings):
        raise typer.Exit(1)


_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


def _print_findings(findings: Sequence[Finding]) -> None:
    """One below the other; a remedy is a line that can be copied."""
    console = Console(soft_wrap=True)
    for finding in findings:
        shown = Text(str(finding))
        shown.stylize(_COLOURS[finding.severity], 0, len(finding.severity))
        console.print(shown)


def evaluate(
    context: typer.Context,
    loss: LossArgument,
    file: TableArgument = None,
    input: InputOption = None,
    target: TargetOption = None,
    reduction: Annotated[
        str, typer.Option(help="mean, sum, batchmean, or none: see --output.")
    ] = "mean",
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A value for each group of rows.")
    ] = None,
    sample_weight: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="How much each row counts.")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows where this is 0 do not count.")
    ] = None,
    classes: ClassesOption = None,
    option: LossOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the unreduced loss, as NPY."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """The loss of files, which may be larger than memory.

    onepass evaluate mse_loss --input predictions.npy --target targets.npy

    onepass evaluate huber_loss houses.csv --input estimate --target price --by city
    """
    call = arguments.call(loss, file, context.args, input, target, classes, option)
    checks.reduction(call.loss.name, reduction, reduce.REDUCTIONS)
    if reduction == "none" and output is None:
        raise ParameterError("--reduction none is written to a file: give --output FILE.npy")
    data = replace(
        call.data,
        sample_weight=call.files.stack([sample_weight]) if sample_weight else None,
        mask=call.files.stack([mask]) if mask else None,
        group=call.files.column(by) if by else None,
    )
    with progress(known_rows(data.columns())) as advance:
        totals = evaluated(call.loss, data, call.options, output, advance)
    shown = "mean" if reduction == "none" else reduction
    rows = [{"group": t.group, "rows": t.rows, "value": t.reduced(shown)} for t in totals]
    if json:
        print_json({"loss": call.loss.name, "reduction": shown, "by": by, "groups": rows})
    elif by:
        print_table((by, "rows", shown), [tuple(row.values()) for row in rows])
    else:
        typer.echo(f"{rows[0]['value']:.8g}")
