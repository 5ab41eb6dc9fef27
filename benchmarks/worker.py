"""One rival in a process of its own.

`python -m benchmarks.worker RIVAL` reads orders as lines of JSON and answers each with one line:
`{"answer": ...}` or `{"error": "..."}`. Everything else that is printed goes to stderr.
"""

import gc
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import torch

from .rivals import RIVALS, Rival, Step
from .samples import RECIPES

SMALL = 1_100_000  # warms up; above what torch does for us, of rows as well
TURN = 0.004  # seconds that a timed turn lasts at least, if CALLS allow
CALLS = 2000


class Worker:
    """The orders a rival understands; each public method is one."""

    def __init__(self, rival: Rival) -> None:
        self._rival = rival
        self._step: Step = lambda: None
        self._calls = 1

    def prepare(self, loss: str, dtype: str, size: int) -> None:
        """Draw the inputs, compile what wants compiling, see how many calls fill a turn."""
        self._release()
        self._step = self._build(loss, dtype, size)
        self._step()
        self._calls = max(1, min(CALLS, round(TURN / max(_timed(self._step, 2), 1e-7))))

    def turn(self, warm_up: bool) -> float:
        """Seconds a call, after one call, if wanted, that brings caches and threads back."""
        if warm_up:
            self._step()
        return _timed(self._step, self._calls)

    def peak(self, loss: str, dtype: str, size: int) -> int | None:
        """Bytes that the first call adds at its highest point, after a small one; None where the
        system does not tell. Turns of one call each may follow.
        """
        self._build(loss, dtype, SMALL)()
        self._release()
        self._step = self._build(loss, dtype, size)
        before = _reset_peak()
        self._step()
        return None if before is None else _memory("VmHWM") - before

    def first_calls(self, losses: Iterable[str]) -> list[float]:
        """Seconds of each loss's first call in this process, one loss after the other."""
        steps = [self._build(loss, "float32", SMALL) for loss in losses]
        return [_timed(step, 1) for step in steps]

    def _release(self) -> None:
        """Let go of the last step, and of the memory that onepass would use again."""
        self._step, self._calls = lambda: None, 1
        gc.collect()
        if "onepass" in sys.modules:
            import_module("onepass").empty_cache()

    def _build(self, loss: str, dtype: str, size: int) -> Step:
        return self._rival.prepare(loss, RECIPES[loss].sample(size, getattr(torch, dtype)))


def _timed(step: Step, calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        step()
    return (perf_counter() - start) / calls


def _memory(field: str) -> int:
    """A field of this process's status, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _reset_peak() -> int | None:
    """Lower the high-water mark to what is resident now, and return that (Linux only)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return _memory("VmRSS")


def _answer(worker: Worker, line: str) -> dict[str, Any]:
    order = json.loads(line)
    method: Callable[..., object] = getattr(worker, order.pop("order"))
    try:
        return {"answer": method(**order)}
    except Exception as error:  # noqa: BLE001  a rival that fails is a result, whatever it raised
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _private_stdout() -> TextIO:
    """Keep stdout for answers; whoever prints, prints to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Serve orders until stdin closes."""
    warnings.simplefilter("ignore")
    answers = _private_stdout()
    worker = Worker(RIVALS[sys.argv[1]])
    for line in sys.stdin:
        print(json.dumps(_answer(worker, line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
