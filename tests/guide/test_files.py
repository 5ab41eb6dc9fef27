from __future__ import annotations

import errno
import io
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from datetime import date, datetime, timedelta
from itertools import permutations, product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from onepass.errors import FileError
from onepass.guide import files
from onepass.guide.files import Column, Stack, arrays, blocks, open_file, read, tables

ROWS = 100


@pytest.fixture
def score():
    return np.random.default_rng(0).normal(size=ROWS)


@pytest.fixture
def write(tmp_path, score):
    """Writes the same two columns in any kind of file that has names for them."""

    def write(suffix):
        path = tmp_path / f"data{suffix}"
        columns = {"score": score, "label": np.arange(ROWS) % 3}
        save_columns(path, columns)
        return path

    return write


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


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npz", ".safetensors"])
@pytest.mark.parametrize("rows", [1, 7, 30, 100, 1000])
def test_blocks_are_of_the_size_asked_for_and_hold_everything(write, score, suffix, rows):
    file = open_file(write(suffix))
    wanted = [Column(file, "label"), Column(file, "score")]
    found = list(files.blocks(wanted, rows))
    assert [len(block[wanted[0]]) for block in found[:-1]] == [rows] * (len(found) - 1)
    labels, scores = (np.concatenate([np.asarray(block[c]) for block in found]) for c in wanted)
    np.testing.assert_array_equal(scores, score)
    np.testing.assert_array_equal(labels, np.arange(ROWS) % 3)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save,suffix", [(np.save, ".npy"), (np.savez, ".npz")])
@pytest.mark.parametrize("dtype", [">f4", "f2", "u2", "i1", "?", "longdouble"])
def test_arrays_of_any_order_and_number(tmp_path, order, save, suffix, dtype):
    values = np.asarray(np.random.default_rng(0).integers(0, 2, (ROWS, 3, 2)), dtype, order=order)
    path = tmp_path / f"array{suffix}"
    save(path, values)
    wanted = column(path)
    parts = [Stack((wanted,)).tensor(block) for block in files.blocks([wanted], 7)]
    assert len(parts) == -(-ROWS // 7)
    np.testing.assert_array_equal(torch.cat(parts).numpy(), values.astype("f8"))


def test_half_types_are_widened(tmp_path):
    save_file({"x": torch.tensor([1.5, 2.0]).bfloat16()}, tmp_path / "x.safetensors")
    np.save(tmp_path / "x.npy", np.array([1.5, 2.0], "f2"))
    for name in ("x.safetensors", "x.npy"):
        found = tensor(tmp_path / name)
        assert found.dtype is torch.float32
        assert found.tolist() == [1.5, 2.0]


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


def test_columns_side_by_side(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(2), b=np.ones((2, 2)), c=np.zeros((2, 2, 2)))
    file = open_file(tmp_path / "x.npz")
    a, b, c = (Column(file, name) for name in "abc")
    assert Stack((a, b)).tensor(read([a, b], 9)).tolist() == [[0, 1, 1], [0, 1, 1]]
    with pytest.raises(FileError, match="cannot stand side by side"):
        Stack((b, c)).tensor(read([b, c], 9))


def test_a_pattern_names_columns_in_the_files_order(tmp_path):
    pd.DataFrame({"p_2": [1.0], "y": [0.0], "p_10": [2.0]}).to_csv(tmp_path / "p.csv", index=False)
    assert [c.name for c in open_file(tmp_path / "p.csv").columns("p_*")] == ["p_2", "p_10"]


def test_a_missing_column_lists_those_there_are(write):
    with pytest.raises(FileError, match=r"no column 'scores'.*'score', 'label'.*mean 'score'\?"):
        open_file(write(".csv")).columns("scores")


@pytest.mark.parametrize("content", ["1,2\n3,4\n", "0.5\n1\n", "1.5;-2\n0;1\n", "1\n2\n"])
def test_a_table_without_names_says_so(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(FileError, match="first line must name the columns, and holds"):
        open_file(tmp_path / "x.csv").columns("*")


def test_columns_may_be_named_by_their_places(tmp_path):
    pd.DataFrame(np.eye(3)).to_csv(tmp_path / "x.csv", index=False)
    assert tensor(tmp_path / "x.csv", "1").tolist() == [0, 1, 0]


def test_a_file_of_several_columns_needs_one_named(write):
    with pytest.raises(FileError, match=r"columns 'score', 'label': name one, .*:COLUMN"):
        open_file(write(".npz")).only_column()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_of_csv(tmp_path, separator):
    (tmp_path / "x.csv").write_text(f"x{separator}y\n1{separator}2.5\n")
    assert tensor(tmp_path / "x.csv", "y").tolist() == [2.5]


@pytest.mark.parametrize("content,numbers", [
    ("city;x;y\nOslo;1,5;2\nRoma;-2,25;1e3\n", [1.5, -2.25]),
    ("x;y\r\n1,5;2\r\n2,5;3\r\n", [1.5, 2.5]),
    ("x\ty\n1,5\ta\n2\tb\n", [1.5, 2]),
    ('x;y\n"1,5";a\n 2,5 ;b\n', [1.5, 2.5]),
    ("x;when\n1,5;31.01.2024\n2,5;01.02.2024\n", [1.5, 2.5]),  # a point that is no decimal one
    ("x;y\n1.5;1\n2.5;2\n", [1.5, 2.5]),
    ('"x","y"\n"1.5","2"\n"3","4"\n', [1.5, 3]),
    (" x , y \n 1.5 , 2\n3,4 \n", [1.5, 3]),
    ("\ufeffx,y\n1,2\n3,4\n", [1, 3]),
    ("\nx,y\n1,2\n", [1]),
    ("x\n1\n2", [1, 2]),
], ids=["semicolons", "line ends", "tabs", "quoted commas", "dates beside", "points", "quoted",
        "spaces", "byte order mark", "blank line", "no last line end"])  # fmt: skip
def test_csv_as_it_is_written_all_over_the_world(tmp_path, content, numbers):
    (tmp_path / "x.csv").write_bytes(content.encode())
    assert tensor(tmp_path / "x.csv", "x").tolist() == numbers


@pytest.mark.parametrize("content,part", [
    ("x;y\n1.234,5;2,5\n2.000,1;3,5\n", "'1.234,5'; write numbers without separators of thousands"),
    ('x,y\n"1,234.5",2\n', "'1,234.5'; write numbers without separators of thousands"),
    ("x,y\n1 250,2\n", "'1 250'; write numbers without separators of thousands"),
    ('x,y\n"1,5",2\n', "'1,5'; write decimals with a point"),
    ("x;y\n1,5;2.5\n", "'1,5'; write decimals with a point"),  # which of the two is meant?
    ("x,y\n2024-01-31,1\n", "'2024-01-31'; write the time since a fixed day as a number"),
    ("x,y\n31.1.2024,1\n", "'31.1.2024'; write the time since a fixed day"),
    ("x,y\n5%,1\n", "'5%'; write numbers without a unit"),
    ("x,y\n€5.20,1\n", "'€5.20'; write numbers without a unit"),
])  # fmt: skip
def test_numbers_that_are_none_say_what_to_write(tmp_path, content, part):
    (tmp_path / "x.csv").write_text(content)
    assert_refused(tmp_path / "x.csv", "not numeric: it holds", part, name="x")


def test_a_missing_field_is_nan(tmp_path):
    (tmp_path / "x.csv").write_text("x,y\n1,\n,2\n3\n")
    for name, expected in {"x": [1, np.nan, 3], "y": [np.nan, 2, np.nan]}.items():
        np.testing.assert_array_equal(tensor(tmp_path / "x.csv", name), expected)


def test_csv_keeps_no_more_than_the_columns_asked_for(tmp_path):
    pd.DataFrame(np.zeros((10, 4)), columns=list("abcd")).to_csv(tmp_path / "x.csv", index=False)
    wanted = column(tmp_path / "x.csv", "b")
    array = read([wanted], 10)[wanted]
    while array.base is not None:
        array = array.base
    assert array.nbytes == 80


def test_csv_numbers_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-150, 150, 0.3)
    pd.DataFrame({"x": values}).to_csv(tmp_path / "x.csv", index=False)
    np.testing.assert_array_equal(tensor(tmp_path / "x.csv").numpy(), values)


NINES, THIRD = "9" * 5000, "0." + "3" * 5000


@pytest.mark.parametrize("cells", [
    [NINES, f"-{NINES}", "1"],
    ["1" * 400, "", "2"],
    ["1" * 300, "-" + "2" * 21, "3"],
    [THIRD, f"+{THIRD}", "-1e-5000"],
    [NINES, "1.5", "1e400", "-inf", "", " 7 "],
    ["9" * 20, "-1", "nan"],
], ids=["whole", "past float64", "past int64", "fractions", "mixed", "past uint64"])  # fmt: skip
def test_numbers_of_any_length_are_what_float_makes_of_them(tmp_path, cells):
    lines = "".join(f"{cell},0\n" for cell in cells)
    (tmp_path / "x.csv").write_text(f"x,y\n{lines}")
    expected = [float(cell or "nan") for cell in cells]
    if pd.__version__ < "3.1" and any(310 < len(cell) <= 4300 for cell in cells):
        pytest.skip("this pandas raises an OverflowError for integers past float64")
    np.testing.assert_array_equal(tensor(tmp_path / "x.csv", "x"), expected)
    wanted = column(tmp_path / "x.csv", "x")
    found = files.numbers_or_names(wanted, read([wanted], 9)[wanted])
    np.testing.assert_array_equal(found, expected)
    parts = [Stack((wanted,)).tensor(block) for block in blocks([wanted], 1)]
    np.testing.assert_array_equal(torch.cat([part.double() for part in parts]), expected)


@pytest.mark.parametrize("cells", [["1_000", "2"], ["１２", "3"], [NINES, "Oslo"], [NINES, "1_0"]])
def test_what_only_python_calls_a_number_is_none(tmp_path, cells):
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(cells))
    assert_refused(tmp_path / "x.csv", "not numeric")


def test_what_is_missing_beside_a_long_number_is_missing(tmp_path):
    (tmp_path / "x.csv").write_text(f"x;y\n1,5;{NINES}\n2,5;\nNA;Oslo\n{NINES};NA\n")
    x, y = (column(tmp_path / "x.csv", name) for name in "xy")
    found = read([x, y], 9)
    np.testing.assert_array_equal(found[x], [1.5, 2.5, np.nan, np.inf])
    assert files.labels(y, found[y]) == [NINES, None, "Oslo", None]


def test_groups_named_by_long_numbers_stay_apart(tmp_path):
    (tmp_path / "x.csv").write_text(f"x\n{10**30}\n{10**30 + 1}\n")
    wanted = column(tmp_path / "x.csv")
    assert files.labels(wanted, read([wanted], 9)[wanted]) == [10**30, 10**30 + 1]


def test_text_is_refused_with_its_classes(tmp_path):
    (tmp_path / "x.csv").write_text("y\nno\nyes\nno\n")
    assert_refused(tmp_path / "x.csv", "not numeric", "'no'", "classes 0 to 1", "--classes no,yes")
    assert tensor(tmp_path / "x.csv", classes=("yes", "no")).tolist() == [1, 0, 1]


def test_text_among_numbers_is_shown(tmp_path):
    (tmp_path / "x.csv").write_text("y\n" + "".join(f"{k}\n" for k in range(20)) + "1 250\n")
    assert_refused(tmp_path / "x.csv", "it holds '1 250'")


def test_a_class_that_is_none(tmp_path):
    (tmp_path / "x.csv").write_text("y\n1\n2\n3\n")
    assert tensor(tmp_path / "x.csv", classes=("3", "2", "1")).tolist() == [2, 1, 0]
    with pytest.raises(FileError, match="holds '3', but --classes lists only '1', '2'"):
        tensor(tmp_path / "x.csv", classes=("1", "2"))


@pytest.mark.parametrize("content,part", [
    (b"", "is empty"),
    (b"x,y\n", "holds no rows"),
    (b"x\nnan\nnan\n", "holds no rows, or nothing but nan"),
    (bytes(range(256)) * 4, "it is not UTF-8 text"),
    ("x,y\n1,2\n".encode("utf-16"), "it is not UTF-8 text"),
    ("é,y\n1,2\n".encode("latin-1"), "it is not UTF-8 text"),
    (b"\xff\xfe\xfd\n1\n", "it is not UTF-8 text"),
    (b"x" * (tables.HEAD + 1), "does not end"),
    (b"x,y\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
    (b"x,y\n1,2,3\n1,2,3\n", "more fields than its first line"),
])  # fmt: skip
def test_csv_that_is_none(tmp_path, content, part):
    (tmp_path / "x.csv").write_bytes(content)
    assert_refused(tmp_path / "x.csv", part)


def test_columns_of_different_lengths(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(10))
    np.save(tmp_path / "b.npy", np.zeros(12))
    pd.DataFrame({"c": np.zeros(11)}).to_csv(tmp_path / "c.csv", index=False)
    a, b, c = (column(tmp_path / name) for name in ("a.npy", "b.npy", "c.csv"))
    with pytest.raises(FileError, match=r"differ in length: .*a\.npy 10, .*b\.npy 12"):
        list(files.blocks([a, b], 5))
    for rows in (5, 10, 11, 100):  # a table's length is known when it ends
        with pytest.raises(FileError, match="differ in length"):
            list(files.blocks([a, c], rows))


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


def test_large_numbers_without_a_sign_get_none(tmp_path):
    np.save(tmp_path / "x.npy", np.array([2**63 + 2**20, 1], "u8"))
    assert tensor(tmp_path / "x.npy").tolist() == [2.0**63 + 2**20, 1.0]


@pytest.mark.parametrize("array,part", [
    (np.float64(3), "'z' holds a single number"),
    (np.ones((0, 3)), "'z' holds nothing, its shape is (0, 3)"),
    (np.array([b"a", b"b"]), "not numeric"),
    (np.array([1, 2], "m8[s]"), "it holds durations"),
    (np.array(["2024-01-31"], "M8[D]"), "it holds dates"),
])  # fmt: skip
def test_an_array_of_several_is_named(tmp_path, array, part):
    np.savez(tmp_path / "x.npz", y=np.ones(2), z=array)
    assert_refused(tmp_path / "x.npz", part, name="z")


def test_text_is_names_or_numbers_but_not_both(tmp_path):
    cells = {
        "names": ["a", "b"],
        "numbers": ["1", "2"],
        "logical_and": ["1", "b"],
        "money": ["$5", "x"],
    }
    pq.write_table(pa.table(cells), tmp_path / "x.parquet")  # which keeps "1" as text
    for name in ("names", "numbers"):
        wanted = column(tmp_path / "x.parquet", name)
        found = files.numbers_or_names(wanted, read([wanted], 2)[wanted])
        assert found.tolist() == cells[name]
    for name in ("logical_and", "money"):
        wanted = column(tmp_path / "x.parquet", name)
        with pytest.raises(FileError, match="is neither numbers nor names"):
            files.numbers_or_names(wanted, read([wanted], 2)[wanted])


def test_rows_within_a_size(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros((50, 3)), b=np.zeros(50, "f4"))
    wanted = [Column(open_file(tmp_path / "x.npz"), name) for name in "ab"]
    assert files.rows_within(wanted, 28 * 7 + 5) == 7
    assert files.rows_within(wanted, 3) == 1


def test_groups_are_named_by_values(tmp_path):
    (tmp_path / "x.csv").write_text("city,block\nOslo,1\n,2\nRome,\n")
    city, block = (column(tmp_path / "x.csv", name) for name in ("city", "block"))
    found = read([city, block], 9)
    assert files.labels(city, found[city]) == ["Oslo", None, "Rome"]
    assert files.labels(block, found[block]) == [1, 2, None]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".safetensors"])
def test_a_file_is_opened_as_often_for_many_columns_as_for_two(tmp_path, monkeypatch, suffix):
    opened = []
    for opener in ("zipfile.ZipFile", "pandas.read_csv", "pyarrow.parquet.ParquetFile",
                   "safetensors.safe_open"):  # fmt: skip
        monkeypatch.setattr(opener, counting(opener, opened))
    counts = []
    for width in (2, 300):
        columns = {f"c{place}": np.arange(5.0) for place in range(width)}
        path = tmp_path / f"{width}{suffix}"
        save_columns(path, columns)
        opened.clear()
        wanted = open_file(path).columns("c*")
        (block,) = blocks(wanted, files.rows_within(wanted, 1 << 20))
        np.testing.assert_array_equal(Stack(tuple(wanted)).tensor(block)[:, -1], np.arange(5))
        counts.append(len(opened))
    assert counts[0] == counts[1] > 0


def counting(path, calls):
    """What the path names, which adds to `calls` whenever it is called."""
    found = pkgutil.resolve_name(path)

    def counted(*arguments, **options):
        calls.append(path)
        return found(*arguments, **options)

    return counted


# --- files that mean harm ----------------------------------------------------------------------


def header(shape, descr="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize("content,part", [
    (b"\x93NUMPY", "not readable as NPY"),
    (b"PK\x03\x04" * 20, "not readable as NPY"),
    (header((1 << 60,)), "promises"),
    (header((1 << 40, 1 << 40)), "promises"),
    (header((1 << 60, 0)), "holds nothing"),
    (header((-1, -8)) + bytes(64), "holds nothing"),
    (header((4,)) + bytes(24), "promises 32 bytes and has 24"),
    (header(()) + bytes(8), "a single number"),
    (header((1,), [("x", "<f8")]) + bytes(8), "records"),
    (header((1,), "|O") + bytes(8), "pickle"),
    (header((2,), "<c16") + bytes(32), "complex"),
    (header((2,), "<M8[D]") + bytes(16), "not numeric"),
])  # fmt: skip
def test_npy_that_is_none(tmp_path, content, part):
    (tmp_path / "x.npy").write_bytes(content)
    assert_refused(tmp_path / "x.npy", part)


class Armed:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("armed",)


@pytest.mark.parametrize("save,suffix", [(np.save, ".npy"), (np.savez, ".npz")])
def test_nothing_pickled_is_loaded(tmp_path, monkeypatch, save, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"x{suffix}"
    save(path, np.array([Armed(), 1], dtype=object))
    assert_refused(path, "Python objects, which only pickle could load")
    assert not (tmp_path / "armed").exists()


@pytest.mark.parametrize("save, suffix", [(np.save, ".npy"), (np.savez, ".npz")])
def test_elements_without_bytes_are_refused(tmp_path, save, suffix):
    save(tmp_path / f"x{suffix}", np.zeros(5, np.dtype("V0")))
    assert_refused(tmp_path / f"x{suffix}", "holds elements of no bytes")


@pytest.mark.parametrize("shape", [(11, 3), (11, 3, 2), (11, 1, 4, 2)])
def test_an_array_whose_first_axis_runs_fastest_is_read_in_blocks(tmp_path, shape):
    array = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "x.npy", np.asfortranarray(array))
    column = open_file(tmp_path / "x.npy").only_column()
    parts = [block[column] for block in blocks([column], 4)]
    assert [len(part) for part in parts] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(parts), array)


def test_a_file_that_shrinks_while_it_is_read_ends_in_an_error(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.asfortranarray(np.ones((100_000, 3))))
    column = open_file(path).only_column()
    reading = blocks([column], 1000)
    next(reading)
    os.truncate(path, 4096)
    with pytest.raises(FileError, match="it ends too early"):
        list(reading)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl"])
def test_pickles_are_not_opened(tmp_path, suffix):
    torch.save(torch.zeros(2), tmp_path / f"x{suffix}")
    assert_refused(tmp_path / f"x{suffix}", "may be pickled", "save_file")


def test_an_array_that_grows_beyond_measure_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(1 << 20))
    assert len(tensor(tmp_path / "x.npz")) == 1000  # the first ones; it is not large
    monkeypatch.setattr(arrays, "LARGE", 1 << 20)
    assert_refused(tmp_path / "x.npz", "'x' would grow from", f"{(8 << 20) + 128} bytes")


def test_a_member_larger_than_it_says_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header((1 << 40,)) + bytes(100))
    assert_refused(tmp_path / "x.npz", "promises")


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


SUFFIXES = (".npy", ".parquet", ".npz", ".safetensors", ".csv")


@pytest.mark.parametrize("written,suffix", list(permutations(SUFFIXES, 2)))
def test_a_file_of_another_kind_than_its_name_says(write, tmp_path, written, suffix):
    if written == ".npy":
        np.save(tmp_path / "data.npy", np.arange(9.0))
    path = tmp_path / "data.npy" if written == ".npy" else write(written)
    assert_refused(path.rename(tmp_path / f"other{suffix}"), "is not readable as")


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".parquet", ".safetensors"])
def test_an_empty_file(tmp_path, suffix):
    (tmp_path / f"x{suffix}").touch()
    assert_refused(tmp_path / f"x{suffix}", "is empty")


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_a_file_that_may_not_be_read_says_so(write, monkeypatch, suffix):
    path = write(suffix)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    monkeypatch.setattr("zipfile.ZipFile", refuse)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    assert_refused(path, "Permission denied")
    with pytest.raises(FileError) as refused:
        tensor(path)
    assert "not readable as" not in str(refused.value)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_files_cut_short(write, suffix, share):
    path = write(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_refused(path, "is not readable as")


def outcome(path):
    """How many rows are read, or why none."""
    try:
        return len(tensor(path))
    except FileError as error:
        return str(error)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_files_with_a_wrong_byte_give_numbers_or_one_line(write, suffix):
    path = write(suffix)
    content = path.read_bytes()
    source = np.random.default_rng(0)
    for place, byte in zip(source.integers(len(content), size=60), source.bytes(60), strict=True):
        path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
        found = outcome(path)
        assert found == ROWS if isinstance(found, int) else "\n" not in found


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.npy").symlink_to("/dev/zero")
    (tmp_path / "gone.npy").symlink_to(tmp_path / "nowhere")
    (tmp_path / "x.txt").write_text("x\n1\n")
    for name, part in {
        "folder.npy": "is a directory",
        "pipe.csv": "not a regular file",
        "link.npy": "not a regular file",
        "gone.npy": "No such file",
        "x.txt": "must end in .csv",
    }.items():
        assert_refused(tmp_path / name, part)


def test_a_missing_library_says_what_to_install(write, monkeypatch):
    path = write(".parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'onepass\[guide\]'"):
        _ = open_file(path).names
