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
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

from onepass.errors import EngineError, EngineWarning, warn
from onepass.runtime import cache as disk
from onepass.runtime import memory, threads

_SOURCE = Path(__file__).with_name("native.cpp")
_FLAGS = ("-O2", "-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden")
_LIBRARIES = ("-ltorch_python", "-ltorch_cpu", "-lc10")
_NAME = "onepass_native"


def calls() -> Any | None:
    """A new memory of calls, if native.cpp is built."""
    module = _loaded()
    return None if module is None else module.Calls()


def build() -> Path:
    """Compile native.cpp for this torch and this Python, if that was not done; where it is now.

    Raises: EngineError if there is no compiler, no folder for it, or if it cannot be compiled.
    """
    path = _built()
    if path is None:
        raise EngineError("native.cpp: there is no folder to keep it in; set ONEPASS_CACHE_DIR.")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EngineError("native.cpp: it needs a Python with a global interpreter lock.")
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            _compile(made)
            os.replace(made, path)
    _loaded.cache_clear()
    return path


def _compile(path: Path) -> None:
    home = Path(torch.__file__).parent
    include = (
        home / "include",
        home / "include" / "torch" / "csrc" / "api" / "include",
        sysconfig.get_paths()["include"],
    )
    command = [*_compiler(), *_FLAGS, str(_SOURCE), "-o", str(path)]
    command += [f"-I{folder}" for folder in include]
    command += [f"-L{home / 'lib'}", *_LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
        raise EngineError(f"native.cpp: {command[0]} cannot compile it: {said[0].strip()}")


def _compiler() -> list[str]:
    """CXX, or the system's."""
    if chosen := os.environ.get("CXX"):
        return shlex.split(chosen)
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    raise EngineError("native.cpp: there is no C++ compiler; install g++ or clang++, or set CXX.")


def _built() -> Path | None:
    """Where it is, or would be, for this torch and this Python."""
    folder = disk.folder()
    if folder is None:
        return None
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    torchs = torch.__version__, str(torch.version.git_version)
    key = disk.key(_SOURCE.read_text(), sys.version, suffix, *torchs, *_FLAGS)
    return folder / f"{_NAME}_{key}{suffix}"


@cache
def _loaded() -> Any | None:
    path = _built()
    if path is None or not path.exists():
        return None
    spec = spec_from_file_location(_NAME, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        why = f"{path} cannot be loaded ({error}); delete it, and run `onepass build`"
        warn(f"{why}. Small calls take longer.", EngineWarning)
        return None
    _share_threads(module)
    module.use_memory(memory.like, memory.SMALLEST)
    return module


def _share_threads(module: Any) -> None:
    """Kernels run on torch's threads there, too, but for those of a forked child."""
    module.use_threads(threads.address())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: module.use_threads(0))
