"""Things made late and once in a process: by the first thread that asks, while others wait.

functools.cache lets two threads make the same thing at once, and one of them may see it half made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.RLock()  # one for all: what is made may ask for other things that are made once


class once(Generic[P, T]):  # noqa: N801 - a decorator
    """A function whose result is kept, one for each set of arguments. What raises is not kept."""

    def __init__(self, make: Callable[P, T]) -> None:
        self._make = make
        self._made: dict[Any, T] = {}
        update_wrapper(self, make)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> T:
        assert not named
        try:
            return self._made[arguments]
        except KeyError:
            pass
        with _lock:
            if arguments not in self._made:
                self._made[arguments] = self._make(*arguments, **named)
            return self._made[arguments]

    def forget(self) -> None:
        """Drop all kept results: the next call computes its result again."""
        with _lock:
            self._made.clear()


def _unlock() -> None:
    """A child forked while another thread made something would wait for it forever."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
