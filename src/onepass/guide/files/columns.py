"""Columns of several files side by side, and the tensors that are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onepass.errors import FileError, quoted, shortened
from onepass.guide.files.file import (
    SHOWN,
    Array,
    Column,
    File,
    check_growth,
    few,
    is_number,
    listed,
)
from onepass.guide.files.footer import GROWTH, LARGE

NUMBER = 8  # bytes of one


def blocks(columns: Sequence[Column], rows: int) -> Iterator[dict[Column, Array]]:
    """The columns side by side, `rows` rows at a time.

    Raises FileError for columns of different lengths, without rows, or with nothing but nan.
    """
    known_rows(columns)
    wanted = _by_file(columns)
    streams = [file.blocks([c.name for c in found], rows) for file, found in wanted.items()]
    order = [column for found in wanted.values() for column in found]
    missing = set(order)  # columns that have held only nan so far
    for parts in zip_longest(*streams, fillvalue=()):
        arrays = [array for part in parts for array in part]
        if len(arrays) < len(order) or len(set(map(len, arrays))) > 1:
            raise FileError(f"columns differ in length: {few(order)}")
        block = dict(zip(order, arrays, strict=True))
        missing = {column for column in missing if _all_nan(block[column])}
        yield block
    _refuse([column for column in order if column in missing])


def read(columns: Sequence[Column], rows: int) -> dict[Column, Array]:
    """The first `rows` rows of the columns, in memory.

    Raises FileError as `blocks` does, and for far more numbers than a file has bytes.
    """
    for file, found in _by_file(columns).items():
        _check_rows(file, found, rows)
    first = next(blocks(columns, rows))
    _refuse([column for column in first if _all_nan(first[column])])
    return first


def _check_rows(file: File, columns: Sequence[Column], rows: int) -> None:
    """Refuse rows that a file claims, and has not the bytes for."""
    known = (count for count in file.rows([column.name for column in columns]) if count is not None)
    unpacked = sum(min(rows, count) for count in known) * NUMBER
    try:
        check_growth(str(file), file.path.stat().st_size, unpacked, LARGE, GROWTH)
    except ValueError as error:
        raise FileError(f"{error}: ask for fewer rows") from None


def rows_within(columns: Sequence[Column], size: int) -> int:
    """How many rows fit into `size` bytes, at least one, judged by the first. Raises FileError."""
    first = next(blocks(columns, 1))
    return max(1, size // sum(array.nbytes for array in first.values()))


def _refuse(missing: Sequence[Column]) -> None:
    if missing:
        raise FileError(f"{missing[0]} holds no rows, or nothing but nan")


def known_rows(columns: Sequence[Column]) -> int | None:
    """How many rows the columns have, if a file says so. Raises FileError if two differ."""
    rows = {
        column: count
        for file, found in _by_file(columns).items()
        for column, count in zip(found, file.rows([c.name for c in found]), strict=True)
    }
    known = {column: count for column, count in rows.items() if count is not None}
    if len(set(known.values())) > 1:
        lengths = [f"{column} {count}" for column, count in known.items()]
        raise FileError(f"columns differ in length: {few(lengths)}")
    return next(iter(known.values()), None)


def _by_file(columns: Sequence[Column]) -> dict[File, list[Column]]:
    """The columns of each file, each once."""
    found: dict[File, list[Column]] = {}
    for column in dict.fromkeys(columns):
        found.setdefault(column.file, []).append(column)
    return found


@dataclass(frozen=True)
class Stack:
    """A tensor: one column, or several side by side along the last axis.

    Values that `classes` name are read as their places there.
    """

    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()

    def tensor(self, block: dict[Column, Array]) -> Tensor:
        """Its rows of a block. Half types are widened to float32. Raises FileError."""
        parts = [self._numbers(column, block[column]) for column in self.columns]
        if len(parts) == 1:
            return parts[0]
        flat = [part.unsqueeze(-1) if part.dim() == 1 else part for part in parts]
        if len({part.shape[:-1] for part in flat}) > 1:
            raise FileError(f"cannot stand side by side: {few(self.columns)}")
        return torch.cat(flat, -1)

    def _numbers(self, column: Column, array: Array) -> Tensor:
        if self.classes:
            return _places(column, array, self.classes)
        tensor = array if isinstance(array, Tensor) else _tensor(column, array)
        if tensor.is_complex():
            raise FileError(f"{column} holds complex numbers")
        half = tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4
        return tensor.float() if half else tensor


def labels(column: Column, array: Array) -> list[Any]:
    """The values of a column that names groups; nan is None. Raises FileError."""
    if array.ndim != 1:
        raise FileError(f"{column} must have one value a row, got {tuple(array.shape[1:])}")
    return [None if value != value else value for value in array.tolist()]


def _places(column: Column, array: Array, classes: Sequence[str]) -> Tensor:
    places = {name: place for place, name in enumerate(classes)}
    names = list(map(str, labels(column, array)))
    strange = next((name for name in names if name not in places), None)
    if strange is not None:
        raise FileError(
            f"{column} holds {quoted(strange)}, but --classes lists only {listed(classes)}"
        )
    return torch.tensor([places[name] for name in names])


def _tensor(column: Column, array: np.ndarray[Any, Any]) -> Tensor:
    array = _of_integers(array)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in _TIMES:
        raise FileError(f"{column} is not numeric: it holds {_TIMES[kind]}; {_AS_NUMBERS}")
    if kind not in "biufc":
        raise FileError(f"{column} is not numeric: {_oddity(array)}")
    if kind == "u" and size > 1:
        array = array.astype(np.int64 if array.max() <= np.iinfo(np.int64).max else np.float64)
    elif kind == "f" and size > 8:
        array = array.astype(np.float64)
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _of_integers(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Python's integers, which may exceed 64 bits, as float64; any other array as it is."""
    if array.dtype.kind != "O" or any(type(value) not in (int, float) for value in array.flat):
        return array
    return np.array([float(str(value)) for value in array.flat]).reshape(array.shape)


_AS_NUMBERS = "write the time since a fixed day as a number"
_TIMES = {"M": "dates", "m": "durations"}  # by the kind of a numpy dtype
_SPELLINGS = {  # of what is no number as it stands, and what to write instead
    r"[+-]?\d+,\d+": "write decimals with a point, or separate the columns with ;",
    r"[+-]?\d{1,3}([ ,.'’\u00a0\u202f]\d{3})+([.,]\d+)?": "write numbers without separators of "
    "thousands",
    r"\d{4}-\d\d-\d\d.*|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}": _AS_NUMBERS,
    r"[+-]?[\d.,]+ ?[%$€£]|[$€£] ?[+-]?[\d.,]+": "write numbers without a unit",
    r"None": "write the missing ones as empty fields or nan, and mask them",
}


def _oddity(array: np.ndarray[Any, Any]) -> str:
    """What is no number in an array, and what to write instead."""
    values = array.ravel().tolist()
    odd = str(next((value for value in values if not is_number(value)), values[0]))
    names = sorted({value for value in values if isinstance(value, str)})
    hints = [hint for spelling, hint in _SPELLINGS.items() if re.fullmatch(spelling, odd)]
    if not hints and 0 < len(names) <= SHOWN and not any(map(is_number, names)):
        places = f"0 to {len(names) - 1}"
        hints = [
            f"to read it as classes {places} write --classes {','.join(map(shortened, names))}"
        ]
    return "; ".join([f"it holds {quoted(odd)}", *hints[:1]])


def numbers_or_names(column: Column, array: Array) -> Array:
    """The same, if its text names classes. Raises FileError for text that is to be numbers."""
    if isinstance(array, Tensor):
        return array
    array = _of_integers(array)
    if array.dtype.kind not in "OU":
        return array
    names = {value for value in array.ravel().tolist() if isinstance(value, str)}
    numeric = sum(map(is_number, names))
    spelled = any(re.fullmatch(spelling, name) for name in names for spelling in _SPELLINGS)
    if spelled or 0 < numeric < len(names):
        raise FileError(f"{column} is neither numbers nor names: {_oddity(array)}")
    return array


def _all_nan(array: Array) -> bool:
    if isinstance(array, Tensor):
        return array.dtype.is_floating_point and bool(array.isnan().all())
    return array.dtype.kind == "f" and bool(np.isnan(array).all())
