"""Kernels on disk: whole, private to the user, found again by the next process."""

import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import onepass
from onepass.runtime.cpu import compiler, disk, kernels

AT_ONCE = """
import os, pathlib, time
from onepass.runtime.cpu import compiler
folder = pathlib.Path(os.environ["ONEPASS_CACHE_DIR"]).parent
compiled_alone = compiler.compiled
def compiled(*arguments):
    (folder / f"{os.getpid()}.compiles").touch()
    while len([*folder.glob("*.compiles")]) < 2:
        time.sleep(0.01)
    return compiled_alone(*arguments)
compiler.compiled = compiled
"""
CALL = """
import sys, warnings, torch, onepass, onepass.functional as F
x, y = torch.arange(5000.0) - 3, torch.ones(5000)
leaf = x.clone().requires_grad_()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    value = F.l1_loss(leaf, y)
    value.backward()
    F.soft_margin_loss(x, y)
assert value.item() == (x - y).abs().mean().item()
assert torch.equal(leaf.grad, torch.sign(x - y) / 5000)
said = [str(w.message) for w in caught if w.category is onepass.EngineWarning]
print(["onepass.runtime.cpu.compiler" in sys.modules, len(said)], *said)
"""


def process(folder, text=CALL):
    """A process of its own with this folder; whether it compiled, and what it said."""
    environment = os.environ | {"ONEPASS_CACHE_DIR": str(folder)}
    command = [sys.executable, "-W", "ignore", "-c", text]
    return subprocess.run(
        command, env=environment, capture_output=True, check=True, text=True, timeout=120
    ).stdout.strip()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of this test's own, with nothing remembered of others."""
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(tmp_path / "kernels"))
    forget()
    yield tmp_path / "kernels"
    forget()


def forget():
    disk._opened.forget()
    disk._say.forget()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder that two processes filled at once."""
    folder = tmp_path_factory.mktemp("filled") / "kernels"
    with ThreadPoolExecutor(2) as both:
        assert list(both.map(process, [folder] * 2, [AT_ONCE + CALL] * 2)) == ["[True, 0]"] * 2
    return folder


def test_two_processes_may_compile_at_once(filled):
    assert [*filled.glob("*.o")]
    assert not [path for path in filled.iterdir() if path.suffix not in (".o", ".py")]


def test_a_process_whose_kernels_are_known_imports_no_compiler(filled):
    before = {path: path.stat().st_ino for path in filled.iterdir()}
    assert process(filled) == "[False, 0]"
    assert {path: path.stat().st_ino for path in filled.iterdir()} == before


def test_a_damaged_kernel_is_compiled_again(filled):
    first, *rest = sorted(filled.glob("*.o"))
    content = first.read_bytes()
    middle = len(content) // 2
    first.write_bytes(content[:middle] + b"\0\1" + content[middle + 2 :])
    if rest:
        rest[0].write_bytes(b"")
    assert process(filled) == "[True, 0]"
    assert len(first.read_bytes()) == len(content)
    assert process(filled) == "[False, 0]"


def test_an_entry_under_the_name_of_another_is_compiled_again(filled):
    first, *others = sorted(filled.glob("*.o"))
    assert others
    for other in others:
        other.write_bytes(first.read_bytes())
    assert process(filled) == "[True, 0]"
    assert process(filled) == "[False, 0]"


GARBAGE = {
    "nothing": lambda code: b"",
    "a random text": lambda code: random.Random(0).randbytes(9000),
    "the first half": lambda code: code[: len(code) // 2],
    "the header alone": lambda code: code[:64],
    "another object": lambda code: code.replace(b"onepass_", b"another_"),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_with_a_right_digest_is_compiled_again(filled, monkeypatch, garbage):
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(filled))
    forget()
    for path in filled.glob("*.o"):
        code = disk.load(path.name)
        disk.save(path.name, garbage(code))
    forget()
    assert process(filled) == "[True, 0]"
    assert process(filled) == "[False, 0]"


def test_the_folder_is_private_and_holds_the_text_beside_the_code(filled):
    assert stat.S_IMODE(filled.stat().st_mode) == 0o700
    codes, texts = ({p.stem for p in filled.glob(f"*.{kind}")} for kind in ("o", "py"))
    assert codes == texts
    assert "# l1_loss: " in "".join(p.read_text() for p in filled.glob("*.py"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")
def test_a_folder_that_others_can_write_is_refused_with_one_warning(filled, tmp_path):
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    for path in filled.iterdir():
        (open_folder / path.name).write_bytes(path.read_bytes())
    open_folder.chmod(0o777)
    names = set(open_folder.iterdir())
    said = process(open_folder)
    assert said == (
        "[True, 1] onepass keeps no compiled kernels, so each process compiles its own: "
        f"{open_folder} can be written by others than you. "
        "Set ONEPASS_CACHE_DIR to a folder of your own."
    )
    assert set(open_folder.iterdir()) == names


def test_a_folder_that_cannot_be_made_warns_once_and_everything_works(tmp_path):
    file = tmp_path / "file"
    file.touch()
    said = process(file / "kernels")
    assert said.startswith("[True, 1] onepass keeps no compiled kernels")
    assert f"{file / 'kernels'} cannot be used (" in said


PATHS = {"many parts": "a/" * 2020, "long": ("b" * 250 + "/") * 17, "a long part": "c" * 300}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_that_the_system_does_not_take_warns_once(tmp_path, path):
    said = process(tmp_path / path)
    assert said.startswith("[True, 1] onepass keeps no compiled kernels")
    assert "cannot be used (" in said
    assert len(said) < 500


@pytest.mark.skipif(sys.platform != "linux", reason="the longest path is another elsewhere")
def test_a_path_to_which_no_name_can_be_added_serves(tmp_path):
    room = 4090 - len(str(tmp_path))
    folder = tmp_path / (("d" * 199 + "/") * (room // 200))
    folder /= "e" * (room % 200)
    assert process(folder) == "[True, 0]"
    assert process(folder) == "[False, 0]"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are homes everywhere")
def test_a_user_without_a_home_is_warned_once():
    homeless = "import os, pwd\npwd.getpwuid = {}.__getitem__\ndel os.environ['HOME']"
    said = process("", homeless + CALL)
    assert said.startswith("[True, 1] onepass keeps no compiled kernels")
    assert "~/.cache cannot be used (" in said


@pytest.fixture
def mortal(tmp_path, monkeypatch):
    """A folder of a user to whom permissions apply; this process is that user's."""
    root = hasattr(os, "setresuid") and os.getuid() == 0
    place = Path(tempfile.mkdtemp()) if root else tmp_path
    (place / "kernels").mkdir(mode=0o700)
    monkeypatch.setenv("ONEPASS_CACHE_DIR", str(place / "kernels"))
    forget()
    if root:
        for path in (place, place / "kernels"):
            os.chown(path, 1000, -1)
        os.setresuid(1000, 1000, 0)
    yield place / "kernels"
    if root:
        os.setresuid(0, 0, 0)
        shutil.rmtree(place)
    forget()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no modes here")
@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400, 0o500, 0o600])
def test_a_folder_that_may_not_be_used_warns_once(mortal, mode):
    disk.save("before.o", b"abc")
    forget()
    mortal.chmod(mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("before.o", "after.o"):
            assert disk.load(name) in (None, b"abc")
        for k in range(3):
            assert disk.save(f"{k}.o", b"abc") is None
            assert disk.save_text(f"{k}.py", "") is None
    mortal.chmod(0o700)
    (warning,) = caught
    assert str(warning.message).startswith("onepass keeps no compiled kernels")


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert process(file).startswith("[True, 1] onepass keeps no compiled kernels")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o755, 0o750, 0o700])
def test_a_folder_must_be_writable_by_its_owner_alone(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert disk.folder() == (None if mode & 0o022 else folder)
    assert len(caught) == bool(mode & 0o022)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners here")
def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with pytest.warns(onepass.EngineWarning, match="can be written by others than you"):
        assert disk.folder() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert disk.folder() is None  # said once


def test_what_is_saved_is_loaded(folder):
    assert disk.load("a.o") is None
    disk.save("a.o", b"abc")
    assert disk.load("a.o") == b"abc"
    disk.save("a.o", b"")
    assert disk.load("a.o") == b""
    path = folder / "a.o"
    path.write_bytes(path.read_bytes()[:-1])
    assert disk.load("a.o") is None
    assert disk.save_text("a.py", "x = 1\n").read_text() == "x = 1\n"
    assert {p.name for p in folder.iterdir()} == {"a.o", "a.py"}


def test_what_is_used_stays_when_room_is_made(folder, monkeypatch):
    names = [f"{k:032x}.o" for k in range(10)]
    (folder.parent / "kernels").mkdir(mode=0o700)
    (folder / "notes.txt").write_text("mine")
    for k, name in enumerate(names):
        disk.save(name, bytes(1000))
        os.utime(folder / name, (k, k))
    disk.load(names[0])
    size = sum(entry.size for entry in disk.content())
    monkeypatch.setattr(disk, "MOST", size)
    monkeypatch.setattr(disk, "LOOKS", 1)
    disk.save(f"{99:032x}.o", bytes(1000))
    kept = {entry.name for entry in disk.content()}
    assert names[0] in kept
    assert f"{99:032x}.o" in kept
    assert kept.isdisjoint(names[1:3])
    assert 6 <= len(kept) <= 9
    assert sum(entry.size for entry in disk.content()) <= size
    disk.clear()
    assert disk.content() == []
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_few_of_many_saves_read_the_folder(folder, monkeypatch):
    looks = []
    monkeypatch.setattr(disk, "_make_room", lambda: looks.append(1))
    for k in range(1000):
        disk.save_text(f"{disk.key(str(k))}.py", "")
    assert 1000 / disk.LOOKS / 2 < len(looks) < 1000 / disk.LOOKS * 2


def test_a_key_depends_on_every_part_and_where_it_ends():
    keys = {disk.key("ab", "c"), disk.key("a", "bc"), disk.key("abc"), disk.key("abc", "")}
    assert len(keys) == 4
    assert disk.key("ab", "c") == disk.key("ab", "c")


def test_the_folder_can_be_chosen(folder, monkeypatch):
    assert disk.folder() == folder
    monkeypatch.delenv("ONEPASS_CACHE_DIR")
    monkeypatch.setattr(disk, "user_cache_path", lambda name: folder / "of" / name)
    assert disk.folder() == folder / "of" / "onepass"
    assert (folder / "of" / "onepass").is_dir()


def test_a_kernel_is_made_of_its_text_and_the_toolchain(folder, monkeypatch, by_python):
    made = []

    def compiled(source, *others):
        made.append(source)
        return original(source, *others)

    original = compiler.compiled
    monkeypatch.setattr(compiler, "compiled", compiled)
    x, y = torch.randn(2, 5000)
    loss = onepass.pointwise(lambda input, target: torch.abs(input - target) * 1.25)
    twin = onepass.pointwise(lambda input, target: torch.abs(input - target) * 1.25)
    other = onepass.pointwise(lambda input, target: torch.abs(input - target) * 1.5)
    expected = (x - y).abs().mean().item() * 1.25
    for same in (loss, loss, twin):
        assert same(x, y).item() == pytest.approx(expected, rel=1e-6)
    assert len(made) == 1
    other(x, y)
    assert len(made) == 2
    loss.kernels.clear()
    monkeypatch.setattr(kernels, "_toolchain", lambda: "another processor")
    loss(x, y)
    assert len(made) == 3
