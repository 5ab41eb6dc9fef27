"""Columns of CSV, Parquet, NPY, NPZ and safetensors files, read in blocks of rows.

A column is what a file gives one name to: a column of a table, or an array whose first axis are
the rows. Nothing pickled is ever loaded, and no size that a file declares is believed before the
bytes that there are bear it out. Whatever is wrong with a file raises a FileError of one line.

file.py      what all files have in common
tables.py    CSV and Parquet
footer.py    what a Parquet file says before it is read
arrays.py    NPY, NPZ and safetensors
columns.py   columns of several files side by side, and tensors made of them
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from onepass.errors import FileError, in_path, quoted
from onepass.guide.files.arrays import Npy, Npz, Safetensors
from onepass.guide.files.columns import (
    Stack,
    blocks,
    known_rows,
    labels,
    numbers_or_names,
    read,
    rows_within,
)
from onepass.guide.files.file import Array, Column, File, listed
from onepass.guide.files.tables import Csv, Parquet

__all__ = [
    "FILES",
    "Array",
    "Column",
    "File",
    "Stack",
    "blocks",
    "known_rows",
    "labels",
    "listed",
    "numbers_or_names",
    "open_file",
    "read",
    "rows_within",
]

FILES: Mapping[str, type[File]] = {
    ".csv": Csv,
    ".tsv": Csv,
    ".parquet": Parquet,
    ".npy": Npy,
    ".npz": Npz,
    ".safetensors": Safetensors,
}
PICKLED = (".bin", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def open_file(path: Path | str) -> File:
    """The columns of a file, whose suffix says what it is. Raises FileError."""
    path, shown = Path(path), in_path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(f"{shown}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FileError(f"{shown} is {kind}")
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise FileError(
            f"{shown} may be pickled, and to read that is to run what is in it: write the tensors "
            "with safetensors.torch.save_file"
        )
    if suffix not in FILES:
        raise FileError(f"{shown}: a file must end in {', '.join(FILES)}; got {quoted(suffix)}")
    if not status.st_size:
        raise FileError(f"{shown} is empty")
    return FILES[suffix](path)
