"""What stands on a command line: names of columns and files, tensors and options of a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onepass.define import Pointwise, Rowwise
from onepass.errors import FileError, ParameterError
from onepass.guide.evaluate import Data
from onepass.guide.files import FILES, Column, File, Stack, open_file, read
from onepass.guide.names import loss_named

_WORDS = {"true": True, "false": False, "none": None}
ALL_ROWS = 1 << 31  # of the tensors that belong to all rows


@dataclass
class Files:
    """Columns by what they are called: in the one file, or else FILE and FILE:COLUMN."""

    table: Path | None
    opened: dict[str, File] = field(default_factory=dict)

    def stack(self, given: Sequence[str], classes: Sequence[str] = ()) -> Stack:
        """The tensor of these columns, side by side."""
        columns = [column for name in given for column in self.columns(name)]
        return Stack(tuple(columns), tuple(classes))

    def columns(self, given: str) -> list[Column]:
        """The columns of that name, or of that pattern."""
        if self.table is not None:
            return self._open(str(self.table)).columns(given)
        path, _, name = given.rpartition(":")
        if Path(given).exists() or not path:
            return [self._open(given).only_column()]
        return self._open(path).columns(name)

    def column(self, given: str) -> Column:
        """One column."""
        found = self.columns(given)
        if len(found) > 1:
            raise ParameterError(f"{given!r} must name one column, and names {len(found)}")
        return found[0]

    def _open(self, path: str) -> File:
        if self.table is None and not Path(path).exists() and Path(path).suffix not in FILES:
            raise FileError(f"{path!r} is no file: for columns of one file, give FILE after LOSS")
        if path not in self.opened:
            self.opened[path] = open_file(path)
        return self.opened[path]


@dataclass(frozen=True)
class Call:
    """A loss and what it is given."""

    loss: Pointwise | Rowwise
    files: Files
    data: Data
    options: dict[str, Any]


def call(
    loss: str,
    table: Path | None,
    tokens: Sequence[str],
    input: Sequence[str] | None,
    target: Sequence[str] | None,
    classes: str | None,
    option: Sequence[str] | None,
) -> Call:
    """A loss, its tensors and its options. Raises ParameterError and FileError."""
    named, files = loss_named(loss), Files(table)
    given = {"input": input or (), "target": target or (), **extra(tokens)}
    stacks, shared = tensors(named, files, given, classes)
    return Call(named, files, Data(stacks, shared), options(named, option or ()))


def tensors(
    loss: Pointwise | Rowwise,
    files: Files,
    given: Mapping[str, Sequence[str]],
    classes: str | None,
) -> tuple[dict[str, Stack], dict[str, Tensor]]:
    """The tensors of a loss: those that are read row by row, and those that belong to all rows.

    Raises ParameterError for what the loss does not take, and FileError.
    """
    wanted = ", ".join(f"--{name}" for name in loss.tensors)
    for name, columns in given.items():
        if columns and name not in loss.tensors:
            raise ParameterError(f"{loss.name} has no --{name}; it takes {wanted}")
        if not columns and name not in ("input", "target"):
            raise ParameterError(f"--{name} needs a column or a file")
    places = classes.split(",") if classes else ()
    stacks = {
        name: files.stack(columns, places if name == "target" else ())
        for name, columns in given.items()
        if columns
    }
    missing = [name for name in loss.tensors if name not in stacks and name != "linear_bias"]
    if missing:
        raise ParameterError(f"{loss.name} takes {wanted}; there is no --{missing[0]}")
    common = loss.shared if isinstance(loss, Rowwise) else ()
    shared = {name: whole(stacks.pop(name), ALL_ROWS) for name in common if name in stacks}
    return stacks, shared


def whole(stack: Stack, rows: int) -> Tensor:
    """Its first rows, in memory."""
    return stack.tensor(read(stack.columns, rows))


def extra(tokens: Sequence[str]) -> dict[str, list[str]]:
    """`--delta 0.5 1 --full` as {"delta": ["0.5", "1"], "full": []}."""
    found: dict[str, list[str]] = {}
    for token in tokens:
        if token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            values = found.setdefault(name.replace("-", "_"), [])
            values += [value] if equals else []
        elif found:
            found[next(reversed(found))].append(token)
        else:
            raise ParameterError(f"what is {token!r}? An option begins with --")
    return found


def options(loss: Pointwise | Rowwise, given: Sequence[str]) -> dict[str, Any]:
    """Of `delta=2` and the like; weights are numbers with commas between."""
    found: dict[str, Any] = {}
    rows = {"weight", *(loss.optional if isinstance(loss, Pointwise) else ())}
    for text in given:
        name, equals, spelled = text.partition("=")
        if not equals:
            raise ParameterError(f"--option must be name=value, got {text!r}")
        found[name] = _row(loss, name, spelled) if name in rows else value(spelled)
    return found


def _row(loss: Pointwise | Rowwise, name: str, spelled: str) -> Tensor:
    try:
        return torch.tensor([float(number) for number in spelled.split(",")], dtype=torch.float64)
    except ValueError:
        raise ParameterError(
            f"{loss.name}: `{name}` must be numbers with commas between, got {spelled!r}"
        ) from None


def value(spelled: str) -> Any:
    """A number, true, false or none; anything else stays text, which losses refuse."""
    if spelled.lower() in _WORDS:
        return _WORDS[spelled.lower()]
    for kind in (int, float):
        try:
            return kind(spelled)
        except ValueError:
            continue
    return spelled
