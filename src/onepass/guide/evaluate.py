"""The loss of files larger than memory: blocks of rows, whose sums and denominators add up.

A block's unreduced loss comes from the loss itself; what every element counts is decided here as
in runtime.reduce. So the mean of a file is that of the whole tensors, up to rounding.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onepass.define import Pointwise, Rowwise
from onepass.errors import FileError, OnepassError, ParameterError, ShapeError, in_path
from onepass.guide.files import Array, Column, Stack, blocks, labels, rows_within
from onepass.guide.names import arguments_of, function_of, loss_named, parameters_of
from onepass.runtime import reduce

BLOCK = 1 << 22  # bytes of all tensors in a block; what is made of them takes a few times that
MOST_GROUPS = 10_000

_WEIGHING = ("sample_weight", "mask")
_IGNORED = parameters_of(loss_named("cross_entropy"))["ignore_index"]

Progress = Callable[[int], object]  # called with the rows of each block that is done
Block = Mapping[str, Tensor]
_Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Total:
    """What the rows of a group add up to.

    `sum` is of the loss, `count` of what its elements count (their number, without weights),
    `counting` the number of rows that count at all.
    """

    group: Any
    rows: int
    sum: float
    count: float
    counting: int

    def reduced(self, reduction: str) -> float:
        """The mean, sum or batchmean; of rows that count nothing, the mean is nan."""
        if reduction == "sum":
            return self.sum
        count = self.count if reduction == "mean" else self.counting
        return self.sum / count if count else math.nan


@dataclass(frozen=True)
class Data:
    """Where the arguments of a loss come from, row by row, but for `shared`, which are whole."""

    tensors: Mapping[str, Stack]
    shared: Mapping[str, Tensor] = field(default_factory=dict)
    sample_weight: Stack | None = None
    mask: Stack | None = None
    group: Column | None = None

    def columns(self) -> list[Column]:
        """All that is read, each once."""
        stacks = [*self.tensors.values(), self.sample_weight, self.mask]
        found = [column for stack in stacks if stack for column in stack.columns]
        return list(dict.fromkeys([*found, self.group] if self.group else found))

    def of(self, block: dict[Column, Array]) -> dict[str, Tensor]:
        """The tensors of a block by the names of the arguments; only the target keeps integers."""
        return {
            name: tensor if name == "target" or tensor.is_floating_point() else tensor.double()
            for name, tensor in ((name, stack.tensor(block)) for name, stack in self.stacks())
        }

    def stacks(self) -> Iterator[tuple[str, Stack]]:
        """The tensors and what weighs them."""
        yield from self.tensors.items()
        yield from ((name, stack) for name in _WEIGHING if (stack := getattr(self, name)))


def evaluate(
    loss: Any,
    data: Data,
    options: Mapping[str, Any] | None = None,
    output: Path | None = None,
    progress: Progress = lambda rows: None,
) -> list[Total]:
    """What a loss adds up to over files: one Total, or one for each group, in their order.

    `options` are the loss's own: parameters, flags, class weights. `output` is an NPY file to
    which the unreduced loss is written.

    Raises FileError for files that cannot be read or do not fit together, OSError for an output
    that cannot be written, and what the loss raises for what does not suit it.
    """
    terms = _Terms(loss_named(loss), data, dict(options or {}))
    totals = _Totals()
    with _written(output, data.columns()) as write:
        for values, counts, names in terms:
            totals.add(values, counts, names)
            write(values)
            progress(len(values))
    return totals.ordered()


class _Terms:
    """The unreduced loss, what its elements count, and their groups, block after block."""

    def __init__(self, loss: Pointwise | Rowwise, data: Data, options: dict[str, Any]) -> None:
        self.loss = loss
        self.data = data
        self.options = options
        self.function = function_of(loss)
        for name in ("reduction", *_WEIGHING, "normalizer"):
            if name in options:
                raise ParameterError(f"{loss.name}: `{name}` is no option of a file's loss.")
        self.settings = arguments_of(loss, (), {**data.tensors, **data.shared, **options})

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, list[Any] | None]]:
        start, group = 0, self.data.group
        columns = self.data.columns()
        for block in blocks(columns, rows_within(columns, BLOCK)):
            tensors = self.data.of(block)
            weights = weights_of_rows(self.loss, {**tensors, **self.data.shared, **self.options})
            with _positions_from(start):
                values = self._unreduced(tensors, **weights)
            self._check_rows(values, len(next(iter(block.values()))))
            counts = self._counts(tensors, values.shape, **weights).expand(values.shape)
            yield values, counts, labels(group, block[group]) if group else None
            start += len(values)

    def _unreduced(self, tensors: Block, **weights: Tensor) -> Tensor:
        given = {name: tensors[name] for name in self.data.tensors} | weights
        with torch.no_grad():
            return self.function(**given, **self.data.shared, **self.options, reduction="none")

    def _check_rows(self, values: Tensor, rows: int) -> None:
        if not values.dim() or len(values) != rows:
            raise ShapeError(
                f"{self.loss.name}: {rows} rows have a loss of shape {tuple(values.shape)}, so a "
                "row has none of its own. Give an array with an axis more, or several columns."
            )

    def _counts(
        self,
        tensors: Block,
        shape: torch.Size,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """What each element adds to the denominator of the mean."""
        own = self._own_counts(tensors, shape)
        counts = reduce.product(own, reduce.product(sample_weight, mask))
        return torch.ones(()) if counts is None else counts

    def _own_counts(self, tensors: Block, shape: torch.Size) -> Tensor | None:
        """By the loss's own weight, and by its classes, where the target has their indices."""
        weight = self.settings.get("weight")
        if isinstance(self.loss, Pointwise):
            return weight if self.loss.weight_counts else None
        target = tensors.get("target")
        counts = self.loss.variants[0].counts
        if counts is None or target is None or target.shape != shape:
            return None
        ignored = self.settings["ignore_index"]
        options = {"weight": weight, "ignore_index": _IGNORED if ignored is None else ignored}
        return counts((tensors["input"], target), options)


def weights_of_rows(loss: Pointwise | Rowwise, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The sample weights and the mask among the arguments, shaped to go along with the rows.

    Raises what the loss raises for shapes that do not suit it.
    """
    given = {name: arguments[name] for name in _WEIGHING if name in arguments}
    if not given:
        return {}
    # How many axes the unreduced loss has, found without data: what a mask hides may be illegal.
    shapes = {
        name: thing.to("meta") if isinstance(thing, Tensor) else thing
        for name, thing in arguments.items()
        if name not in (*_WEIGHING, "reduction")
    }
    axes = function_of(loss)(**shapes, reduction="none").dim()
    shaped = {n: t.reshape(*t.shape, *(1,) * (axes - t.dim())) for n, t in given.items()}
    return {n: t.bool() if n == "mask" else t for n, t in shaped.items()}


@contextmanager
def _positions_from(row: int) -> Iterator[None]:
    """Say in errors that the positions of a block do not count from the first row of the file."""
    try:
        yield
    except OnepassError as error:
        if not row:
            raise
        raise type(error)(f"{error} (Positions count from row {row}.)") from error


class _Totals:
    """Sums by group, in float64."""

    def __init__(self) -> None:
        self.places: dict[Any, int] = {}
        self.sums = np.zeros((4, 0))  # rows, sum, count, counting: of each group

    def add(self, values: Tensor, counts: Tensor, groups: list[Any] | None) -> None:
        """The loss of a block, what its elements count, and the group of each row."""
        # numpy sums on this thread; torch would wake others for each of many small blocks
        value, count = values.numpy(), counts.numpy()
        of_rows = np.broadcast_to(1, len(value)), value, count, _rows_that(count != 0)
        if groups is None:
            self.places[None] = 0
            added = np.array([[part.sum(dtype=np.float64)] for part in of_rows])
        else:
            places = [self.places.setdefault(group, len(self.places)) for group in groups]
            sums = (np.bincount(places, _sums(part), len(self.places)) for part in of_rows)
            added = np.stack(list(sums))
        if len(self.places) > MOST_GROUPS:
            raise FileError(f"there are more than {MOST_GROUPS} groups: group by fewer values")
        new = added.shape[1] - self.sums.shape[1]
        self.sums = np.pad(self.sums, ((0, 0), (0, new))) + added

    def ordered(self) -> list[Total]:
        """A total for each group, by its name."""
        totals = [
            Total(group, int(rows), total, count, int(counting))
            for group, (rows, total, count, counting) in zip(
                self.places, self.sums.T.tolist(), strict=True
            )
        ]
        return sorted(totals, key=lambda total: _sortable(total.group))


def _sums(elements: _Numbers) -> _Numbers:
    """Of each row."""
    return elements.sum(tuple(range(1, elements.ndim)), dtype=np.float64)


def _rows_that(count: _Numbers) -> _Numbers:
    """Whether a row has an element that counts."""
    return np.asarray(count.any(tuple(range(1, count.ndim))))


def _sortable(group: Any) -> tuple[int, float, str]:
    """Numbers before text before None, which do not compare."""
    if isinstance(group, int | float):
        return 0, group, ""
    return (2, 0, "") if group is None else (1, 0, str(group))


@contextmanager
def _written(path: Path | None, read: Sequence[Column]) -> Iterator[Callable[[Tensor], object]]:
    """Append rows to an NPY file that takes its name when it is complete. A link of that name is
    replaced, and what it points at is left alone.
    """
    if path is None:
        yield lambda values: None
        return
    if path.suffix != ".npy":
        raise ParameterError(f"the output must be an NPY file, name.npy; got {in_path(path)}")
    if path.exists() and any(path.samefile(column.file.path) for column in read):
        raise ParameterError(f"the output {in_path(path)} is read: write to another file")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # no file is called so
    try:
        with partial.open("xb") as file:
            yield _Appended(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Appended:
    """Rows, and above them a header that is written again as they come."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.rows = 0

    def __call__(self, values: Tensor) -> None:
        array = np.ascontiguousarray(values.numpy())
        self.rows += len(array)
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(self.file, {
            "descr": np.lib.format.dtype_to_descr(array.dtype),
            "fortran_order": False,
            "shape": (self.rows, *array.shape[1:]),
        })  # fmt: skip
        self.file.seek(0, os.SEEK_END)
        array.tofile(self.file)
