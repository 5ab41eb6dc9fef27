"""What was given: a target, and which kind of input goes with it by number and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError, quoted
from onepass.guide.recommend.columns import WHOLE, Column, column

Array = NDArray[np.float64]
Form = Literal["none", "alike", "scores", "variance", "score pairs", "embedding pairs", "triplets"]

PAIR_LABELS = ((-1.0, 1.0), (0.0, 1.0), (-1.0,), (0.0,), (1.0,))


@dataclass(frozen=True)
class Given:
    """A target and its inputs.

    `form` says what the inputs are: "alike" is one prediction per target, "scores" one per class
    on axis `dim`, "variance" a mean and its variance; the others are comparisons.
    """

    target: Column
    form: Form = "none"
    inputs: tuple[Array, ...] = ()
    dim: int = 1
    notes: tuple[str, ...] = ()


def given(target: Any, input: Any) -> Given:
    """Target and input as arrays that fit together.

    Raises ShapeError, DtypeError, DomainError or ParameterError if they do not.
    """
    parts = _parts(input)
    if target is None:
        return _triplets(parts)
    if len(parts) == 3:
        raise ParameterError(
            "recommend: three inputs are anchor, positive and negative, which have no target; "
            "write recommend(None, (anchor, positive, negative))."
        )
    known = column("target", target)
    if not parts:
        return Given(known)
    return _one(known, parts[0]) if len(parts) == 1 else _two(known, parts)


def _parts(input: Any) -> tuple[Array, ...]:
    """A tuple of arrays is several inputs; anything else is one."""
    if input is None:
        return ()
    if not isinstance(input, tuple) or all(np.ndim(part) == 0 for part in input):
        return (_numbers("input", input),)
    if len(input) not in (2, 3):
        raise ParameterError(
            f"recommend: `input` is a tuple of {len(input)}; give two (mean and variance, or a "
            f"pair) or three (anchor, positive and negative)."
        )
    return tuple(_numbers(f"input[{place}]", part) for place, part in enumerate(input))


def _numbers(name: str, thing: Any) -> Array:
    made = column(name, thing)
    if made.names:
        raise DtypeError(
            f"recommend: `{name}` holds strings, such as {quoted(made.names[0])}; give numbers: "
            f"predictions, logits or embeddings."
        )
    return made.values


def _triplets(parts: Sequence[Array]) -> Given:
    if len(parts) != 3:
        raise DtypeError(
            "recommend: `target` is None, which only triplets allow; give a target, or "
            "recommend(None, (anchor, positive, negative))."
        )
    if len({part.shape for part in parts}) > 1:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"recommend: anchor, positive and negative must have one shape (rows, features); got "
            f"{shapes}."
        )
    anchors = parts[0]
    rows = np.array([part.reshape(-1, anchors.shape[-1]) for part in parts])
    kept = np.isfinite(rows).all(axis=(0, 2))
    notes = _dropped("triplets", int(kept.size - kept.sum()), kept.size)
    if not kept.any():
        raise DomainError(
            "recommend: every triplet has a value that is not finite; give at least one that is."
        )
    return Given(Column(np.ones(int(kept.sum()))), "triplets", tuple(rows[:, kept]), notes=notes)


def _dropped(things: str, dropped: int, count: int) -> tuple[str, ...]:
    if not dropped:
        return ()
    return (f"{dropped} of {count} {things} are not finite and were left out",)


def _one(target: Column, input: Array) -> Given:
    """Predictions of the target's shape, or a score for each class."""
    values = target.values
    if _squeezed(values) == _squeezed(input):
        _refuse_one_score(target)
        return Given(target, "alike", (input.reshape(values.shape),), notes=_squeeze(values, input))
    shape = _squeezed(values)
    if input.ndim == 1 and not shape:
        input = input[None]
        shape = (1,)
    axes = [axis for axis in (1, -1) if _without(input, axis) == shape]
    if not axes:
        raise ShapeError(
            f"recommend: `input` {input.shape} and `target` {values.shape} do not go together; "
            f"input has the target's shape (predictions), or one axis more (a score per class)."
        )
    if not target.whole:
        raise ShapeError(
            f"recommend: `input` {input.shape} has one axis more than `target` {values.shape}, as "
            f"scores of classes do, but the target is no class index: it holds "
            f"{_fraction(values)}. For a mean and a variance write (input[:, 0], input[:, 1])."
        )
    notes = _axis_notes(axes, input, values)
    flat = Column(values.reshape(shape), target.names, target.boolean)
    return Given(flat, "scores", (np.moveaxis(input, axes[0], -1),), axes[0], notes)


def _refuse_one_score(target: Column) -> None:
    if len(target.names) > 2:
        raise ShapeError(
            f"recommend: `target` holds {len(target.names)} different strings, but `input` one "
            f"number for each; give a score per class, of shape (N, {len(target.names)})."
        )


def _squeezed(values: Array) -> tuple[int, ...]:
    return tuple(size for size in values.shape if size != 1)


def _squeeze(target: Array, input: Array) -> tuple[str, ...]:
    if target.shape == input.shape:
        return ()
    shapes = f"`input` is {input.shape} and `target` {target.shape}"
    return (f"{shapes}: a loss would broadcast them; write input.reshape(target.shape)",)


def _without(input: Array, axis: int) -> tuple[int, ...] | None:
    """The shape without an axis and those of size 1; None if there is no such axis."""
    if input.ndim < 2:
        return None
    sizes = list(input.shape)
    del sizes[axis]
    return tuple(size for size in sizes if size != 1) or (1,)


def _axis_notes(axes: list[int], input: Array, target: Array) -> tuple[str, ...]:
    notes = []
    if target.ndim == input.ndim:
        notes.append(f"`target` is {target.shape}: class indices have no such axis; squeeze it")
    if len(axes) == 2 and input.ndim > 2 and input.shape[1] != 1:
        notes.append(
            f"classes may be axis 1 or the last of `input` {input.shape}: both have size "
            f"{input.shape[-1]}; dim=1 was taken, dim=-1 is the other"
        )
    return tuple(notes)


def _fraction(values: Array) -> float:
    """The first value that is no index."""
    finite = values[np.isfinite(values)]
    return float(finite[(finite != np.round(finite)) | (np.abs(finite) >= WHOLE)][0])


def _two(target: Column, parts: Sequence[Array]) -> Given:
    """A pair of scores or of embeddings with labels, or a mean and its variance."""
    first, second = parts
    values, labelled = target.values, _labels(target.values) in PAIR_LABELS
    if first.shape == second.shape and _squeezed(values) == _squeezed(first[..., 0]):
        if not labelled:
            raise DomainError(
                f"recommend: `target` says of a pair of embeddings whether they belong together: 1 "
                f"or -1; got {_some(values)}."
            )
        return _pairs("embedding pairs", target, parts)
    if _squeezed(first) != _squeezed(values):
        raise ShapeError(
            f"recommend: `input` is a tuple of {first.shape} and {second.shape}, `target` "
            f"{values.shape}; give a mean and a variance of the target's shape, two scores of its "
            f"shape, or two embeddings with one axis more."
        )
    if first.shape == second.shape and labelled:
        return _pairs("score pairs", target, [part.reshape(-1, 1) for part in parts])
    if target.names:
        raise DtypeError(
            f"recommend: `target` holds strings, such as {quoted(target.names[0])}; a mean and a "
            f"variance belong to a target of numbers."
        )
    return _variance(target, first, second)


def _labels(values: Array) -> tuple[float, ...]:
    finite = values[np.isfinite(values)]
    return tuple(np.unique(finite).tolist()) if finite.size else ()


def _some(values: Array) -> str:
    return ", ".join(f"{value:g}" for value in _labels(values)[:4])


def _pairs(form: Form, target: Column, parts: Sequence[Array]) -> Given:
    features = parts[0].shape[-1]
    rows = np.array([part.reshape(-1, features) for part in parts])
    kept = np.isfinite(rows).all(axis=(0, 2)) & np.isfinite(target.values.ravel())
    notes = _dropped("pairs", int(kept.size - kept.sum()), kept.size)
    if not kept.any():
        raise DomainError("recommend: every pair or its label is not finite; give one that is.")
    labels = Column(target.values.ravel()[kept], boolean=target.boolean)
    return Given(labels, form, tuple(rows[:, kept]), notes=notes)


def _variance(target: Column, mean: Array, variance: Array) -> Given:
    values = target.values
    rowwise = values.ndim > 1 and variance.shape == values.shape[:-1]
    try:
        var = np.broadcast_to(variance[..., None] if rowwise else variance, values.shape)
    except ValueError:
        if variance.size != values.size:
            raise ShapeError(
                f"recommend: the variance {variance.shape} does not broadcast to `target` "
                f"{values.shape}; give one per target, or one per row."
            ) from None
        var = variance.reshape(values.shape)
    mean_notes = _squeeze(values, mean)
    return Given(target, "variance", (mean.reshape(values.shape), var), notes=mean_notes)
