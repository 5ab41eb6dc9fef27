"""native.cpp: built once for this torch, by `onepass build`, and loaded where it was built.

It is compiled against torch's own headers and serves no other torch. Where it is missing Python
does the same, which a loss of 1000 elements waits for and one of a million does not.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import torch

from onepass.errors import EngineError, EngineWarning, warn
from onepass.runtime.cpu import disk, memory, threads
from onepass.runtime.cpu.objects import is_whole
from onepass.runtime.cpu.once import once

_SOURCE = Path(__file__).with_name("native.cpp")
_FLAGS = ("-O2", "-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden")
_LIBRARIES = ("-ltorch_python", "-ltorch_cpu", "-lc10")
_NAME = "onepass_native"


def calls(ranges: Sequence[tuple[int, float, float, bool, bool]]) -> Any | None:
    """A new cache of calls, if native.cpp is built. Of the numbers at these places all between two
    bounds, which are themselves out of the range or in it, make calls of one kind.
    """
    module = _loaded()
    return None if module is None else module.Calls(ranges)


def build() -> Path:
    """Compile native.cpp for this torch and this Python, if that was not done; where it is now.

    Raises: EngineError if there is no compiler, no folder for it, or if it cannot be compiled or
    loaded.
    """
    folder, name = disk.folder(), _entry()
    if folder is None:
        raise EngineError("native.cpp: there is no folder to keep it in; set ONEPASS_CACHE_DIR.")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EngineError("native.cpp: it needs a Python with a global interpreter lock.")
    if _loaded() is None:
        if disk.save(name, _compiled()) is None:
            raise EngineError(f"native.cpp: it cannot be kept in {folder}; set ONEPASS_CACHE_DIR.")
        _loaded.forget()
        if _loaded() is None:
            raise EngineError(f"native.cpp: {folder / name} was compiled, but cannot be loaded.")
    return folder / name


def _compiled() -> bytes:
    """The shared library."""
    home = Path(torch.__file__).parent
    include = (
        home / "include",
        home / "include" / "torch" / "csrc" / "api" / "include",
        sysconfig.get_paths()["include"],
    )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{_NAME}.so"
        command = [*_compiler(), *_FLAGS, str(_SOURCE), "-o", str(made)]
        command += [f"-I{each}" for each in include]
        command += [f"-L{home / 'lib'}", *_LIBRARIES]
        _run(command)
        return made.read_bytes()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineError(
            f"native.cpp: the compiler {command[0]!r} cannot be run: {error.strerror}. Install "
            "g++ or clang++, or set CXX to the one that you have."
        ) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line]
        said = said or [done.stderr.strip() or f"exit status {done.returncode}"]
        raise EngineError(f"native.cpp: {command[0]} cannot compile it: {said[0].strip()}")


def _compiler() -> list[str]:
    """CXX, or the system's."""
    if chosen := os.environ.get("CXX"):
        try:
            return shlex.split(chosen)
        except ValueError as error:
            raise EngineError(f"native.cpp: CXX={chosen!r} is no command: {error}.") from error
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    raise EngineError("native.cpp: there is no C++ compiler; install g++ or clang++, or set CXX.")


@once
def _entry() -> str:
    """Its name in the cache, for this torch and this Python."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    torchs = torch.__version__, str(torch.version.git_version)
    key = disk.key(_SOURCE.read_text(), sys.version, suffix, *torchs, *_FLAGS)
    return f"{_NAME}_{key}"


@once
def _loaded() -> Any | None:
    """The module, from the bytes that were checked: no file that may change, or shrink, later."""
    code = disk.load(_entry())
    if code is None:
        return None
    try:
        module = _imported(code)
    except (ImportError, OSError) as error:
        where = f"{disk.folder()}/{_entry()}"
        why = f"{where} cannot be loaded ({error}); delete it, and run `onepass build`"
        warn(f"{why}. Small calls take longer.", EngineWarning)
        return None
    _share_threads(module)
    module.use_memory(memory.like, memory.SMALLEST)
    return module


def _imported(code: bytes) -> Any:
    if not is_whole(code, f"PyInit_{_NAME}"):
        raise ImportError("it is damaged")
    with _as_file(code) as path:
        loader = ExtensionFileLoader(_NAME, path)
        spec = spec_from_loader(_NAME, loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
    return module


@contextmanager
def _as_file(code: bytes) -> Iterator[str]:
    """The name of a file of these bytes that no other process can find, for as long as needed."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create(_NAME), "wb") as file:
            file.write(code)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(dir=disk.folder()) as folder:
        path = Path(folder) / f"{_NAME}.so"
        path.write_bytes(code)
        yield str(path)


def _share_threads(module: Any) -> None:
    """Kernels run on torch's threads there, too, but for those of a forked child."""
    module.use_threads(threads.address())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: module.use_threads(0))
