"""Files of columns, and what is read of them."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from onepass.errors import FileError
from onepass.guide.files import Column, Stack, open_file, read

ROWS = 100


def save_columns(path, columns):
    table = pd.DataFrame(columns)
    writers = {
        ".csv": lambda: table.to_csv(path, index=False),
        ".tsv": lambda: table.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: table.to_parquet(path, row_group_size=30),
        ".npz": lambda: np.savez_compressed(path, **columns),
        ".safetensors": lambda: save_file(
            {name: torch.from_numpy(column) for name, column in columns.items()}, path
        ),
    }
    writers[path.suffix]()


def column(path, name=None):
    file = open_file(path)
    return Column(file, name or file.names[0])


def tensor(path, name=None, **options):
    wanted = column(path, name)
    return Stack((wanted,), **options).tensor(read([wanted], 1000))


def assert_refused(path, *parts, name=None):
    """Reading fails with one line that names the file."""
    with pytest.raises(FileError) as refused:
        tensor(path, name)
    message = str(refused.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


def header(shape, descr="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()
