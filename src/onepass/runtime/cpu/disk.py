"""Compiled code and the text that it was made of, on disk, private to the user.

Object code is loaded into the process, so nobody else may be able to put it there. The folder is
resolved, checked and opened once; whatever its name means later, files are opened relative to that
descriptor. At every load the folder and the file must still belong to the user, writable by nobody
else, and the file must be a regular one that holds the digest of its name and its data. An entry
that fails one of these checks is compiled again and replaced. Without a usable folder each process
compiles its own kernels, and warns once. Above 256 MiB the least recently used entries are removed;
one save of 64 looks whether there is that much.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from zlib import crc32

from platformdirs import user_cache_path

from onepass.errors import EngineWarning, warn
from onepass.runtime.cpu.folder import Entry, NotPrivateError, PrivateFolder
from onepass.runtime.cpu.once import once

MOST = 256 << 20  # bytes that the folder may hold
LOOKS = 64  # saves for one that asks all entries for their size
_DIGEST_SIZE = hashlib.sha256().digest_size
_OURS = re.compile(r"\.?(onepass_native_)?[0-9a-f]{32}(\.o|\.py)?(\.[0-9a-f]{16})?")


def key(*parts: str) -> str:
    """A name for what is made from these texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def load(name: str) -> bytes | None:
    """What `save` stored under the name; None if nothing did, or if it may not be loaded."""
    private = _private()
    if private is None:
        return None
    try:
        content = private.read(name)
    except NotPrivateError as error:
        _say(str(error))
        return None
    except OSError:
        return None
    digest, data = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    return data if digest == _digest(name, data) else None


def save(name: str, data: bytes) -> Path | None:
    """Store the bytes under the name, whole or not at all; where that is."""
    return _saved(name, _digest(name, data) + data)


def save_text(name: str, text: str) -> Path | None:
    """Store a text as a real file, for tracebacks and readers; its path."""
    return _saved(name, text.encode())


def folder() -> Path | None:
    """ONEPASS_CACHE_DIR, or the user's cache folder; None if it is not the user's alone."""
    private = _private()
    return None if private is None else private.path


def content() -> list[Entry]:
    """What this library keeps in the folder; nothing, if there is none."""
    private = _private()
    if private is None:
        return []
    return [entry for entry in private.entries() if _OURS.fullmatch(entry.name)]


def clear() -> None:
    """Remove it; what is loaded goes on running."""
    _remove(content())


def _remove(entries: Iterable[Entry]) -> None:
    if private := _private():
        for entry in entries:
            private.remove(entry.name)


def _make_room() -> None:
    """Remove what was not used for the longest time, a quarter, once too much is kept."""
    entries = sorted(content(), key=lambda entry: entry.used)
    excess = sum(entry.size for entry in entries) - MOST
    if excess > 0:
        sizes = accumulate(entry.size for entry in entries)
        goal = excess + MOST // 4
        _remove(entry for entry, gone in zip(entries, sizes, strict=True) if gone <= goal)


def _digest(name: str, data: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + data).digest()


def _saved(name: str, written: bytes) -> Path | None:
    private = _private()
    if private is None:
        return None
    try:
        private.write(name, written)
    except OSError as error:
        _say(f"{private.path} cannot be written ({_reason(error)})")
        return None
    if crc32(name.encode()) % LOOKS == 0:
        with suppress(OSError):
            _make_room()
    return private.path / name


def _private() -> PrivateFolder | None:
    return _opened(os.environ.get("ONEPASS_CACHE_DIR", ""))


@once
def _opened(chosen: str) -> PrivateFolder | None:
    """The folder of this name, or the user's own if none was chosen."""
    try:
        return PrivateFolder(_path(chosen))
    except NotPrivateError as error:
        _say(str(error))
    except (OSError, RuntimeError) as error:  # a RecursionError if the path has too many parts
        _say(f"{chosen or '~/.cache':.100} cannot be used ({_reason(error)})")
    return None


def _path(chosen: str) -> Path:
    """Raises: RuntimeError for a user without a home."""
    return Path(chosen) if chosen else user_cache_path("onepass").expanduser()


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


@once
def _say(why: str) -> None:
    warn(
        f"onepass keeps no compiled kernels, so each process compiles its own: {why}. "
        "Set ONEPASS_CACHE_DIR to a folder of your own.",
        EngineWarning,
    )
