"""What kernel text calls, as instructions of LLVM: arithmetic on registers, memory, vectormath.

vectormath's functions are straight lines of Python: run once on `Register`s, they emit their
instructions.

Memory is read and written through bare pointers, without the wrap-around of Python's indices, which
stops vectorisation. No two pointers of a kernel may overlap if it writes through one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

from llvmlite import ir

from onepass.runtime import vectormath

HALF, FLOAT32, FLOAT64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
BIT, BITS8 = ir.IntType(1), ir.IntType(8)
BITS16, BITS32, BITS64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SAME_WIDTH = {FLOAT32: BITS32, FLOAT64: BITS64, BITS32: FLOAT32, BITS64: FLOAT64}
REALS = (FLOAT32, FLOAT64)
_WIDTHS = {BIT: 0, BITS32: 32, BITS64: 64, FLOAT32: 32, FLOAT64: 64}
_STORED = {
    "bool": BITS8, "int8": BITS8, "uint8": BITS8, "int16": BITS16, "uint16": BITS16,
    "int32": BITS32, "uint32": BITS32, "int64": BITS64, "uint64": BITS64,
    "float16": BITS16, "bfloat16": BITS16, "float32": FLOAT32, "float64": FLOAT64,
}  # fmt: skip


def _arithmetic(real: str, integer: str) -> Callable[[Register, Any], Register]:
    def operator(self: Register, other: Any) -> Register:
        a, b = self.paired(other)
        return a.apply(real if a.type in REALS else integer, b)

    return operator


def _reflected(operator: str) -> Callable[[Register, Any], Register]:
    def swapped(self: Register, other: Any) -> Register:
        return getattr(self.alike(other), operator)(self)

    return swapped


def _comparison(relation: str, of_nan: bool = False) -> Callable[[Register, Any], Register]:
    def compare(self: Register, other: Any) -> Register:
        a, b = self.paired(other)
        build = a.builder
        if a.type not in REALS:
            return Register(build, build.icmp_signed(relation, a.value, b.value))
        emit = build.fcmp_unordered if of_nan else build.fcmp_ordered
        return Register(build, emit(relation, a.value, b.value))

    return compare


class Register:
    """An LLVM value with the arithmetic of a numpy scalar: Python numbers take its type."""

    __array_ufunc__ = None  # a numpy scalar on the left hands over

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value
        self.type = value.type

    def alike(self, other: Any) -> Register:
        """`other` as a partner of this one, of its type."""
        if isinstance(other, Register):
            if other.type != self.type:
                raise TypeError(f"{self.type} and {other.type} are two types")
            return other
        return Register(self.builder, ir.Constant(self.type, other))

    def paired(self, other: Any) -> tuple[Register, Register]:
        """Both in the wider type of the two."""
        if not isinstance(other, Register) or other.type == self.type:
            return self, self.alike(other)
        wide = wider(self.type, other.type)
        return self.convert(wide), other.convert(wide)

    def apply(self, instruction: str, *operands: Any) -> Register:
        values = [self.alike(operand).value for operand in operands]
        return Register(self.builder, getattr(self.builder, instruction)(self.value, *values))

    def call(self, function: str, *operands: Any) -> Register:
        """llvm.fma and its like, in the type of this register."""
        values = [self.value, *(self.alike(operand).value for operand in operands)]
        kind = ir.FunctionType(self.type, [self.type] * len(values))
        callee = self.builder.module.declare_intrinsic(function, [self.type], kind)
        return Register(self.builder, self.builder.call(callee, values))

    def reinterpret(self) -> Register:
        """The same bits as the integer, or the float, of the same width."""
        return Register(self.builder, self.builder.bitcast(self.value, SAME_WIDTH[self.type]))

    def convert(self, target: ir.Type) -> Register:
        """The nearest number of that type; an integer that is too large loses its upper bits."""
        if self.type == target:
            return self
        return Register(self.builder, self._cast(target)(self.value, target))

    def _cast(self, target: ir.Type) -> Callable[..., Any]:
        build, wider = self.builder, _WIDTHS[target] > _WIDTHS[self.type]
        if self.type in REALS:
            if target not in REALS:
                raise TypeError("a real does not become an integer")
            return build.fpext if wider else build.fptrunc
        if target in REALS:
            return build.uitofp if self.type == BIT else build.sitofp
        return build.trunc if not wider else build.zext if self.type == BIT else build.sext

    def __neg__(self) -> Register:
        return self.apply("fneg" if self.type in REALS else "neg")

    def __floordiv__(self, other: Any) -> Register:
        """Of integers, rounded down."""
        a, b = self.paired(other)
        toward_zero, rest = a.apply("sdiv", b), a.apply("srem", b)
        return toward_zero - _both(rest != 0, (rest ^ b) < 0).convert(a.type)

    def __mod__(self, other: Any) -> Register:
        """Of integers, with the sign of the divisor."""
        a, b = self.paired(other)
        rest = a.apply("srem", b)
        return rest + where(_both(rest != 0, (rest ^ b) < 0), b, 0)

    __add__ = _arithmetic("fadd", "add")
    __sub__ = _arithmetic("fsub", "sub")
    __mul__ = _arithmetic("fmul", "mul")
    __truediv__ = _arithmetic("fdiv", "")
    __radd__ = _reflected("__add__")
    __rsub__ = _reflected("__sub__")
    __rmul__ = _reflected("__mul__")
    __rtruediv__ = _reflected("__truediv__")
    __rfloordiv__ = _reflected("__floordiv__")
    __rmod__ = _reflected("__mod__")
    __lshift__ = _arithmetic("", "shl")
    __rshift__ = _arithmetic("", "ashr")
    __and__ = _arithmetic("", "and_")
    __xor__ = _arithmetic("", "xor")
    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")
    __eq__ = _comparison("==")  # pyright: ignore[reportAssignmentType]
    __ne__ = _comparison("!=", of_nan=True)  # pyright: ignore[reportAssignmentType]
    __hash__ = None  # pyright: ignore[reportAssignmentType]


# vectormath's primitives, on registers


def _number(constant: float, like: Register) -> Register:
    return like.alike(constant)


def wider(one: ir.Type, other: ir.Type) -> ir.Type:
    """The type of an operation on both."""
    if (one in REALS) != (other in REALS):
        raise TypeError(f"{one} and {other}: an integer and a real")
    return max(one, other, key=_WIDTHS.__getitem__)


def constant(builder: Any, number: float) -> Register:
    """As Python has it: a truth, an integer of 64 bits, a float64."""
    kind = BIT if isinstance(number, bool) else BITS64 if isinstance(number, int) else FLOAT64
    return Register(builder, ir.Constant(kind, number))


def where(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(a, Register):
        a = b.alike(a) if isinstance(b, Register) else constant(condition.builder, a)
    b = a.alike(b)
    if isinstance(condition, bool):
        return a if condition else b
    build = condition.builder
    return Register(build, build.select(truth(condition).value, a.value, b.value))


def _both(a: Any, b: Any) -> Any:
    a, b = truth(a), truth(b)
    if isinstance(a, bool):
        return b if a else False
    return _both(b, a) if isinstance(b, bool) else a.apply("and_", b)


def _either(a: Any, b: Any) -> Any:
    a, b = truth(a), truth(b)
    if isinstance(a, bool):
        return True if a else b
    return _either(b, a) if isinstance(b, bool) else a.apply("or_", b)


def _negation(a: Any) -> Any:
    a = truth(a)
    return not a if isinstance(a, bool) else a.apply("not_")


def truth(a: Any) -> Any:
    if isinstance(a, bool) or (isinstance(a, Register) and a.type == BIT):
        return a
    raise TypeError("a condition must be true or false")


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
    "both": _both,
    "copysign": _copysign,
    "either": _either,
    "float32": lambda x: x.convert(FLOAT32),
    "float64": lambda x: x.convert(FLOAT64),
    "fma": _fma,
    "from_bits": Register.reinterpret,
    "largest": _largest,
    "nearest": _nearest,
    "negation": _negation,
    "number": _number,
    "sqrt": _sqrt,
    "where": where,
    "width": lambda x: x.type.width,
}


@cache
def _on_registers() -> dict[str, Any]:
    """vectormath's namespace, its functions bound to the primitives above."""
    namespace = {**vars(vectormath), **PRIMITIVES}
    for name, value in vars(vectormath).items():
        if isinstance(value, FunctionType) and name not in PRIMITIVES:
            namespace[name] = FunctionType(value.__code__, namespace, name, value.__defaults__)
    return namespace


KERNEL_PRIMITIVES = (
    "absolute", "accumulate", "bits", "both", "copysign", "either", "fma", "from_bits", "largest",
    "maximum", "minimum", "nearest", "negation", "of_rank", "rank", "sqrt", "where",
)  # fmt: skip


# What kernel text sees


class Pointer(NamedTuple):
    """Where elements of a dtype stand."""

    builder: Any
    value: Any
    dtype: str

    def at(self, index: Any) -> Any:
        """The address of an element."""
        index = index if isinstance(index, Register) else constant(self.builder, index)
        return self.builder.gep(self.value, [index.value])


def stored(dtype: str) -> ir.Type:
    """How memory holds an element."""
    return _STORED[dtype]


def words(builder: Any) -> dict[str, Any]:
    """What the names in kernel text stand for."""

    def register(number: Any) -> Register:
        return number if isinstance(number, Register) else constant(builder, number)

    def room(like: Any, count: int) -> Pointer:
        """Memory of the kernel's own, for `count` elements (a constant) of the type of `like`."""
        kind = register(like).type
        with builder.goto_entry_block():
            memory = builder.alloca(kind, count)
        return Pointer(builder, memory, _DTYPES[kind])

    def conversion(kind: ir.Type) -> Callable[[Any], Register]:
        return lambda number: in_type(builder, number, kind)

    def function(emit: Callable[..., Any], format: vectormath.Format) -> Callable[..., Register]:
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
        "inf": vectormath.INFINITY,
        "nan": vectormath.NAN,
        "read": read,
        "write": write,
        "turn": turn,
        "room": room,
        "read_float16": _half_reader(_from_float16),
        "write_float16": _half_writer(_to_float16),
        "read_bfloat16": _half_reader(_from_bfloat16),
        "write_bfloat16": _half_writer(_to_bfloat16),
        **{name: emitted[name] for name in KERNEL_PRIMITIVES},
        **{
            name: function(emitted[each.__name__], format)
            for name, (each, format) in vectormath.by_name().items()
        },
    }


_DTYPES = {BIT: "bool", BITS32: "int32", BITS64: "int64", FLOAT32: "float32", FLOAT64: "float64"}


def in_type(builder: Any, number: Any, kind: ir.Type) -> Register:
    """A register's number, or one of Python's, in a type that can hold it."""
    if isinstance(number, Register):
        return number.convert(kind)
    if kind not in REALS and isinstance(number, float):
        raise TypeError(f"{number} is no integer")
    return Register(builder, ir.Constant(kind, float(number) if kind in REALS else number))


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


def turn(pointer: Pointer) -> Register:
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
    return builder.fpext(builder.bitcast(pattern, HALF), FLOAT32)


def _to_float16(builder: Any, value: Any) -> Any:
    return builder.bitcast(builder.fptrunc(value, HALF), BITS16)


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
