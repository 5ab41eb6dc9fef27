"""Arrays: NPY and NPZ by numpy, safetensors by its library."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from onepass.errors import quoted
from onepass.guide.files.file import Array, Block, File, check_growth, library

LARGE = 1 << 30  # bytes above which an unpacked array
GROWTH = 100  # may not be this many times its packed size
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_RECORDS = "records; write an array for each field"


class Npy(File):
    """One array, which has the name of its file."""

    kind = "NPY"

    def _names(self) -> list[str]:
        return [self.path.stem]

    def _rows(self, names: Sequence[str]) -> Sequence[int]:
        with self.path.open("rb") as file:
            return [self._header(file).shape[0]] * len(names)

    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        del names
        with self.path.open("rb") as file:
            header = self._header(file)
            blocks = header.blocks_by_column if header.by_column else header.blocks
            yield from ((block,) for block in blocks(file, rows))

    def _header(self, file: IO[bytes]) -> Header:
        return read_header(file, self.path.stat().st_size, "it")


class Npz(File):
    """Arrays by name, packed or not."""

    kind = "NPZ"

    def _names(self) -> list[str]:
        with zipfile.ZipFile(self.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]

    def _rows(self, names: Sequence[str]) -> Sequence[int]:
        with zipfile.ZipFile(self.path) as archive:
            return [_length(archive, name) for name in names]

    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        with zipfile.ZipFile(self.path) as archive:
            yield from zip(*(_unpacked(archive, name, rows) for name in names), strict=True)


def _length(archive: zipfile.ZipFile, name: str) -> int:
    with _member(archive, name) as (_, header):
        return header.shape[0]


def _unpacked(archive: zipfile.ZipFile, name: str, rows: int) -> Iterator[Array]:
    with _member(archive, name) as (file, header):
        if not header.by_column:
            yield from header.blocks(file, rows)
            return
        whole = next(header.transposed.blocks(file, header.shape[-1])).T
        for start in range(0, len(whole), rows):
            yield whole[start : start + rows]


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], Header]]:
    member = archive.NameToInfo.get(name) or archive.getinfo(f"{name}.npy")
    check_growth(quoted(name), member.compress_size, member.file_size, LARGE, GROWTH)
    with archive.open(member) as file:
        yield file, read_header(file, member.file_size, quoted(name))


class Safetensors(File):
    """Tensors by name."""

    kind = "safetensors"

    def _names(self) -> list[str]:
        with self._opened() as file:
            return list(file.keys())

    def _rows(self, names: Sequence[str]) -> Sequence[int]:
        with self._opened() as file:
            shapes = {name: file.get_slice(name).get_shape() for name in names}
        for name, shape in shapes.items():
            _check_shape(shape, quoted(name))
        return [shape[0] for shape in shapes.values()]

    def _blocks(self, names: Sequence[str], rows: int) -> Iterator[Block]:
        length = max(self._rows(names))
        for start in range(0, length, rows):
            with self._opened() as file:  # again: what was read stays in memory while it is open
                yield tuple(file.get_slice(name)[start : start + rows] for name in names)

    def _opened(self) -> Any:
        return library("safetensors").safe_open(self.path, framework="pt")


@dataclass(frozen=True)
class Header:
    """What an NPY array says of itself."""

    shape: tuple[int, ...]
    by_column: bool  # whether the first axis runs fastest
    dtype: np.dtype[Any]

    @property
    def transposed(self) -> Header:
        """The same bytes, axes the other way round."""
        return Header(self.shape[::-1], not self.by_column, self.dtype)

    def blocks(self, file: Any, rows: int) -> Iterator[Array]:
        """The array that follows in the file, `rows` rows at a time."""
        for start in range(0, self.shape[0], rows):
            block = np.empty((min(rows, self.shape[0] - start), *self.shape[1:]), self.dtype)
            if file.readinto(block.reshape(-1).view(np.uint8).data) < block.nbytes:
                raise ValueError("it ends too early")
            yield block

    def blocks_by_column(self, file: Any, rows: int) -> Iterator[Array]:
        """The same of an array whose first axis runs fastest, from a file that can be sought in."""
        length, *others = self.shape
        start_of_data, columns = file.tell(), math.prod(others)
        for start in range(0, length, rows):
            block = np.empty((columns, min(rows, length - start)), self.dtype)
            for place, column in enumerate(block):
                file.seek(start_of_data + (place * length + start) * self.dtype.itemsize)
                if file.readinto(column.view(np.uint8).data) < column.nbytes:
                    raise ValueError("it ends too early")
            yield block.reshape((*others[::-1], -1)).T


def read_header(file: IO[bytes], size: int, name: str) -> Header:
    """The header of an array that takes, with the header, at most `size` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} holds {_RECORDS}")  # the reason for there being a third version
    shape, by_column, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which only pickle could load")
    if dtype.names or dtype.subdtype:
        raise ValueError(f"{name} holds {_RECORDS}")
    if not dtype.itemsize:
        raise ValueError(f"{name} holds elements of no bytes")
    _check_shape(shape, name)
    promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if promised > there:
        raise ValueError(f"{name} promises {promised} bytes and has {there}")
    return Header(shape, by_column and len(shape) > 1, dtype)


def _check_shape(shape: Sequence[int], name: str) -> None:
    if not shape:
        raise ValueError(f"{name} holds a single number, not rows")
    if min(shape) < 1:
        raise ValueError(f"{name} holds nothing, its shape is {tuple(shape)}")
