"""The numbers of a tensor that count, and their places in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def numbers(thing: Any) -> Array | None:
    """Those of a tensor in float64; None if it has none that can be read and compared."""
    if not isinstance(thing, Tensor) or thing.dtype.is_complex or thing.layout != torch.strided:
        return None
    try:
        return thing.detach().to("cpu", torch.float64).numpy()
    except (RuntimeError, NotImplementedError, TypeError):  # on the meta device, or of a subclass
        return None


@dataclass(frozen=True)
class Values:
    """The numbers of one argument that count, in float64: (rows), or (rows, classes)."""

    array: Array
    name: str
    shape: tuple[int, ...]  # of the tensor without the axis of classes
    axis: int | None  # of the classes
    chosen: NDArray[np.intp] | None  # which rows of `rows` count; None: all of `shape`
    rows: tuple[int, ...]
    thinned: tuple[int, int]  # an axis of `rows`, of which every so many-th entry was kept

    @cached_property
    def finite(self) -> Array:
        """Those that are neither nan nor inf, in one row."""
        flat = self.array.ravel()
        kept = np.isfinite(flat)
        return flat if kept.all() else flat[kept]

    @cached_property
    def low(self) -> float:
        """The smallest finite one; nan if there is none."""
        return float(self.finite.min()) if self.finite.size else math.nan

    @cached_property
    def high(self) -> float:
        """The largest finite one; nan if there is none."""
        return float(self.finite.max()) if self.finite.size else math.nan

    @cached_property
    def integral(self) -> bool:
        """Whether all finite ones are whole numbers."""
        return bool((self.finite == np.rint(self.finite)).all())

    def within(self, low: float, high: float) -> bool:
        """Whether there are any, and all lie in [low, high]."""
        return self.low >= low and self.high <= high

    def only(self, *allowed: float) -> bool:
        """Whether there are any, and all are one of these."""
        if not self.finite.size or self.low not in allowed or self.high not in allowed:
            return False
        return bool(np.isin(self.finite, allowed).all())

    def span(self) -> str:
        """The range in words."""
        return f"[{self.low:.4g}, {self.high:.4g}]"

    def where(self, bad: Flags) -> str:
        """How many, of how many, and the first one with its place in the tensor, in words."""
        flat = bad.ravel()
        return (
            f"{np.count_nonzero(flat)} of {flat.size} values of `{self.name}`, the first "
            f"{self.at(int(flat.argmax()))}"
        )

    def at(self, flat: int) -> str:
        """One of them and its place in the tensor, in words."""
        return f"{float(self.array.ravel()[flat]):.6g} at {self._place(flat)}"

    def where_rows(self, bad: Flags) -> str:
        """The same of whole rows."""
        width = self.array.shape[-1] if self.array.ndim > 1 else 1
        place = self._place(int(bad.argmax()) * width)
        if self.axis is not None:
            place = (*place[: self.axis], ":", *place[self.axis + 1 :])
        shown = f"({', '.join(map(str, place))}{',' if len(place) == 1 else ''})"
        return f"{np.count_nonzero(bad)} of {bad.size} rows of `{self.name}`, the first {shown}"

    def _place(self, flat: int) -> tuple[Any, ...]:
        width = self.array.shape[-1] if self.axis is not None else 1
        row, column = divmod(flat, width)
        shape = self.shape if self.chosen is None else self.rows
        row = row if self.chosen is None else int(self.chosen[row])
        place = [int(k) for k in np.unravel_index(row, shape)] if shape else []
        place = place[len(place) - len(self.shape) :]  # a tensor of fewer axes was broadcast
        place = [0 if size == 1 else k for k, size in zip(place, self.shape, strict=True)]
        axis, step = self.thinned
        axis -= len(self.rows) - len(self.shape)
        if step > 1 and axis >= 0:
            place[axis] *= step
        if self.axis is not None:
            place.insert(self.axis, column)
        return tuple(place)
