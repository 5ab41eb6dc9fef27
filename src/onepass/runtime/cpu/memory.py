"""Memory for what kernels write: huge pages, taken again when the tensor that held them dies.

A fresh mapping costs a page fault per 4 KiB, several times the arithmetic of a loss. Large
buffers are torch's own storages, which are asked to be in 2 MiB pages. The pool keeps them, and
gives one out again once nobody but the pool refers to it: nothing runs when a tensor dies.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, UntypedStorage

from onepass.runtime import internals

SMALLEST = 4 << 20  # bytes; below, torch's allocator reuses its memory, at less cost per call
_WASTE = 1.25  # a free storage serves a request of at least 1/1.25 of its size
_HAS_HUGE_PAGES = hasattr(mmap, "MADV_HUGEPAGE")

_pool: list[UntypedStorage] = []
_lock = threading.RLock()  # a signal handler may run inside any of these functions


# A device is named throughout: the default device may be another one.


def empty(shape: torch.Size, stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Uninitialised memory for a dense CPU tensor."""
    nbytes = shape.numel() * dtype.itemsize
    if nbytes < SMALLEST or not _HAS_HUGE_PAGES:
        return torch.empty_strided(shape, stride, dtype=dtype, device="cpu")
    tensor = torch.empty(0, dtype=dtype, device="cpu")
    with _lock:  # until the tensor refers to it, the storage is idle
        return tensor.set_(_storage(nbytes), 0, shape, stride)


def like(tensor: Tensor) -> Tensor:
    """Uninitialised memory for a tensor like this dense one."""
    if is_small(tensor):
        return torch.empty_like(tensor)
    return empty(tensor.shape, tensor.stride(), tensor.dtype)


def is_small(tensor: Tensor) -> bool:
    """Whether a tensor is too small for the pool: torch's allocator is faster."""
    return tensor.nbytes < SMALLEST


def empty_cache() -> None:
    """Return the memory that no tensor uses to the system."""
    with _lock:
        _let_go(_idle())


def _storage(nbytes: int) -> UntypedStorage:
    """One from the pool, or a new one."""
    sizes = {k: _pool[k].nbytes() for k in _idle()}
    fitting = [k for k, size in sizes.items() if nbytes <= size <= nbytes * _WASTE]
    if fitting:
        return _pool[min(fitting, key=sizes.__getitem__)]
    storage = _allocated(nbytes)
    if _has_room(nbytes):
        _pool.append(storage)
    return storage


def _allocated(nbytes: int) -> UntypedStorage:
    try:
        storage = UntypedStorage(nbytes, device="cpu")
    except RuntimeError:  # no memory is left, or all that is left is in the pool
        empty_cache()
        storage = UntypedStorage(nbytes, device="cpu")
    start = -(-storage.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = storage.data_ptr() + nbytes
    _libc().madvise(start, (end - start) // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
    return storage


def _has_room(nbytes: int) -> bool:
    """Whether so many bytes more may be kept, after the idle storages that were made first went."""
    excess = sum(storage.nbytes() for storage in _pool) + nbytes - _most_kept()
    gone = []
    for k in _idle():
        size = _pool[k].nbytes()
        if excess > 0 or size < SMALLEST:  # somebody shrank that one
            gone.append(k)
            excess -= size
    _let_go(gone)
    return excess <= 0


def _idle() -> list[int]:
    """The places in the pool of storages to which nobody else refers, in C++ or in Python.

    What was moved to shared memory is not the pool's any more: other processes may read it.
    """
    _pool[:] = [storage for storage in _pool if not storage.is_shared()]
    return [
        k
        for k in range(len(_pool))
        if internals.storage_references(_pool[k]) == 1
        and sys.getrefcount(_pool[k]) <= 2  # the pool's, and that of the question
    ]


def _let_go(places: list[int]) -> None:
    for k in reversed(places):
        del _pool[k]


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


@cache
def _most_kept() -> int:
    """Bytes: an eighth of the memory of the machine, or of the container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, *_limits()) // 8


def _limits() -> Iterator[int]:
    """The limits of this process's control groups, of either version."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    yield sys.maxsize
    for group in groups:
        _, kind, path = group.split(":", 2)
        if kind in ("", "memory"):
            root = Path("/sys/fs/cgroup") / kind
            file = "memory.limit_in_bytes" if kind else "memory.max"
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(root):
                    yield _limit(folder / file)


def _limit(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is none, or it says "max"
        return sys.maxsize


def _forget() -> None:
    """A child that is forked while another thread is in here starts with a lock of its own."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
