"""multi_margin_loss: the true class ahead of every other by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from onepass.define import REAL, Card, Rowwise, within
from onepass.errors import ParameterError, ShapeError
from onepass.rowwise import labels
from onepass.rowwise.multi_margin import cpu, reference

_NAME = "multi_margin_loss"


def _check_power(loss: str, name: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or given not in (1, 2):
        raise ParameterError(f"{loss}: `{name}` must be 1 or 2, got {given!r:.60}.")


of_labels = Rowwise(
    _NAME, ("input", "target"), reference.of_labels, cpu.plan,
    {"p": _check_power, "margin": within(REAL)},
    Card(
        task="classification",
        best_for="exactly one of many classes, kept apart by a margin, as a support vector machine",
        not_for="probabilities: cross entropy gives them",
        properties=("convex", "piecewise linear (p = 1) or smooth (p = 2)", "0 beyond the margin"),
        relatives=("cross_entropy", "margin_ranking_loss", "hinge_embedding_loss"),
        sources=("Weston and Watkins (1999), ESANN, 219-224",),
    ),
    refuse=labels.refuse_out_of_range,
)  # fmt: skip


def evaluate(
    input: Tensor,
    target: Tensor,
    p: int,
    margin: float,
    weight: Tensor | None,
    **weighting: Any,
) -> Tensor:
    """The loss of scores, given class indices."""
    options: dict[str, Any] = {"p": p, "margin": margin}
    of_labels.settings(options)
    input = labels.scores(_NAME, input)
    if labels.is_one_row(input, target):
        input = input.unsqueeze(0)
    axis = labels.class_axis(_NAME, input, 1)
    if not input.shape[axis]:
        raise ShapeError(f"{_NAME}: `input` must have classes, got {tuple(input.shape)}.")
    target = labels.check_labels(_NAME, input, target, axis, has_dim=False)
    options["weight"] = labels.class_weight(_NAME, weight, input, axis)
    return of_labels.evaluate((labels.classes_last(input, axis), target), options, **weighting)
