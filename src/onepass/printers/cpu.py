"""Programs as kernels for the CPU: Python text that is compiled, and that runs as it is, too.

A kernel goes over `count` elements in memory, block by block; threads that run it together share
`turn_at` and take turns. Whatever is not the formula is in `_frame`; the functions that the text
calls stand in runtime/vectormath.py.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from onepass.formula.expression import Expression
from onepass.formula.operations import where
from onepass.formula.program import Program, program
from onepass.formula.trace import VALUE, parameter, tensor
from onepass.printers.infix import ATOM, INFIX, Spelling, spelled

BLOCK = 16384  # elements of a partial sum: the same for any number of threads, and L2-sized
# Elements that are summed up in the precision of the arithmetic: a float64 sum in the loop would
# leave half of every float32 vector empty.
_RUN = 1024

# fmt: off
_BY_PRECISION = (
    "exp", "log", "log1p", "expm1", "sigmoid", "softplus", "log_sigmoid", "tanh", "erf", "power",
    "lgamma", "digamma", "sign", "logaddexp", "xlogy", "sin", "cos",
)
# fmt: on
_ONE_SPELLING = {
    "abs": "absolute({})",
    "sqrt": "sqrt({})",
    "where": "where({}, {}, {})",
    "maximum": "maximum({}, {})",
    "minimum": "minimum({}, {})",
    "logical_and": "both({}, {})",
    "logical_or": "either({}, {})",
    "logical_not": "negation({})",
}
_FRAME_WORDS = {
    "accumulate", "block", "count", "float32", "float64", "i", "inf", "loss", "min", "nan",
    "part", "partials", "range", "read", "read_bfloat16", "read_float16", "run", "scale", "total",
    "turn", "turn_at", "upstream", "values", "weight", "write", "write_bfloat16", "write_float16",
}  # fmt: skip
_HALF = ("float16", "bfloat16")
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
    gradients: tuple[str, ...]  # the operands whose gradient is wanted
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
        read = ((operand.name, operand.dtype) for operand in _read(self))
        return (*read, *self.written, ("partials", "float64"))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The float64 arguments behind the pointers, in order."""
        return (*self.parameters, "scale")


def text(kernel: Kernel, results: Mapping[str, Expression], names: Mapping[Expression, str]) -> str:
    """The kernel's source: `results` are the value and the slope by every wanted operand."""
    spellings = _spellings(kernel.precision)
    printed, taken = _printed_names(kernel, spellings)
    leaves = {tensor(name): printed[name] for name, *_ in kernel.operands}
    leaves |= {parameter(name): printed[name] for name in kernel.parameters}
    leaves |= {_SCALE: "scale", _UPSTREAM: "upstream", _WEIGHT: "weight"}
    outputs = {
        "loss" if name == VALUE else f"gradient_{printed[name]}": output
        for name, output in _outputs(kernel, results).items()
    }
    body = program(outputs, names, leaves, taken)
    return "\n".join(_frame(_renamed(kernel, printed), body, spellings)) + "\n"


def _outputs(kernel: Kernel, results: Mapping[str, Expression]) -> dict[str, Expression]:
    """What the kernel computes in the end: slopes times what they are scaled by, and the loss."""
    factor = _UPSTREAM if kernel.each else _SCALE
    outputs = {name: results[name] * factor for name in kernel.gradients}
    if kernel.sums:
        outputs[VALUE] = results[VALUE]
    if kernel.weight is None:
        return outputs
    # What has no weight counts nothing, whatever it holds.
    return {name: where(_WEIGHT == 0.0, 0.0, _WEIGHT * x) for name, x in outputs.items()}


def _printed_names(
    kernel: Kernel, spellings: Mapping[str, Spelling]
) -> tuple[dict[str, str], set[str]]:
    """The formula's own arguments under names that the frame does not use, and all names in use."""
    called = {form.partition("(")[0] for form, _ in spellings.values()}
    pointers = {f"{name}_at" for name in ("partials", "upstream", "values", "weight")}
    taken = _FRAME_WORDS | called | pointers | set(keyword.kwlist)
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


def _frame(kernel: Kernel, body: Program, spellings: Mapping[str, Spelling]) -> Iterator[str]:
    precision = kernel.precision
    arguments = [f"{name}_at" for name, _ in kernel.pointers] + list(kernel.numbers)
    yield f"def kernel({', '.join(arguments)}, count, turn_at):"
    yield f"    # {kernel.name}: {_purpose(kernel)}"
    for name in kernel.numbers:
        yield f"    {name} = {precision}({name})"
    for operand in filter(lambda operand: operand.single, _read(kernel)):
        yield f"    {operand.name} = {_load(operand, precision, '0')}"
    yield "    block = turn(turn_at)"
    yield f"    while block * {BLOCK} < count:"
    if kernel.sums:
        yield "        total = float64(0.0)"
    yield f"        for run in range(block * {BLOCK}, min((block + 1) * {BLOCK}, count), {_RUN}):"
    if kernel.sums:
        yield f"            part = {precision}(0.0)"
    yield f"            for i in range(run, min(run + {_RUN}, count)):"
    for line in (*_loads(kernel), *_lines(kernel, body, spellings), *_stores(kernel)):
        yield f"                {line}"
    if kernel.sums:
        yield "            total = total + float64(part)"
        yield "        write(partials_at, block, total)"
    yield "        block = turn(turn_at)"


def _purpose(kernel: Kernel) -> str:
    reads = sum(not operand.single for operand in _read(kernel))
    value = "value" if kernel.sums else ""
    slopes = f"gradient of {', '.join(kernel.gradients)}" if kernel.gradients else ""
    what = " and ".join(filter(None, (value, slopes)))
    return f"{what}; reads {reads} per element, writes {len(kernel.written)}"


def _read(kernel: Kernel) -> tuple[Operand, ...]:
    """Everything the kernel reads, in the order of its pointers."""
    weight = (kernel.weight,) if kernel.weight else ()
    upstream = (Operand("upstream", kernel.output),) if kernel.each and kernel.gradients else ()
    return (*kernel.operands, *weight, *upstream)


def _load(operand: Operand, precision: str, index: str) -> str:
    if operand.dtype in _HALF:
        load = f"read_{operand.dtype}({operand.name}_at, {index})"
        return load if precision == "float32" else f"{precision}({load})"
    load = f"read({operand.name}_at, {index})"
    return load if operand.dtype == precision else f"{precision}({load})"


def _store(pointer: str, name: str, dtype: str, precision: str) -> str:
    if dtype in _HALF:
        narrow = name if precision == "float32" else f"float32({name})"
        return f"write_{dtype}({pointer}_at, i, {narrow})"
    return f"write({pointer}_at, i, {name if dtype == precision else f'{dtype}({name})'})"


def _loads(kernel: Kernel) -> Iterator[str]:
    for operand in _read(kernel):
        if not operand.single:
            yield f"{operand.name} = {_load(operand, kernel.precision, 'i')}"


def _lines(kernel: Kernel, body: Program, spellings: Mapping[str, Spelling]) -> Iterator[str]:
    """The formula: its named subexpressions, then the outputs."""

    def spell(expression: Expression) -> str:
        return spelled(expression, spellings, body.names, lambda x: _number(x, kernel.precision))

    for name, expression in body.assignments:
        yield f"{name} = {spell(expression)}"
    for name, expression in body.results.items():
        yield f"{name} = {body.names.get(expression) or spell(expression)}"


def _stores(kernel: Kernel) -> Iterator[str]:
    precision = kernel.precision
    for name, dtype in kernel.written:
        yield _store(name, "loss" if name == "values" else name, dtype, precision)
    if kernel.sums:
        yield "part = accumulate(part, loss)"


def _spellings(precision: str) -> dict[str, Spelling]:
    bits = precision.removeprefix("float")
    functions = {name: f"{name}{bits}({{}})" for name in _BY_PRECISION}
    for name in ("power", "logaddexp", "xlogy"):
        functions[name] = f"{name}{bits}({{}}, {{}})"
    return INFIX | {name: (form, ATOM) for name, form in (functions | _ONE_SPELLING).items()}


def _number(value: float, precision: str) -> str:
    return repr(value) if precision == "float64" else f"float32({value!r})"
