"""What is compiled and kept: build and cache."""

import json

import pytest

import onepass
from onepass.errors import EngineError
from onepass.runtime.cpu import disk, native
from tests.cli.commands import assert_refused, printed


def test_build_says_where_the_compiled_part_is_and_why_there_is_none(tmp_path, monkeypatch):
    path = tmp_path / "made.so"
    monkeypatch.setattr(native, "build", lambda: path)
    assert printed("build").strip() == f"built: {path}"

    def failing():
        raise EngineError("native.cpp: there is no C++ compiler")

    monkeypatch.setattr(native, "build", failing)
    assert_refused("build", says="native.cpp: there is no C++ compiler", code=1)


def test_the_cache_can_be_seen_and_emptied(tmp_path, monkeypatch):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "kernels").mkdir(mode=0o700)
    (tmp_path / "kernels" / "notes").touch()
    disk.save(f"{1:032x}.o", bytes(200_000))
    assert printed("cache").strip() == f"{tmp_path / 'kernels'}: 1 files, 0.2 MB"
    shown = json.loads(printed("cache", "--json"))
    assert shown == {"folder": str(tmp_path / "kernels"), "files": 1, "bytes": 200_032}
    assert printed("cache", "--clear").strip().endswith("0 files, 0.0 MB")
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["notes"]


def test_without_a_folder_the_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    with pytest.warns(onepass.EngineWarning):
        assert_refused("cache", says="set ONEPASS_CACHE_DIR to one of your own", code=1)
