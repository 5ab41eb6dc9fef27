"""The numbers of an explanation: shares, groups, the largest elements, relatives, robustness."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from onepass.catalogue import catalogue
from onepass.define import PROBABILITY, REAL, SIGN
from onepass.errors import DtypeError
from onepass.guide.diagnose import examine
from onepass.guide.diagnose.batch import CLASS_LOSSES, Batch
from onepass.guide.diagnose.gradient import robust_delta, share_of_largest
from onepass.guide.diagnose.values import Array, Values, numbers
from onepass.guide.names import parameters_of

TOPS = (0.01, 0.1)  # the largest 1% and 10% of the elements
_KEPT = 10  # elements, groups: the largest
_POINTS = 200  # of a curve
_SHARED = (  # options that mean the same for all losses
    "reduction", "weight", "sample_weight", "mask", "normalizer", "ignore_index", "dim",
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """How a loss and its gradient are spread over its `elements`.

    `loss` and `gradient` are the shares that the largest of TOPS hold, each of its own sum of
    sizes; `curve` has points (share of the elements, share of the gradient), largest first.
    """

    name: str
    value: float
    elements: int
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

    `elements` are looked at; of those that count, `lost` are not finite and are left out.
    Raises what the loss raises, and DtypeError for tensors that are complex or without numbers.
    """

    def __init__(self, batch: Batch) -> None:
        _refuse_complex(batch)
        self.batch = batch = _spread_out(batch)
        if batch.outcome.error is not None:
            raise batch.outcome.error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the caller's own call says it
            unreduced = batch.unreduced()
        self.shape = tuple(unreduced.shape)
        self.elements = math.prod(self.shape)
        counted = batch.counted if batch.rows == self.shape else None
        chosen = np.arange(self.elements) if counted is None else np.flatnonzero(counted)
        losses = _flat(batch, unreduced)[chosen]
        slopes = self._slopes(chosen)
        gradients = sum((np.abs(slope).sum(-1) for slope in slopes.values()), np.zeros(len(chosen)))
        finite = np.isfinite(losses) & np.isfinite(gradients)
        self.lost = int((~finite).sum())
        self._among = np.flatnonzero(finite)  # of those that count
        self.chosen = chosen[self._among]  # of all that are looked at
        self.losses = losses[self._among]
        self.gradients = np.asarray(gradients)[self._among]
        self.slopes = {name: slope[self._among] for name, slope in slopes.items()}

    def _slopes(self, chosen: Any) -> dict[str, Array]:
        """By each prediction, (elements that count, numbers of each)."""
        found = {}
        for name, slope in self.batch.outcome.gradients.items():
            array = numbers(slope)
            if array is not None and array.size:
                axis = self.batch.axis(name)
                array = array if axis is None else np.moveaxis(array, axis, -1)
                found[name] = array.reshape(self.elements, -1)[chosen]
        return found

    @property
    def value(self) -> float:
        """The loss as the call returns it, or the mean of one that is not reduced."""
        value = self.batch.outcome.value
        assert value is not None  # its unreduced loss has numbers
        return float(value.double().mean()) if value.numel() else math.nan

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Of the unreduced loss of all elements, looked at or not."""
        return _rows(self.batch) or self.shape

    def place(self, index: int) -> tuple[int, ...]:
        """Where an element stands in the unreduced loss."""
        if not self.shape:
            return ()
        place = [int(k) for k in np.unravel_index(int(self.chosen[index]), self.shape)]
        axis, step = self.batch.thinned
        place[axis] *= step
        return tuple(place)

    def of_elements(self, values: Values | None) -> Array | None:
        """What an argument holds for each element; None if it does not have that."""
        if values is None or len(values.array) != len(self._among) + self.lost:
            return None
        return values.array[self._among]


def _flat(batch: Batch, unreduced: Tensor) -> Array:
    array = numbers(unreduced)
    if array is None:
        raise DtypeError(
            f"explain: {batch.name} of these tensors has no numbers that can be read; got a loss "
            f"on the device {unreduced.device}."
        )
    return array.ravel()


def _refuse_complex(batch: Batch) -> None:
    for name, tensor in batch.tensors.items():
        if tensor.is_complex():
            raise DtypeError(
                f"explain: `{name}` must be real, got {tensor.dtype}. Write "
                f"torch.view_as_real({name})."
            )


def _rows(batch: Batch) -> tuple[int, ...] | None:
    """The shape of one of the tensors, to which the rows of all broadcast; None without one."""
    shapes = [_rows_of(batch, name) for name in batch.of_rows]
    try:
        rows = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return rows if rows in shapes else None


def _rows_of(batch: Batch, name: str) -> tuple[int, ...]:
    shape, axis = batch.shape(name) or (), batch.axis(name)
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])


def _spread_out(batch: Batch) -> Batch:
    """The same call with numbers of its own for every element, where some served several."""
    rows = _rows(batch)
    shared = [name for name in batch.of_rows if _rows_of(batch, name) != rows]
    if rows is None or not shared:
        return batch
    given = dict(batch.given)
    for name in shared:
        axis, tensor = batch.axis(name), batch.tensors[name]
        width = () if axis is None else tensor.shape[axis:]  # where rows broadcast, it is the last
        given[name] = tensor.expand(*rows, *width)
    return Batch(batch.loss, given)


def spread(sizes: Sizes) -> Spread:
    """How the loss and the gradient are spread."""
    loss, gradient = np.abs(sizes.losses), sizes.gradients
    if not loss.size:
        return Spread(sizes.batch.name, sizes.value, 0, (0.0,) * len(TOPS), (0.0,) * len(TOPS), ())
    return Spread(
        sizes.batch.name,
        sizes.value,
        loss.size,
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
    """The elements with the largest gradients; of equal ones, those with the largest losses."""
    total, losses = float(sizes.gradients.sum()), np.abs(sizes.losses)
    pulls = sizes.gradients if total else losses
    return [
        Element(
            sizes.place(int(k)),
            _numbers_at(sizes, int(k)),
            float(sizes.losses[k]),
            _slope_at(sizes, int(k)),
            float(sizes.gradients[k]) / total if total else 0.0,
        )
        for k in _first(min(_KEPT, int((pulls > 0).sum())), pulls, losses)
    ]


def _first(count: int, sizes: Array, then: Array) -> Any:
    """The places of the largest sizes; of equal ones, of those that are larger in `then`."""
    if not count:
        return ()
    least = np.partition(sizes, sizes.size - count)[sizes.size - count]
    near = np.flatnonzero(sizes >= least)
    return near[np.lexsort((-then[near], -sizes[near]))[:count]]


def _slope_at(sizes: Sizes, index: int) -> float:
    """Its sign, too, where the gradient is a single number."""
    slopes = list(sizes.slopes.values())
    if len(slopes) == 1 and slopes[0].shape[-1] == 1:
        return float(slopes[0][index, 0])
    return float(sizes.gradients[index])


def _numbers_at(sizes: Sizes, index: int) -> dict[str, float]:
    """What the tensors hold there: the number, that of the true class, or the size of the row."""
    batch, found = sizes.batch, {}
    labels = sizes.of_elements(batch.labels)
    for name in batch.of_rows:
        held = sizes.of_elements(batch.values(name))
        if held is None:
            continue
        here = held[index]
        if held.ndim == 1:
            found[name] = float(here)
        elif labels is not None and name == "input" and batch.name in CLASS_LOSSES:
            found["input at target"] = float(here[int(labels[index])])
        elif name == "target":
            found["sum of target"] = float(here.sum())
        else:
            found[f"|{name}|"] = float(np.linalg.norm(here))
    return found


def groups(sizes: Sizes) -> dict[str, list[Group]]:
    """By the class of the target, and by column, the largest gradients first."""
    found = {}
    labels = _labels(sizes)
    if labels is not None:
        found["class"] = _grouped(sizes, labels)
    if any(slope.shape[-1] > 1 for slope in sizes.slopes.values()):
        found["column"] = _columns(sizes)
    elif len(sizes.shape) > 1:
        columns = np.unravel_index(sizes.chosen, sizes.shape)[1]
        found["column"] = _grouped(sizes, columns)
    return {by: found[by] for by in found if len(found[by]) > 1}


def _labels(sizes: Sizes) -> Array | None:
    """The class of each element, if it has one."""
    batch = sizes.batch
    labelled = {d.name for name, d in batch.domains.items() if name == "target"}
    labels = sizes.of_elements(batch.labels)
    if labels is None and labelled & {PROBABILITY.name, SIGN.name} and batch.name != "kl_div":
        labels = sizes.of_elements(batch.values("target"))
    if labels is None or labels.ndim > 1:
        return None
    return labels if (labels == np.rint(labels)).all() else None


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
    if other.rows == () and batch.rows:
        return "takes all of them for a single row"
    for finding in examine(other):
        if finding.severity != "note" and finding.problem not in own:
            return finding.problem.rstrip(".")
    return other


def robust(sizes: Sizes) -> Robust | None:
    """What a robust loss would discount, of a loss that compares any two real numbers."""
    batch = sizes.batch
    kinds = {d.name for name, d in batch.domains.items() if name in batch.loss.tensors}
    if batch.loss.tensors != ("input", "target") or kinds != {REAL.name}:
        return None
    input, target = (sizes.of_elements(batch.values(name)) for name in batch.loss.tensors)
    if input is None or target is None or not input.size:
        return None
    errors = np.abs(input - target)
    delta = robust_delta(errors)
    beyond = errors > delta
    if not delta or not beyond.any():
        return None
    removed = float((errors - delta)[beyond].sum() / errors.sum())
    furthest = _first(min(_KEPT, int(beyond.sum())), errors, errors)
    return Robust(delta, int(beyond.sum()), removed, tuple(sizes.place(int(k)) for k in furthest))
