"""What pointwise and row-wise losses have in common: their arguments, and how a call begins.

A loss has its own arguments, in its own order, and then those of every loss. Its `run` takes all of
them by position; as a function it takes tensors by position and everything else by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from onepass.define.card import Card
from onepass.errors import FormulaError, ParameterError
from onepass.formula.domain import NONNEGATIVE, Domain
from onepass.runtime import keywords
from onepass.runtime.call import Prepared
from onepass.runtime.call_cache import CallCache
from onepass.runtime.overrides import has_override
from onepass.runtime.reduce import Weighting


class Loss(ABC):
    """A loss with its arguments: `tensors`, `optional` ones, and `options` with their defaults."""

    name: str
    card: Card | None
    tensors: tuple[str, ...]
    optional: tuple[str, ...]
    options: Mapping[str, Any]
    shared: tuple[str, ...] = ()  # the tensors that belong to all rows
    module: type[torch.nn.Module] | None = None  # its class, once it has one

    @abstractmethod
    def _prepared(self, *given: Any) -> Prepared:
        """The checked call of all arguments."""

    def _take(self, names: tuple[str, ...], numbers: Mapping[str, Domain]) -> None:
        """Take arguments of these names, and then those of every loss; `numbers` may be different
        at each step.

        Raises FormulaError for a default that is not legal.
        """
        try:
            self.checked(self.options)
        except ParameterError as error:
            raise FormulaError(f"{error} That is its default.") from error
        self._defaults = dict.fromkeys(names) | {**self.options} | Weighting()._asdict()
        numbers = {**numbers, "normalizer": NONNEGATIVE}
        self._calls = CallCache(self._prepared, [*self._defaults], numbers)

    @abstractmethod
    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Some of its options, validated, as Python has them."""

    def run(self, *given: Any) -> Tensor:
        """The loss of all arguments, in order."""
        return self._calls.run(given)

    def __call__(self, *tensors: Tensor, **named: Any) -> Tensor:
        """The loss of tensors in order, and of everything else by name."""
        given = (*tensors, *named.values())
        if has_override(*given):
            return handle_torch_function(self, given, *tensors, **named)
        return self.run(*self._in_order(tensors, named))

    def _in_order(self, tensors: tuple[Tensor, ...], named: Mapping[str, Any]) -> list[Any]:
        """All arguments. Raises TypeError and ParameterError, as a function would."""
        names = (*self.tensors, *self.optional)
        if len(tensors) > len(names):
            raise TypeError(
                f"{self.name}() takes {len(names)} tensors by position, got {len(tensors)}; "
                f"everything else is given by name."
            )
        keywords.unknown(self.name, named, (*names, *(n for n in self._defaults if n not in names)))
        by_position = dict(zip(names, tensors, strict=False))
        given = {**self._defaults, **by_position, **named}
        for name in self.tensors:
            if given[name] is None:
                raise TypeError(f"{self.name}() is missing `{name}`")
        for name in by_position:
            if name in named:
                raise TypeError(f"{self.name}() got two values for `{name}`")
        return [*given.values()]

    def plot(self, **options: Any) -> Any:
        """Value and gradient as a matplotlib Figure: see onepass.guide.plot.plot."""
        return import_module("onepass.guide.plot").plot(self, **options)
