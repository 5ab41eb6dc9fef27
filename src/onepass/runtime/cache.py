"""Generated text and the object code made of it, on disk, private to the user.

Object code is loaded into the process, so the folder must belong to the user and be writable by
nobody else, and every file carries a digest of itself. A folder that cannot be used costs a
compilation per process, nothing more; it is said once.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from onepass.errors import EngineWarning, warn

_DIGEST_SIZE = hashlib.sha256().digest_size


def key(*parts: str) -> str:
    """A name for what is made from these texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def load(name: str) -> bytes | None:
    """What `save` stored under the name; None if nothing did, or if it is damaged."""
    path = folder()
    if path is None:
        return None
    try:
        content = (path / name).read_bytes()
    except OSError:
        return None
    digest, data = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    return data if hashlib.sha256(data).digest() == digest else None


def save(name: str, data: bytes) -> None:
    """Store the bytes under the name, whole or not at all."""
    _write(name, hashlib.sha256(data).digest() + data)


def save_text(name: str, text: str) -> Path | None:
    """Store a text as a real file, for tracebacks and readers; its path."""
    return _write(name, text.encode())


def _write(name: str, data: bytes) -> Path | None:
    path = folder()
    if path is None:
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=path, delete=False) as file:
            try:
                file.write(data)
                os.replace(file.name, path / name)
            except OSError:
                os.unlink(file.name)
                raise
    except OSError as error:
        _say(f"{path} cannot be written ({error.strerror})")
        return None
    return path / name


def folder() -> Path | None:
    """ONEPASS_CACHE_DIR, or the user's cache folder; None if neither is ours alone."""
    chosen = os.environ.get("ONEPASS_CACHE_DIR")
    return _made(Path(chosen) if chosen else user_cache_path("onepass"))


@cache
def _made(path: Path) -> Path | None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        _say(f"{path} cannot be made ({error.strerror})")
        return None
    if hasattr(os, "getuid") and (
        status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        _say(f"{path} can be written by others than you")
        return None
    return path


@cache
def _say(why: str) -> None:
    warn(
        f"onepass keeps no compiled kernels, so each process compiles its own: {why}. "
        "Set ONEPASS_CACHE_DIR to a folder of your own.",
        EngineWarning,
    )
