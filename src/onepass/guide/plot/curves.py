"""Curves of a loss: which there are, their values and gradients, and where they have kinks.

All numbers come from the losses themselves, in float64, and from autograd through them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onepass.define import REAL, Domain, Pointwise, Rowwise
from onepass.errors import ParameterError, quoted
from onepass.guide.names import function_of, parameters_of
from onepass.guide.plot.sections import Axis, Section, section_of
from onepass.runtime import keywords
from onepass.runtime.dispatch import checking, engine

MOST = 8  # curves that can be told apart
_POINTS = 401
_MARGIN = 1e-3  # of the axis, between a domain's end, where a loss may be infinite, and a curve
_LEAST = 1e-6  # from a domain's end or its middle, where the search for kinks begins
_FAR = 300.0  # how far from 0 kinks are looked for: beyond, exp(x)^2 overflows
_HALVINGS = 60  # down to neighbouring numbers
_JUMP = 1e-6  # what counts as one, relative to the derivative
_DIGITS = 9  # to which a kink is told
_MOST_RESIDUALS = 0.005, 0.995  # quantiles between which the axis holds them
_INNER = 0.05, 0.95  # quantiles of a curve that are always seen
_UNDRAWN = ("ignore_index", "dim", "distance_function")  # no picture depends on them


@dataclass(frozen=True)
class Curve:
    """A loss along a section, under one setting of everything else."""

    loss: Pointwise | Rowwise
    section: Section
    settings: Mapping[str, Any]
    chosen: frozenset[str]  # the settings that the caller named

    def value(self, x: Tensor) -> Tensor:
        """The unreduced loss at positions on the axis, (n) to (n)."""
        return unreduced(self.loss, self.section.tensors(x, self.settings), self.settings)

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient at positions on the axis, (n) each."""
        with engine("eager"):
            value, gradient = self._evaluate(x)
        if (gradient.isnan() & value.isfinite()).any():
            # autograd goes through the branch of `where` that is not taken, the kernel does not
            value, gradient = self._evaluate(x)
        return value, gradient

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        value = self.value(x)
        (gradient,) = torch.autograd.grad(_sum(value, x), x)
        return value.detach(), gradient

    @cached_property
    def kinks(self) -> tuple[float, ...]:
        """Where value, gradient or curvature jump.

        All intervals are halved again and again, towards the larger difference: in one where the
        loss is smooth that vanishes, across a kink it stays.
        """
        ladder = _ladder(self.section.axis.domain)
        order = torch.arange(3).repeat_interleave(len(ladder) - 1)
        low, high = (self._ends(x.repeat(3), order) for x in (ladder[:-1], ladder[1:]))
        for _ in range(_HALVINGS):
            middle = self._ends(low.x + (high.x - low.x) / 2, order)
            first = low.jump(middle) >= middle.jump(high)
            low, high = low.where(first, middle), middle.where(first, high)
            jumps = low.jump(high) > _JUMP * (1 + high.derivative.abs())
            low, high, order = low.at(jumps), high.at(jumps), order[jumps]
            if not len(order):
                break
        return _apart(round(x, _DIGITS) + 0.0 for x in high.x.tolist())

    def _ends(self, x: Tensor, order: Tensor) -> _Ends:
        """Positions, and at each the derivative of its order: 0, 1 or 2."""
        derivatives = torch.stack([*self.evaluate(x), self._curvature(x)])
        return _Ends(x, derivatives.gather(0, order.unsqueeze(0)).squeeze(0))

    def _curvature(self, x: Tensor) -> Tensor:
        """The second derivative at positions on the axis, (n)."""
        x = x.clone().requires_grad_()
        with engine("eager"):
            return _slope(_slope(self.value(x), x), x).detach()


@dataclass(frozen=True)
class _Ends:
    """The ends of intervals on one side, (n), and a derivative there."""

    x: Tensor
    derivative: Tensor

    def jump(self, other: _Ends) -> Tensor:
        """How far the derivatives differ; -1 where that cannot be said."""
        jump = (other.derivative - self.derivative).abs()
        return torch.where(jump.isfinite(), jump, -1.0)

    def where(self, condition: Tensor, other: _Ends) -> _Ends:
        """These where the condition holds, the others elsewhere."""
        x = torch.where(condition, self.x, other.x)
        return _Ends(x, torch.where(condition, self.derivative, other.derivative))

    def at(self, places: Tensor) -> _Ends:
        """Those at some places."""
        return _Ends(self.x[places], self.derivative[places])


def unreduced(
    loss: Pointwise | Rowwise, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> Tensor:
    """The loss of each row, (n); values outside of their domains raise DomainError."""
    options = {name: settings[name] for name in drawable(loss)}
    if isinstance(loss, Pointwise):
        like = tensors[loss.tensors[0]]
        for name in loss.optional:
            given = options.pop(name)
            if given is not None:
                options[name] = torch.full_like(like, given)
    with checking():
        value = function_of(loss)(**tensors, **options, reduction="none")
    return value.flatten(1).sum(1) if value.dim() > 1 else value


def drawable(loss: Pointwise | Rowwise) -> dict[str, Any]:
    """The options that a picture depends on, and their defaults."""
    if isinstance(loss, Pointwise):
        return {**loss.parameters, **loss.flags, **dict.fromkeys(loss.optional)}
    defaults = parameters_of(loss)
    drawn = [name for name in loss.options if name in defaults and name not in _UNDRAWN]
    return {name: defaults[name] for name in drawn}


def curves_of(loss: Pointwise | Rowwise, given: Mapping[str, Any]) -> list[Curve]:
    """A curve for every combination of the settings given and of what is drawn without them."""
    defaults = drawable(loss)
    held = section_of(loss, defaults).held
    keywords.unknown(loss.name, given, (*defaults, *held))
    families = {name: _listed(loss.name, name, value) for name, value in given.items()}
    for name in families.keys() & {*held, *getattr(loss, "optional", ())}:
        for value in families[name]:
            keywords.parameter(loss.name, name, value, REAL)
    found = []
    for options in _combinations(
        {name: (value,) for name, value in defaults.items()}
        | {name: values for name, values in families.items() if name in defaults}
    ):
        section = section_of(loss, options)
        places = {name: families.get(name, values) for name, values in section.held.items()}
        found += [
            Curve(loss, section, options | place, frozenset(given))
            for place in _combinations(places)
        ]
    return found


def _listed(loss: str, name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, Tensor) or hasattr(given, "tolist"):
        given = given.tolist()
    values = (
        tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    )
    if not values:
        raise ParameterError(
            f"{loss}: `{name}` must be a value or a list of values to draw, got {quoted(given)}."
        )
    return values


def _combinations(values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _slope(value: Tensor, x: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(_sum(value, x), x, create_graph=True)
    return slope


def _sum(value: Tensor, x: Tensor) -> Tensor:
    """Of the values; with x in its graph, which what is constant has not."""
    return value.sum() + 0 * x.sum()


def _apart(places: Iterable[float]) -> tuple[float, ...]:
    """In order, without those that are one and the same but for rounding."""
    kept: list[float] = []
    for place in sorted(places):
        if not kept or place - kept[-1] > 10.0 ** (1 - _DIGITS):
            kept.append(place)
    return tuple(kept)


def _ladder(domain: Domain) -> Tensor:
    """Positions in all of a domain, closer where it has an end or a middle."""
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return inside(domain, domain.low, domain.high, _POINTS, _LEAST)
    up = torch.logspace(math.log10(_LEAST), math.log10(_FAR), _POINTS // 2, dtype=torch.float64)
    if math.isfinite(domain.low):
        return domain.low + up
    if math.isfinite(domain.high):
        return domain.high - up.flip(0)
    return torch.cat([-up.flip(0), up])


def inside(
    domain: Domain, low: float, high: float, points: int = _POINTS, margin: float = _MARGIN
) -> Tensor:
    """Positions from low to high, off the ends of the domain by a margin, a share of the axis."""
    margin = margin * (high - low)
    if low <= domain.low:
        low = domain.low + margin
    if high >= domain.high:
        high = domain.high - margin
    return torch.linspace(low, high, points, dtype=torch.float64)


def limits(axis: Axis, kinks: Sequence[float], residuals: Tensor | None) -> tuple[float, float]:
    """From where to where to draw: a whole interval, or as far as there is something to see."""
    low, high = axis.domain.low, axis.domain.high
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    origin = low if math.isfinite(low) else high if math.isfinite(high) else 0.0
    far = max([axis.reach, *(1.25 * abs(kink - origin) for kink in kinks)])
    if residuals is not None:
        far = max(far, *np.abs(np.quantile(residuals, _MOST_RESIDUALS) - origin).tolist())
    return max(low, origin - far), min(high, origin + far)


def seen(y: Tensor) -> tuple[float, float]:
    """From where to where a value is worth seeing: all of it, unless its ends run away."""
    y = y[y.isfinite()]
    if not len(y):
        return 0.0, 0.0
    low, high = y.min().item(), y.max().item()
    inner_low, inner_high = np.quantile(y, _INNER).tolist()
    runs_away = high - low > 2 * (inner_high - inner_low) > 0
    return (inner_low, inner_high) if runs_away else (low, high)
