"""What kernel text calls, as instructions of LLVM: vectormath on registers, and memory.

vectormath's functions are straight lines of Python: run once on `Register`s, they emit their
instructions.

Memory is read and written through bare pointers, without the wrap-around of Python's indices, which
stops vectorisation. No two pointers of a kernel may overlap if it writes through one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from llvmlite import ir

from onepass.runtime.cpu import registers
from onepass.runtime.cpu.registers import (
    BIT,
    BITS8,
    BITS16,
    BITS32,
    BITS64,
    FLOAT32,
    FLOAT64,
    Pointer,
    Register,
    constant,
    in_type,
    stored,
    truth,
    where,
)
from onepass.runtime.cpu.vectormath import primitives
from onepass.runtime.cpu.vectormath.formats import INFINITY, NAN, Format
from onepass.runtime.cpu.vectormath.functions import FUNCTIONS, by_name

_HALF = ir.HalfType()


# vectormath's primitives, on registers


def _number(constant: float, like: Register) -> Register:
    return like.alike(constant)


def _logical_and(a: Any, b: Any) -> Any:
    a, b = truth(a), truth(b)
    if isinstance(a, bool):
        return b if a else False
    return _logical_and(b, a) if isinstance(b, bool) else a.apply("and_", b)


def _logical_or(a: Any, b: Any) -> Any:
    a, b = truth(a), truth(b)
    if isinstance(a, bool):
        return True if a else b
    return _logical_or(b, a) if isinstance(b, bool) else a.apply("or_", b)


def _logical_not(a: Any) -> Any:
    a = truth(a)
    return not a if isinstance(a, bool) else a.apply("not_")


def _fma(a: Register, b: Any, c: Any) -> Register:
    return a.call("llvm.fma", b, c)


def _sqrt(x: Register) -> Register:
    return x.call("llvm.sqrt")


def _absolute(x: Register) -> Register:
    return x.call("llvm.fabs")


def _copysign(size: Register, sign: Register) -> Register:
    return size.call("llvm.copysign", sign)


def _largest(a: Register, b: Register) -> Register:
    return a.call("llvm.maxnum", b)


def _nearest(x: Register) -> Register:
    return x.call("llvm.rint")


def _accumulate(total: Register, value: Register) -> Register:
    """total + value in any order: the licence to keep one partial sum per lane."""
    flags = ("reassoc", "nsz")
    return Register(total.builder, total.builder.fadd(total.value, value.value, flags=flags))


PRIMITIVES: dict[str, Callable[..., Register]] = {
    "absolute": _absolute,
    "accumulate": _accumulate,
    "bits": Register.reinterpret,
    "logical_and": _logical_and,
    "copysign": _copysign,
    "logical_or": _logical_or,
    "float32": lambda x: x.convert(FLOAT32),
    "float64": lambda x: x.convert(FLOAT64),
    "fma": _fma,
    "from_bits": Register.reinterpret,
    "largest": _largest,
    "nearest": _nearest,
    "logical_not": _logical_not,
    "number": _number,
    "sqrt": _sqrt,
    "where": where,
    "width": lambda x: x.type.width,
}


@cache
def _on_registers() -> dict[str, Any]:
    """What vectormath's files define, in one namespace, bound to the primitives above."""
    namespace: dict[str, Any] = {}
    for function in (*FUNCTIONS, *primitives.PRIMITIVES):
        for name, value in function.__globals__.items():
            known = namespace.setdefault(name, value)
            assert known is value or name.startswith("__"), f"{name} is defined twice"
    namespace |= PRIMITIVES
    for name, value in namespace.items():
        if isinstance(value, FunctionType) and name not in PRIMITIVES:
            namespace[name] = FunctionType(value.__code__, namespace, name, value.__defaults__)
    return namespace


KERNEL_PRIMITIVES = (
    "absolute", "accumulate", "bits", "copysign", "fma", "from_bits", "largest", "logical_and",
    "logical_not", "logical_or", "maximum", "minimum", "nearest", "of_rank", "rank", "sqrt",
    "where",
)  # fmt: skip


# What kernel text sees


def words(builder: Any) -> dict[str, Any]:
    """What the names in kernel text stand for."""

    def scratch(like: Any, count: int) -> Pointer:
        """Memory of the kernel's own, for `count` elements (a constant) of the type of `like`."""
        number = like if isinstance(like, Register) else constant(builder, like)
        return registers.scratch(builder, number.type, count)

    def conversion(kind: ir.Type) -> Callable[[Any], Register]:
        return lambda number: in_type(builder, number, kind)

    def function(emit: Callable[..., Any], format: Format) -> Callable[..., Register]:
        real = FLOAT32 if format.width == 32 else FLOAT64
        return lambda *operands: emit(
            *(in_type(builder, each, real) for each in operands), format
        ).convert(real)

    emitted = _on_registers()
    return {
        "float32": conversion(FLOAT32),
        "float64": conversion(FLOAT64),
        "int32": conversion(BITS32),
        "int64": conversion(BITS64),
        "inf": INFINITY,
        "nan": NAN,
        "read": read,
        "write": write,
        "next_block": next_block,
        "scratch": scratch,
        "read_float16": _half_reader(_from_float16),
        "write_float16": _half_writer(_to_float16),
        "read_bfloat16": _half_reader(_from_bfloat16),
        "write_bfloat16": _half_writer(_to_bfloat16),
        **{name: emitted[name] for name in KERNEL_PRIMITIVES},
        **{
            name: function(emitted[each.__name__], format)
            for name, (each, format) in by_name().items()
        },
    }


def read(pointer: Pointer, index: Any) -> Register:
    """pointer[index]; integers have 64 bits, unless they are int32."""
    builder, _, dtype = pointer
    value = builder.load(pointer.at(index))
    if dtype == "bool":
        value = builder.trunc(value, BIT)
    elif value.type in (BITS8, BITS16) or dtype == "uint32":
        value = (builder.zext if dtype.startswith("u") else builder.sext)(value, BITS64)
    return Register(builder, value)


def write(pointer: Pointer, index: Any, value: Register) -> None:
    """pointer[index] = value, of the very type of the element."""
    builder, _, dtype = pointer
    written = builder.zext(value.value, BITS8) if dtype == "bool" else value.value
    if written.type != stored(dtype):
        raise TypeError(f"a {value.type} is written where elements are {dtype}")
    builder.store(written, pointer.at(index))


def next_block(pointer: Pointer) -> Register:
    """The next turn: every number from 0 once, whichever thread asks."""
    add = pointer.builder.atomic_rmw("add", pointer.value, BITS64(1), "monotonic")
    return Register(pointer.builder, add)


def _half_reader(widen: Callable[..., Any]) -> Callable[..., Register]:
    """(pointer, index): 16 bits as a float32."""

    def read_half(pointer: Pointer, index: Any) -> Register:
        builder = pointer.builder
        _check_half(pointer)
        return Register(builder, widen(builder, builder.load(pointer.at(index))))

    return read_half


def _half_writer(narrow: Callable[..., Any]) -> Callable[..., None]:
    """(pointer, index, value): a float32 in 16 bits, rounded to nearest even."""

    def write_half(pointer: Pointer, index: Any, value: Register) -> None:
        _check_half(pointer)
        if value.type != FLOAT32:
            raise TypeError(f"a {value.type} is written in 16 bits")
        builder = pointer.builder
        builder.store(narrow(builder, value.value), pointer.at(index))

    return write_half


def _check_half(pointer: Pointer) -> None:
    if stored(pointer.dtype) != BITS16:
        raise TypeError(f"elements of {pointer.dtype} have not 16 bits")


def _from_float16(builder: Any, pattern: Any) -> Any:
    return builder.fpext(builder.bitcast(pattern, _HALF), FLOAT32)


def _to_float16(builder: Any, value: Any) -> Any:
    return builder.bitcast(builder.fptrunc(value, _HALF), BITS16)


def _from_bfloat16(builder: Any, pattern: Any) -> Any:
    upper = builder.shl(builder.zext(pattern, BITS32), BITS32(16))
    return builder.bitcast(upper, FLOAT32)


def _to_bfloat16(builder: Any, value: Any) -> Any:
    """bfloat16 = the upper half of a float32; half of the last place goes to the even side."""
    i = builder.bitcast(value, BITS32)
    upper = builder.lshr(i, BITS32(16))
    odd = builder.and_(upper, BITS32(1))
    rounded = builder.lshr(builder.add(i, builder.add(odd, BITS32(0x7FFF))), BITS32(16))
    quiet = builder.or_(upper, BITS32(0x40))  # a nan may not be rounded to infinity
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_nan, quiet, rounded), BITS16)
