"""No Parquet file takes more memory than it has bytes for, whatever it claims."""

import re
import subprocess
import sys
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def honest(make, **options):
    return lambda path: pq.write_table(pa.table({"x": make()}), path, compression="zstd", **options)


def repeated(text, rows):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "i4")), pa.array([text]))


BOMBS = {  # small files: how one is written, and what is read of it, or what is said
    "a repeated text": (honest(lambda: repeated("a" * 4096, 1_000_000)), "1000000 a"),
    "a wide text": (honest(lambda: repeated("a" * (1 << 20), 4096)), "4096 a"),
    "texts in rows": (
        honest(lambda: pa.ListArray.from_arrays([0, 300], repeated("a" * (1 << 20), 300))),
        "holds rows of text: write a column for each",
    ),
    "one text": (honest(lambda: ["a" * (1 << 28)], use_dictionary=False), "it would grow from"),
    "fields of text": (
        honest(lambda: pa.StructArray.from_arrays([repeated("a" * 4096, 300_000)], ["y"])),
        "is not numeric: write a column for each field",
    ),
    "many rows": (honest(lambda: np.ones(20_000_000), row_group_size=1 << 30), "1000000 1.0"),
}  # fmt: skip
READ = """
import resource, sys
import pyarrow as pa, pyarrow.parquet, pandas
from onepass.errors import FileError
from onepass.guide.files import open_file, read, rows_within
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    column = open_file(path).only_column()
    try:
        found = read([column], min(1_000_000, rows_within([column], 1 << 25)))[column]
        print(len(found), str(found.flat[-1])[:3].rstrip("a") or "a")
    except FileError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10)
print(pa.default_memory_pool().max_memory() >> 20)
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_parquet_file_takes_little_memory(tmp_path, kind):
    write, expected = BOMBS[kind]
    write(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 500_000
    command = [sys.executable, "-c", READ, str(tmp_path / "x.parquet")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    said, grown, asked = shown.splitlines()
    assert expected in said
    assert int(grown) < 200  # MiB
    assert int(asked) < 200


NUMBER = rb"\x15([\x80-\xff]*[\x00-\x7f])"  # a field of a header, in thrift's compact protocol
HEADER = re.compile(rb"PAR1\x15." + NUMBER * 2 + rb"." + NUMBER, re.DOTALL)
CLAIMS = ("unpacked", "packed", "values")  # of a page, in their order
LARGEST = b"\xfe\xff\xff\xff\x0f"  # 2^31 - 1


def claiming(path, claim, column, **options):
    """Write a file whose first page claims the largest number of bytes or values."""
    pq.write_table(pa.table({"x": column}), path, compression="gzip", **options)
    end = 4 + pq.ParquetFile(path).metadata.row_group(0).column(0).total_compressed_size
    content = path.read_bytes()
    start, stop = HEADER.match(content).span(1 + CLAIMS.index(claim))
    pages = (content[:start] + LARGEST + content[stop:])[:end]  # nothing behind them is moved
    path.write_bytes(pages + content[end:])


def test_a_page_takes_no_more_memory_than_its_file_whatever_it_claims(tmp_path):
    columns = {"float": np.arange(3000) / 2, "text": list("ab" * 1500)}
    for (kind, column), claim, plain in product(columns.items(), CLAIMS, (False, True)):
        path = tmp_path / f"{kind}_{claim}_{plain}.parquet"
        claiming(path, claim, column, use_dictionary=not plain)
    command = [sys.executable, "-c", READ, *map(str, tmp_path.iterdir())]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *said, grown, _ = shown.splitlines()
    assert len(said) == 12
    assert all("is not readable as Parquet" in line for line in said)
    assert int(grown) < 200  # MiB
