"""Class indices, as cross_entropy, nll_loss and multi_margin_loss take them.

Scores of any layout become rows, the class axis last, by views; what does not fit is refused
with what to write instead. Which rows count, and how much, is decided here for all three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from onepass.errors import DomainError, DtypeError, ParameterError, ShapeError
from onepass.runtime import checks, sharded
from onepass.runtime.call import RowCall


def class_axis(loss: str, input: Tensor, dim: int) -> int:
    """Where the classes are, of which there is one at least: axis `dim`, or the only axis."""
    if input.dim() == 0:
        raise ShapeError(f"{loss}: `input` must have an axis of classes, got a single number.")
    if not -input.dim() <= dim < input.dim() and (input.dim(), dim) != (1, 1):
        raise ParameterError(
            f"{loss}: `dim` must be an axis of `input`, which has {input.dim()}; got {dim}."
        )
    axis = dim % input.dim()
    if not input.shape[axis]:
        raise ShapeError(
            f"{loss}: `input` must have at least one class, on axis {axis}; "
            f"got {tuple(input.shape)}."
        )
    return axis


def scores(loss: str, input: Tensor, name: str = "input") -> Tensor:
    """The scores as real numbers."""
    checks.are_tensors(loss, [name], [input])
    _check_real(loss, name, input)
    return input if input.dtype.is_floating_point else input.to(torch.get_default_dtype())


def _check_real(loss: str, name: str, tensor: Tensor) -> None:
    if tensor.dtype.is_complex:
        raise DtypeError(
            f"{loss}: `{name}` must be real, got {tensor.dtype}. Write {name}.real or {name}.abs()."
        )


def classes_last(tensor: Tensor, axis: int) -> Tensor:
    """A view, or the tensor itself: a view is a node of the graph."""
    return tensor if axis == tensor.dim() - 1 else tensor.movedim(axis, -1)


def check_labels(
    loss: str,
    input: Tensor,
    target: Tensor,
    axis: int,
    *,
    shape: tuple[int, ...] | None = None,
    elsewhere: str = "dim={dim}",
) -> Tensor:
    """The class indices as int64; refuse a target of the wrong shape or dtype.

    A row without a batch may have a target with one, as in torch. `shape` is that of the logits,
    where the input does not hold them; `elsewhere`, what to write for classes on another axis.
    """
    _check_target(loss, input, target)
    of, shape = ("input", tuple(input.shape)) if shape is None else ("logits", shape)
    if len(shape) == 1 and tuple(target.shape) == (1,):
        target = target.squeeze(0)
    given, wanted = tuple(target.shape), shape[:axis] + shape[axis + 1 :]
    if not checks.same_shape(given, wanted):
        hint = checks.squeeze_hint("target", given, wanted)
        if not hint and of == "input":
            hint = _axis_hint(given, shape, axis, elsewhere)
        raise ShapeError(
            f"{loss}: `target` must hold a class index for every row of `input`, {wanted} for {of} "
            f"{shape} with {shape[axis]} classes on axis {axis}; got {given}.{hint}"
        )
    if target.dtype.is_floating_point or target.dtype.is_complex or target.dtype is torch.bool:
        raise DtypeError(
            f"{loss}: class indices in `target` must be integers, got {target.dtype}. "
            "Write target.long()."
        )
    return target.long()


def _check_target(loss: str, input: Tensor, target: Tensor) -> None:
    checks.are_tensors(loss, ["target"], [target])
    checks.device(loss, "target", target, input.device)


def _axis_hint(given: tuple[int, ...], shape: tuple[int, ...], axis: int, elsewhere: str) -> str:
    for other in range(len(shape)):
        if given == shape[:other] + shape[other + 1 :]:
            dim = -1 if other == len(shape) - 1 else other
            remedy = elsewhere.format(dim=dim, other=other, axis=axis)
            return f" If the classes are on axis {other}, write {remedy}."
    return ""


def check_class_weight(
    loss: str,
    weight: Tensor | None,
    classes: int | None = None,
    device: torch.device | None = None,
) -> None:
    """Refuse what is no weight for each class, as far as their number and the device are known."""
    if weight is None:
        return
    checks.are_tensors(loss, ["weight"], [weight])
    if device is not None:
        checks.device(loss, "weight", weight, device)
    if not weight.dtype.is_floating_point:
        raise DtypeError(
            f"{loss}: `weight` must be floating point, got {weight.dtype}. Write weight.float()."
        )
    if weight.dim() != 1 or (classes is not None and weight.shape[0] != classes):
        each = "class, (classes,)" if classes is None else f"of the {classes} classes, ({classes},)"
        raise ShapeError(
            f"{loss}: `weight` must have one entry for each {each}; got {tuple(weight.shape)}."
        )


def class_weight(loss: str, weight: Tensor | None, input: Tensor, axis: int) -> Tensor | None:
    """A checked weight for each class, as kernels read it."""
    check_class_weight(loss, weight, input.shape[axis], input.device)
    if weight is None:
        return None
    wide = torch.float64 if input.dtype is torch.float64 else torch.float32
    return weight.to(wide).contiguous()


def probabilities(
    loss: str, input: Tensor, target: Tensor, shape: tuple[int, ...], ignore_index: int
) -> Tensor | None:
    """The target as class probabilities of logits of this shape, none of which can be ignored;
    None if it is to hold class indices.
    """
    _check_target(loss, input, target)
    given = tuple(target.shape)
    if not checks.same_shape(given, shape):
        if target.dtype.is_floating_point and len(given) == len(shape):
            raise ShapeError(
                f"{loss}: class probabilities in `target` must have the shape of the logits, "
                f"{shape}; got {given}. Class indices are integers."
            )
        return None
    _check_real(loss, "target", target)
    if ignore_index >= 0:
        raise ParameterError(
            f"{loss}: `ignore_index` is for class indices; got {ignore_index} with class "
            "probabilities. Write mask=, which leaves out rows of any target."
        )
    return target if target.dtype.is_floating_point else target.to(input.dtype)


def is_label(scores: Tensor, label: Tensor) -> Tensor:
    """Which of the scores, (*rows, classes), are those of their rows' labels, (*rows)."""
    return sharded.places(scores) == label.unsqueeze(-1)


def at_label(scores: Tensor, label: Tensor) -> Tensor:
    """Of each row the score of its label."""
    if not sharded.is_sharded(scores):
        return scores.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    # torch gathers from sharded classes as well, but only one tensor at a time; and what it gives
    # cannot be squeezed. A label that is no class is nan, for no rank knows of the others'.
    one = sharded.total(torch.where(is_label(scores, label), scores, 0.0)).squeeze(-1)
    return torch.where((label >= 0) & (label < scores.shape[-1]), one, torch.nan)


def counts(tensors: Sequence[Tensor], options: Mapping[str, Any]) -> Tensor:
    """How much each row counts: the weight of its class, 0 for those that are ignored."""
    target, weight = tensors[1], options["weight"]
    kept = target != options["ignore_index"]
    if weight is None:
        return kept
    target, kept, of_classes = sharded.together([target, kept, weight])
    # What a row without weight has for a label, nobody may look at; the others' are refused.
    legal = kept & (target >= 0) & (target < of_classes.shape[0])
    label = torch.where(legal, target, 0).unsqueeze(-1)  # vmap takes no index of a single number
    wide = torch.promote_types(of_classes.dtype, torch.float32)
    return torch.where(kept, of_classes.to(wide)[label].squeeze(-1), 0.0)


def refuse_out_of_range(call: RowCall, tensors: Sequence[Tensor]) -> None:
    """Raise for the first out-of-range label of a row that counts."""
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
