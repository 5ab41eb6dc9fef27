"""What all files have in common: named columns, and blocks of their rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from onepass.errors import FileError, closest, in_path, quoted, shortened

Array = np.ndarray[Any, Any] | Tensor
Block = tuple[Array, ...]  # an array for each column, all of the same rows

SHOWN = 12  # names in a message


class File(ABC):
    """The columns of one file. Whatever a kind of file raises becomes a FileError."""

    kind: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lengths: dict[str, int | None] = {}

    def __str__(self) -> str:
        return in_path(self.path)

    @cached_property
    def names(self) -> list[str]:
        """The columns, in the file's order."""
        with self._reading():
            return self._names()

    def rows(self, names: Sequence[str]) -> Sequence[int | None]:
        """How many rows each column has; None where only reading it tells."""
        unknown = [name for name in names if name not in self._lengths]
        if unknown:
            with self._reading():
                self._lengths |= zip(unknown, self._rows(unknown), strict=True)
        return [self._lengths[name] for name in names]

    def blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        """Blocks of `rows` rows of these columns, the last one shorter."""
        with self._reading():
            yield from self._blocks(names, rows)

    def columns(self, name: str) -> list[Column]:
        """The column of that name, or those that a pattern such as `logit_*` names."""
        if name in self.names:
            return [Column(self, name)]
        found = [Column(self, known) for known in self.names if fnmatchcase(known, name)]
        if not found:
            raise FileError(f"{self} has no column {quoted(name)}; {self._choice(name)}")
        return found

    def only_column(self) -> Column:
        """The column of a file that has one."""
        if len(self.names) != 1:
            raise FileError(f"{self} has the columns {listed(self.names)}: name one, {self}:COLUMN")
        return Column(self, self.names[0])

    def _choice(self, name: str) -> str:
        close = closest(name, self.names)
        hint = f"; did you mean {close!r}?" if close else ""
        return f"it has {listed(self.names)}{hint}"

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (FileError, ModuleNotFoundError):
            raise
        except Exception as error:  # of whatever type a parser's errors are
            if isinstance(error, OSError) and error.strerror:  # the file may be what it should
                raise FileError(f"{self}: {error.strerror}") from error
            raise FileError(f"{self} is not readable as {self.kind}: {one_line(error)}") from error

    @abstractmethod
    def _names(self) -> list[str]: ...

    @abstractmethod
    def _rows(self, names: Sequence[str]) -> Sequence[int | None]: ...

    @abstractmethod
    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Column:
    """One column of one file."""

    file: File
    name: str

    def __str__(self) -> str:
        return f"column {quoted(self.name)} of {self.file}"


def check_growth(name: str, packed: int, unpacked: int, large: int, growth: int) -> None:
    """Refuse what is unpacked to more than so many bytes and so many times its packed size."""
    if unpacked > max(large, growth * packed):
        raise ValueError(f"{name} would grow from {packed} to {unpacked} bytes")


def is_number(value: Any) -> bool:
    """Whether a value is a number, or text that spells one."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def few(things: Sequence[Any]) -> str:
    """The first few things, and how many more there are."""
    shown = ", ".join(map(str, things[:SHOWN]))
    more = len(things) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def listed(names: Sequence[Any]) -> str:
    """The first few names, quoted, and how many more there are."""
    return few([*map(quoted, names[:SHOWN]), *names[SHOWN:]])


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return shortened(lines[0], 300) if lines else type(error).__name__


def library(name: str) -> Any:
    """A library of the guide's. Raises ModuleNotFoundError that says how to install it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        message = f"{name.partition('.')[0]} is not installed: pip install 'onepass[guide]'"
        raise ModuleNotFoundError(message, name=error.name) from error
