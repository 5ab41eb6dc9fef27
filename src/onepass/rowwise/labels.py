"""Class indices, as cross_entropy, nll_loss and multi_margin_loss take them.

Scores of any layout become rows, the class axis last, by views; what does not fit is refused
with what to write instead. Which rows count, and how much, is decided here for all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.runtime import checks
from onepass.runtime.call import RowCall


def class_axis(loss: str, input: Tensor, dim: int) -> int:
    """Where the classes are: axis `dim`, or the only one."""
    checks.are_tensors(loss, ["input"], [input])
    check_index(loss, "dim", dim)
    if input.dim() == 0:
        raise ShapeError(f"{loss}: `input` must have an axis of classes, got a single number.")
    if input.dim() == 1 and dim in (0, 1, -1):
        return 0
    if not -input.dim() <= dim < input.dim():
        raise ParameterError(
            f"{loss}: `dim` must be an axis of `input`, which has {input.dim()}; got {dim}."
        )
    return dim % input.dim()


def number_of_classes(loss: str, input: Tensor, axis: int) -> int:
    """On the axis of the classes; at least one."""
    if not input.shape[axis]:
        raise ShapeError(f"{loss}: `input` of shape {tuple(input.shape)} has no classes.")
    return input.shape[axis]


def scores(loss: str, input: Tensor) -> Tensor:
    """The scores as real numbers."""
    checks.are_tensors(loss, ["input"], [input])
    if input.dtype.is_complex:
        raise DtypeError(f"{loss}: `input` must be real, got {input.dtype}.")
    return input if input.dtype.is_floating_point else input.to(torch.get_default_dtype())


def classes_last(tensor: Tensor, axis: int) -> Tensor:
    """A view, or the tensor itself: a view is a node of the graph."""
    return tensor if axis == tensor.dim() - 1 else tensor.movedim(axis, -1)


def is_one_row(input: Tensor, target: Any) -> bool:
    """Whether a row without a batch has a target with one, which torch takes as well."""
    return isinstance(target, Tensor) and input.dim() == 1 and tuple(target.shape) == (1,)


def check_labels(
    loss: str, input: Tensor, target: Tensor, axis: int, *, has_dim: bool = True
) -> Tensor:
    """The class indices as int64; refuse what are none for the rows of the input.

    A loss that `has_dim` lets the caller say which axis the classes are on.
    """
    checks.are_tensors(loss, ["target"], [target])
    checks.device(loss, "target", target, input.device)
    wanted = tuple(size for k, size in enumerate(input.shape) if k != axis)
    if tuple(target.shape) != wanted:
        raise ShapeError(_mismatch(loss, input, target, axis, wanted, has_dim))
    if target.dtype.is_floating_point or target.dtype.is_complex or target.dtype is torch.bool:
        raise DtypeError(
            f"{loss}: class indices in `target` must be integers, got {target.dtype}. "
            "Write target.long()."
        )
    return target.long()


def _mismatch(
    loss: str, input: Tensor, target: Tensor, axis: int, wanted: tuple[int, ...], has_dim: bool
) -> str:
    given, scores = tuple(target.shape), tuple(input.shape)
    hint = ""
    for k, size in enumerate(given):
        if size == 1 and given[:k] + given[k + 1 :] == wanted:
            hint = f" Did you mean target.squeeze({k})?"
    for other in range(input.dim()):
        if not hint and given == scores[:other] + scores[other + 1 :]:
            dim = -1 if other == input.dim() - 1 else other
            remedy = f"dim={dim}" if has_dim else f"input.movedim({other}, {axis})"
            hint = f" If the classes are on axis {other}, write {remedy}."
    return (
        f"{loss}: `target` must hold a class index for every row of `input`, {wanted} for input "
        f"{scores} with {scores[axis]} classes on axis {axis}; got {given}.{hint}"
    )


def check_class_weight(
    loss: str, weight: Tensor | None, classes: int, device: torch.device | None
) -> None:
    """Refuse what is no weight for each class, on the device if that is known."""
    if weight is None:
        return
    checks.are_tensors(loss, ["weight"], [weight])
    if device is not None:
        checks.device(loss, "weight", weight, device)
    if not weight.dtype.is_floating_point:
        raise DtypeError(
            f"{loss}: `weight` must be floating point, got {weight.dtype}. Write weight.float()."
        )
    if tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{loss}: `weight` must have one entry for each of the {classes} classes, "
            f"({classes},); got {tuple(weight.shape)}."
        )


def class_weight(loss: str, weight: Tensor | None, input: Tensor, axis: int) -> Tensor | None:
    """A checked weight for each class, as kernels read it."""
    check_class_weight(loss, weight, input.shape[axis], input.device)
    if weight is None:
        return None
    wide = torch.float64 if input.dtype is torch.float64 else torch.float32
    return weight.to(wide).contiguous()


def check_index(loss: str, name: str, given: Any) -> None:
    """Refuse what is no integer."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise ParameterError(f"{loss}: `{name}` must be an integer, got {given!r:.60}.")


def probabilities(loss: str, input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """The target as class probabilities; none of them can be ignored."""
    checks.device(loss, "target", target, input.device)
    if ignore_index >= 0:
        raise ParameterError(
            f"{loss}: `ignore_index` is for class indices; got {ignore_index} with class "
            "probabilities. Write mask=, which leaves out rows of any target."
        )
    return target if target.dtype.is_floating_point else target.to(input.dtype)


def counts(target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """How much each row counts: the weight of its class, 0 for those that are ignored."""
    kept = target != ignore_index
    if weight is None:
        return kept
    # What a row without weight has for a label, nobody may look at; the others' are refused.
    legal = kept & (target >= 0) & (target < weight.shape[0])
    label = torch.where(legal, target, 0).unsqueeze(-1)  # vmap takes no index of a single number
    return torch.where(kept, weight[label].squeeze(-1), 0.0)


def refuse_out_of_range(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for the first label that is none, of the rows that count."""
    input, target = tensors
    classes, ignore_index = input.shape[-1], call.options.get("ignore_index")
    outside = (target < 0) | (target >= classes)
    if ignore_index is not None:
        outside = outside & (target != ignore_index)
    if call.weight is not None:
        outside = outside & (call.weight != 0)
    if not outside.any():
        return
    position = tuple(outside.nonzero()[0].tolist())
    more = int(outside.sum()) - 1
    or_ignored = "" if ignore_index is None else f" or ignore_index={ignore_index}"
    raise DomainError(
        f"{call.loss.name}: `target` must hold class indices in [0, {classes - 1}]{or_ignored}; "
        f"got {target[position].item()} at {position}{f' and {more} more' if more else ''}. "
        f"{_hint(target, classes, ignore_index)}".rstrip()
    )


def _hint(target: Tensor, classes: int, ignore_index: int | None) -> str:
    values = target.unique()
    if values.min() >= 1 and values.max() == classes:
        return "Classes count from 0: write target - 1."
    outside = values[(values < 0) | (values >= classes)]
    if len(outside) == 1:
        skipped = f"mask=target != {int(outside)}"
        skipped = skipped if ignore_index is None else f"ignore_index={int(outside)}"
        return f"If that marks rows to skip, write {skipped}."
    return ""


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
            inner = _product(input.shape[axis:-1])
            if inner >= fewest and input.shape[-1] <= most_across:
                return input, inner, True
    return input.contiguous(), count, False


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
