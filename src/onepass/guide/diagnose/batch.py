"""One call of a loss, as patterns look at it: which numbers count, and what comes of them."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onepass.define import SIGN, Domain, Pointwise, Rowwise
from onepass.formula.domain import PROBABILITY
from onepass.guide.diagnose.values import Array, Flags, Values, numbers
from onepass.guide.names import function_of, loss_named, parameters_of
from onepass.runtime.dispatch import engine

SAMPLE = 10_000_000  # numbers of a tensor beyond which rows are left out
_PRODUCTS = 4_000_000_000  # multiplications of a linear layer beyond which rows are left out
CLASS_LOSSES = ("cross_entropy", "nll_loss", "multi_margin_loss")
TRIPLET_LOSSES = ("triplet_margin_loss", "triplet_margin_with_distance_loss")
_VECTORS = {  # tensors whose last axis is a row
    "linear_cross_entropy": ("input",),
    "multilabel_soft_margin_loss": ("input", "target"),
    "cosine_embedding_loss": ("input1", "input2"),
    **dict.fromkeys(TRIPLET_LOSSES, ("anchor", "positive", "negative")),
}
_ROWWISE_DOMAINS = {
    "cosine_embedding_loss": {"target": SIGN},
    "multilabel_soft_margin_loss": {"target": PROBABILITY},
}


@dataclass(frozen=True)
class Outcome:
    """What the call returns, and the gradients by its predictions, or the exception it raises.

    Tensors without numbers have neither.
    """

    value: Tensor | None = None
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    error: Exception | None = None


class Batch:
    """One call of a loss, looked at without touching its tensors.

    `given` are the arguments by name. Of tensors beyond SAMPLE numbers every `step`-th entry along
    one axis of rows is kept in `seen`, the same rows in all of them; otherwise `seen` is `given`.
    """

    def __init__(self, loss: Pointwise | Rowwise, given: Mapping[str, Any]) -> None:
        self.loss, self.name = loss, loss.name
        self.given = _with_variance(given)
        self.tensors = {name: t for name, t in self.given.items() if isinstance(t, Tensor)}
        shared = loss.shared
        self.shared = tuple(shared)
        self.thinned = (0, 1)
        self.seen: Mapping[str, Any] = self.given
        self._values: dict[str, Values | None] = {}
        self._thin()

    # --- shapes ----------------------------------------------------------------------------------

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Of a tensor as it was given; None of what is no tensor."""
        return tuple(self.tensors[name].shape) if name in self.tensors else None

    def axis(self, name: str) -> int | None:
        """Where a tensor has its classes or features; None if it has one number for each row."""
        shape = self.shape(name)
        if not shape:
            return None
        if self.name in CLASS_LOSSES:
            of_classes = name == "input" or (name == "target" and shape == self.shape("input"))
            return self._class_axis(len(shape)) if of_classes else None
        if name == "target" and self.name == "linear_cross_entropy":
            return len(shape) - 1 if len(shape) == len(self.shape("input") or ()) else None
        return len(shape) - 1 if name in _VECTORS.get(self.name, ()) else None

    def _class_axis(self, axes: int) -> int | None:
        dim = self.given.get("dim", 1)
        if axes == 1:
            return 0
        return dim % axes if isinstance(dim, int) and -axes <= dim < axes else None

    @cached_property
    def classes(self) -> int | None:
        """How many classes there are, for losses that have some."""
        of = "linear_weight" if self.name == "linear_cross_entropy" else "input"
        shape, axis = self.shape(of), 0 if of == "linear_weight" else self.axis(of)
        return shape[axis] if shape and axis is not None else None

    @property
    def of_rows(self) -> tuple[str, ...]:
        """The tensors of the loss that have something for every row."""
        return tuple(n for n in self.loss.tensors if n in self.tensors and n not in self.shared)

    @cached_property
    def rows(self) -> tuple[int, ...] | None:
        """The shape of the unreduced loss, as `seen`; None if the tensors do not fit together."""
        return self._rows(self.seen)

    @cached_property
    def rows_given(self) -> tuple[int, ...] | None:
        """The same, as `given`."""
        return self._rows(self.given)

    def _rows(self, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
        shapes = [self._row_shape(name, arguments[name]) for name in self.of_rows]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            return None
        return shape if shape in shapes else None

    def _row_shape(self, name: str, tensor: Tensor) -> tuple[int, ...]:
        axis, shape = self.axis(name), tuple(tensor.shape)
        return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])

    # --- samples ---------------------------------------------------------------------------------

    def _thin(self) -> None:
        """Leave out rows of tensors that are too large to look at."""
        step = math.ceil(max((t.numel() / SAMPLE for t in self.tensors.values()), default=0))
        layer = self.tensors.get("linear_weight")
        rows = self.rows_given
        if layer is not None and rows:
            step = max(step, math.ceil(math.prod(rows) * layer.numel() / _PRODUCTS))
        if step <= 1 or not rows:
            return
        axis = int(np.argmax(rows))
        self.thinned = axis, min(step, rows[axis])
        beside = ("weight", "sample_weight", "mask", "pos_weight")
        named = [n for n in (*self.of_rows, *beside) if n in self.tensors]
        self.seen = {**self.given, **{name: self._thinned(name, rows) for name in named}}

    def _thinned(self, name: str, rows: tuple[int, ...]) -> Tensor:
        tensor = self.tensors[name]
        axis, step = self.thinned
        row_axis = axis - len(rows) + len(self._row_shape(name, tensor))
        features = self.axis(name)
        row_axis += features is not None and row_axis >= features
        if row_axis < 0 or tensor.shape[row_axis] != rows[axis]:
            return tensor
        index = [slice(None)] * tensor.dim()
        index[row_axis] = slice(None, None, step)
        return tensor[tuple(index)]

    # --- numbers ---------------------------------------------------------------------------------

    def values(self, name: str) -> Values | None:
        """The numbers of an argument in rows that count; None if there are none to be read."""
        if name not in self._values:
            self._values[name] = self._read(name)
        return self._values[name]

    def _read(self, name: str) -> Values | None:
        tensor = self.seen.get(name)
        if not isinstance(tensor, Tensor) or tensor.numel() > 2 * SAMPLE:
            return None
        axis, chosen, rows = self.axis(name), self.counted, self.rows
        shape = self._row_shape(name, tensor)
        of_rows = name in self.of_rows and rows is not None and chosen is not None
        array = numbers(tensor)
        if array is None:
            return None
        if axis is not None:
            array = np.moveaxis(array, axis, -1)
        width = array.shape[-1:] if axis is not None else ()
        if of_rows and rows is not None:
            array = np.broadcast_to(array, (*rows, *width))
        flat = array.reshape(-1, *width) if array.size else array.reshape(0, *width)
        kept = np.flatnonzero(chosen) if of_rows and chosen is not None else None
        flat = flat if kept is None else flat[kept]
        return Values(flat, name, shape, axis, kept, rows or (), self.thinned)

    @cached_property
    def labels(self) -> Values | None:
        """The target as class indices, if that is what it holds."""
        target = self.tensors.get("target")
        of_classes = self.name in (*CLASS_LOSSES, "linear_cross_entropy")
        if not of_classes or target is None or self.axis("target") is not None:
            return None
        whole = not (target.dtype.is_floating_point or target.dtype.is_complex)
        return self.values("target") if whole else None

    @cached_property
    def counted(self) -> Flags | None:
        """Which rows count, of those seen, in one row; None: all of them."""
        if self.rows is None:
            return None
        counted = None
        for part in (self._masked(), self._ignored(), *self._weightless()):
            if part is not None:
                counted = part if counted is None else counted & part
        return counted

    def _masked(self) -> Flags | None:
        return self._as_rows(numbers(self.seen.get("mask")))

    def _weightless(self) -> list[Flags | None]:
        weights = [numbers(self.seen.get("sample_weight"))]
        if isinstance(self.loss, Pointwise):
            weights.append(numbers(self.seen.get("weight")))
        return [self._as_rows(weight) for weight in weights]

    def _ignored(self) -> Flags | None:
        """Rows whose class is the ignored one, or has no weight."""
        target, weight = numbers(self.seen.get("target")), numbers(self.seen.get("weight"))
        if target is None or self.axis("target") is not None or "ignore_index" not in self.given:
            return None
        index = self.ignore_index
        kept = target != index
        if weight is not None and weight.ndim == 1 and weight.size and self._only_label_counts():
            legal = kept & (target >= 0) & (target < weight.size)
            label = np.where(legal, target, 0).astype(np.int64)
            kept &= ~legal | (weight[label] != 0)
        return self._as_rows(kept)

    def _only_label_counts(self) -> bool:
        return not (self.given.get("label_smoothing") or self.given.get("z_loss"))

    @property
    def ignore_index(self) -> int:
        """The class index of rows that do not count."""
        index = self.given.get("ignore_index")
        return -100 if index is None else index

    def _as_rows(self, part: Array | None) -> Flags | None:
        """What is not 0 of a weight, for every row; None if all is, or if the shapes do not fit."""
        if part is None or self.rows is None:
            return None
        flags = part != 0
        if flags.all():
            return None
        try:
            return np.broadcast_to(flags, self.rows).ravel()
        except ValueError:
            return None

    @cached_property
    def counts(self) -> int:
        """How many rows count."""
        if self.rows is None:
            return 0
        return math.prod(self.rows) if self.counted is None else int(self.counted.sum())

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """Which values the arguments may have, as far as the loss says so."""
        if isinstance(self.loss, Rowwise):
            return _ROWWISE_DOMAINS.get(self.name, {})
        flags = {name: bool(self.given[name]) for name in self.loss.flags}
        return self.loss.domains_of(flags)

    def arguments_in(self, domain: Domain) -> list[str]:
        """The tensors that are to hold values of this domain."""
        return [n for n, d in self.domains.items() if d.name == domain.name and n in self.tensors]

    # --- what comes of it ------------------------------------------------------------------------

    @property
    def predictions(self) -> list[str]:
        """The tensors that a model makes and that can have a gradient."""
        return [n for n in self.of_rows if n != "target" and self.tensors[n].is_floating_point()]

    @cached_property
    def outcome(self) -> Outcome:
        """Of the call on what is seen, by the definition of the loss."""
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():  # noqa: FBT003
            warnings.simplefilter("ignore")
            try:
                return self._run()
            except Exception as error:  # noqa: BLE001 - whatever a distance of one's own may raise
                return Outcome(error=error)

    def _run(self) -> Outcome:
        plain = self._plain_tensors()
        leaves = {name: plain[name].clone().requires_grad_() for name in self.predictions}
        with engine("eager"):
            value = function_of(self.loss)(**{**self.seen, **plain, **leaves})
            if value.is_meta:
                return Outcome()
            if not value.requires_grad:
                return Outcome(value.detach())
            slopes = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        found: Any = zip(leaves, slopes, strict=True)
        return Outcome(value.detach(), {n: s.to_dense() for n, s in found if s is not None})

    def unreduced(self) -> Tensor:
        """The loss of each row of a call that is not refused."""
        changes = {"reduction": "none", "normalizer": None}
        with torch.inference_mode(False), torch.no_grad(), engine("eager"):  # noqa: FBT003
            return function_of(self.loss)(**{**self.seen, **self._plain_tensors(), **changes})

    def _plain_tensors(self) -> dict[str, Tensor]:
        return {name: _plain(t) for name, t in self.seen.items() if isinstance(t, Tensor)}

    # --- words -----------------------------------------------------------------------------------

    def call(self, loss: str | None = None, **changes: str | None) -> str:
        """The call in code, with these changes; of another loss if one is named.

        Options that the caller did not give, or that the other loss does not have, are left out,
        as is what is changed to None.
        """
        name = loss or self.name
        given = {
            k: _in_code(k, g) for k, g in self.given.items() if self._is_chosen(k, g)
        } | changes
        words = []
        for argument, default in parameters_of(loss_named(loss) if loss else self.loss).items():
            if default is inspect.Parameter.empty:
                words.append(given.get(argument) or argument)
            elif given.get(argument) is not None:
                words.append(f"{argument}={given[argument]}")
        return f"{name}({', '.join(words)})"

    def _is_chosen(self, name: str, given: Any) -> bool:
        default = parameters_of(self.loss)[name]
        plain = isinstance(given, bool | int | float | str)
        return given != default if plain else given is not default


def _in_code(name: str, given: Any) -> str:
    return repr(given) if isinstance(given, bool | int | float | str) else name


def _plain(tensor: Tensor) -> Tensor:
    """The same numbers, with no graph behind them, which autograd may keep."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _with_variance(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, gaussian_nll_loss's var as a tensor of as many axes as the input."""
    input, var = given.get("input"), given.get("var")
    if not isinstance(input, Tensor) or var is None or isinstance(var, bool):
        return given
    if isinstance(var, Tensor):
        per_row = input.shape != var.shape == input.shape[:-1]
        return {**given, "var": var.unsqueeze(-1)} if per_row else given
    if isinstance(var, int | float):
        dtype = input.dtype if input.is_floating_point() else None
        return {**given, "var": torch.full((), var, dtype=dtype, device=input.device)}
    return given
