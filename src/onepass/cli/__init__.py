"""The command line: parses, calls, prints.

losses.py      what there is: list, show, plot
data.py        files of numbers: recommend, diagnose, explain, evaluate
trials.py      onepass against torch.nn: demo, bench
building.py    what is compiled and kept: build, cache
arguments.py   what stands on a command line: columns, tensors, options
output.py      tables, JSON, errors
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import onepass
from onepass.cli import building, data, losses, trials
from onepass.cli.output import fail
from onepass.errors import OnepassError, in_path, shortened

LONG = 300  # characters of what typer says, which quotes what it was given

# a command line that is not understood: typer's own error, or that of the click it stands on
_UsageError: Any = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Commands that end in one line on the error stream where the input is at fault."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run a command. Exits with 0, 1 if something was found or failed, 2 for bad input."""
        del standalone_mode  # typer's way to print errors takes a screen
        try:
            status = super().main(*args, standalone_mode=False, **options)
        except ModuleNotFoundError as error:
            fail(error, code=1)
        except OnepassError as error:
            fail(error, code=2)
        except _UsageError as error:
            said = shortened(error.format_message().removesuffix("."), LONG)
            fail(f"{said}{'' if said.endswith('?') else '.'} See {_path(error)} --help", code=2)
        except OSError as error:
            fail(
                f"{in_path(error.filename)}: {error.strerror}" if error.filename else error, code=2
            )
        except typer.Abort:
            fail("stopped", code=130)
        sys.exit(status)


def _path(error: Exception) -> str:
    """The command that was not understood."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else "onepass"


app = typer.Typer(cls=_Commands, add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def onepass_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Loss functions for PyTorch. One formula, one pass."""
    if version:
        typer.echo(f"onepass {onepass.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


# Options of these commands are also the parameters and tensors of the loss.
_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("list")(losses.list_losses)
app.command()(losses.show)
app.command(context_settings=_OPEN)(losses.plot)
app.command()(data.recommend)
app.command(context_settings=_OPEN)(data.diagnose)
app.command(context_settings=_OPEN)(data.explain)
app.command(context_settings=_OPEN)(data.evaluate)
app.command()(trials.demo)
app.command()(trials.bench)
app.command()(building.build)
app.command()(building.cache)
