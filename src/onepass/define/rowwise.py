"""Row-wise losses: a definition and hand-written kernels."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor

from onepass.define.card import Card
from onepass.define.shown import Shown
from onepass.formula.domain import Domain
from onepass.runtime import checks, dispatch, keywords, reduce
from onepass.runtime.call import Prepared, RowCall
from onepass.runtime.cpu import rows

_rowwise: dict[tuple[str, str], Rowwise] = {}  # by the names of the loss and of its definition


class Rowwise(Shown):
    """A loss in which a whole row decides the value: its definition and its kernel.

    `reference` is the definition, in plain torch, of tensors whose last axis is a row and of those
    that have one element per row; `plan` lays them out for a kernel. `options` check what a caller
    may set. With `counts` the loss itself says how much a row counts in the mean, and `tally` sums
    that up on the CPU. `cpu` has the functions of runtime.cpu.rows; `shared` tensors belong to all
    rows. For a value that is nan `refuse` raises, if a label is why. `torch_op` may be an operation
    of torch's that is the same loss, called with the tensors, torch's number for the reduction and
    the options; it serves tiny rows without weights, and raises IndexError for an out-of-range
    label.
    """

    def __init__(
        self,
        name: str,
        tensors: tuple[str, ...],
        reference: Callable[..., Tensor],
        plan: Callable[..., Any] | None,
        options: Mapping[str, Callable[[str, str, Any], Any]],
        card: Card,
        counts: Callable[..., Tensor] | None = None,
        tally: Callable[..., float] | None = None,
        refuse: Callable[..., None] | None = None,
        torch_op: Callable[..., Tensor] | None = None,
        cpu: Any = rows,
        shared: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.tensors = tensors
        self.reference = reference
        self.plan = plan
        self.options = options
        self.card = card
        self.counts = counts
        self.tally = tally
        self.refuse = refuse
        self.torch_op = torch_op
        self.cpu = cpu
        self.shared = shared
        self.kernels: dict[Any, Any] = {}
        self.module: type[torch.nn.Module] | None = None
        _rowwise[name, reference.__name__] = self

    @property
    def option_names(self) -> tuple[str, ...]:
        """What a caller may set."""
        return tuple(self.options)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Some of its options, validated, as Python has them."""
        return {name: self.options[name](self.name, name, given) for name, given in options.items()}

    def evaluate(
        self, tensors: tuple[Tensor, ...], options: Mapping[str, Any], *weighting: Any
    ) -> Tensor:
        """The loss of checked tensors, rows last, and checked options; `call` says the rest."""
        return dispatch.run(*self.call(tensors, options, *weighting))

    def call(
        self,
        tensors: tuple[Tensor, ...],
        options: Mapping[str, Any],
        reduction: str = "mean",
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Prepared:
        """The same, ready to run. The result has the dtype of the tensors, or that given."""
        input = tensors[0]
        shape, common = input.shape[:-1], checks.common_dtype(tensors)
        reduction = keywords.reduction(self.name, reduction)
        weight, denominator = reduce.weighting(
            self.name, shape, input.device, reduction, None, sample_weight, mask, normalizer,
            counts=False,
        )  # fmt: skip
        if self.counts is not None and normalizer is None:
            denominator = None  # of the mean: the engine sums up what rows count
            if reduction == "batchmean":
                counts = self.counts(tensors, options)
                denominator = reduce.counted(reduction, shape, counts, weight)
        tensors = tuple(
            t.to(common) if t.dtype.is_floating_point and t.dtype is not common else t
            for t in tensors
        )
        dtype = checks.under_autocast(common if dtype is None else dtype, input.device)
        names = self.tensors[: len(tensors)]  # without the optional ones that are not given
        call = RowCall(
            shape, dtype, reduction, weight, denominator, dispatch.is_checking(), self, names,
            options,
        )  # fmt: skip
        return call, tensors

    def source(self, engine: str = "cpu") -> str:
        """The definition ("eager"), or the files of what the CPU engine runs, the plan's first."""
        if engine != "cpu":
            return inspect.getsource(self.reference)
        if self.plan is None:
            return inspect.getsource(self.cpu)
        files = _files(sys.modules[self.plan.__module__])
        return "\n\n".join(map(inspect.getsource, files))

    def __repr__(self) -> str:
        return f"<row-wise loss {self.name}({', '.join(self.tensors)})>"

    def __deepcopy__(self, memo: Any) -> Rowwise:
        return self

    def __reduce__(self) -> Any:
        return _known, (self.name, self.reference.__name__)


def _files(plan: ModuleType) -> list[ModuleType]:
    """The file of a plan, and those beside it that have its kernels and what these call."""
    files = [plan]
    for file in files:  # which become more
        functions = [each for each in vars(file).values() if isinstance(each, FunctionType)]
        used = dict.fromkeys(sys.modules[function.__module__] for function in functions)
        files += [m for m in used if m.__package__ == plan.__package__ and m not in files]
    return files


def _known(name: str, reference: str) -> Rowwise:
    """Unpickle a row-wise loss: by its name and that of its definition."""
    return _rowwise[name, reference]


@dataclass(frozen=True)
class Within:
    """The check of a number that must lie in a domain, or may be None."""

    domain: Domain
    or_none: bool

    def __call__(self, loss: str, name: str, given: Any) -> float | None:
        if self.or_none and given is None:
            return None
        return keywords.parameter(loss, name, given, self.domain)


def within(domain: Domain, *, or_none: bool = False) -> Within:
    """The check of a number that must lie in a domain."""
    return Within(domain, or_none)
