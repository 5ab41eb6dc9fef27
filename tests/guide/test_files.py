from __future__ import annotations

import io
import os
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from onepass.errors import FileError
from onepass.guide import files
from onepass.guide.files import Column, Stack, arrays, open_file, read, tables

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
        writers[suffix]()
        return path

    return write


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


def test_a_table_without_names_says_so(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3,4\n")
    with pytest.raises(FileError, match="first line must name the columns"):
        open_file(tmp_path / "x.csv").columns("x")


def test_a_file_of_several_columns_needs_one_named(write):
    with pytest.raises(FileError, match=r"columns 'score', 'label': name one, .*:COLUMN"):
        open_file(write(".npz")).only_column()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_of_csv(tmp_path, separator):
    (tmp_path / "x.csv").write_text(f"x{separator}y\n1{separator}2.5\n")
    assert tensor(tmp_path / "x.csv", "y").tolist() == [2.5]


def test_csv_numbers_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-150, 150, 0.3)
    pd.DataFrame({"x": values}).to_csv(tmp_path / "x.csv", index=False)
    np.testing.assert_array_equal(tensor(tmp_path / "x.csv").numpy(), values)


def test_text_is_refused_with_its_classes(tmp_path):
    (tmp_path / "x.csv").write_text("y\nno\nyes\nno\n")
    assert_refused(tmp_path / "x.csv", "not numeric", "'no'", "--classes no,yes")
    assert tensor(tmp_path / "x.csv", classes=("yes", "no")).tolist() == [1, 0, 1]


def test_text_among_numbers_is_shown(tmp_path):
    (tmp_path / "x.csv").write_text("y\n" + "".join(f"{k}\n" for k in range(20)) + "1 250\n")
    assert_refused(tmp_path / "x.csv", "it holds '1 250'")


def test_a_class_that_is_none(tmp_path):
    (tmp_path / "x.csv").write_text("y\n1\n2\n3\n")
    assert tensor(tmp_path / "x.csv", classes=("3", "2", "1")).tolist() == [2, 1, 0]
    with pytest.raises(FileError, match="holds '3', which is none of --classes '1', '2'"):
        tensor(tmp_path / "x.csv", classes=("1", "2"))


@pytest.mark.parametrize("content,part", [
    (b"", "is empty"),
    (b"x,y\n", "holds no rows"),
    (b"x\nnan\nnan\n", "holds no rows, or nothing but nan"),
    (bytes(range(256)) * 4, "not text"),
    (b"\xff\xfe\xfd\n1\n", "can't decode"),
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


def test_groups_are_named_by_values(tmp_path):
    (tmp_path / "x.csv").write_text("city,block\nOslo,1\n,2\nRome,\n")
    city, block = (column(tmp_path / "x.csv", name) for name in ("city", "block"))
    found = read([city, block], 9)
    assert files.labels(city, found[city]) == ["Oslo", None, "Rome"]
    assert files.labels(block, found[block]) == [1, 2, None]


# --- files that mean harm ----------------------------------------------------------------------


def header(shape, descr="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize("content,part", [
    (b"\x93NUMPY", "no NPY file"),
    (b"PK\x03\x04" * 20, "no NPY file"),
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
    save(path, np.array([Armed(), 1], dtype=object), allow_pickle=True)
    assert_refused(path, "Python objects, which only pickle could load")
    assert not (tmp_path / "armed").exists()


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


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_files_cut_short(write, suffix, share):
    path = write(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_refused(path, "no ")


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
