"""What every kernel printer shares: what a kernel reads, computes and writes, and the names.

A language is a table of spellings and a frame, in a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from onepass.formula.expression import Expression
from onepass.formula.operations import where
from onepass.formula.program import Program, program
from onepass.formula.trace import VALUE, parameter, tensor

# Leaves of the frame; no argument of a formula can be called so.
_SCALE, _UPSTREAM, _WEIGHT = parameter("the scale"), tensor("the upstream"), tensor("the weight")


class Operand(NamedTuple):
    """A tensor that a kernel reads: one element per element of the loss, or one for all."""

    name: str
    dtype: str
    single: bool = False


@dataclass(frozen=True)
class Kernel:
    """What a kernel computes from what; two equal ones have the same text.

    `each` is reduction='none': it writes every value, or multiplies the slopes by an upstream of
    their own; otherwise it sums the values up, and the slopes take the one `scale`.
    """

    name: str
    operands: tuple[Operand, ...]
    parameters: tuple[str, ...]
    gradients: tuple[str, ...]  # the operands that need one
    each: bool
    precision: str  # "float32" or "float64", for the arithmetic
    output: str  # the dtype of the values, and of the upstream
    weight: Operand | None = None
    wide: tuple[str, ...] = ()  # the operands whose gradient is written in that precision

    @property
    def sums(self) -> bool:
        """Whether it adds the values up: all but the slopes-times-upstream kernel."""
        return not (self.each and self.gradients)

    @property
    def written(self) -> tuple[tuple[str, str], ...]:
        """Name and dtype of what it writes an element of per element."""
        if self.each and not self.gradients:
            return (("values", self.output),)
        dtypes = {operand.name: operand.dtype for operand in self.operands}
        dtypes |= dict.fromkeys(self.wide, self.precision)
        return tuple((f"gradient_{name}", dtypes[name]) for name in self.gradients)

    @property
    def pointers(self) -> tuple[tuple[str, str], ...]:
        """The memory it is given, in order: name and dtype."""
        read = ((operand.name, operand.dtype) for operand in operands_read(self))
        return (*read, *self.written, ("partials", "float64"))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The float64 arguments behind the pointers, in order."""
        return (*self.parameters, "scale")


def operands_read(kernel: Kernel) -> tuple[Operand, ...]:
    """Everything the kernel reads, in the order of its pointers."""
    weight = (kernel.weight,) if kernel.weight else ()
    upstream = (Operand("upstream", kernel.output),) if kernel.each and kernel.gradients else ()
    return (*kernel.operands, *weight, *upstream)


def named(
    kernel: Kernel,
    results: Mapping[str, Expression],
    names: Mapping[Expression, str],
    reserved: Set[str],
) -> tuple[Kernel, Program]:
    """The kernel under names that are not reserved, and its formula: assignments, then outputs.

    `results` are the value and the slopes, `names` the author's names of parts of them.
    """
    printed, taken = _printed_names(kernel, reserved)
    leaves = {tensor(name): printed[name] for name, *_ in kernel.operands}
    leaves |= {parameter(name): printed[name] for name in kernel.parameters}
    leaves |= {_SCALE: "scale", _UPSTREAM: "upstream", _WEIGHT: "weight"}
    outputs = {
        "loss" if name == VALUE else f"gradient_{printed[name]}": output
        for name, output in _outputs(kernel, results).items()
    }
    return _renamed(kernel, printed), program(outputs, names, leaves, taken)


def _outputs(kernel: Kernel, results: Mapping[str, Expression]) -> dict[str, Expression]:
    """What the kernel computes in the end: slopes times what they are scaled by, and the loss."""
    factor = _UPSTREAM if kernel.each else _SCALE
    found = {name: results[name] * factor for name in kernel.gradients}
    if kernel.sums:
        found[VALUE] = results[VALUE]
    if kernel.weight is None:
        return found
    # What has no weight counts nothing, whatever it holds.
    return {name: where(_WEIGHT == 0.0, 0.0, _WEIGHT * x) for name, x in found.items()}


def _printed_names(kernel: Kernel, reserved: Set[str]) -> tuple[dict[str, str], set[str]]:
    """The formula's own arguments under names that are not reserved, and all names in use."""
    taken = set(reserved)
    printed = {}
    for name in (*(operand.name for operand in kernel.operands), *kernel.parameters):
        printed[name] = next(wish for wish in _wishes(name) if taken.isdisjoint(_names_of(wish)))
        taken |= _names_of(printed[name])
    return printed, taken


def _wishes(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


def _names_of(argument: str) -> set[str]:
    """What the frame calls an argument, its memory, its gradient and the memory of that."""
    names = {argument, f"gradient_{argument}"}
    return names | {f"{name}_at" for name in names}


def _renamed(kernel: Kernel, printed: Mapping[str, str]) -> Kernel:
    return replace(
        kernel,
        operands=tuple(operand._replace(name=printed[operand.name]) for operand in kernel.operands),
        parameters=tuple(printed[name] for name in kernel.parameters),
        gradients=tuple(printed[name] for name in kernel.gradients),
        wide=tuple(printed[name] for name in kernel.wide),
    )
