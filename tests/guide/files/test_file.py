"""Files that are none, not of their kind, cut short, or that nothing here reads."""

import errno
import os
import sys
from itertools import permutations

import numpy as np
import pytest

from onepass.errors import FileError
from onepass.guide.files import open_file
from tests.guide.files.reading import ROWS, assert_refused, tensor

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
