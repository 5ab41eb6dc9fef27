"""Run a function in a thread of its own, where no profiler of the caller looks and no signal
handler of the caller raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from onepass.errors import Said, keep_warnings, warn

T = TypeVar("T")


def in_own_thread(function: Callable[[], T]) -> T:
    """What it returns, or raises; it warns here. Whoever waits may be interrupted: it goes on."""
    outcome: Future[T] = Future()
    said: Said = []

    def run() -> None:
        with keep_warnings(said):
            try:
                outcome.set_result(function())
            except BaseException as error:  # noqa: BLE001  # the caller raises it
                outcome.set_exception(error)

    try:
        threading.Thread(target=run, name="onepass").start()
    except RuntimeError:  # no thread is to be had: the system has no more, or Python shuts down
        run()
    try:
        return outcome.result()
    finally:
        for message, category in said:
            warn(message, category)
