"""Tensors that are distributed over ranks: torch's DTensor.

torch decides by rules, one for each operation, how its result is distributed, and what is sent for
that. What has no rule, or a wrong one, is written here in operations that have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onepass.runtime.circumstances import PLAIN


def is_sharded(thing: Any) -> bool:
    """Whether this is a DTensor: asked without an import, which takes longer than most programs."""
    return isinstance(thing, Tensor) and type(thing) not in PLAIN and hasattr(thing, "device_mesh")


def together(things: Sequence[Any]) -> list[Any]:
    """The same; if one is distributed, the other tensors are too, and whole on every rank. A tensor
    whose ranks hold parts of a sum is summed up, once instead of before every operation.
    """
    first = next((thing for thing in things if is_sharded(thing)), None)
    if first is None:
        return [*things]
    return [_together(thing, first) if isinstance(thing, Tensor) else thing for thing in things]


def _together(tensor: Tensor, like: Tensor) -> Tensor:
    return finished(tensor) if is_sharded(tensor) else on_every_rank(tensor, like)


def finished(tensor: Any) -> Tensor:
    """The tensor whose ranks hold values, and no parts of them."""
    from torch.distributed.tensor import Replicate

    if not any(p.is_partial() for p in tensor.placements):
        return tensor
    whole = [Replicate() if p.is_partial() else p for p in tensor.placements]
    return tensor.redistribute(placements=whole)


def on_every_rank(tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor, of which every rank of another one holds the same."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh: Any = like.device_mesh  # type: ignore[attr-defined]
    return DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)


def places(scores: Tensor) -> Tensor:
    """The numbers of its last axis from 0, distributed as that is."""
    numbers = torch.arange(scores.shape[-1], device=scores.device)
    if not is_sharded(scores):
        return numbers
    from torch.distributed.tensor import Replicate, Shard

    axis: Any = Shard(scores.dim() - 1)
    placements = scores.placements  # type: ignore[attr-defined]
    along = [Shard(0) if p == axis else Replicate() for p in placements]
    return on_every_rank(numbers, scores).redistribute(placements=along)  # type: ignore[attr-defined]


def with_values(scores: Tensor) -> Tensor:
    """The same, but whole rows on every rank where one could be left without any of their values:
    nothing has no largest value.
    """
    if not is_sharded(scores):
        return scores
    from torch.distributed.tensor import Replicate

    thing: Any = scores
    last = scores.dim() - 1
    cut = [p.is_shard() and p.dim == last for p in thing.placements]
    ranks = 1
    for size, is_cut in zip(thing.device_mesh.shape, cut, strict=True):
        ranks *= size if is_cut else 1
    if ranks == 1 or scores.shape[-1] >= ranks * ranks:
        return scores
    whole = [Replicate() if c else p for c, p in zip(cut, thing.placements, strict=True)]
    return thing.redistribute(placements=whole)


def total(values: Tensor) -> Tensor:
    """The sum of each row, (*rows, 1): finished on every rank, so that a number for each row is
    what the ranks send each other for its derivative as well, and not one for each value.
    """
    sum: Any = values.sum(-1, keepdim=True)
    if not is_sharded(sum):
        return sum
    sum = finished(sum)
    return sum.redistribute(placements=sum.placements)  # so that its derivative is finished, too
