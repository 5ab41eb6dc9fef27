"""@pointwise: a formula becomes a loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import update_wrapper
from importlib import import_module
from typing import Any, overload

import torch
from torch import Tensor

from onepass.define.card import Card
from onepass.define.loss import Loss
from onepass.errors import FormulaError
from onepass.formula.differentiate import differentiate
from onepass.formula.domain import (
    REAL,
    Depending,
    Domain,
)
from onepass.formula.expression import Expression, constant, in_order
from onepass.formula.operations import where
from onepass.formula.simplify import simplify
from onepass.formula.trace import VALUE, parameter, tensor, trace
from onepass.runtime import checks, dispatch, keywords, reduce
from onepass.runtime.call import Call, Prepared
from onepass.runtime.cpu import elements
from onepass.runtime.reduce import Weighting

_WEIGHTING = ("weight", *Weighting._fields)


class Pointwise(Loss):
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
        torch_op: Callable[..., Tensor] | None = None,
        weight_counts: bool = False,
    ) -> None:
        if not inspect.isfunction(formula):
            raise FormulaError(
                f"pointwise: a formula is a function written with def, got {formula!r:.60}."
            )
        self.formula = formula
        self.torch_op = torch_op
        self.weight_counts = weight_counts
        self.name: str = formula.__name__
        self.card = card
        self.kernels: dict[Any, Any] = {}
        self.cpu = elements  # what runs its kernels there
        self._traced: dict[Any, Any] = {}
        self._read_signature(formula)
        self._domains = self._checked_domains(domains)
        self.domains: Mapping[str, Domain] = self.domains_of(self.flags)
        names = (*self.tensors, *self.optional, *self.options, "weight")
        self._take(names, {name: self.domains[name] for name in self.parameters})
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
        self.options = {**self.parameters, **self.flags}

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

    def _prepared(self, *given: Any) -> Prepared:
        """The checked call of all arguments."""
        *things, weight = given[: -len(Weighting._fields)]
        last = len(things) - len(self.options)
        options = self.checked(dict(zip(self.options, things[last:], strict=True)))
        weighting = Weighting(*given[-len(Weighting._fields) :])
        return self.call(tuple(things[:last]), options, weighting, weight=weight)

    def call(
        self,
        tensors: tuple[Tensor | None, ...],
        options: Mapping[str, Any],
        weighting: Weighting,
        dtype: torch.dtype | None = None,
        weight: Tensor | None = None,
    ) -> Prepared:
        """The call of these tensors, checked, and of checked options; the result has their dtype,
        or that given.
        """
        optional = zip(self.optional, tensors[len(self.tensors) :], strict=False)
        beside = {name: tensor for name, tensor in optional if tensor is not None}
        names = (*self.tensors, *beside)
        needed: Any = (*tensors[: len(self.tensors)], *beside.values())  # each is checked
        shape, common = checks.agreement(self.name, names, needed)
        dtype = common if dtype is None else dtype
        device = needed[0].device
        weighting = weighting._replace(reduction=keywords.reduction(self.name, weighting.reduction))
        weighted = reduce.weighted(
            self.name, shape, device, weighting, weight, counts=self.weight_counts
        )
        parameters = {name: float(options[name]) for name in self.parameters}
        flags = {name: options[name] for name in self.flags}
        call = Call(
            shape, checks.under_autocast(dtype, device), weighting.reduction, *weighted,
            dispatch.is_checking(), self, names, parameters, flags,
        )  # fmt: skip
        return call, needed

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
            torch.Size([2]), torch.float32, reduction, None, 1.0, None, False,  # noqa: FBT003
            self, self.tensors, self.parameters, self.flags,
        )  # fmt: skip
        needs_grad = [gradient and name == self.tensors[0] for name in self.tensors]
        return self.cpu.source(call, tensors, needs_grad)

    def __repr__(self) -> str:
        return f"<pointwise loss {self.name}{inspect.signature(self.formula)}>"

    def __deepcopy__(self, memo: Any) -> Pointwise:
        return self  # as functions are: there is nothing in it to change

    def __reduce__(self) -> Any:
        return found, (self.formula.__module__, self.formula.__qualname__)


def found(module: str, qualname: str) -> Any:
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
    torch_op: Callable[..., Tensor] | None = None,
    weight_counts: bool = False,
    **domains: Domain | Depending,
) -> Callable[[Callable[..., Any]], Pointwise]: ...
def pointwise(
    formula: Callable[..., Any] | None = None,
    /,
    *,
    card: Card | None = None,
    torch_op: Callable[..., Tensor] | None = None,
    weight_counts: bool = False,
    **domains: Domain | Depending,
) -> Any:
    """Make a loss of a formula: a plain-torch function of one element of each tensor.

    Arguments without a default are tensors, with None optional tensors, with a number parameters,
    with a bool flags. `domains` say which values the arguments may have (REAL if not given); where
    a flag decides that, Depending(flag, if_set, otherwise) says so.
    `torch_op` may name an operation of torch's that is the same loss, called with the tensors,
    torch's number for the reduction and the parameters; it serves tiny tensors. With
    `weight_counts` the mean divides by the sum of `weight`, as sample_weight's does.
    The formula's derivative, its CPU kernel, reductions, weights and errors are derived.
    Raises FormulaError if the function cannot be a pointwise formula.
    """
    if formula is not None:
        return Pointwise(formula, domains)
    return lambda function: Pointwise(function, domains, card, torch_op, weight_counts)
