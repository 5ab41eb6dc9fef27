"""What is compiled before it is needed: build."""

from __future__ import annotations

import typer
from rich.console import Console

from onepass.cli.output import fail
from onepass.errors import EngineError
from onepass.runtime import native


def build() -> None:
    """Compile the part that makes losses of few elements fast.

    It takes a C++ compiler and half a minute, once for each torch and Python. Exits with 1 if it
    cannot be compiled; everything works without it, small calls take longer.
    """
    try:
        with Console(stderr=True).status("compiling native.cpp"):
            path = native.build()
    except EngineError as error:
        fail(error, code=1)
    typer.echo(f"built: {path}")
