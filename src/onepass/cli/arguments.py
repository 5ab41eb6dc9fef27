"""What stands on a command line: names of columns and files, tensors and options of a loss."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os.path import exists  # of a name that is too long, pathlib's raises an error
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onepass.define import Pointwise, Rowwise
from onepass.errors import FileError, ParameterError, closest, quoted, shortened
from onepass.guide.evaluate import Data
from onepass.guide.files import FILES, Column, File, Stack, open_file, read
from onepass.guide.names import loss_named, parameters_of

_WORDS = {"true": True, "false": False, "none": None}
_INTEGERS = 1 << 63  # which are within 64 bits; larger ones are read as floats
_REQUIRED = inspect.Parameter.empty
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
        if exists(given) or not path:
            return [self._open(given).only_column()]
        return self._open(path).columns(name)

    def column(self, given: str) -> Column:
        """One column."""
        found = self.columns(given)
        if len(found) > 1:
            raise ParameterError(f"{quoted(given)} must name one column, and names {len(found)}")
        return found[0]

    def _open(self, path: str) -> File:
        no_file = not exists(path) and Path(path).suffix.lower() not in FILES
        if self.table is None and no_file:
            raise FileError(
                f"{quoted(path)} is no file: for columns of one file, give FILE after LOSS"
            )
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


@dataclass(frozen=True)
class Named:
    """What a command names itself; the rest of the line is a loss's own."""

    input: Sequence[str] | None
    target: Sequence[str] | None
    classes: str | None
    sample_weight: str | None
    mask: str | None


def call(loss: str, table: Path | None, named: Named, tokens: Sequence[str]) -> Call:
    """A loss, its tensors and its options. Raises ParameterError and FileError."""
    known = loss_named(loss)
    if table is not None and str(table).startswith("--"):  # the first word after LOSS, FILE or not
        table, tokens = None, (str(table), *tokens)
    files, rest = Files(table), extra(tokens)
    names = _options_of(known)
    for name in rest:
        if name not in (*in_files(known), *names):
            raise ParameterError(_unknown(known, name, names))
    chosen = {name: option(known, name, rest[name]) for name in names if name in rest}
    columns = {"input": named.input or (), "target": named.target or ()} | {
        name: rest[name] for name in in_files(known) if name in rest
    }
    stacks, shared = tensors(known, files, columns, named.classes)
    data = Data(
        stacks,
        shared,
        sample_weight=files.stack([named.sample_weight]) if named.sample_weight else None,
        mask=files.stack([named.mask]) if named.mask else None,
    )
    return Call(known, files, data, chosen)


def _options_of(loss: Pointwise | Rowwise) -> list[str]:
    """What may be chosen of a loss beside its tensors and what weighs them."""
    beside = (*in_files(loss), "sample_weight", "mask")
    return [name for name in parameters_of(loss) if name not in beside]


def in_files(loss: Pointwise | Rowwise) -> tuple[str, ...]:
    """The tensors of a loss that are columns, or a file of their own."""
    return (*loss.tensors, *(name for name in loss.optional if name in loss.shared))


def _unknown(loss: Pointwise | Rowwise, given: str, options: Sequence[str]) -> str:
    close = closest(given, [*in_files(loss), *options])
    hint = f" Did you mean {_spelled([close])}?" if close else ""
    takes = _spelled(in_files(loss))
    return (
        f"{loss.name} has no {_spelled([given])}; it takes {takes}, and may take "
        f"{_spelled(options)}.{hint}"
    )


def _spelled(names: Sequence[str]) -> str:
    """As they stand on a command line."""
    return ", ".join(f"--{shortened(name.replace('_', '-'))}" for name in names)


def tensors(
    loss: Pointwise | Rowwise,
    files: Files,
    given: Mapping[str, Sequence[str]],
    classes: str | None,
) -> tuple[dict[str, Stack], dict[str, Tensor]]:
    """The tensors of a loss: those that are read row by row, and those that belong to all rows.

    Raises ParameterError for what the loss does not take, and FileError.
    """
    wanted = _spelled(in_files(loss))
    for name, columns in given.items():
        if columns and name not in in_files(loss):
            raise ParameterError(f"{loss.name} has no {_spelled([name])}; it takes {wanted}")
        if not columns and name not in ("input", "target"):
            raise ParameterError(f"{_spelled([name])} needs a column or a file")
    places = classes.split(",") if classes else ()
    stacks = {
        name: files.stack(columns, places if name == "target" else ())
        for name, columns in given.items()
        if columns
    }
    missing = [name for name in loss.tensors if name not in stacks]
    if missing:
        raise ParameterError(f"{loss.name} takes {wanted}; give {_spelled(missing)}")
    shared = {n: whole(stacks.pop(n), ALL_ROWS) for n in loss.shared if n in stacks}
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
            raise ParameterError(
                f"what is {quoted(token)}? Columns follow --input, --target and so on"
            )
    return found


def option(loss: Pointwise | Rowwise, name: str, spelled: Sequence[str]) -> Any:
    """What is chosen: a number, a flag, or for a weight numbers with commas between."""
    if len(spelled) > 1:
        raise ParameterError(
            f"{_spelled([name])} takes one value; got {shortened(' '.join(spelled))}. FILE follows "
            "LOSS"
        )
    if name in ("weight", *loss.optional):
        return _row(loss, name, spelled[0] if spelled else "")
    return value(spelled[0]) if spelled else True


def _row(loss: Pointwise | Rowwise, name: str, spelled: str) -> Tensor:
    try:
        return torch.tensor([float(number) for number in spelled.split(",")], dtype=torch.float64)
    except ValueError:
        raise ParameterError(
            f"{loss.name}: `{name}` must be numbers with commas between, got {quoted(spelled)}"
        ) from None


def value(spelled: str) -> Any:
    """A number, true, false or none; anything else stays text, which losses refuse."""
    if spelled.lower() in _WORDS:
        return _WORDS[spelled.lower()]
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(spelled)
            return number if abs(number) < _INTEGERS else float(spelled)
    return spelled
