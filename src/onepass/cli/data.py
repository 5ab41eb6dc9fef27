"""What files of numbers are good for: recommend, diagnose, explain, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

import onepass
from onepass.cli import arguments
from onepass.cli.losses import LossArgument, WidthOption
from onepass.cli.output import JsonOption, Terminal, note, print_json, print_table, progress, say
from onepass.errors import OnepassError, ParameterError, in_path
from onepass.guide.diagnose import Finding
from onepass.guide.evaluate import evaluate as evaluated
from onepass.guide.evaluate import weights_of_rows
from onepass.guide.files import Column, known_rows, listed, numbers_or_names, read, rows_within
from onepass.guide.plot import save
from onepass.guide.recommend import table
from onepass.runtime import keywords

MOST_ROWS = 1_000_000  # to be looked at, unless --rows says so
MOST_BYTES = 1 << 25  # which they take; what is made of them takes many times that

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
        "side. The other tensors of a loss are options, too (--var, --input1, --anchor), and so "
        "are its parameters (--delta 2, --full, --weight 1,2,0.5).",
    ),
]
TargetOption = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="The target.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Names in the target to be read as 0, 1, ..."),
]
SampleWeightOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="How much each row counts.")
]
MaskOption = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Rows where this is 0 do not count.")
]
RowsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Look at so many rows, the first ones; otherwise at as many as take "
        f"{MOST_BYTES >> 20} MiB, at most {MOST_ROWS:,}.",
    ),
]


def recommend(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, Parquet, NPY, NPZ or safetensors.")
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="What is to be predicted; of a single column it need not be said.",
        ),
    ] = None,
    prediction: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="What a model predicts for it: its residuals say more; may be given again.",
        ),
    ] = None,
    rows: RowsOption = None,
    json: JsonOption = False,
) -> None:
    """Say which losses suit a target, best first, and why.

    For example:

    onepass recommend houses.csv --target price --prediction estimate
    """
    files = arguments.Files(file)
    wanted = files.stack(target or [_only_name(files, file)])
    predicted = files.stack(prediction) if prediction else None
    block = _first_rows([*wanted.columns, *(predicted.columns if predicted else ())], rows)
    first = wanted.columns[0]
    single = len(wanted.columns) == 1
    truth = numbers_or_names(first, block[first]) if single else wanted.tensor(block)
    found = onepass.recommend(truth, predicted.tensor(block) if predicted else None)
    if json:
        print_json([recommendation.as_dict() for recommendation in found])
    else:
        Terminal().print(table(found))


def _only_name(files: arguments.Files, path: Path) -> str:
    names = [column.name for column in files.columns("*")]
    if len(names) > 1:
        raise ParameterError(f"give --target COLUMN: {in_path(path)} has {listed(names)}")
    return names[0]


def _first_rows(columns: Sequence[Column], rows: int | None) -> dict[Column, Any]:
    """So many rows in memory, or as many as are enough to judge by."""
    return read(columns, rows or min(MOST_ROWS, rows_within(columns, MOST_BYTES)))


def diagnose(
    context: typer.Context,
    loss: LossArgument,
    file: TableArgument = None,
    input: InputOption = None,
    target: TargetOption = None,
    sample_weight: SampleWeightOption = None,
    mask: MaskOption = None,
    classes: ClassesOption = None,
    rows: RowsOption = None,
    json: JsonOption = False,
) -> None:
    """Find what is wrong with what a loss is given.

    Misuse, illegal values, outliers; exits with 1 if there is an error or a warning.

    For example:

    onepass diagnose cross_entropy model.npz --input logits --target labels
    """
    named = arguments.Named(input, target, classes, sample_weight, mask)
    call = arguments.call(loss, file, named, context.args)
    tensors = _tensors(call, rows)
    findings = onepass.diagnose(call.loss, **tensors, **call.options)
    if json:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        _print_findings(findings)
    else:
        say(f"nothing found: {call.loss.name} suits {_rows_of(call, tensors)}")
    if any(finding.severity != "note" for finding in findings):
        raise typer.Exit(1)


def _tensors(call: arguments.Call, rows: int | None) -> dict[str, Any]:
    """The tensors of the call, of its first rows, and what weighs them."""
    tensors = {**call.data.of(_first_rows(call.data.columns(), rows)), **call.data.shared}
    with suppress(OnepassError):  # of tensors that do not fit, which is said of the call itself
        tensors |= weights_of_rows(call.loss, {**tensors, **call.options})
    return tensors


def _rows_of(call: arguments.Call, tensors: dict[str, Any]) -> str:
    """How many there were, in words."""
    seen = len(tensors[next(iter(call.data.tensors))])
    known = known_rows(call.data.columns())
    return f"the first {seen:,} of {known:,} rows" if known and known > seen else f"{seen:,} rows"


_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


def _print_findings(findings: Sequence[Finding]) -> None:
    """One below the other; a remedy is a line that can be copied."""
    console = Terminal(soft_wrap=True)
    for finding in findings:
        shown = Text(str(finding))
        shown.stylize(_COLOURS[finding.severity], 0, len(finding.severity))
        console.print(shown)


def explain(
    context: typer.Context,
    loss: LossArgument,
    file: TableArgument = None,
    input: InputOption = None,
    target: TargetOption = None,
    sample_weight: SampleWeightOption = None,
    mask: MaskOption = None,
    classes: ClassesOption = None,
    rows: RowsOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Draw it: an svg, png or pdf file."),
    ] = None,
    width: WidthOption = "wide",
    json: JsonOption = False,
) -> None:
    """Show where a loss and its gradient come from.

    Which elements, classes and columns hold how much of them, and how that would be with other
    losses.

    For example:

    onepass explain mse_loss houses.csv --input estimate --target price
    """
    named = arguments.Named(input, target, classes, sample_weight, mask)
    call = arguments.call(loss, file, named, context.args)
    explanation = onepass.explain(call.loss, **_tensors(call, rows), **call.options)
    if output is not None:
        save(explanation.plot(width=width), output)
    if json:
        print_json(explanation.as_dict())
    elif output is not None:
        say(f"written to {output}")
    else:
        Terminal().print(explanation)


def evaluate(
    context: typer.Context,
    loss: LossArgument,
    file: TableArgument = None,
    input: InputOption = None,
    target: TargetOption = None,
    reduction: Annotated[
        str, typer.Option(metavar="NAME", help="mean, sum, batchmean, or none: see --output.")
    ] = "mean",
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="A value for each group of rows.")
    ] = None,
    sample_weight: SampleWeightOption = None,
    mask: MaskOption = None,
    classes: ClassesOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the unreduced loss, as NPY."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compute the loss of files, which may be larger than memory.

    For example:

    onepass evaluate mse_loss --input predictions.npy --target targets.npy

    onepass evaluate huber houses.csv --input estimate --target price --by city
    """
    named = arguments.Named(input, target, classes, sample_weight, mask)
    call = arguments.call(loss, file, named, context.args)
    keywords.reduction(call.loss.name, reduction)
    if reduction == "none" and output is None:
        raise ParameterError("--reduction none is written to a file: give --output FILE.npy")
    data = replace(call.data, group=call.files.column(by) if by else None)
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
    if any(row["value"] != row["value"] for row in rows):
        note("nan: no row counts, or some hold nan; onepass diagnose says where, --mask leaves out")
