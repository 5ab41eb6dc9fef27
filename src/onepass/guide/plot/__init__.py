"""Pictures of a loss: value and gradient, families, alternatives, residuals, surfaces.

from onepass.guide.plot import plot, save

save(plot("huber_loss", delta=[0.5, 1, 2]), "deltas.svg")
save(plot("huber_loss", alternatives=["l1_loss", "mse_loss"], residuals=errors), "errors.png")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from onepass.errors import DtypeError, ParameterError, in_path, quoted
from onepass.guide.names import loss_named, settings_of
from onepass.guide.plot import draw, surfaces
from onepass.guide.plot.curves import MOST, Curve, curves_of, drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot", "save"]

# What a file says of its making, which would differ from one time to the next.
_UNDATED: dict[str, dict[str, None]] = {
    ".svg": {"Date": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}


def plot(
    loss: Any,
    *,
    alternatives: Iterable[Any] = (),
    residuals: Any = None,
    surface: bool = False,
    width: str = "wide",
    **settings: Any,
) -> Figure:
    """The value and the gradient of a loss over its input, kinks and edges of the domain marked.

    `loss` is a name, a loss, a function of onepass.functional or torch.nn.functional, or a class or
    module of onepass.nn or torch.nn; a loss of one's own is drawn as its domains say. What varies
    stands at the axis: the error, a logit, a probability, an angle.

    - settings: parameters, flags and optional tensors of the loss, and those of its tensors that
      stand still (target, var; classes, of losses of classes). A number holds for all curves, of a
      list each has its own: delta=[0.5, 1, 2]. The title says what holds for all.
    - alternatives: losses over the same axis, drawn with it; modules keep their settings.
    - residuals: any number of values on the horizontal axis, in its unit (errors, logits, ...);
      their histogram stands under the curves. Those that are nan or infinite are left out.
    - surface: instead of curves, filled contours of the value and of the size of the gradient:
      over error and variance for gaussian_nll_loss; over all distributions of three classes for
      cross_entropy, linear_cross_entropy, nll_loss and kl_div.
    - width: "wide", the panels beside each other, or "narrow", one above the other, for phones.

    Values and gradients are the loss's own, in float64. The figure is transparent, and its colours
    read on white and on black; pyplot does not know of it: see `save`, or its own savefig.

    Raises ParameterError for a loss, a setting, a width or a surface that there is not, a parameter
    outside of its domain, more than 8 curves, or an alternative over another axis; DomainError for
    a tensor outside of its domain; DtypeError for residuals that are no numbers;
    ModuleNotFoundError without matplotlib.
    """
    if width not in draw.SIZES:
        raise ParameterError(
            f"plot: `width` must be one of {', '.join(draw.SIZES)}; got {quoted(width)}."
        )
    alternatives = _several(alternatives)
    if surface:
        if alternatives or residuals is not None:
            raise ParameterError(
                "plot: a surface takes no `alternatives` and no `residuals`. Leave `surface` out, "
                "or those."
            )
        return surfaces.figure(loss_named(loss), _built_with(loss) | settings, width)
    curves = _curves(loss, settings)
    for alternative in alternatives:
        curves += _curves(alternative, {})
    _refuse_axes(curves)
    _refuse_many(curves)
    return draw.figure(curves, None if residuals is None else _numbers(residuals), width)


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as svg, png (192 dots an inch) or pdf, as the path's suffix says.

    The same figure gives the same bytes. Raises ParameterError for another suffix.
    """
    from matplotlib import rc_context

    suffix = Path(path).suffix.lower()
    if suffix not in _UNDATED:
        raise ParameterError(
            f"save: the path must end with one of {', '.join(_UNDATED)}; got {in_path(path)}."
        )
    with rc_context({"svg.hashsalt": "onepass"}):  # the seed of the ids; only there can it be set
        figure.savefig(path, format=suffix[1:], metadata=_UNDATED[suffix], dpi=192)


def _several(alternatives: Any) -> list[Any]:
    one = isinstance(alternatives, str) or not isinstance(alternatives, Iterable)
    return [alternatives] if one else list(alternatives)


def _curves(thing: Any, settings: Mapping[str, Any]) -> list[Curve]:
    return curves_of(loss_named(thing), _built_with(thing) | dict(settings))


def _built_with(thing: Any) -> dict[str, Any]:
    """The settings of a module that can be seen."""
    known = drawable(loss_named(thing))
    return {n: s for n, s in settings_of(thing).items() if n in known and s is not None}


def _refuse_axes(curves: list[Curve]) -> None:
    """Curves over different axes have nothing to do with each other."""
    first = curves[0]
    for curve in curves:
        axis, wanted = curve.section.axis, first.section.axis
        if axis != wanted:
            raise ParameterError(
                f"plot: {curve.loss.name} is drawn over {axis.label!r}, {first.loss.name} over "
                f"{wanted.label!r}: they share no axis. Plot them one by one."
            )


def _refuse_many(curves: list[Curve]) -> None:
    if len(curves) > MOST:
        raise ParameterError(
            f"plot: {len(curves)} curves are too many to be told apart, at most {MOST} are drawn. "
            "Give fewer values or fewer alternatives."
        )


def _numbers(residuals: Any) -> Tensor:
    """Those that are finite, as one row."""
    try:
        numbers = torch.as_tensor(residuals)
        if numbers.is_complex():
            raise TypeError("complex numbers")
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(
            f"plot: `residuals` must be a tensor, an array or a list of numbers; got "
            f"{type(residuals).__name__}: {quoted(residuals)} ({error})."
        ) from None
    numbers = numbers.detach().to("cpu", torch.float64).flatten()
    numbers = numbers[numbers.isfinite()]
    if not len(numbers):
        raise ParameterError("plot: `residuals` holds no finite number. Leave it out.")
    return numbers
