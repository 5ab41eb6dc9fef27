"""What a Parquet file says of itself is not believed."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onepass.errors import FileError
from onepass.guide.files import read
from tests.guide.files.reading import ROWS, column, tensor

FLIP = """
import pathlib, sys
from onepass.errors import FileError
from onepass.guide.files import open_file, read
path = pathlib.Path(sys.argv[1])
content = path.read_bytes()
for place in range(len(content) - 8 - int.from_bytes(content[-8:-4], "little"), len(content)):
    byte = (content[place] + 16) % 256  # of a list one more, of a number another
    path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
    try:
        file = open_file(path)
        read([column for name in file.names for column in file.columns(name)], 1000)
    except FileError as error:
        assert len(str(error).splitlines()) == 1
print("done")
"""


def test_a_wrong_byte_in_a_footer_ends_no_program(tmp_path):
    table = pa.table({"x": np.arange(9.0), "y": list("abc" * 3), "z": [[1.0, 2.0]] * 9})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=False)
    command = [sys.executable, "-c", FLIP, str(tmp_path / "x.parquet")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr[-500:]) == (0, "done\n", "")


def test_footers_have_no_longer_lists_than_bytes(write, monkeypatch):
    path = write(".parquet")
    given = []
    opened = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda *a, **o: given.append(o) or opened(*a, **o))
    assert len(tensor(path)) == ROWS
    size = path.stat().st_size
    assert {o["thrift_container_size_limit"] for o in given} == {size}
    assert {o["thrift_string_size_limit"] for o in given} == {size}


def test_more_rows_than_a_file_has_bytes_for_are_refused(tmp_path):
    pq.write_table(pa.table({"x": np.ones(1 << 25)}), tmp_path / "x.parquet", compression="zstd")
    wanted = column(tmp_path / "x.parquet")
    assert len(read([wanted], 1000)[wanted]) == 1000
    with pytest.raises(FileError, match=r"would grow from .* ask for fewer rows"):
        read([wanted], 1 << 31)
