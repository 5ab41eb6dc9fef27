"""triplet_margin_with_distance_loss: triplets under any distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from onepass.define import Card, Rowwise
from onepass.errors import DtypeError, ParameterError, ShapeError
from onepass.rowwise import vectors
from onepass.rowwise.triplet_margin import NORM, OPTIONS, TENSORS, cpu
from onepass.rowwise.triplet_margin_with_distance import reference

Distance = Callable[[Tensor, Tensor], Tensor]

_NAME = "triplet_margin_with_distance_loss"
_CARD = Card(
    task="metric learning",
    best_for="triplets under a distance of one's own",
    not_for="where the Euclidean distance is enough: triplet_margin_loss",
    properties=("0 once the margin is kept",),
    relatives=("triplet_margin_loss",),
    sources=("Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119",),
)


def _check_distance(loss: str, name: str, given: Any) -> None:
    if given is not None and not callable(given):
        raise ParameterError(
            f"{loss}: `{name}` must be a function of two tensors, or None for the Euclidean "
            f"distance; got {type(given).__name__}: {given!r:.60}."
        )


_OPTIONS = OPTIONS | {"distance_function": _check_distance}
loss = Rowwise(_NAME, TENSORS, reference.of_vectors, cpu.plan, _OPTIONS, _CARD)


def evaluate(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance_function: Distance | None,
    margin: float,
    swap: bool,
    **weighting: Any,
) -> Tensor:
    """The loss of triplets; in one pass, where the distance is a p-norm that torch has."""
    options = {"margin": margin, "swap": swap}
    loss.settings(options | {"distance_function": distance_function})
    tensors = (anchor, positive, negative)
    norm = _norm(distance_function)
    if norm is not None:
        tensors = vectors.alike(_NAME, TENSORS, tensors)
        return loss.evaluate(tensors, options | norm, **weighting)
    vectors.check(_NAME, TENSORS, tensors)
    measure: Any = distance_function
    distances = [measure(anchor, positive), measure(anchor, negative)]
    if swap:
        distances.append(measure(positive, negative))
    _check_distances(measure, distances, tensors)
    of_distances = reference.triplet_margin_with_distance_loss
    return of_distances.evaluate(tuple(distances), {"margin": margin}, **weighting)


def _norm(distance: Any) -> dict[str, float] | None:
    """The p and eps of a distance that the kernel knows."""
    if distance is None or distance is torch.nn.functional.pairwise_distance:
        return {"p": 2.0, "eps": 1e-6}
    plain = type(distance) is torch.nn.PairwiseDistance and not distance.keepdim
    if not plain or distance._forward_hooks or distance._forward_pre_hooks:
        return None
    return {"p": distance.norm, "eps": distance.eps} if NORM.contains(distance.norm) else None


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
    rows = max((t.shape[0] for t in tensors if t.dim() > 1), default=None)
    every_pair = rows != 1 and tensors[0].dim() == 2 and shapes[0] == (rows, rows)
    lost = rows is not None and all(shape[:1] != (rows,) for shape in shapes)
    if lost or (every_pair and tensors[0].shape[1] != rows):
        raise ShapeError(
            f"{_NAME}: `distance_function` must return one distance for each of the {rows} "
            f"triplets, but {name} returned {shapes[0]} for anchor {tuple(tensors[0].shape)}. "
            "Write it so that it reduces the axes behind the first."
        )
