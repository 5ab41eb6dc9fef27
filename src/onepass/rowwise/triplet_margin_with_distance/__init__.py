"""triplet_margin_with_distance_loss: triplets under any distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from onepass.define import Card, Rowwise
from onepass.errors import DtypeError, ParameterError, ShapeError
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import OPTIONS, TENSORS
from onepass.rowwise.triplet_margin import cpu as norms
from onepass.rowwise.triplet_margin_with_distance import cpu as cosines
from onepass.rowwise.triplet_margin_with_distance import reference
from onepass.rowwise.triplet_margin_with_distance.recognise import (
    COSINE,
    NORM,
    SQUARED,
    Known,
    recognised,
)
from onepass.runtime.call import Prepared
from onepass.runtime.call_cache import cached

Distance = Callable[[Tensor, Tensor], Tensor]

_NAME = "triplet_margin_with_distance_loss"
_CARD = Card(
    task="metric learning",
    input="embeddings",
    target="none, as each anchor has its positive and its negative",
    best_for="triplets under a distance of one's own",
    not_for="the Euclidean distance: triplet_margin_loss has it",
    gradient_bound=2,
    remarks=(
        "0 once the margin is kept",
        "under a distance of one's own, twice as steep as that distance",
    ),
    relatives=("triplet_margin_loss",),
    sources=("Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119",),
)


def _distance(loss: str, name: str, given: Any) -> Any:
    if given is not None and not callable(given):
        raise ParameterError(
            f"{loss}: `{name}` must be a function of two tensors, or None for the Euclidean "
            f"distance; got {type(given).__name__}: {given!r:.60}."
        )
    return given


_OPTIONS = OPTIONS | {"distance_function": _distance}
loss = Rowwise(_NAME, TENSORS, reference.of_vectors, norms.plan, _OPTIONS, _CARD)
of_cosines = Rowwise(_NAME, TENSORS, reference.of_cosines, cosines.plan, _OPTIONS, _CARD)
_EUCLIDEAN = Known(NORM, eps=1e-6)


def evaluate(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance_function: Distance | None,
    margin: float,
    swap: bool,
    *weighting: Any,
) -> Tensor:
    """The loss of triplets; in one pass, where a kernel knows the distance."""
    _distance(_NAME, "distance_function", distance_function)
    tensors, known = (anchor, positive, negative), _EUCLIDEAN
    if distance_function is not None:
        known = recognised(distance_function, tensors)
        if known is None:
            return _of_own(tensors, distance_function, margin, swap, *weighting)
    return _of_known(*tensors, *known, margin, swap, *weighting)


@cached
def _of_known(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    stage: str,
    eps: float,
    p: float,
    margin: float,
    swap: bool,
    *weighting: Any,
) -> Prepared:
    options = loss.checked({"margin": margin, "swap": swap, "eps": eps})
    tensors, dtype = vectors.alike(_NAME, TENSORS, (anchor, positive, negative))
    if stage == COSINE:
        return of_cosines.call(tensors, options, *weighting, dtype=dtype)
    options |= {"p": p, "squared": stage == SQUARED}
    return loss.call(tensors, options, *weighting, dtype=dtype)


def _of_own(
    tensors: tuple[Tensor, Tensor, Tensor],
    distance_function: Distance,
    margin: float,
    swap: bool,
    reduction: str,
    *weighting: Any,
) -> Tensor:
    options = loss.checked({"margin": margin, "swap": swap})
    vectors.check(_NAME, TENSORS, tensors)
    anchor, positive, negative = tensors
    distances = [distance_function(anchor, positive), distance_function(anchor, negative)]
    if options["swap"]:
        distances.append(distance_function(positive, negative))
    _check_distances(distance_function, distances, tensors)
    of_distances = reference.triplet_margin_with_distance_loss
    no_weight = None  # of the loss's own
    return of_distances.evaluate(
        tuple(distances), {"margin": options["margin"]}, reduction, no_weight, *weighting
    )


def _check_distances(
    function: Any, distances: list[Any], tensors: tuple[Tensor, Tensor, Tensor]
) -> None:
    """One distance for each triplet, not one for all or one for every pair of them."""
    name = getattr(function, "__name__", type(function).__name__)
    for distance in distances:
        if not isinstance(distance, Tensor):
            raise DtypeError(
                f"{_NAME}: `distance_function` must return a tensor, but {name} returned "
                f"{type(distance).__name__}: {distance!r:.60}."
            )
    shapes = [tuple(distance.shape) for distance in distances]
    batches = [t.shape[0] for t in tensors if t.dim() > 1]
    rows = max(batches) if batches else None
    every_pair = rows != 1 and tensors[0].dim() == 2 and shapes[0] == (rows, rows)
    lost = rows is not None and all(shape[:1] != (rows,) for shape in shapes)
    if lost or (every_pair and tensors[0].shape[1] != rows):
        raise ShapeError(
            f"{_NAME}: `distance_function` must return one distance for each of the {rows} "
            f"triplets, but {name} returned {shapes[0]} for anchor {tuple(tensors[0].shape)}. "
            "Write it so that it reduces the axes behind the first."
        )
