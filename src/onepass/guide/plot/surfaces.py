"""Surfaces of a loss: its value and the size of its gradient over a plane through its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from onepass.catalogue import catalogue
from onepass.define import Pointwise, Rowwise
from onepass.errors import ParameterError
from onepass.guide.plot import draw
from onepass.guide.plot.curves import drawable, seen, unreduced
from onepass.runtime import keywords
from onepass.runtime.dispatch import engine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BANDS = 9  # of the filled contours, about
_EXTEND = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "logical_and",
}  # whether there is something below the lowest band, and above the highest
_SIDE = 60  # points along a side
_EDGE = 1e-3  # the least probability: at 0 its logarithm is infinite
_TARGET = (0.6, 0.3, 0.1)  # a distribution, where one is held
_HEIGHT = math.sqrt(3) / 2  # the height of a triangle with sides of 1


@dataclass(frozen=True)
class Surface:
    """A plane through a loss's tensors.

    `points` are the positions (n, k) and where they are drawn (n, 2); `tensors` takes the positions
    to the loss's tensors, `furnish` names what is around the panel.
    """

    points: Callable[[], tuple[Tensor, Tensor]]
    tensors: Callable[[Tensor], dict[str, Tensor]]
    furnish: Callable[[Axes], None]
    about: str = ""


def figure(loss: Pointwise | Rowwise, given: Mapping[str, Any], width: str) -> Figure:
    """Filled contours of the value and of the size of the gradient by the input."""
    surface = _surface_of(loss)
    defaults = drawable(loss)
    keywords.unknown(loss.name, given, tuple(defaults))
    settings = defaults | dict(given)
    positions, places = surface.points()
    drawn, panels = draw.canvas(width)
    heights = _value_and_size(loss, surface.tensors(positions), settings)
    for panel, height, label in zip(
        panels, heights, ("value (nats)", "size of the gradient by input"), strict=True
    ):
        draw.furnish(panel, "", label)
        _contours(panel, places, height)
        surface.furnish(panel)
    draw.entitle(drawn, [loss.name, ", ".join([*draw.equations(settings), surface.about])], width)
    return drawn


def _surface_of(loss: Pointwise | Rowwise) -> Surface:
    if loss.name not in SURFACES or catalogue().get(loss.name) is not loss:
        raise ParameterError(
            f"plot: {loss.name} has no surface; there is one of {', '.join(SURFACES)}. "
            "Leave `surface` out."
        )
    return SURFACES[loss.name]


def _value_and_size(
    loss: Pointwise | Rowwise, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    input = tensors["input"].clone().requires_grad_()
    with engine("eager"):
        value = unreduced(loss, {**tensors, "input": input}, settings)
        (gradient,) = torch.autograd.grad(value.sum(), input)
    return value.detach(), gradient.reshape(len(value), -1).norm(dim=-1)


def _contours(panel: Axes, places: Tensor, height: Tensor) -> None:
    from matplotlib.ticker import MaxNLocator
    from matplotlib.tri import Triangulation

    low, high = seen(height)
    if high - low < 1e-9 * max(1.0, abs(high)):  # flat
        levels, ticks = [low - 0.5, low + 0.5], [low]
    else:
        levels = ticks = MaxNLocator(_BANDS).tick_values(low, high)
    triangles = Triangulation(*places.T)
    extend = _EXTEND[bool(height.min() < levels[0]), bool(height.max() > levels[-1])]
    shown = panel.tricontourf(triangles, height, levels=levels, cmap="viridis", extend=extend)
    bar = panel.figure.colorbar(shown, ax=panel, ticks=ticks, aspect=24)
    bar.ax.tick_params(colors=draw.GREY, labelsize=draw.FONT - 1)
    bar.outline.set_edgecolor(draw.GREY)


# Error and variance.


def _plane() -> tuple[Tensor, Tensor]:
    """Errors from -3 to 3, variances from 0.1 to 10 in equal ratios."""
    error = torch.linspace(-3, 3, _SIDE + 1, dtype=torch.float64)
    log_variance = torch.linspace(-1, 1, _SIDE + 1, dtype=torch.float64)
    places = torch.cartesian_prod(error, log_variance)
    return torch.stack([places[:, 0], 10 ** places[:, 1]], -1), places


def _of_error_and_variance(positions: Tensor) -> dict[str, Tensor]:
    error, variance = positions.unbind(-1)
    return {"input": error, "target": torch.zeros_like(error), "var": variance}


def _name_plane(panel: Axes) -> None:
    panel.set_xlabel("error = input − target", color=draw.GREY, fontsize=draw.FONT)
    panel.set_ylabel("var", color=draw.GREY, fontsize=draw.FONT)
    panel.set_yticks([-1, math.log10(0.3), 0, math.log10(3), 1], ["0.1", "0.3", "1", "3", "10"])


# Three classes: every point of the triangle is a distribution, every corner a class.


def _simplex() -> tuple[Tensor, Tensor]:
    steps = [(i, j, _SIDE - i - j) for i in range(_SIDE + 1) for j in range(_SIDE + 1 - i)]
    shares = torch.tensor(steps, dtype=torch.float64) / _SIDE
    corners = torch.tensor([[0.5, _HEIGHT], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    return _EDGE + (1 - 3 * _EDGE) * shares, shares @ corners


def _of_class(positions: Tensor) -> dict[str, Tensor]:
    """The first class is the true one."""
    return {"input": positions.log(), "target": torch.zeros(len(positions), dtype=torch.int64)}


def _of_linear_layer(positions: Tensor) -> dict[str, Tensor]:
    return _of_class(positions) | {"linear_weight": torch.eye(3, dtype=positions.dtype)}


def _of_distribution(positions: Tensor) -> dict[str, Tensor]:
    target = torch.tensor(_TARGET, dtype=positions.dtype).expand_as(positions)
    return {"input": positions.log(), "target": target}


def _name_corners(*names: str) -> Callable[[Axes], None]:
    def furnish(panel: Axes) -> None:
        panel.set_axis_off()
        panel.title.set_visible(True)
        panel.set_aspect("equal")
        panel.set_xlim(-0.12, 1.12)
        panel.set_ylim(-0.15, _HEIGHT + 0.22)
        for name, x, y, side in zip(
            names, (0.5, 0, 1), (_HEIGHT, 0, 0), ("bottom", "top", "top"), strict=True
        ):
            panel.annotate(
                name, (x, y), (0, 4 if side == "bottom" else -4), textcoords="offset points",
                ha="center", va=side, color=draw.GREY, fontsize=draw.FONT - 1,
            )  # fmt: skip

    return furnish


_classes = _name_corners("class 0, the true one", "class 1", "class 2")
SURFACES: dict[str, Surface] = {
    "gaussian_nll_loss": Surface(_plane, _of_error_and_variance, _name_plane),
    "kl_div": Surface(
        _simplex, _of_distribution, _name_corners("outcome 0", "outcome 1", "outcome 2"),
        f"target = {_TARGET}, input = log of the point",
    ),
    "cross_entropy": Surface(_simplex, _of_class, _classes, "input = log of the point"),
    "linear_cross_entropy": Surface(
        _simplex, _of_linear_layer, _classes, "logits = log of the point"
    ),
    "nll_loss": Surface(_simplex, _of_class, _classes, "input = log of the point"),
}  # fmt: skip
