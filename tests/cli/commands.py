"""Commands as they are given, and what they print."""

import pandas as pd
import torch
from typer.testing import CliRunner

from onepass.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments, code=0):
    """What a command prints on stdout, which must be all it prints."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    return result.stdout


def assert_refused(*arguments, says, code=2):
    """The command ends with one line on stderr and nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("onepass: ")
    assert result.stderr.count("\n") == 1
    for part in (says,) if isinstance(says, str) else says:
        assert part in result.stderr


def tensors(path, *names):
    table = pd.read_csv(path)
    return [torch.from_numpy(table[name].to_numpy(copy=True)) for name in names]
