"""A private folder: what others could have written is not read, whatever happens to its name."""

import os
import stat
from pathlib import Path

import pytest

from onepass.runtime import cache, folder
from onepass.runtime.folder import NotPrivateError, PrivateFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")

STRANGER = 12345


@pytest.fixture
def private(tmp_path):
    return PrivateFolder(tmp_path / "private")


def own_by(path, owner, monkeypatch):
    """Let a file belong to somebody else: in fact, where we may, or as far as anybody can see."""
    if os.getuid() == 0:
        os.chown(path, owner, -1, follow_symlinks=False)
        return
    of = path.lstat().st_ino
    real = os.fstat

    def fstat(descriptor):
        status = real(descriptor)
        if status.st_ino != of:
            return status
        return os.stat_result([*status[:4], owner, *status[5:10]])

    monkeypatch.setattr(folder.os, "fstat", fstat)


def test_what_is_written_is_read(private):
    private.write("a", b"one")
    private.write("a", b"two")
    assert private.read("a") == b"two"
    assert [path.name for path in private.path.iterdir()] == ["a"]
    assert stat.S_IMODE((private.path / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE(private.path.stat().st_mode) == 0o700


def test_a_relative_name_stays_the_folder_that_it_was(tmp_path, monkeypatch):
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    private = PrivateFolder(Path("kernels"))
    private.write("a", b"mine")
    monkeypatch.chdir(tmp_path / "theirs")
    PrivateFolder(Path("kernels")).write("a", b"theirs")
    assert private.read("a") == b"mine"
    private.write("b", b"mine")
    assert (tmp_path / "mine" / "kernels" / "b").exists()


def test_a_link_that_is_pointed_elsewhere_changes_nothing(tmp_path):
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "a").write_text(name)
    link = tmp_path / "link"
    link.symlink_to("mine")
    private = PrivateFolder(link)
    link.unlink()
    link.symlink_to("theirs")
    assert private.read("a") == b"mine"


def test_a_folder_that_is_replaced_changes_nothing(tmp_path):
    private = PrivateFolder(tmp_path / "folder")
    private.write("a", b"mine")
    (tmp_path / "folder").rename(tmp_path / "moved")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"theirs")
    assert private.read("a") == b"mine"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_later_is_refused(private, mode):
    private.write("a", b"mine")
    private.path.chmod(mode)
    with pytest.raises(NotPrivateError, match="can be written by others than you"):
        private.read("a")
    with pytest.raises(NotPrivateError, match="can be written by others than you"):
        private.write("a", b"mine")


def test_a_folder_of_somebody_else_is_refused(private, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)
    with pytest.raises(NotPrivateError):
        private.read("a")
    with pytest.raises(NotPrivateError):
        PrivateFolder(private.path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(private, mode):
    private.write("a", b"theirs")
    (private.path / "a").chmod(mode)
    with pytest.raises(OSError, match="no regular file of the user's own"):
        private.read("a")


def test_a_file_of_somebody_else_is_refused(private, monkeypatch):
    private.write("a", b"theirs")
    own_by(private.path / "a", STRANGER, monkeypatch)
    with pytest.raises(OSError, match="no regular file of the user's own"):
        private.read("a")


def link_to_a_file(path):
    path.with_name("other").write_bytes(b"theirs")
    path.symlink_to("other")


KINDS = {
    "a FIFO": lambda path: os.mkfifo(path, 0o600),
    "a link to a file": link_to_a_file,
    "a link to a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a folder": lambda path: path.mkdir(mode=0o700),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_is_no_regular_file_is_not_read(private, make):
    make(private.path / "a")
    with pytest.raises(OSError, match=r"no regular file|symbolic links|directory"):
        private.read("a")


@pytest.mark.parametrize("make", [KINDS["a link to a file"], KINDS["a FIFO"]])
def test_what_stands_in_the_way_is_replaced(private, make):
    make(private.path / "a")
    private.write("a", b"mine")
    assert private.read("a") == b"mine"
    other = private.path / "other"
    assert not other.exists() or other.read_bytes() == b"theirs"


def test_a_file_that_is_too_large_is_not_read(private, monkeypatch):
    monkeypatch.setattr(folder, "_LARGEST", 10)
    private.write("a", bytes(11))
    with pytest.raises(OSError, match="too large"):
        private.read("a")


def test_a_write_that_fails_leaves_the_old_content(private, monkeypatch):
    private.write("a", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private.write("a", b"new")
    monkeypatch.undo()
    assert private.read("a") == b"old"
    assert [path.name for path in private.path.iterdir()] == ["a"]


# Faults: every call of the system that a load or a store makes fails once


class Faulty:
    """The module os, whose n-th call of the system fails."""

    NAMES = ("open", "stat", "fstat", "fdopen", "fsync", "replace", "unlink", "mkdir")

    def __init__(self, at, number):
        self.left, self.number, self.failed = at, number, None

    def __getattr__(self, name):
        attribute = getattr(os, name)
        if name not in self.NAMES:
            return attribute

        def call(*arguments, **named):
            self.left -= 1
            if self.left == -1:
                self.failed = name
                raise OSError(self.number, os.strerror(self.number))
            return attribute(*arguments, **named)

        return call


@pytest.mark.parametrize("number", [5, 13, 24, 28, 116])  # EIO, EACCES, EMFILE, ENOSPC, ESTALE
@pytest.mark.parametrize("at", range(14))
def test_any_call_that_fails_costs_a_compilation_at_most(tmp_path, monkeypatch, at, number):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    faulty = Faulty(at, number)
    monkeypatch.setattr(folder, "os", faulty)
    cache._opened.forget()
    said = []
    monkeypatch.setattr(cache, "_say", said.append)
    cache.save("a", b"content")
    assert cache.load("a") in (b"content", None)
    monkeypatch.setattr(folder, "os", os)
    assert len(said) <= 2
    cache._opened.forget()
    assert cache.load("a") in (b"content", None)
    assert cache.save("a", b"again")
    assert cache.load("a") == b"again"
    names = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert names == {"a"} or faulty.failed == "unlink"
    cache._opened.forget()
