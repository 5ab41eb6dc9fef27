"""What only a new process can tell: imports, first calls, the memory peak of one call."""

from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

from .processes import RivalError, process, seconds_of
from .rivals import COMPILED, EAGER, OURS

PEAK_SIZE = 10_000_000

_IMPORT = """
import torch, time
start = time.perf_counter()
import onepass
print(time.perf_counter() - start)
"""


@dataclass
class FirstCalls:
    """Seconds of the first call in a process, and of each further loss's first call."""

    first: float
    further: float | None


@dataclass
class Peak:
    """Bytes above the inputs at the highest point of one value-and-gradient call."""

    loss: str
    dtype: str
    size: int
    bytes: dict[str, int | None]
    errors: dict[str, str]


def import_seconds(repeats: int = 5) -> float:
    """`import onepass` after `import torch`: the median over new processes."""
    return median(seconds_of(_IMPORT) for _ in range(repeats))


def first_calls(losses: list[str], repeats: int) -> dict[str, FirstCalls]:
    """With an empty cache directory (cold), then with the one just filled (warm)."""
    cold: list[list[float]] = []
    warm: list[list[float]] = []
    for _ in range(repeats):
        with TemporaryDirectory() as empty:
            cold.append(_first_calls(OURS, losses, ONEPASS_CACHE_DIR=empty))
            warm.append(_first_calls(OURS, losses, ONEPASS_CACHE_DIR=empty))
    return {"cold": _summary(cold), "warm": _summary(warm)}


def compiled_first_call(loss: str) -> FirstCalls:
    """The rival's first call, with nothing in its caches."""
    with TemporaryDirectory() as empty:
        return _summary([_first_calls(COMPILED, [loss], TORCHINDUCTOR_CACHE_DIR=empty)])


def _first_calls(rival: str, losses: list[str], **environment: str) -> list[float]:
    with process(rival, **environment) as worker:
        return worker.ask("first_calls", losses=losses)


def _summary(runs: list[list[float]]) -> FirstCalls:
    further = [seconds for run in runs for seconds in run[1:]]
    return FirstCalls(median(run[0] for run in runs), median(further) if further else None)


def peak(loss: str, dtype: str = "float32", size: int = PEAK_SIZE) -> Peak:
    """Ours and torch's, each in a process that has done nothing else."""
    found: dict[str, int | None] = {}
    errors: dict[str, str] = {}
    for rival in (OURS, EAGER):
        with process(rival) as worker:
            try:
                found[rival] = worker.ask("peak", loss=loss, dtype=dtype, size=size)
            except RivalError as error:
                errors[rival] = str(error)
    return Peak(loss, dtype, size, found, errors)
