"""Parquet: columns of any kind and encoding, and rows that are missing."""

from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onepass.errors import FileError
from onepass.guide.files import blocks, read
from tests.guide.files.reading import ROWS, assert_refused, column, tensor


@pytest.mark.parametrize("make", [
    lambda rows: pa.array(rows.tolist()),
    lambda rows: pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1]),
], ids=["list", "fixed size"])  # fmt: skip
def test_parquet_lists_are_rows_of_an_array(tmp_path, make):
    rows = np.random.default_rng(0).normal(size=(ROWS, 4))
    pq.write_table(pa.table({"x": make(rows)}), tmp_path / "x.parquet", row_group_size=13)
    np.testing.assert_array_equal(tensor(tmp_path / "x.parquet").numpy(), rows)


def test_parquet_lists_of_different_lengths(tmp_path):
    pq.write_table(pa.table({"x": [[1.0], [1.0, 2.0]]}), tmp_path / "x.parquet")
    assert_refused(tmp_path / "x.parquet", "lists are of different lengths")


KINDS = {  # of a Parquet column: what is read, or what is said
    "numbers": (pa.array([1, None, 3]), [1, np.nan, 3]),
    "truths": (pa.array([True, False, True]), [1, 0, 1]),
    "decimals": (pa.array([1, 2, 3]).cast(pa.decimal128(30, 2)), [1, 2, 3]),
    "large": (pa.array([2**63 + 2**20] * 3, pa.uint64()), [2.0**63 + 2**20] * 3),
    "truths, one missing": (pa.array([True, None, False]), "'None'; write the missing ones as"),
    "names": (pa.array(["b", None, "a"]), "write --classes a,b"),
    "categories": (pa.array(["b", "a", "b"]).dictionary_encode(), "write --classes a,b"),
    "dates": (pa.array([date(2024, 1, 31)] * 3), "it holds dates; write the time since"),
    "times": (pa.array([datetime(2024, 1, 31)] * 3), "it holds dates; write the time since"),
    "durations": (pa.array([timedelta(1)] * 3), "it holds durations"),
    "bytes": (pa.array([b"a"] * 3), "not numeric"),
    "structs": (pa.array([{"a": 1}] * 3), "not numeric"),
    "nothing": (pa.nulls(3), "not numeric: it holds 'None'"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_parquet_columns(tmp_path, kind):
    array, expected = KINDS[kind]
    pq.write_table(pa.table({"x": array}), tmp_path / "x.parquet")
    if isinstance(expected, str):
        assert_refused(tmp_path / "x.parquet", expected)
    else:
        np.testing.assert_array_equal(tensor(tmp_path / "x.parquet"), expected)


def test_rows_that_no_page_holds_are_missed(tmp_path):
    path = tmp_path / "x.parquet"
    options = {"row_group_size": 100, "use_dictionary": False, "compression": None}
    pq.write_table(pa.table({"x": np.ones(300)}), path, **options)
    content = path.read_bytes()
    path.write_bytes(content[:5] + b"\x0a" + content[6:])  # a kind of page that there is not yet
    with pytest.raises(FileError, match="100 of its 300 rows are missing"):
        tensor(path)
    wanted = column(path)
    assert len(read([wanted], 100)[wanted]) == 100


@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "PLAIN", None])
def test_text_of_any_encoding_with_some_missing(tmp_path, encoding):
    texts = ["b", None, "a", "ü", "", "b"] * 20
    options = {"use_dictionary": False, "column_encoding": {"x": encoding}} if encoding else {}
    table = pa.table({"x": texts, "x.y": ["c"] * 120})
    if encoding:
        table = table.select(["x"])
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=50, **options)
    for name in table.column_names:
        wanted = column(tmp_path / "x.parquet", name)
        found = [part for block in blocks([wanted], 7) for part in block[wanted].tolist()]
        assert found == table[name].to_pylist()
