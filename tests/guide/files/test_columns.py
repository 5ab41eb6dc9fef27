"""Columns of files are named, stand side by side, and are read in blocks."""

import pkgutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onepass.errors import FileError
from onepass.guide import files
from onepass.guide.files import Column, Stack, blocks, open_file, read
from tests.guide.files.reading import ROWS, column, save_columns


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


def test_a_file_of_several_columns_needs_one_named(write):
    with pytest.raises(FileError, match=r"columns 'score', 'label': name one, .*:COLUMN"):
        open_file(write(".npz")).only_column()


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
