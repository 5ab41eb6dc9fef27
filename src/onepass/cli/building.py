"""What is compiled and kept: build, cache."""

from __future__ import annotations

from typing import Annotated

import typer

from onepass.cli.output import JsonOption, Terminal, fail, print_json, say
from onepass.errors import EngineError
from onepass.runtime.cpu import disk, native


def build() -> None:
    """Compile the part that makes losses of few elements fast.

    It takes a C++ compiler and half a minute, once for each torch and Python. Exits with 1 if it
    cannot be compiled; everything works without it, small calls take longer.
    """
    try:
        with Terminal(stderr=True).status("compiling native.cpp"):
            path = native.build()
    except EngineError as error:
        fail(error, code=1)
    say(f"built: {path}")


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
    json: JsonOption = False,
) -> None:
    """Show where compiled kernels are kept, or remove them.

    They are compiled again when they are needed. Above 256 MiB those that were not used for the
    longest time are removed by themselves.
    """
    folder = disk.folder()
    if folder is None:
        fail("no folder can be used: set ONEPASS_CACHE_DIR to one of your own", code=1)
    if clear:
        disk.clear()
    kept = disk.content()
    size = sum(entry.size for entry in kept)
    if json:
        print_json({"folder": str(folder), "files": len(kept), "bytes": size})
    else:
        say(f"{folder}: {len(kept)} files, {size / 1e6:.1f} MB")
