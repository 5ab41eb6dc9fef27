"""A kernel on several threads, which take turns at its blocks.

They are those of torch's own OpenMP: awake after torch's last operation, woken within microseconds
otherwise, and no second set competes with them for the cores. Only where that library cannot be
called, and in a forked child, which has none of its threads, Python threads do the same.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import torch

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def together(entry: Callable[[int], object], frame: int, blocks: int) -> None:
    """Call `entry(frame)`, an `ENTRY`, on as many of torch's threads as there are blocks."""
    threads = min(torch.get_num_threads(), blocks) if blocks > 1 else 1
    if threads == 1:
        entry(frame)
    elif _openmp is not None:
        _openmp(entry, frame, threads, 0)
    else:
        _by_python(entry, frame, threads)


def address() -> int:
    """Where OpenMP's entry is, 0 if it cannot be called."""
    return ctypes.cast(_openmp, ctypes.c_void_p).value or 0 if _openmp is not None else 0


def _openmp_parallel() -> Any:
    """GNU OpenMP's entry, which others offer as well, from the library that torch has loaded."""
    try:
        function = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # another OpenMP, another system, Windows
        return None
    function.argtypes = [ENTRY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function


def _by_python(entry: Callable[[int], object], frame: int, threads: int) -> None:
    helpers = _started(entry, frame, threads - 1)
    try:
        entry(frame)
    finally:
        # Interrupted or not, nobody may still write when the caller's tensors are freed. Who never
        # woke up is not waited for.
        late = [helper for helper in helpers if not helper.cancel()]
        wait(late)
    for helper in late:
        helper.result()


def _started(entry: Callable[[int], object], frame: int, helpers: int) -> list[Future[object]]:
    try:
        return [_executor(helpers).submit(entry, frame) for _ in range(helpers)]
    except RuntimeError:  # the interpreter is shutting down: the caller does all
        return []


def _executor(helpers: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < helpers:
        _pool, _pool_size = ThreadPoolExecutor(helpers, "onepass"), helpers
    return _pool


def _forget_threads() -> None:
    """A forked child has none of its parent's threads."""
    global _openmp, _pool, _pool_size
    _openmp, _pool, _pool_size = None, None, 0


_openmp = _openmp_parallel()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
