"""The numbers of an explanation: shares, groups, the largest elements, relatives, robustness."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from onepass.define import PROBABILITY, REAL, SIGN, catalogue
from onepass.guide.diagnose import examine
from onepass.guide.diagnose.batch import Batch
from onepass.guide.diagnose.gradient import robust_delta, share_of_largest
from onepass.guide.diagnose.values import Array, numbers
from onepass.guide.names import parameters_of

TOPS = (0.01, 0.1)  # the largest 1% and 10% of the elements
_KEPT = 10  # elements, groups: the largest
_POINTS = 200  # of a curve
_SHARED = (  # options that mean the same for all losses
    "reduction", "weight", "sample_weight", "mask", "normalizer", "ignore_index", "dim",
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """How a loss and its gradient are spread over the elements.

    `loss` and `gradient` are the shares that the largest of TOPS hold, each of its own sum of
    sizes; `curve` has points (share of the elements, share of the gradient), largest first.
    """

    name: str
    value: float
    loss: tuple[float, ...]
    gradient: tuple[float, ...]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Element:
    """One of the elements that pull hardest, and its share of the gradient."""

    place: tuple[int, ...]
    numbers: Mapping[str, float]
    loss: float
    gradient: float
    share: float


@dataclass(frozen=True)
class Group:
    """The elements of a class or column: their number, mean loss, and shares.

    A column of a tensor whose rows make one loss together has no loss of its own: None.
    """

    key: int
    elements: int
    mean: float | None
    loss: float | None
    gradient: float


@dataclass(frozen=True)
class Robust:
    """What huber_loss with this delta would take off the gradient of a squared error.

    `delta` is in the unit of the target; `removed` the share of the gradient beyond it, of
    `elements` elements; `places` those furthest off.
    """

    delta: float
    elements: int
    removed: float
    places: tuple[tuple[int, ...], ...]


class Sizes:
    """The loss and the gradient of every element that counts, of a call that is not refused.

    Raises what the loss raises.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch = _spread_out(batch)
        if batch.outcome.error is not None:
            raise batch.outcome.error
        unreduced = batch.unreduced()
        self.shape = tuple(unreduced.shape)
        counted = batch.counted if batch.rows == self.shape else None
        rows = math.prod(self.shape)
        self.counting = np.arange(rows) if counted is None else np.flatnonzero(counted)
        self.losses = _flat(unreduced)[self.counting]
        self.slopes = self._slopes()
        self.gradients = sum(
            (np.abs(slope).sum(-1) for slope in self.slopes.values()), self._none()
        )
        finite = np.isfinite(self.losses) & np.isfinite(self.gradients)
        self.lost = int((~finite).sum())
        self.losses = np.where(finite, self.losses, 0.0)
        self.gradients = np.where(finite, self.gradients, 0.0)

    def _none(self) -> Array:
        return np.zeros(len(self.counting))

    def _slopes(self) -> dict[str, Array]:
        """By each prediction, (elements that count, numbers of each)."""
        found = {}
        for name, slope in self.batch.outcome.gradients.items():
            array = numbers(slope)
            axis = self.batch.axis(name)
            if array is None or not array.size:
                continue
            array = array if axis is None else np.moveaxis(array, axis, -1)
            rows = math.prod(self.shape)
            if array.size % max(rows, 1) == 0:
                found[name] = array.reshape(rows, -1)[self.counting]
        return found

    @property
    def value(self) -> float:
        """The loss as the call returns it, or the mean of one that is not reduced."""
        value = self.batch.outcome.value
        assert value is not None  # it is not refused
        return float(value.double().mean()) if value.numel() else math.nan

    def place(self, index: int) -> tuple[int, ...]:
        """Where an element stands in the unreduced loss."""
        if not self.shape:
            return ()
        place = [int(k) for k in np.unravel_index(int(self.counting[index]), self.shape)]
        axis, step = self.batch.thinned
        place[axis] *= step
        return tuple(place)


def _flat(tensor: Tensor) -> Array:
    array = numbers(tensor)
    return np.zeros(0) if array is None else array.ravel()


def _spread_out(batch: Batch) -> Batch:
    """The same call with a number of its own for every element, where one served several."""
    rows = batch._rows(batch.given)
    if rows is None:
        return batch
    given = dict(batch.given)
    for name in batch.predictions:
        if batch.axis(name) is None and batch.shape(name) != rows:
            given[name] = batch.tensors[name].expand(rows)
    return Batch(batch.loss, given)


def spread(sizes: Sizes) -> Spread:
    """How the loss and the gradient are spread."""
    loss, gradient = np.abs(sizes.losses), sizes.gradients
    if not loss.size:
        return Spread(sizes.batch.name, sizes.value, (0.0,) * len(TOPS), (0.0,) * len(TOPS), ())
    return Spread(
        sizes.batch.name,
        sizes.value,
        tuple(share_of_largest(loss, top)[1] for top in TOPS),
        tuple(share_of_largest(gradient, top)[1] for top in TOPS),
        tuple(_curve(gradient)),
    )


def _curve(gradient: Array) -> Iterable[tuple[float, float]]:
    total, count = float(gradient.sum()), gradient.size
    if not total:
        return
    held = np.cumsum(np.sort(gradient)[::-1]) / total
    for index in np.unique(np.geomspace(1, count, _POINTS).astype(int)):
        yield float(index / count), float(held[index - 1])


def largest(sizes: Sizes) -> list[Element]:
    """The elements with the largest gradients; with the largest losses, if there is no gradient."""
    order = sizes.gradients if sizes.gradients.any() else np.abs(sizes.losses)
    total = float(sizes.gradients.sum())
    first = np.argsort(-order, kind="stable")[: min(_KEPT, np.count_nonzero(order))]
    return [
        Element(
            sizes.place(int(k)),
            _numbers_at(sizes, int(k)),
            float(sizes.losses[k]),
            _slope_at(sizes, int(k)),
            float(sizes.gradients[k]) / total if total else 0.0,
        )
        for k in first
    ]


def _slope_at(sizes: Sizes, index: int) -> float:
    """Its sign, too, where the gradient is a single number."""
    slopes = list(sizes.slopes.values())
    if len(slopes) == 1 and slopes[0].shape[-1] == 1:
        slope = float(slopes[0][index, 0])
        return slope if math.isfinite(slope) else 0.0
    return float(sizes.gradients[index])


def _numbers_at(sizes: Sizes, index: int) -> dict[str, float]:
    """What the tensors hold there: the number, that of the true class, or the length of the row."""
    batch, found = sizes.batch, {}
    labels = batch.labels
    for name in batch.of_rows:
        values = batch.values(name)
        if values is None:
            continue
        if values.array.ndim == 1:
            found[name] = float(values.array[index if len(values.array) > index else 0])
        elif len(values.array) > index:
            row = values.array[index]
            if labels is not None and 0 <= labels.array[index] < len(row) == batch.classes:
                found[f"{name} at target"] = float(row[int(labels.array[index])])
            elif values.axis is not None:
                found[f"|{name}|"] = float(np.linalg.norm(row))
    return found


def groups(sizes: Sizes) -> dict[str, list[Group]]:
    """By the class of the target, and by column, the largest gradients first."""
    found = {}
    labels = _labels(sizes)
    if labels is not None:
        found["class"] = _grouped(sizes, labels)
    if len(sizes.shape) > 1:
        columns = np.unravel_index(sizes.counting, sizes.shape)[1]
        found["column"] = _grouped(sizes, columns)
    elif sizes.slopes and all(slope.shape[-1] > 1 for slope in sizes.slopes.values()):
        found["column"] = _columns(sizes)
    return {by: found[by] for by in found if len(found[by]) > 1}


def _labels(sizes: Sizes) -> Array | None:
    """The class of each element, if it has one."""
    batch = sizes.batch
    labelled = {d.name for name, d in batch.domains.items() if name == "target"}
    values = batch.labels
    if values is None and labelled & {PROBABILITY.name, SIGN.name} and batch.name != "kl_div":
        values = batch.values("target")
    if values is None or values.array.ndim > 1 or not values.integral:
        return None
    return values.array if len(values.array) == len(sizes.losses) else None


def _grouped(sizes: Sizes, keys: Any) -> list[Group]:
    different, member = np.unique(keys, return_inverse=True)
    size = len(different)
    loss, gradient = np.abs(sizes.losses), sizes.gradients
    counts = np.bincount(member, minlength=size)
    sums = np.bincount(member, sizes.losses, size)
    losses = np.bincount(member, loss, size) / (loss.sum() or 1.0)
    gradients = np.bincount(member, gradient, size) / (gradient.sum() or 1.0)
    order = np.argsort(-(gradients if gradients.any() else losses), kind="stable")[:_KEPT]
    return [
        Group(
            int(different[k]),
            int(counts[k]),
            float(sums[k] / counts[k]),
            float(losses[k]),
            float(gradients[k]),
        )
        for k in order
    ]


def _columns(sizes: Sizes) -> list[Group]:
    """The gradient by each column, of losses of whole rows."""
    widths = {slope.shape[-1] for slope in sizes.slopes.values()}
    if len(widths) != 1:
        return []
    pulls = sum(np.abs(slope) for slope in sizes.slopes.values())
    by_column = np.nansum(np.asarray(pulls), axis=0)
    shares = by_column / (by_column.sum() or 1.0)
    order = np.argsort(-shares, kind="stable")[:_KEPT]
    return [Group(int(k), len(sizes.losses), None, None, float(shares[k])) for k in order]


def relatives(sizes: Sizes) -> tuple[list[Spread], dict[str, str]]:
    """The card's relatives with the same tensors, and why the others do not take them."""
    batch = sizes.batch
    card = batch.loss.card
    spreads, refused = [], {}
    own = {finding.problem for finding in examine(batch)}
    for name in card.relatives if card else ():
        relative = _as_relative(batch, name, own)
        if isinstance(relative, str):
            refused[name] = relative
        else:
            spreads.append(spread(Sizes(relative)))
    return spreads, refused


def _as_relative(batch: Batch, name: str, own: set[str]) -> Batch | str:
    """The call of another loss, or what would be wrong with it and is not with this one."""
    loss = catalogue()[name]
    parameters = parameters_of(loss)
    required = [n for n, default in parameters.items() if default is inspect.Parameter.empty]
    if not set(required) <= set(batch.given):
        return f"takes {', '.join(required)}"
    shared = {
        n: batch.given[n] for n in (*required, *_SHARED) if n in batch.given and n in parameters
    }
    other = Batch(loss, {**parameters, **shared})
    for finding in examine(other):
        if finding.severity != "note" and finding.problem not in own:
            return finding.problem.rstrip(".")
    single = other.rows == () and bool(batch.rows)
    return "takes all of them for a single row" if single else other


def robust(sizes: Sizes) -> Robust | None:
    """What a robust loss would discount, of a loss that compares any two real numbers."""
    batch = sizes.batch
    kinds = {d.name for name, d in batch.domains.items() if name in batch.loss.tensors}
    input, target = batch.values("input"), batch.values("target")
    if batch.loss.tensors != ("input", "target") or kinds != {REAL.name}:
        return None
    if input is None or target is None or not input.array.size or not target.array.size:
        return None
    errors = np.abs(input.array - target.array)
    errors = np.where(np.isfinite(errors), errors, 0.0)
    if len(errors) != len(sizes.losses):
        return None
    delta = robust_delta(errors)
    beyond = errors > delta
    if not delta or not beyond.any():
        return None
    removed = float((errors - delta)[beyond].sum() / errors.sum())
    furthest = np.argsort(-errors, kind="stable")[: min(_KEPT, int(beyond.sum()))]
    return Robust(delta, int(beyond.sum()), removed, tuple(sizes.place(int(k)) for k in furthest))
