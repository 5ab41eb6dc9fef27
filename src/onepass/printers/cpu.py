"""Programs as kernels for the CPU: Python text that is compiled, and that runs as it is, too.

A kernel goes over `count` elements in memory, block by block; threads that run it together share
`next_block_at`, the number of the next block. Whatever is not the formula is in `_frame`; the
functions that the text calls stand in runtime/cpu/vectormath/.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping

from onepass.formula.expression import Expression
from onepass.formula.program import Program
from onepass.printers.infix import ATOM, OPERATORS, Spelling, spelled
from onepass.printers.kernel import Kernel, Operand, named, operands_read

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
    "logical_and": "logical_and({}, {})",
    "logical_or": "logical_or({}, {})",
    "logical_not": "logical_not({})",
}
_FRAME_WORDS = {
    "accumulate", "block", "count", "float32", "float64", "i", "inf", "loss", "min", "nan",
    "next_block", "next_block_at", "part", "partials", "range", "read", "read_bfloat16",
    "read_float16", "run", "scale", "total", "upstream", "values", "weight", "write",
    "write_bfloat16", "write_float16",
}  # fmt: skip
_HALF = ("float16", "bfloat16")


def text(kernel: Kernel, results: Mapping[str, Expression], names: Mapping[Expression, str]) -> str:
    """The kernel's source: `results` are the value, and the slopes that are needed."""
    spellings = _spellings(kernel.precision)
    printed, body = named(kernel, results, names, _reserved(spellings))
    return "\n".join(_frame(printed, body, spellings)) + "\n"


def _reserved(spellings: Mapping[str, Spelling]) -> set[str]:
    """The names that the frame uses, and the language."""
    called = {form.partition("(")[0] for form, _ in spellings.values()}
    pointers = {f"{name}_at" for name in ("partials", "upstream", "values", "weight")}
    return _FRAME_WORDS | called | pointers | set(keyword.kwlist)


def _frame(kernel: Kernel, body: Program, spellings: Mapping[str, Spelling]) -> Iterator[str]:
    precision = kernel.precision
    arguments = [f"{name}_at" for name, _ in kernel.pointers] + list(kernel.numbers)
    yield f"def kernel({', '.join(arguments)}, count, next_block_at):"
    yield f"    # {kernel.name}: {_purpose(kernel)}"
    for name in kernel.numbers:
        yield f"    {name} = {precision}({name})"
    for operand in filter(lambda operand: operand.single, operands_read(kernel)):
        yield f"    {operand.name} = {_load(operand, precision, '0')}"
    yield "    block = next_block(next_block_at)"
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
    yield "        block = next_block(next_block_at)"


def _purpose(kernel: Kernel) -> str:
    reads = sum(not operand.single for operand in operands_read(kernel))
    value = "value" if kernel.sums else ""
    slopes = f"gradient of {', '.join(kernel.gradients)}" if kernel.gradients else ""
    what = " and ".join(filter(None, (value, slopes)))
    return f"{what}; reads {reads} per element, writes {len(kernel.written)}"


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
    for operand in operands_read(kernel):
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
    return OPERATORS | {name: (form, ATOM) for name, form in (functions | _ONE_SPELLING).items()}


def _number(value: float, precision: str) -> str:
    return repr(value) if precision == "float64" else f"float32({value!r})"
