"""linear_cross_entropy at the size of a language model: seconds beside its matrix products, and
memory above the inputs and their gradients.

A call takes seconds, so none is only a warm-up: the first one, in a process that has done nothing
else, gives the memory; those that are timed follow.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from .harness import Effort, paired, rounds
from .processes import Process, RivalError, process
from .rivals import CHUNKED, EAGER, NAIVE, OPTIONAL, OURS, PRODUCTS
from .samples import LAYER, SMALL_LAYER, Layer

LOSS = "linear_cross_entropy"
ENTRANTS = (OURS, EAGER, CHUNKED, NAIVE, *OPTIONAL, PRODUCTS)

_EFFORT = Effort(seconds=90, fewest=3, most=5, warm_up=False)


@dataclass
class Linear:
    """What each rival gave: seconds, their multiple of the floor's, bytes at the highest point."""

    layer: Layer
    rounds: int
    seconds: dict[str, float]  # medians
    over_floor: dict[str, float]  # median of the ratios within a round
    bytes: dict[str, int | None]  # above the inputs and their gradients
    errors: dict[str, str]


def measure(*, quick: bool) -> Linear:
    """Value and both gradients, in float32."""
    loss, layer = (f"{LOSS}, small", SMALL_LAYER) if quick else (LOSS, LAYER)
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(process(name)) for name in ENTRANTS}
        peaks = _peaks(processes, loss, layer, errors)
        turns = rounds({name: processes[name] for name in peaks}, _EFFORT)
    floor = turns.get(PRODUCTS)
    peaks.pop(PRODUCTS, None)  # its buffers are there before it starts
    return Linear(
        layer=layer,
        rounds=max(map(len, turns.values()), default=0),
        seconds={name: median(times) for name, times in turns.items()},
        over_floor={name: paired(times, floor) for name, times in turns.items() if floor},
        bytes=peaks,
        errors=errors,
    )


def _peaks(
    processes: Mapping[str, Process], loss: str, layer: Layer, errors: dict[str, str]
) -> dict[str, int | None]:
    gradients = 4 * layer.features * (layer.rows + layer.classes)
    found: dict[str, int | None] = {}
    for name, worker in processes.items():
        try:
            peak = worker.ask("peak", loss=loss, dtype="float32", size=layer.size)
            found[name] = None if peak is None else peak - gradients
        except RivalError as error:
            errors[name] = str(error)
    return found
