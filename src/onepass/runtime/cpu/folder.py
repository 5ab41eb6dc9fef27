"""A folder that nobody but its owner can change, held open by a descriptor.

A name can come to mean another folder while a process runs: a relative one by chdir, a symbolic
link that is pointed elsewhere, a parent that others may write. A descriptor cannot, and what it
stands for is asked of it.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_LARGEST = 64 << 20  # bytes of a file
_FOLLOWS_NOTHING = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_READS = os.O_RDONLY | _FOLLOWS_NOTHING | getattr(os, "O_NONBLOCK", 0)  # a FIFO does not block
_CREATES = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FOLLOWS_NOTHING
_RELATIVE = os.open in os.supports_dir_fd  # Windows opens by names alone


class NotPrivateError(OSError):
    """Somebody else could have written this."""


class Entry(NamedTuple):
    """A file of a folder."""

    name: str
    size: int  # bytes
    used: int  # when it was read or written last, in ns


class PrivateFolder:
    """A folder of the user's own, made if there is none.

    Raises: OSError if it cannot be made or opened; NotPrivateError if others own or can write it.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = Path(os.path.realpath(path))
        self._descriptor = None
        if _RELATIVE:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _FOLLOWS_NOTHING)
        status = self._status()
        self._identity = status.st_dev, status.st_ino
        self._check()

    def read(self, name: str) -> bytes:
        """The content of a file. Raises: OSError if it is missing, no regular file, larger than
        64 MiB or not the user's alone.
        """
        self._check()
        descriptor = os.open(self._at(name), _READS, dir_fd=self._descriptor)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or _is_strange(status):
                raise OSError(f"{name} is no regular file of the user's own")
            if status.st_size > _LARGEST:
                raise OSError(f"{name} is too large")
            with suppress(OSError):
                os.utime(
                    descriptor if os.utime in os.supports_fd else self._at(name)
                )  # it was used
            return file.read(_LARGEST)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, as a whole or not at all: others see the old content or the new one."""
        self._check()
        temporary = f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(self._at(temporary), _CREATES, 0o600, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)  # a full disk fails here, and not behind the rename
            os.replace(
                self._at(temporary), self._at(name),
                src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor,
            )  # fmt: skip
        except BaseException:
            with suppress(OSError):
                self.remove(temporary)
            raise

    def entries(self) -> list[Entry]:
        """Its regular files."""
        self._check()
        with os.scandir(self._descriptor if _RELATIVE else self.path) as found:
            files = [(each.name, each.stat(follow_symlinks=False)) for each in found]
        return [
            Entry(name, status.st_size, status.st_mtime_ns)
            for name, status in files
            if stat.S_ISREG(status.st_mode)
        ]

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def _at(self, name: str) -> str | Path:
        return name if _RELATIVE else self.path / name

    def _check(self) -> None:
        """Raise unless the folder is the one that was opened, and the user's alone still."""
        status = self._status()
        if (status.st_dev, status.st_ino) != self._identity:
            raise NotPrivateError(f"{self.path} is another folder than it was")
        if _is_strange(status):
            raise NotPrivateError(f"{self.path} can be written by others than you")

    def _status(self) -> os.stat_result:
        return os.stat(self.path if self._descriptor is None else self._descriptor)


def _is_strange(status: os.stat_result) -> bool:
    """Whether others own it, or can write it; where there are no owners, nobody else does."""
    if not hasattr(os, "getuid"):
        return False
    return status.st_uid != os.getuid() or bool(status.st_mode & _OTHERS)
