"""triplet_margin_with_distance_loss: triplets under any distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from onepass.define import POSITIVE, VECTOR, Card, Laid, Rowwise, Variant, rowwise
from onepass.errors import DtypeError, ParameterError, ShapeError
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import TENSORS
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
from onepass.runtime import keywords

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


class _UnderADistance(Rowwise):
    def run(self, *given: Any) -> Tensor:
        """The loss; a function is replaced by the distance that it is, if a kernel knows that."""
        anchor, positive, negative, distance, *rest = given
        if distance is None:
            distance = _EUCLIDEAN
        elif callable(distance):
            distance = recognised(distance, (anchor, positive, negative)) or distance
        return super().run(anchor, positive, negative, distance, *rest)


def _distance(loss: str, name: str, given: Any) -> Any:
    if given is not None and not callable(given) and type(given) is not Known:
        raise ParameterError(
            f"{loss}: `{name}` must be a function of two tensors, or None for the Euclidean "
            f"distance; got {type(given).__name__}: {given!r:.60}."
        )
    return given


of_norms = Variant(_NAME, TENSORS, reference.of_vectors, norms.plan)
of_cosines = Variant(_NAME, TENSORS, reference.of_cosines, cosines.plan)
_EUCLIDEAN = Known(NORM, eps=1e-6)


@rowwise(
    anchor=VECTOR,
    positive=VECTOR,
    negative=VECTOR,
    distance_function=_distance,
    margin=POSITIVE,
    swap=keywords.flag,
    card=_CARD,
    variants=(of_norms, of_cosines),
    kind=_UnderADistance,
)
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance_function: Distance | Known | None = None,
    margin: float = 1.0,
    swap: bool = False,
) -> Laid:
    """triplet_margin_loss under any distance; in one pass, where a kernel knows the distance.

    Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119.
    """
    tensors = anchor, positive, negative
    if not isinstance(distance_function, Known):
        return _of_own(tensors, distance_function, margin, swap)
    stage, eps, p = distance_function
    laid, dtype = vectors.alike(_NAME, TENSORS, tensors)
    options = {"margin": margin, "swap": swap, "eps": eps}
    if stage == COSINE:
        return Laid(of_cosines, laid, options, dtype)
    return Laid(of_norms, laid, {**options, "p": p, "squared": stage == SQUARED}, dtype)


def _of_own(
    tensors: tuple[Tensor, Tensor, Tensor], distance: Any, margin: float, swap: bool
) -> Laid:
    """The loss of the distances that a function of the caller's finds."""
    vectors.check(_NAME, TENSORS, tensors)
    anchor, positive, negative = tensors
    distances = [distance(anchor, positive), distance(anchor, negative)]
    if swap:
        distances.append(distance(positive, negative))
    _check_distances(distance, distances, tensors)
    of_distances = reference.triplet_margin_with_distance_loss
    return Laid(of_distances, tuple(distances), {"margin": margin})


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
