"""@pointwise: a formula becomes a loss. Domains, cards, and the catalogue of all losses."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from importlib import import_module
from typing import Any, overload

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from onepass.errors import FormulaError
from onepass.formula.differentiate import differentiate
from onepass.formula.domain import (
    COUNT,
    LOG_PROBABILITY,
    NONNEGATIVE,
    POSITIVE,
    PROBABILITY,
    REAL,
    SIGN,
    VARIANCE,
    Depending,
    Domain,
    enforced,
)
from onepass.formula.expression import Expression, constant, in_order
from onepass.formula.operations import where
from onepass.formula.simplify import simplify
from onepass.formula.slope import with_slope
from onepass.formula.trace import VALUE, parameter, tensor, trace
from onepass.runtime import checks, cpu, dispatch, keywords, reduce, rows
from onepass.runtime.call import Call, Prepared, RowCall
from onepass.runtime.overrides import has_override
from onepass.runtime.remember import Remembered

__all__ = [
    "COUNT",
    "LOG_PROBABILITY",
    "NONNEGATIVE",
    "POSITIVE",
    "PROBABILITY",
    "REAL",
    "SIGN",
    "VARIANCE",
    "Card",
    "Depending",
    "Domain",
    "Pointwise",
    "Rowwise",
    "Within",
    "catalogue",
    "enforced",
    "pointwise",
    "with_slope",
    "within",
]

_WEIGHTING = ("reduction", "weight", "sample_weight", "mask", "normalizer")
_catalogue: dict[str, Pointwise | Rowwise] = {}
_rowwise: dict[tuple[str, str], Rowwise] = {}


class _Shown:
    """What every loss can show of itself; the guide, which draws it, stands above."""

    def plot(self, **options: Any) -> Any:
        """Value and gradient as a matplotlib Figure: see onepass.guide.plot.plot."""
        return import_module("onepass.guide.plot").plot(self, **options)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a loss is for, what it takes, and what is true of it.

    `task`, `input`, `target`, `best_for` and `not_for` are words; `relatives` are names of losses;
    a source is "authors (year), doi:...". The facts hold of the default options, and tests find
    out whether each does:

    - smooth: the gradient has no jump.
    - convex: in all tensors but the target together.
    - proper: the input says a distribution, and what is drawn from one costs least, on average,
      where the input says that one.
    - gradient_bound: the largest size of a slope by one number of the input, reached or
      approached; a number, or the name of the parameter that it is. None: there is no bound.
    - minimised_by: the statistic of a sample of targets that is the best constant input.

    `remarks` say in words what is no such fact.
    """

    task: str
    input: str
    target: str
    best_for: str
    not_for: str
    smooth: bool = False
    convex: bool = False
    proper: bool = False
    gradient_bound: float | str | None = None
    minimised_by: str | None = None
    remarks: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def robust(self) -> bool:
        """Whether no outlier of the target, however far, pulls without bound."""
        return self.gradient_bound is not None and self.target == "any real number"

    @property
    def properties(self) -> tuple[str, ...]:
        """The facts and the remarks, in words."""
        bound = self.gradient_bound
        facts = {
            "robust": self.robust,
            "smooth": self.smooth,
            "convex": self.convex,
            "proper": self.proper,
            f"gradient within [-{bound}, {bound}]": bound is not None,
            f"minimised by the {self.minimised_by}": self.minimised_by is not None,
        }
        return (*(fact for fact, holds in facts.items() if holds), *self.remarks)


class Pointwise(_Shown):
    """A loss made of one formula: call it like a function of torch.nn.functional.

    `loss(input, target, ..., reduction="mean", weight=None, sample_weight=None, mask=None,
    normalizer=None)` takes the formula's own arguments first, by position or name. The unreduced
    loss has the shape to which the tensors broadcast (which must be the shape of one of them).

    - reduction: "mean", "sum", "none", or "batchmean" (the sum divided by the batch rows).
    - weight: multiplies each value; the mean still divides by the number of elements.
    - sample_weight: multiplies each value and counts: mean = sum(w l) / sum(w).
    - mask: bool, True where an element counts; elsewhere value and gradient are exactly 0.
    - normalizer: mean = sum / normalizer, for gradient accumulation and data parallelism.

    Raises ShapeError, DtypeError, DomainError or ParameterError for what does not fit.
    """

    def __init__(
        self,
        formula: Callable[..., Any],
        domains: Mapping[str, Domain | Depending],
        card: Card | None = None,
        fused: Callable[..., Tensor] | None = None,
        weight_counts: bool = False,
    ) -> None:
        if not inspect.isfunction(formula):
            raise FormulaError(
                f"pointwise: a formula is a function written with def, got {formula!r:.60}."
            )
        self.formula = formula
        self.fused = fused
        self.weight_counts = weight_counts
        self.engine = cpu
        self.name: str = formula.__name__
        self.card = card
        self.kernels: dict[Any, Any] = {}
        self.module: type[torch.nn.Module] | None = None
        self._calls = Remembered()
        self._traced: dict[Any, Any] = {}
        self._read_signature(formula)
        self._domains = self._checked_domains(domains)
        self.domains: Mapping[str, Domain] = self.domains_of(self.flags)
        update_wrapper(self, formula)
        self.declares_slope = False  # whether with_slope stands in the formula
        self.results(self.tensors, self.flags)  # raises FormulaError for an invalid formula

    def _read_signature(self, formula: Callable[..., Any]) -> None:
        """Which arguments are tensors, optional tensors, parameters (float), flags (bool)."""
        self.tensors: tuple[str, ...] = ()
        self.optional: tuple[str, ...] = ()
        self.parameters: dict[str, float] = {}
        self.flags: dict[str, bool] = {}
        for name, argument in inspect.signature(formula).parameters.items():
            self._refuse_argument(name, argument)
            default = argument.default
            if default is argument.empty:
                self.tensors += (name,)
            elif default is None:
                self.optional += (name,)
            elif isinstance(default, bool):
                self.flags[name] = default
            else:
                self.parameters[name] = float(default)
        if not self.tensors:
            raise FormulaError(f"{self.name}: a formula takes at least one tensor.")

    def _refuse_argument(self, name: str, argument: inspect.Parameter) -> None:
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise FormulaError(f"{self.name}: a formula names its arguments, without `*{name}`.")
        if name in _WEIGHTING:
            raise FormulaError(f"{self.name}: `{name}` is every loss's; call it otherwise.")
        default = argument.default
        if not (default is argument.empty or isinstance(default, int | float | None)):
            raise FormulaError(
                f"{self.name}: `{name}` must be a tensor (no default), an optional tensor (None), "
                f"a parameter (a number) or a flag (a bool); its default is {default!r}."
            )

    def _checked_domains(
        self, domains: Mapping[str, Domain | Depending]
    ) -> dict[str, Domain | Depending]:
        known = (*self.tensors, *self.optional, *self.parameters)
        for name, domain in domains.items():
            if name not in known:
                raise FormulaError(
                    f"{self.name}: a domain for `{name}`, but its arguments are {', '.join(known)}."
                )
            if isinstance(domain, Depending) and domain.flag not in self.flags:
                raise FormulaError(
                    f"{self.name}: the domain of `{name}` depends on `{domain.flag}`, which is no "
                    f"flag of the formula; it has {', '.join(self.flags) or 'none'}."
                )
        return {name: domains.get(name, REAL) for name in known}

    def domains_of(self, flags: Mapping[str, bool]) -> dict[str, Domain]:
        """Which values the arguments may have under these flags."""
        return {
            name: domain.of(flags) if isinstance(domain, Depending) else domain
            for name, domain in self._domains.items()
        }

    def __call__(self, *tensors: Tensor, **options: Any) -> Tensor:
        given = (*tensors, *options.values())
        if has_override(*given):
            return handle_torch_function(self, given, *tensors, **options)
        return self._called(tensors, options)

    def _called(self, tensors: tuple[Tensor, ...], options: dict[str, Any]) -> Tensor:
        names = (*self.tensors, *self.optional)
        if len(tensors) > len(names):
            raise TypeError(
                f"{self.name}() takes {len(names)} tensors by position, got {len(tensors)}; "
                f"everything else is given by name."
            )
        known = (*names, *self.parameters, *self.flags, *_WEIGHTING)
        keywords.unknown(self.name, options, known)
        given: list[Any] = [*tensors, *(options.pop(name, None) for name in names[len(tensors) :])]
        for name, thing in zip(self.tensors, given, strict=False):
            if thing is None:
                raise TypeError(f"{self.name}() is missing `{name}`")
        for name in names[: len(tensors)]:
            if name in options:
                raise TypeError(f"{self.name}() got two values for `{name}`")
        weighting = {name: options.pop(name) for name in _WEIGHTING if name in options}
        return self.evaluate(tuple(given), options, **weighting)

    def evaluate(
        self,
        tensors: tuple[Tensor | None, ...],
        options: Mapping[str, Any],
        reduction: str = "mean",
        weight: Tensor | None = None,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of tensors in the formula's order (None: an optional one not given)."""
        weighting = reduction, weight, sample_weight, mask, normalizer
        given = (*tensors, *options.values(), *weighting, tuple(options))
        return self._calls.run(given, self._prepared)

    def _prepared(self, *given: Any) -> Prepared:
        """A call of tensors, options, what weighs them, and the options' names."""
        *things, options = given
        last = len(things) - len(_WEIGHTING)
        first = last - len(options)
        parameters, flags = self.parameters, self.flags
        if options:
            parameters, flags = self.settings(dict(zip(options, things[first:last], strict=True)))
        count = len(self.tensors)
        optional = zip(self.optional, things[count:first], strict=False)
        beside = {name: tensor for name, tensor in optional if tensor is not None}
        names, tensors = (*self.tensors, *beside), (*things[:count], *beside.values())
        return dispatch.prepared(self, names, tensors, parameters, flags, *things[last:])

    def settings(self, options: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, bool]]:
        """Parameters and flags, validated, defaults filled in."""
        given = self.checked(options)
        parameters = {n: float(given.get(n, default)) for n, default in self.parameters.items()}
        flags = {n: given.get(n, default) for n, default in self.flags.items()}
        return parameters, flags

    @property
    def option_names(self) -> tuple[str, ...]:
        """Its parameters and flags."""
        return (*self.parameters, *self.flags)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Some of its options, validated, as Python has them."""
        return {name: self._checked_option(name, given) for name, given in options.items()}

    def _checked_option(self, name: str, given: Any) -> Any:
        if name in self.flags:
            return keywords.flag(self.name, name, given)
        return keywords.parameter(self.name, name, given, self.domains[name])

    def results(
        self, names: tuple[str, ...], flags: Mapping[str, bool], checks_values: bool = False
    ) -> tuple[Mapping[str, Expression], Mapping[Expression, str]]:
        """The value and the slope by each tensor as expressions, and the author's local names.

        The value is nan outside of enforced domains; if it `checks_values`, outside of any.
        """
        key = names, checks_values, *flags.values()
        if key not in self._traced:
            self._traced[key] = self._derived(names, flags, checks_values)
        return self._traced[key]

    def _derived(
        self, names: tuple[str, ...], flags: Mapping[str, bool], checks_values: bool
    ) -> tuple[Mapping[str, Expression], Mapping[Expression, str]]:
        leaves = {name: tensor(name) for name in names}
        parameters = {name: parameter(name) for name in self.parameters}
        traced = trace(self.formula, leaves | parameters | dict(flags))
        self.declares_slope |= any(n.operation == "with_slope" for n in in_order(traced.value))
        slopes = differentiate(traced.value, list(leaves.values()))
        value, domains = traced.value, self.domains_of(flags)
        for name, leaf in leaves.items():
            if checks_values or domains[name].enforced:
                value = where(domains[name].contains(leaf), value, constant(float("nan")))
        results = {VALUE: value, **dict(zip(names, slopes, strict=True))}
        return simplify(results, traced.names)

    def source(self, engine: str = "cpu", *, reduction: str = "mean", gradient: bool = True) -> str:
        """The text of the kernel that serves float32 tensors, as the engine compiles it."""
        if engine != "cpu":
            return inspect.getsource(self.formula)
        tensors = [torch.empty(2, dtype=torch.float32) for _ in self.tensors]
        call = Call(
            torch.Size([2]), torch.float32, reduction, None, 1.0, False,  # noqa: FBT003
            self, self.tensors, self.parameters, self.flags,
        )  # fmt: skip
        wanted = [gradient and name == self.tensors[0] for name in self.tensors]
        return cpu.source(call, tensors, wanted)

    def __repr__(self) -> str:
        return f"<pointwise loss {self.name}{inspect.signature(self.formula)}>"

    def __deepcopy__(self, memo: Any) -> Pointwise:
        return self  # as functions are: there is nothing in it to change

    def __reduce__(self) -> Any:
        return _found, (self.formula.__module__, self.formula.__qualname__)


class Rowwise(_Shown):
    """A loss in which a whole row decides the value: its definition and its kernel.

    `reference` is the definition, in plain torch, of tensors whose last axis is a row and of those
    that have one element per row; `plan` lays them out for a kernel. `options` check what a caller
    may set. With `counts` the loss itself says how much a row counts in the mean, and `tally` sums
    that up on the CPU. `engine` has the functions of runtime.rows; `shared` tensors belong to all
    rows. For a value that is nan `refuse` raises, if a label is why. `fused` may be an operation of
    torch's that is the same loss, called with the tensors, torch's number for the reduction and the
    options; it serves tiny rows without weights, and raises IndexError for an out-of-range label.
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
        fused: Callable[..., Tensor] | None = None,
        engine: Any = rows,
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
        self.fused = fused
        self.engine = engine
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
            if reduction == "mean":
                denominator = None
            elif reduction == "batchmean":
                counting = self.counts(tensors[1], options["weight"], options["ignore_index"])
                counting = counting if weight is None else reduce.product(counting, weight)
                denominator = reduce.rows_that_count(counting, shape)  # type: ignore[arg-type]
        tensors = tuple(
            t.to(common) if t.dtype.is_floating_point and t.dtype is not common else t
            for t in tensors
        )
        dtype = common if dtype is None else dtype
        if dtype.itemsize == 2 and torch.is_autocast_enabled(input.device.type):
            dtype = torch.float32
        names = self.tensors[: len(tensors)]  # without the optional ones that are not given
        call = RowCall(
            shape, dtype, reduction, weight, denominator, dispatch.is_checking(), self, names,
            options,
        )  # fmt: skip
        return call, tensors

    def source(self, engine: str = "cpu") -> str:
        """The definition ("eager"), or the file of what the CPU engine runs."""
        if engine != "cpu":
            return inspect.getsource(self.reference)
        if self.plan is None:
            return inspect.getsource(self.engine)
        return inspect.getsource(sys.modules[self.plan.__module__])

    def __repr__(self) -> str:
        return f"<row-wise loss {self.name}({', '.join(self.tensors)})>"

    def __deepcopy__(self, memo: Any) -> Rowwise:
        return self

    def __reduce__(self) -> Any:
        return _known, (self.name, self.reference.__name__)


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


def _found(module: str, qualname: str) -> Any:
    """Unpickle a loss as functions are: by its name."""
    thing: Any = import_module(module)
    for part in qualname.split("."):
        thing = getattr(thing, part)
    return thing


@overload
def pointwise(formula: Callable[..., Any], /) -> Pointwise: ...
@overload
def pointwise(
    *,
    card: Card | None = None,
    fused: Callable[..., Tensor] | None = None,
    weight_counts: bool = False,
    **domains: Domain | Depending,
) -> Callable[[Callable[..., Any]], Pointwise]: ...
def pointwise(
    formula: Callable[..., Any] | None = None,
    /,
    *,
    card: Card | None = None,
    fused: Callable[..., Tensor] | None = None,
    weight_counts: bool = False,
    **domains: Domain | Depending,
) -> Any:
    """Make a loss of a formula: a plain-torch function of one element of each tensor.

    Arguments without a default are tensors, with None optional tensors, with a number parameters,
    with a bool flags. `domains` say which values the arguments may have (REAL if not given); where
    a flag decides that, Depending(flag, if_set, otherwise) says so.
    `fused` may name an operation of torch's that is the same loss, called with the tensors, torch's
    number for the reduction and the parameters; it serves tiny tensors. With `weight_counts` the
    mean divides by the sum of `weight`, as sample_weight's does.
    The formula's derivative, its CPU kernel, reductions, weights and errors are derived.
    Raises FormulaError if the function cannot be a pointwise formula.
    """
    if formula is not None:
        return Pointwise(formula, domains)
    return lambda function: Pointwise(function, domains, card, fused, weight_counts)


def register(loss: Pointwise | Rowwise, module: type[torch.nn.Module] | None) -> None:
    """Enter a loss of this library into the catalogue, with its class."""
    loss.module = module
    _catalogue[loss.name] = loss


def catalogue() -> Mapping[str, Pointwise | Rowwise]:
    """All losses of this library by the name of their function, in the order of the guide."""
    return dict(_catalogue)
