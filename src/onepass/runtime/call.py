"""One call of a loss, checked: everything that is not the tensors themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    kernels: dict[Any, Any]
    cpu: Any  # runtime.cpu.elements
    torch_op: Callable[..., Tensor] | None
    weight_counts: bool

    def domains_of(self, flags: Mapping[str, bool]) -> Mapping[str, Domain]:
        """Which values the arguments may have under these flags."""
        ...

    def results(
        self, names: tuple[str, ...], flags: Mapping[str, bool], checks_values: bool
    ) -> tuple[Mapping[str, Expression], Mapping[Expression, str]]:
        """The value and the slope by each tensor as expressions, and the author's names."""
        ...


class RowLoss(Protocol):
    """What the runtime needs to know of a row-wise loss."""

    name: str
    kernels: dict[Any, Any]
    reference: Callable[..., Tensor]
    plan: Any  # Callable[..., Plan], where runtime.cpu.rows runs it
    shared: tuple[str, ...]  # the tensors that belong to all rows
    counts: Callable[..., Tensor] | None
    tally: Callable[..., float] | None
    refuse: Callable[..., None] | None  # for a nan, unless its kernel cannot tell
    torch_op: Callable[..., Tensor] | None
    cpu: Any  # runtime.cpu.rows, or what does the same in another way


@dataclass(slots=True, eq=False)
class _Reduced:
    """What all calls share: the shape of the unreduced loss, and what becomes of it."""

    shape: torch.Size
    dtype: torch.dtype  # of the result
    reduction: str
    weight: Tensor | None  # everything that multiplies a value, in one tensor
    denominator: float | Tensor | None  # of the sum; None: as many as there are
    counting: Tensor | None  # what the denominator was summed up from, if it was
    checks_values: bool  # whether what lies outside a domain is refused, enforced or not

    @property
    def precision(self) -> torch.dtype:
        """The dtype of the arithmetic: float32 for half types, rounded once at the end."""
        return self.dtype if self.dtype.itemsize > 2 else torch.float32

    @property
    def weights(self) -> list[Tensor]:
        """The tensors beside those of the loss, which no kernel differentiates by."""
        if self.weight is None and self.denominator is None:
            return []  # as in most calls
        return [t for t in (self.weight, self.denominator) if isinstance(t, Tensor)]


@dataclass(slots=True, eq=False)
class Call(_Reduced):
    """A loss with its options, its reduction and its weights, for tensors of one common shape."""

    loss: Loss
    names: tuple[str, ...]  # of the tensors given
    parameters: Mapping[str, float]
    flags: Mapping[str, bool]

    @property
    def options(self) -> Mapping[str, Any]:
        """Its parameters, as a row-wise call has options."""
        return self.parameters

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Which values its arguments may have."""
        return self.loss.domains_of(self.flags)

    def like(
        self,
        changed: Mapping[str, Any],
        weight: Tensor | None,
        denominator: float | Tensor | None,
    ) -> Call:
        """A call of the same kind, with some parameters and what weighs it changed."""
        return Call(
            self.shape, self.dtype, self.reduction, weight, denominator, self.counting,
            self.checks_values, self.loss, self.names, {**self.parameters, **changed}, self.flags,
        )  # fmt: skip

    def without_launches(self) -> Call:
        """This call: it keeps no launches."""
        return self

    def refuses(self, domain: Domain) -> bool:
        """Whether a value outside of this domain is an error."""
        return self.checks_values or domain.enforced

    def formula(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """The author's function on these tensors."""
        named = dict(zip(self.names, tensors, strict=True))
        return self.loss.formula(**named, **self.parameters, **self.flags)


@dataclass(slots=True, eq=False)
class RowCall(_Reduced):
    """A row-wise loss with its options, for tensors whose leading axes are the rows."""

    loss: RowLoss
    names: tuple[str, ...]
    options: Mapping[str, Any]
    launches: dict[Any, Any] | None = None  # by what they write, of a call that is cached

    @property
    def weights(self) -> list[Tensor]:
        """The tensors beside those of the loss, which no kernel differentiates by."""
        given = (self.weight, self.denominator, *self.options.values())
        return [t for t in given if isinstance(t, Tensor)]

    @property
    def counts_rows(self) -> bool:
        """Whether its mean divides by the sum of what the loss says each row counts."""
        by_loss = self.loss.counts is not None and self.denominator is None
        return by_loss and self.reduction == "mean"

    def like(
        self,
        changed: Mapping[str, Any],
        weight: Tensor | None,
        denominator: float | Tensor | None,
    ) -> RowCall:
        """A call of the same kind, with some options and what weighs it changed."""
        return RowCall(
            self.shape, self.dtype, self.reduction, weight, denominator, self.counting,
            self.checks_values, self.loss, self.names, {**self.options, **changed}, self.launches,
        )  # fmt: skip

    def without_launches(self) -> RowCall:
        """This call without its cached launches, for tensors that may have other strides."""
        return replace(self, launches=None)


Prepared = tuple[Call | RowCall, tuple[Tensor, ...]]  # a call, and the tensors it is made of
Gradients = list[Tensor | None]  # one for each tensor of a call, None where none is needed
