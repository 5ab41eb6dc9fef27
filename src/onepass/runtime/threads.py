"""Ranges of blocks over a pool of our own.

numba's threading layers would reset torch's thread count, break forked children or abort when two
threads call; kernels here are foreign functions that release the GIL, so plain threads do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count

import torch

_BLOCKS_AT_ONCE = 16  # what a thread takes at a time: 2**18 elements, some 100 microseconds

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def over_blocks(work: Callable[[int, int], object], blocks: int) -> None:
    """Call `work(first, last)` until all blocks are done, on torch's number of threads.

    Threads take the next range when they are ready for it, so a slow core holds nobody up; what
    is computed of a block does not depend on who does it.
    """
    ranges = -(-blocks // _BLOCKS_AT_ONCE)
    helpers = min(torch.get_num_threads(), ranges) - 1
    if helpers < 1:
        work(0, blocks)
        return
    turn = count()

    def take_turns() -> None:
        while (current := next(turn)) < ranges:
            first = current * _BLOCKS_AT_ONCE
            work(first, min(first + _BLOCKS_AT_ONCE, blocks))

    pending = _started(take_turns, helpers)
    try:
        take_turns()
    finally:
        # Interrupted or not, nobody may still write when the caller's tensors are freed.
        turn = count(ranges)
        late = [helper for helper in pending if not helper.cancel()]  # others never woke up
        wait(late)
    for helper in late:
        helper.result()


def _started(task: Callable[[], None], helpers: int) -> list[Future[None]]:
    try:
        return [_executor(helpers).submit(task) for _ in range(helpers)]
    except RuntimeError:  # the interpreter is shutting down: the caller does all
        return []


def _executor(helpers: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < helpers:
        _pool, _pool_size = ThreadPoolExecutor(helpers, "onepass"), helpers
    return _pool


def _forget_pool() -> None:
    """A forked child has the pool but not its threads."""
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
