# pyright: reportMissingParameterType=false
"""Rows as kernels walk them, by tiles, which are the rows of a turn: each row one piece of memory,
or, of scores, rows side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from onepass.runtime.cpu.words import *

TILE = 256  # rows
ROOM = 16384  # numbers of a tile
# Of a tile along the rows of large scores: memory likes threads that stay where they are for long.
SPAN, FEWEST_TILES = 65536, 64
RUN = 4096  # terms of a row that are summed up in the precision of the arithmetic
FEW = 24  # classes up to which rows are better taken side by side


class Tiles(NamedTuple):
    """What a kernel that goes along each row, or across the rows of a tile, takes of scores."""

    input: Tensor  # laid out
    across: bool
    flags: dict[str, bool]
    integers: tuple[int, ...]  # rows, classes, if across those side by side, rows of a tile
    blocks: int


def tiled(input: Tensor, *, keeps_adjacent: bool) -> Tiles:
    """Along the rows, or across them where classes are few or apart.

    A kernel `keeps_adjacent` if the scores of a tile wait in its own memory even where rows lie
    side by side already, which makes their tiles smaller.
    """
    input, beside, adjacent = laid_out(input, most_across=ROOM // 16)
    if input.shape[-1] > FEW and not adjacent:
        return tiled_along(input)
    rows, classes, at_once = _sizes(input)
    if adjacent and not keeps_adjacent:
        at_once = TILE
    return Tiles(
        input=input,
        across=True,
        flags={"ADJACENT": adjacent},
        integers=(rows, classes, beside, at_once),
        blocks=rows // beside * -(-beside // at_once),
    )


def tiled_along(input: Tensor) -> Tiles:
    """Along the rows."""
    rows, classes, _ = _sizes(input)
    at_once = rows_at_once(classes, min(SPAN, max(ROOM, input.numel() // FEWEST_TILES)))
    return Tiles(
        input=input.contiguous(),
        across=False,
        flags={},
        integers=(rows, classes, at_once),
        blocks=-(-rows // at_once),
    )


def _sizes(input: Tensor) -> tuple[int, int, int]:
    classes = input.shape[-1]
    return input.numel() // classes, classes, rows_at_once(classes)


def rows_at_once(width: int, room: int = ROOM) -> int:
    """How many rows of this width make a tile."""
    return min(TILE, max(1, room // max(1, width)))


def laid_out(input: Tensor, most_across: int, fewest: int = 16) -> tuple[Tensor, int, bool]:
    """The rows as a kernel can walk them; how many lie side by side; and whether they touch.

    Rows whose classes are apart lie side by side as they are, if there are at least `fewest` of
    them and no more classes than `most_across`.
    """
    count = input.numel() // max(input.shape[-1], 1)
    if input.is_contiguous():
        return input, count, False
    for axis in range(input.dim() - 1):
        if input.movedim(-1, axis).is_contiguous():
            inner = input.shape[axis:-1].numel()
            if inner >= fewest and input.shape[-1] <= most_across:
                return input, inner, True
    return input.contiguous(), count, False


def place(base, p, c, classes, inner):
    """Where the score of class `c` of the tile's row `p` stands: a kernel's, as the others are."""
    return base + c * inner + p if ADJACENT else base + p * classes + c
