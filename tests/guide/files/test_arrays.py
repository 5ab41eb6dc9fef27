"""NPY, NPZ and safetensors: arrays of any kind, and files that mean harm."""

import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from onepass.errors import FileError
from onepass.guide import files
from onepass.guide.files import Stack, arrays, blocks, open_file
from tests.guide.files.reading import ROWS, assert_refused, column, header, tensor


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
