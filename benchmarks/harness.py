"""Interleaved measurements: every rival takes a turn, then every rival takes another.

A machine's speed drifts within seconds. Turns that stand side by side share the drift, so what
counts is the ratio within a round; the median over the rounds is reported.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from .processes import Process, RivalError, process
from .rivals import COMPILED, EAGER, FLOOR, HUGE, OPTIONAL, OURS
from .samples import HEADLINE, RECIPES

# Seconds between turns. After a parallel operation torch's idle OpenMP threads keep spinning, for
# 3 to 8 ms of processor time when measured: into the next rival's turn, were it to start at once.
SETTLE = 0.025


@dataclass(frozen=True)
class Case:
    """One line of the results: a loss at a dtype and a size, and who takes part."""

    loss: str
    dtype: str
    size: int
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Effort:
    """How long a case may take: rounds go on until `seconds` have passed, within the limits."""

    seconds: float
    fewest: int
    most: int
    warm_up: bool = True  # whether an untimed call goes before each turn


@dataclass
class Row:
    """What a case gave: seconds a call, and each rival's time as a multiple of ours."""

    loss: str
    dtype: str
    size: int
    rounds: int
    seconds: dict[str, float]  # medians
    paired: dict[str, float]  # median of the ratios within a round
    errors: dict[str, str] = field(default_factory=dict)


QUICK = Effort(seconds=0.5, fewest=3, most=9)
FULL = Effort(seconds=1.2, fewest=7, most=31)


def plan(losses: Iterable[str], *, quick: bool, compiled: bool) -> list[Case]:
    """Every loss at every size in float32; the other dtypes small and large."""
    sizes = (1000, HEADLINE) if quick else (1, 1000, 100_000, 10_000_000, HEADLINE)
    grid = [("float32", size) for size in sizes]
    if not quick:
        others = ("float64", "float16", "bfloat16")
        grid += [(dtype, size) for dtype in others for size in (1000, HEADLINE)]
    return [
        Case(loss, dtype, size, _entrants(loss, dtype, size, compiled=compiled))
        for loss in losses
        for dtype, size in _of_variant(loss) or grid
    ]


def _of_variant(loss: str) -> list[tuple[str, int]]:
    return [("float32", size) for size in RECIPES[loss].sizes]


def _entrants(loss: str, dtype: str, size: int, *, compiled: bool) -> tuple[str, ...]:
    """torch.compile wants seconds for every shape, so it runs at the headline size alone; who is
    optional runs in float32 alone.
    """
    headline = size == HEADLINE or size in RECIPES[loss].sizes
    some = (COMPILED,) if compiled and headline else ()
    return (OURS, EAGER, HUGE, FLOOR, *some, *(OPTIONAL if dtype == "float32" else ()))


def measure(cases: Iterable[Case], effort: Effort) -> Iterator[Row]:
    """Measure the cases one by one, with one process a rival for all of them."""
    with ExitStack() as stack:
        processes: dict[str, Process] = {}
        for case in cases:
            for rival in case.rivals:
                if rival not in processes:
                    processes[rival] = stack.enter_context(process(rival))
            yield _row(case, {name: processes[name] for name in case.rivals}, effort)


def _row(case: Case, processes: Mapping[str, Process], effort: Effort) -> Row:
    errors: dict[str, str] = {}
    ready: dict[str, Process] = {}
    for name, worker in processes.items():
        try:
            worker.ask("prepare", loss=case.loss, dtype=case.dtype, size=case.size)
            ready[name] = worker
        except RivalError as error:
            errors[name] = str(error)
    turns = rounds(ready, effort)
    seconds = {name: median(times) for name, times in turns.items()}
    ours = turns.get(OURS, [])
    return Row(
        loss=case.loss,
        dtype=case.dtype,
        size=case.size,
        rounds=max(map(len, turns.values()), default=0),
        seconds=seconds,
        paired={name: paired(times, ours) for name, times in turns.items() if ours},
        errors=errors,
    )


def rounds(processes: Mapping[str, Process], effort: Effort) -> dict[str, list[float]]:
    """Turn after turn, starting each round with the next rival."""
    turns: dict[str, list[float]] = {name: [] for name in processes}
    order = list(processes)
    start = time.perf_counter()
    for done in range(effort.most):
        if done >= effort.fewest and time.perf_counter() - start > effort.seconds:
            break
        for name in order:
            time.sleep(SETTLE)
            turns[name].append(processes[name].ask("turn", warm_up=effort.warm_up))
        order = order[1:] + order[:1]
    return turns


def paired(times: list[float], base: list[float]) -> float:
    """Times as a multiple of other times of the same rounds: the median of the ratios."""
    return median(a / b for a, b in zip(times, base, strict=True))
