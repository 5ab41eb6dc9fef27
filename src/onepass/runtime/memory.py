"""Memory for what kernels write: huge pages, taken again when the tensor that held them dies.

A fresh mapping costs a page fault per 4 KiB, several times the arithmetic of a loss. Large
buffers are mappings of their own, in 2 MiB pages where the kernel gives them; a finaliser puts a
mapping back into the pool when nothing refers to the tensor's storage any more.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref

import torch
from torch import Tensor

SMALLEST = 4 << 20  # bytes; below, torch's allocator reuses its memory, at less cost per call
_HUGE_PAGE = 2 << 20
_WASTE = 1.25  # a free mapping serves a request of at least 1/1.25 of its size

_free: list[mmap.mmap] = []
_lock = threading.RLock()  # a finaliser may run inside any of these functions


# A device is named throughout: the default device may be another one.


def empty(shape: torch.Size, stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Uninitialised memory for a dense CPU tensor."""
    nbytes = shape.numel() * dtype.itemsize
    if nbytes < SMALLEST or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty_strided(shape, stride, dtype=dtype, device="cpu")
    mapping = _take(nbytes)
    view = memoryview(mapping)
    weakref.finalize(view, _give_back, mapping).atexit = False
    storage = torch.frombuffer(view, dtype=torch.uint8).untyped_storage()
    return torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape, stride)


def like(tensor: Tensor) -> Tensor:
    """Uninitialised memory for a tensor like this dense one."""
    if is_small(tensor):
        return torch.empty_like(tensor)
    return empty(tensor.shape, tensor.stride(), tensor.dtype)


def is_small(tensor: Tensor) -> bool:
    """Whether torch's allocator serves it better."""
    return tensor.nbytes < SMALLEST


def empty_cache() -> None:
    """Return the memory that no tensor uses to the system."""
    with _lock:
        _free.clear()


def _take(nbytes: int) -> mmap.mmap:
    with _lock:
        fitting = [m for m in _free if nbytes <= len(m) <= max(nbytes * _WASTE, _HUGE_PAGE)]
        if fitting:
            mapping = min(fitting, key=len)
            _free.remove(mapping)
            return mapping
    mapping = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if nbytes >= _HUGE_PAGE:  # the last, broken page stays small
        mapping.madvise(mmap.MADV_HUGEPAGE, 0, nbytes // _HUGE_PAGE * _HUGE_PAGE)
    return mapping


def _give_back(mapping: mmap.mmap) -> None:
    with _lock:
        _free.append(mapping)
        while sum(map(len, _free)) > _most_kept():
            _free.pop(0)  # the one that waited longest


def _most_kept() -> int:
    """Bytes: an eighth of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8


def _forget() -> None:
    """A forked child shares no mapping's owner with its parent; it starts with an empty pool."""
    global _lock
    _lock = threading.RLock()
    _free.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
