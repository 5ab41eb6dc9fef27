"""One call of a loss, checked: everything that is not the tensors themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from onepass.formula.domain import Domain
    from onepass.formula.expression import Expression


class Loss(Protocol):
    """What the runtime needs to know of a pointwise loss."""

    name: str
    formula: Callable[..., Any]
    domains: Mapping[str, Domain]
    kernels: dict[Any, Any]
    fused: Callable[..., Tensor] | None
    weight_counts: bool

    def results(
        self, names: tuple[str, ...], flags: Mapping[str, bool]
    ) -> tuple[Mapping[str, Expression], Mapping[Expression, str]]:
        """The value and the slope by each tensor as expressions, and the author's names."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """A loss with its options, its reduction and its weights, for tensors of one common shape."""

    loss: Loss
    names: tuple[str, ...]  # of the tensors given
    parameters: Mapping[str, float]
    flags: Mapping[str, bool]
    shape: torch.Size
    dtype: torch.dtype  # of the result
    reduction: str
    weight: Tensor | None  # everything that multiplies a value, in one tensor
    denominator: float | Tensor

    @property
    def precision(self) -> torch.dtype:
        """What the arithmetic is done in: half types in float32, rounded once at the end."""
        return self.dtype if self.dtype.itemsize > 2 else torch.float32

    def formula(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The author's function on these tensors."""
        named = dict(zip(self.names, tensors, strict=True))
        return self.loss.formula(**named, **self.parameters, **self.flags)
