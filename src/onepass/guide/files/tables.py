"""Tables: CSV by pandas, Parquet by pyarrow."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from io import StringIO
from itertools import chain
from typing import Any

import numpy as np

from onepass.errors import FileError, shortened
from onepass.guide.files.file import Array, Block, File, is_number, library, listed
from onepass.guide.files.footer import LARGE, check_size, texts

SEPARATORS = ",;\t|"
CELLS = 1 << 20  # of a CSV to be parsed at once
PAGES = 1 << 16  # bytes of a column of a large Parquet file to be read at once
ROWS = 1 << 16  # of a Parquet file to be decoded at once
ENTRIES = 1_000_000  # in a list of its footer
HEAD = 1 << 20  # bytes within which the first line ends


class Csv(File):
    """A text table whose first line names the columns."""

    kind = "CSV"

    def _names(self) -> list[str]:
        read = self._read(nrows=1)  # of no rows, pandas takes longer
        names = [str(name).strip() for name in read.columns]
        places = [str(place) for place in range(len(names))]  # as a table without names is written
        if all(map(is_number, names)) and names != places:
            raise FileError(
                f"{self}: its first line must name the columns, and holds {listed(names)}"
            )
        return names

    def _rows(self, names: Sequence[str]) -> Sequence[None]:
        return [None] * len(names)

    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        # All columns: of a few, pandas would not say that a row has more fields than names.
        at_once = max(1, CELLS // len(self.names))
        with self._read(chunksize=min(rows, at_once), low_memory=False) as chunks:
            yield from recut((self._columns(chunk, names) for chunk in chunks), rows)

    def _columns(self, chunk: Any, names: Sequence[str]) -> Block:
        counted = isinstance(chunk.index, library("pandas").RangeIndex)
        if not counted:  # pandas has taken the first fields for the names of the rows
            raise ValueError("its rows have more fields than its first line")
        found = chunk.iloc[:, [self._places[name] for name in names]].items()
        arrays = (np.array(column) for _, column in found)  # a view would keep the whole chunk
        return tuple(map(self._reread, arrays))

    def _reread(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A column that pandas left as raw text for an integer longer than int() takes."""
        most = sys.get_int_max_str_digits()
        texts = array.tolist() if array.dtype.kind == "O" else []
        if not most or not any(isinstance(text, str) and len(text) > most for text in texts):
            return array
        pandas = library("pandas")
        written = pandas.Series(array).to_csv(index=False, header=False)
        for dtype in ("float64", "str"):
            with suppress(ValueError):
                read = pandas.read_csv(
                    StringIO(written), header=None, dtype=dtype, decimal=self._decimal,
                    skipinitialspace=True, skip_blank_lines=False,
                )  # fmt: skip
                return np.array(read[0])
        return array

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each column stands; of several of one name, the first."""
        return {name: place for place, name in reversed(list(enumerate(self.names)))}

    def _read(self, **options: Any) -> Any:
        pandas = library("pandas")
        return pandas.read_csv(
            self.path, sep=self._separator, decimal=self._decimal, compression=None,
            skipinitialspace=True, **_exact(pandas.__version__), **options,
        )  # fmt: skip

    @cached_property
    def _separator(self) -> str:
        """The one that the first line has most of."""
        return max(SEPARATORS, key=self._head.partition("\n")[0].count)

    @cached_property
    def _decimal(self) -> str:
        """A comma where numbers are written with one, and none with a point, as in Oslo or Rome."""
        if self._separator == "," or self._has_numbers("."):
            return "."
        return "," if self._has_numbers(",") else "."

    def _has_numbers(self, point: str) -> bool:
        """Whether the first rows have a field that is a number with such a decimal point."""
        between = re.escape(self._separator)
        number = rf'"?[ ]*[+-]?\d+[{point}]\d+([eE][+-]?\d+)?[ ]*"?'
        field = rf"(^|{between}){number}(?={between}|\r?$)"
        return re.search(field, self._head, re.MULTILINE) is not None

    @cached_property
    def _head(self) -> str:
        """The first line, and what follows within so many bytes."""
        with self.path.open("rb") as file:
            head = file.read(HEAD)
        line = head.partition(b"\n")[0]
        if not _is_text(line):
            raise ValueError("it is not UTF-8 text")
        if len(line) == HEAD:
            raise ValueError(f"its first line does not end within {HEAD} bytes")
        return head.decode("utf-8", errors="replace")


def _exact(version: str) -> dict[str, str]:
    """What makes pandas read the number that is written: from 3.1 on it does so unasked."""
    major, minor = map(int, version.split(".")[:2])
    return {} if (major, minor) >= (3, 1) else {"float_precision": "round_trip"}


def _is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode("utf-8")
    except UnicodeDecodeError:
        return False


class Parquet(File):
    """A table of columns, whose lists, where they have one length, are rows of an array."""

    kind = "Parquet"

    def _names(self) -> list[str]:
        with self._opened() as file:
            return list(file.schema_arrow.names)

    def _rows(self, names: Sequence[str]) -> Sequence[int]:
        with self._opened() as file:
            return [file.metadata.num_rows] * len(names)

    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        with self._opened() as file:
            metadata = file.metadata
        check_size(metadata, self.path.stat().st_size)
        blocks = self._batches(names, rows, metadata, texts(metadata, names))
        try:
            first = next(blocks, None)
        except OSError:  # text in an encoding that pyarrow reads as it stands, or damage
            blocks = self._batches(names, rows, metadata, [])
            first = next(blocks, None)
        if first is not None:
            blocks = chain([first], blocks)
        yield from _checked(blocks, rows, metadata.num_rows)

    def _batches(
        self, names: Sequence[str], rows: int, metadata: Any, repeated: Sequence[str]
    ) -> Iterator[Block]:
        """Blocks of rows; a text that is repeated is held once in the columns at these paths."""
        with self._opened(metadata=metadata, read_dictionary=repeated) as file:
            batches = file.iter_batches(batch_size=min(rows, ROWS), columns=list(names))
            columns = ([batch.column(name) for name in names] for batch in batches)
            yield from recut((tuple(map(_array, found)) for found in columns), rows)

    def _opened(self, **options: Any) -> Any:
        # Of a large file only pages are held, of a small one its columns: a page is then no longer
        # than its column, whatever its header says. A list in the footer has no more entries than
        # the file has bytes.
        size = self.path.stat().st_size
        return library("pyarrow.parquet").ParquetFile(
            self.path, pre_buffer=False, buffer_size=PAGES if size > LARGE else 0,
            thrift_container_size_limit=min(size, ENTRIES), thrift_string_size_limit=size,
            **options,
        )  # fmt: skip


def _checked(blocks: Iterable[Block], rows: int, total: int) -> Iterator[Block]:
    """Blocks of `rows` rows. Raises ValueError where they end before there were `total` rows."""
    found = 0
    for block in blocks:
        found += len(block[0])
        if len(block[0]) == rows or found >= total:
            yield block
    if found < total:
        raise ValueError(f"{total - found} of its {total} rows are missing")


def _array(column: Any) -> Array:
    """An arrow array as one of numpy's; lists become an axis."""
    types, kind = library("pyarrow").types, column.type
    if types.is_dictionary(kind):
        return _named(column)
    if types.is_struct(kind) or types.is_map(kind):
        raise ValueError(f"{shortened(str(kind))} is not numeric: write a column for each field")
    if types.is_decimal(kind):
        return column.cast("float64").to_numpy(zero_copy_only=False)
    fixed = types.is_fixed_size_list(kind)
    if not (fixed or types.is_list(kind) or types.is_large_list(kind)):
        return column.to_numpy(zero_copy_only=False)
    if column.null_count:
        raise ValueError("a list is missing")
    lengths = [kind.list_size] if fixed else column.value_lengths().unique().to_pylist()
    if len(lengths) > 1 or not lengths[0]:
        raise ValueError(f"its lists are of different lengths or empty: {listed(sorted(lengths))}")
    inner = _array(column.flatten())
    return inner.reshape(len(column), lengths[0], *inner.shape[1:])


def _named(column: Any) -> Array:
    """The objects that a dictionary array stands for, each made once; None where one is missing."""
    known = column.is_valid().to_numpy(zero_copy_only=False)
    indices = column.indices.drop_null().to_numpy()
    used, places = np.unique(indices, return_inverse=True)
    found = np.full(len(column), None, object)
    found[known] = column.dictionary.take(used).to_numpy(zero_copy_only=False)[places]
    return found


def recut(parts: Iterable[Block], rows: int) -> Iterator[Block]:
    """The same rows in blocks of `rows` rows, the last one shorter."""
    kept: list[Block] = []
    missing = rows
    for part in parts:
        rest = part
        while len(rest[0]):
            kept.append(tuple(array[:missing] for array in rest))
            rest = tuple(array[missing:] for array in rest)
            missing -= len(kept[-1][0])
            if not missing:
                yield _joined(kept)
                kept, missing = [], rows
    if kept:
        yield _joined(kept)


def _joined(parts: Sequence[Block]) -> Block:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
