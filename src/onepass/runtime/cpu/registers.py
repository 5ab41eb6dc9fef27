"""Values of a kernel as LLVM has them: registers, and pointers to memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

FLOAT32, FLOAT64 = ir.FloatType(), ir.DoubleType()
BIT, BITS8 = ir.IntType(1), ir.IntType(8)
BITS16, BITS32, BITS64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SAME_WIDTH = {FLOAT32: BITS32, FLOAT64: BITS64, BITS32: FLOAT32, BITS64: FLOAT64}
REALS = (FLOAT32, FLOAT64)
_WIDTHS = {BIT: 0, BITS32: 32, BITS64: 64, FLOAT32: 32, FLOAT64: 64}
_DTYPES = {BIT: "bool", BITS32: "int32", BITS64: "int64", FLOAT32: "float32", FLOAT64: "float64"}
_STORED = {
    "bool": BITS8, "int8": BITS8, "uint8": BITS8, "int16": BITS16, "uint16": BITS16,
    "int32": BITS32, "uint32": BITS32, "int64": BITS64, "uint64": BITS64,
    "float16": BITS16, "bfloat16": BITS16, "float32": FLOAT32, "float64": FLOAT64,
}  # fmt: skip


def _arithmetic(real: str, integer: str) -> Callable[[Register, Any], Register]:
    def operator(self: Register, other: Any) -> Register:
        a, b = self.paired(other)
        instruction = real if a.type in REALS else integer
        if not instruction:
            raise TypeError(f"no such operation on {a.type}")
        return a.apply(instruction, b)

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
        return a._quotient(b) - _differ(a._rest(b), b).convert(a.type)

    def __mod__(self, other: Any) -> Register:
        """Of integers, with the sign of the divisor."""
        a, b = self.paired(other)
        rest = a._rest(b)
        return rest + where(_differ(rest, b), b, 0)

    _quotient, _rest = _arithmetic("", "sdiv"), _arithmetic("", "srem")  # rounded toward 0
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


def _differ(rest: Register, divisor: Register) -> Register:
    """Whether a rest has another sign than the divisor."""
    left: Any = rest != 0
    return left.apply("and_", (rest ^ divisor) < 0)


def wider(one: ir.Type, other: ir.Type) -> ir.Type:
    """The type of an operation on both."""
    if (one in REALS) != (other in REALS):
        raise TypeError(f"{one} and {other}: an integer and a real")
    return max(one, other, key=_WIDTHS.__getitem__)


def constant(builder: Any, number: float) -> Register:
    """As Python has it: a truth, an integer of 64 bits, a float64."""
    kind = BIT if isinstance(number, bool) else BITS64 if isinstance(number, int) else FLOAT64
    return Register(builder, ir.Constant(kind, number))


def in_type(builder: Any, number: Any, kind: ir.Type) -> Register:
    """A register's number, or one of Python's, in a type that can hold it."""
    if isinstance(number, Register):
        return number.convert(kind)
    if kind not in REALS and isinstance(number, float):
        raise TypeError(f"{number} is no integer")
    return Register(builder, ir.Constant(kind, float(number) if kind in REALS else number))


def truth(a: Any) -> Any:
    if isinstance(a, bool) or (isinstance(a, Register) and a.type == BIT):
        return a
    raise TypeError("a condition must be true or false")


def where(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(a, Register):
        a = b.alike(a) if isinstance(b, Register) else constant(condition.builder, a)
    b = a.alike(b)
    if isinstance(condition, bool):
        return a if condition else b
    build = condition.builder
    return Register(build, build.select(truth(condition).value, a.value, b.value))


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


def scratch(builder: Any, kind: ir.Type, count: int) -> Pointer:
    """Memory of the kernel's own."""
    with builder.goto_entry_block():
        memory = builder.alloca(kind, count)
    return Pointer(builder, memory, _DTYPES[kind])
