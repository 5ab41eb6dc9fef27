"""A private folder: what others could have written is not read, whatever happens to its name."""

import os
import stat
from pathlib import Path

import pytest

from onepass.runtime.cpu import disk, folder
from onepass.runtime.cpu.folder import NotPrivateError, PrivateFolder

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


# Faults: one call of the system, at a load or a store, does something else


class Faulty:
    """The module os, with something else in place of its n-th call of the system."""

    NAMES = ("open", "stat", "fstat", "fdopen", "fsync", "replace", "unlink", "mkdir", "utime")

    def __init__(self, at, instead):
        self.left, self.instead, self.reached = at, instead, None
        self.supports_fd = os.supports_fd

    def __getattr__(self, name):
        attribute = getattr(os, name)
        if name not in self.NAMES:
            return attribute

        def call(*arguments, **named):
            self.left -= 1
            if self.left != -1:
                return attribute(*arguments, **named)
            self.reached = name
            return self.instead(name, lambda: attribute(*arguments, **named))

        return call


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder with one entry, and beside it what a stranger might have in its place."""
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    said = []
    monkeypatch.setattr(disk, "_say", said.append)
    disk._opened.forget()
    assert disk.save("a", b"content")
    disk._opened.forget()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_bytes(disk._digest("a", b"theirs") + b"theirs")
    (tmp_path / "theirs" / "a").chmod(0o666)
    yield tmp_path / "kernels"
    disk._opened.forget()


def assert_harmless(kept, monkeypatch, at, instead):
    """A load and a store give the right bytes, or none, and what comes later is right again."""
    faulty = Faulty(at, instead)
    monkeypatch.setattr(folder, "os", faulty)
    assert disk.load("a") in (b"content", None)
    disk.save("a", b"content")
    assert disk.load("a") in (b"content", None)
    monkeypatch.setattr(folder, "os", os)
    disk._opened.forget()
    return faulty.reached


CALLS = range(20)  # more than a load, a store and a load make


@pytest.mark.parametrize("number", [5, 13, 24, 28, 40, 116])  # EIO, EACCES, EMFILE, ENOSPC, ...
@pytest.mark.parametrize("at", CALLS)
def test_a_call_that_fails_costs_a_compilation_at_most(kept, monkeypatch, at, number):
    def fails(name, call):
        raise OSError(number, os.strerror(number))

    reached = assert_harmless(kept, monkeypatch, at, fails)
    assert disk.save("a", b"again")
    assert disk.load("a") == b"again"
    assert {path.name for path in kept.iterdir()} == {"a"} or reached == "unlink"


def another_file(kept, name, call):
    if name != "open":
        return call()
    os.close(call())
    return os.open(kept.parent / "theirs" / "a", os.O_RDONLY)


def cut_off(kept, name, call):
    result = call()
    if name == "fdopen" and result.readable():
        result.read(5)
    return result


LIES = {
    "nothing is done": lambda kept, name, call: (
        None if name in ("fsync", "replace", "unlink", "mkdir", "utime") else call()
    ),
    "another file is opened": another_file,
    "another status is told": lambda kept, name, call: (
        os.stat("/dev/null") if name in ("stat", "fstat") else call()
    ),
    "what is read is cut off": cut_off,
    "it is done twice": lambda kept, name, call: (
        (call(), call())[1] if name in ("fsync", "stat", "fstat", "utime") else call()
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("at", CALLS)
def test_a_call_that_lies_brings_nothing_strange(kept, monkeypatch, at, lie):
    assert_harmless(kept, monkeypatch, at, lambda name, call: lie(kept, name, call))
    disk.save("a", b"again")
    assert disk.load("a") == b"again"


def replaced_by(make):
    def change(kept):
        (kept / "a").unlink(missing_ok=True)
        make(kept / "a")

    return change


def another_folder(kept):
    kept.rename(kept.with_name("moved"))
    kept.symlink_to("theirs")


CHANGES = {
    "the file is cut off": lambda kept: os.truncate(kept / "a", 3),
    "the file is written anew": lambda kept: (kept / "a").write_bytes(bytes(100)),
    "another entry's bytes": lambda kept: (kept / "a").write_bytes(
        disk._digest("b", b"theirs") + b"theirs"
    ),
    "the file is gone": lambda kept: (kept / "a").unlink(),
    "others may write the file": lambda kept: (kept / "a").chmod(0o666),
    "others may write the folder": lambda kept: kept.chmod(0o777),
    "the folder is replaced": another_folder,
    **{f"the file becomes {kind}": replaced_by(make) for kind, make in KINDS.items()},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("at", CALLS)
def test_what_changes_between_two_calls_brings_nothing_strange(kept, monkeypatch, at, change):
    def changed(name, call):
        if (kept / "a").is_file():
            change(kept)
        return call()

    assert_harmless(kept, monkeypatch, at, changed)
