"""@rowwise: a loss in which a whole row decides the value, with kernels written by hand."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from onepass.define.card import Card
from onepass.define.loss import Loss
from onepass.define.pointwise import Pointwise, found
from onepass.define.role import Role
from onepass.errors import FormulaError
from onepass.formula.domain import Domain
from onepass.runtime import checks, dispatch, keywords, reduce
from onepass.runtime.call import Prepared, RowCall
from onepass.runtime.cpu import rows
from onepass.runtime.reduce import Weighting

Check = Callable[[str, str, Any], Any]  # of an option, given the loss, its name and what was given
Roles = Role | tuple[Role, ...]  # of a tensor; several, where the loss takes one or another


class Variant:
    """One variant of a row-wise loss, such as that of class indices: its definition and kernels.

    `reference` is the definition, in plain torch, of tensors whose last axis is a row and of those
    that have one element per row; `plan` lays them out for a kernel. With `counts` the loss itself
    says how much a row counts in the mean, and `tally` sums that up on the CPU. `cpu` has the
    functions of runtime.cpu.rows; `shared` tensors belong to all rows. For a value that is nan
    `refuse` raises, if a label is why. `torch_op` may be an operation of torch's that is the same
    loss, called with the tensors, torch's number for the reduction and the options; it serves tiny
    rows without weights, and raises IndexError for an out-of-range label.
    """

    def __init__(
        self,
        name: str,
        tensors: tuple[str, ...],
        reference: Callable[..., Tensor],
        plan: Callable[..., Any] | None,
        *,
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
        self.counts = counts
        self.tally = tally
        self.refuse = refuse
        self.torch_op = torch_op
        self.cpu = cpu
        self.shared = shared
        self.kernels: dict[Any, Any] = {}

    def call(
        self,
        tensors: tuple[Tensor, ...],
        options: Mapping[str, Any],
        weighting: Weighting,
        dtype: torch.dtype | None = None,
    ) -> Prepared:
        """The call of checked tensors, rows last, and checked options; the result has the dtype of
        the tensors, or that given.
        """
        input = tensors[0]
        shape, common = input.shape[:-1], checks.common_dtype(tensors)
        weighting = weighting._replace(reduction=keywords.reduction(self.name, weighting.reduction))
        weighted = reduce.weighted(self.name, shape, input.device, weighting)
        if self.counts is not None and weighting.normalizer is None:
            denominator = None  # of the mean: the engine sums up what rows count
            if weighting.reduction == "batchmean":
                counts = self.counts(tensors, options)
                denominator = reduce.counted("batchmean", shape, counts, weighted.weight)
            weighted = weighted._replace(denominator=denominator, counting=None)
        tensors = tuple(
            t.to(common) if t.dtype.is_floating_point and t.dtype is not common else t
            for t in tensors
        )
        dtype = checks.under_autocast(common if dtype is None else dtype, input.device)
        names = self.tensors[: len(tensors)]  # without the optional ones that are not given
        call = RowCall(
            shape, dtype, weighting.reduction, *weighted, dispatch.is_checking(), self, names,
            options,
        )  # fmt: skip
        return call, tensors

    def source(self, engine: str) -> str:
        """The definition ("eager"), or the files of what the CPU engine runs, the plan's first."""
        if engine != "cpu":
            return inspect.getsource(self.reference)
        if self.plan is None:
            return inspect.getsource(self.cpu)
        files = _files(sys.modules[self.plan.__module__])
        return "\n\n".join(map(inspect.getsource, files))


def _files(plan: ModuleType) -> list[ModuleType]:
    """The file of a plan, and those beside it that have its kernels and what these call."""
    files = [plan]
    for file in files:  # which become more
        functions = [each for each in vars(file).values() if isinstance(each, FunctionType)]
        used = dict.fromkeys(sys.modules[function.__module__] for function in functions)
        files += [m for m in used if m.__package__ == plan.__package__ and m not in files]
    return files


class Laid(NamedTuple):
    """The arguments of a row-wise loss, checked and laid out: which variant takes them, and how."""

    variant: Variant | Pointwise
    tensors: tuple[Tensor, ...]
    options: Mapping[str, Any]
    dtype: torch.dtype | None = None  # of the result, unless it is that of the tensors


class Rowwise(Loss):
    """A loss in which a whole row decides the value: call it like a function of
    torch.nn.functional.

    `loss(input, target, ..., reduction="mean", sample_weight=None, mask=None, normalizer=None)`
    takes tensors by position or name, in their order, and everything else by name. Shapes and
    options are those of its function.

    Raises ShapeError, DtypeError, DomainError or ParameterError for what does not fit.
    """

    def __init__(
        self,
        lay_out: Callable[..., Laid],
        declared: Mapping[str, Roles | Domain | Check],
        card: Card,
        variants: Sequence[Variant],
    ) -> None:
        self.lay_out, self.card, self.variants = lay_out, card, tuple(variants)
        self.name: str = lay_out.__name__
        self._declared = dict(declared)
        self._read_signature(lay_out)
        self.shared = self.variants[0].shared
        self._take((*self._names,), self.domains)
        update_wrapper(self, lay_out)

    def _read_signature(self, function: Callable[..., Laid]) -> None:
        """Which arguments are tensors, optional tensors, and options with their defaults."""
        self.tensors, self.optional, self.options = (), (), {}
        parameters = inspect.signature(function).parameters
        self._names = [*parameters]
        missing = parameters.keys() ^ self._declared.keys()
        if missing:
            raise FormulaError(
                f"{self.name}: {', '.join(sorted(missing))} must be declared and be an argument; "
                f"declared are {', '.join(self._declared)}, arguments {', '.join(parameters)}."
            )
        for name, argument in parameters.items():
            if not self._is_tensor(name):
                if argument.default is argument.empty:
                    raise FormulaError(f"{self.name}: the option `{name}` must have a default.")
                self.options = {**self.options, name: argument.default}
            elif argument.default is argument.empty:
                self.tensors += (name,)
            else:
                self.optional += (name,)

    def _is_tensor(self, name: str) -> bool:
        return isinstance(self._declared[name], Role | tuple)

    @property
    def roles(self) -> dict[str, tuple[Role, ...]]:
        """What each tensor may be to a row."""
        found: dict[str, tuple[Role, ...]] = {}
        for name, role in self._declared.items():
            if isinstance(role, Role):
                found[name] = (role,)
            elif isinstance(role, tuple):
                found[name] = role
        return found

    @property
    def domains(self) -> dict[str, Domain]:
        """Which values its parameters may have."""
        return {name: d for name, d in self._declared.items() if isinstance(d, Domain)}

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Some of its options, validated, as Python has them."""
        return {name: self._checked_option(name, given) for name, given in options.items()}

    def _checked_option(self, name: str, given: Any) -> Any:
        declared: Any = self._declared[name]
        if not isinstance(declared, Domain):
            return declared(self.name, name, given)
        if given is None and self.options[name] is None:
            return None
        return keywords.parameter(self.name, name, given, declared)

    def _prepared(self, *given: Any) -> Prepared:
        """The checked call of all arguments."""
        last = len(given) - len(Weighting._fields)
        own = [
            self._checked_option(name, thing) if name in self.options else thing
            for name, thing in zip(self._names, given[:last], strict=True)
        ]
        laid = self.lay_out(*own)
        weighting = Weighting(*given[last:])
        return laid.variant.call(laid.tensors, laid.options, weighting, laid.dtype)

    def source(self, engine: str = "cpu") -> str:
        """The definition ("eager"), or the file of what the CPU engine runs."""
        return self.variants[0].source(engine)

    def __repr__(self) -> str:
        return f"<row-wise loss {self.name}({', '.join(self.tensors)})>"

    def __deepcopy__(self, memo: Any) -> Rowwise:
        return self

    def __reduce__(self) -> Any:
        return found, (self.lay_out.__module__, self.lay_out.__qualname__)


def rowwise(
    *,
    card: Card,
    variants: Sequence[Variant],
    kind: type[Rowwise] = Rowwise,
    **declared: Roles | Domain | Check,
) -> Callable[[Callable[..., Laid]], Rowwise]:
    """Make a row-wise loss of a function that checks its arguments and lays them out.

    Each argument of the function is declared: a tensor by its role, or by several of which it has
    one; a number by its domain; any other option by its check. Without a default it is a tensor
    that must be given, with None an optional one, or a number that may be left out. The function
    gets checked options and says which of the `variants` takes the tensors, rows last. `kind` may
    be a subclass, whose `run` replaces arguments before a call like them is looked up.

    Raises FormulaError if an argument is not declared, or something else is.
    """
    return lambda function: kind(function, declared, card, variants)
