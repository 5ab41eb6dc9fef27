"""The primitives of kernel text and the functions of vectormath, as instructions of LLVM.

vectormath's functions are straight lines, so numba compiles none of them: to use one is to run it
once on `Register`s, which emits its instructions into the caller. There is nothing to infer and
nothing to inline, where numba spends 20 to 60 ms on each helper.

Memory is read and written through bare pointers, without the wrap-around of Python's indices, which
stops vectorisation. No two pointers of a kernel may overlap if it writes through one of them.
"""

from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature, signature
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from onepass.runtime import vectormath

HALF, FLOAT32, FLOAT64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
BITS16, BITS32, BITS64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SAME_WIDTH = {FLOAT32: BITS32, FLOAT64: BITS64, BITS32: FLOAT32, BITS64: FLOAT64}
REALS = (FLOAT32, FLOAT64)


def _arithmetic(real: str, integer: str) -> Callable[["Register", Any], "Register"]:
    def operator(self: "Register", other: Any) -> "Register":
        return self.apply(real if self.type in REALS else integer, other)

    return operator


def _reflected(operator: str) -> Callable[["Register", Any], "Register"]:
    def swapped(self: "Register", other: Any) -> "Register":
        return getattr(self.alike(other), operator)(self)

    return swapped


def _comparison(relation: str, of_nan: bool = False) -> Callable[["Register", Any], "Register"]:
    def compare(self: "Register", other: Any) -> "Register":
        emit = self.builder.fcmp_unordered if of_nan else self.builder.fcmp_ordered
        return Register(self.builder, emit(relation, self.value, self.alike(other).value))

    return compare


class Register:
    """An LLVM value with the arithmetic of a numpy scalar: Python numbers take its type."""

    __array_ufunc__ = None  # a numpy scalar on the left hands over

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value
        self.type = value.type

    def alike(self, other: Any) -> "Register":
        """`other` as a partner of this one."""
        if isinstance(other, Register):
            return other
        return Register(self.builder, ir.Constant(self.type, other))

    def apply(self, instruction: str, *operands: Any) -> "Register":
        values = [self.alike(operand).value for operand in operands]
        return Register(self.builder, getattr(self.builder, instruction)(self.value, *values))

    def call(self, function: str, *operands: Any) -> "Register":
        """llvm.fma and its like, in the type of this register."""
        values = [self.value, *(self.alike(operand).value for operand in operands)]
        kind = ir.FunctionType(self.type, [self.type] * len(values))
        callee = self.builder.module.declare_intrinsic(function, [self.type], kind)
        return Register(self.builder, self.builder.call(callee, values))

    def reinterpret(self) -> "Register":
        """The same bits as the integer, or the float, of the same width."""
        return Register(self.builder, self.builder.bitcast(self.value, SAME_WIDTH[self.type]))

    def convert(self, target: ir.Type) -> "Register":
        if self.type == target:
            return self
        cast = self.builder.fpext if target == FLOAT64 else self.builder.fptrunc
        return Register(self.builder, cast(self.value, target))

    def __neg__(self) -> "Register":
        return self.apply("fneg")

    __add__ = _arithmetic("fadd", "add")
    __sub__ = _arithmetic("fsub", "sub")
    __mul__ = _arithmetic("fmul", "mul")
    __truediv__ = _arithmetic("fdiv", "")
    __radd__ = _reflected("__add__")
    __rsub__ = _reflected("__sub__")
    __rmul__ = _reflected("__mul__")
    __rtruediv__ = _reflected("__truediv__")
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


def _where(condition: Register, a: Any, b: Any) -> Register:
    partner = a if isinstance(a, Register) else b
    return condition.apply("select", partner.alike(a), partner.alike(b))


def _both(a: Register, b: Register) -> Register:
    return a.apply("and_", b)


def _either(a: Register, b: Register) -> Register:
    return a.apply("or_", b)


def _negation(a: Register) -> Register:
    return a.apply("not_")


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
    "where": _where,
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


# Typing: a rule answers with numba's signature, or with None where the operands do not fit


def _same_reals(*operands: Any) -> Any:
    real = operands[0]
    fits = real in types.real_domain and all(operand == real for operand in operands)
    return real(*operands) if fits else None


def _booleans(*operands: Any) -> Any:
    fits = all(operand == types.boolean for operand in operands)
    return types.boolean(*operands) if fits else None


def _choice(condition: Any, a: Any, b: Any) -> Any:
    return a(condition, a, b) if condition == types.boolean and a == b else None


def _same_width(operand: Any) -> Any:
    pairs = ((types.float32, types.int32), (types.float64, types.int64))
    partners = dict(pairs) | {integer: real for real, integer in pairs}
    return partners[operand](operand) if operand in partners else None


def _cast_to(real: Any) -> Callable[..., Any]:
    """numba casts operands to what the signature says."""
    return lambda *operands: real(*[real] * len(operands))


KERNEL_PRIMITIVES = {
    "absolute": _same_reals,
    "accumulate": _same_reals,
    "bits": _same_width,
    "both": _booleans,
    "copysign": _same_reals,
    "either": _booleans,
    "fma": _same_reals,
    "from_bits": _same_width,
    "largest": _same_reals,
    "maximum": _same_reals,
    "minimum": _same_reals,
    "nearest": _same_reals,
    "negation": _booleans,
    "of_rank": _same_width,
    "rank": _same_width,
    "sqrt": _same_reals,
    "where": _choice,
}


def _emitter(name: str, parameters: list[str], rule: Any, emit: Callable[..., Register]) -> Any:
    """The intrinsic `name`, which types its operands by `rule` and runs `emit` on registers."""

    def describe(context: Any, *operands: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(*(Register(builder, value) for value in values)).value

        found = rule(*map(types.unliteral, operands))
        return found and (found, generate)

    operands = [Parameter(x, Parameter.POSITIONAL_OR_KEYWORD) for x in ("context", *parameters)]
    describe.__signature__ = Signature(operands)  # numba needs to know how many
    describe.__name__ = name
    return intrinsic(describe)


def _primitive(name: str, rule: Any) -> Any:
    emit = _on_registers()[name]
    return _emitter(name, list(signature(emit).parameters), rule, emit)


def _function(name: str, function: Callable[..., Any], kind: vectormath.Format) -> Any:
    emit = _on_registers()[function.__name__]
    llvm, real = (FLOAT32, types.float32) if kind.width == 32 else (FLOAT64, types.float64)
    *parameters, _ = signature(function).parameters
    return _emitter(
        name, parameters, _cast_to(real), lambda *operands: emit(*operands, kind).convert(llvm)
    )


# Memory


def _element(builder: Any, pointer: Any, index: Any) -> Any:
    """The address of an element, and the promise that no two arguments of the kernel overlap."""
    for argument in builder.function.args:
        if isinstance(argument.type, ir.PointerType):
            argument.add_attribute("noalias")
    return builder.gep(pointer, [index])


@intrinsic
def read(context: Any, pointer: Any, index: Any) -> Any:
    """pointer[index]."""
    if not isinstance(pointer, types.CPointer):
        return None
    element = pointer.dtype

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        stored = builder.load(_element(builder, *values))
        return context.data_model_manager[element].from_data(builder, stored)

    return element(pointer, types.intp), generate


@intrinsic
def write(context: Any, pointer: Any, index: Any, value: Any) -> Any:
    """pointer[index] = value, of the very type of the element."""
    if not isinstance(pointer, types.CPointer) or types.unliteral(value) != pointer.dtype:
        return None
    element = pointer.dtype

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *place, value = values
        stored = context.data_model_manager[element].as_data(builder, value)
        builder.store(stored, _element(builder, *place))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, element), generate


@intrinsic
def room(context: Any, like: Any, count: Any) -> Any:
    """Memory of the kernel's own, for `count` elements (a constant) of the type of `like`."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    element, number = types.unliteral(like), count.literal_value

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return cgutils.alloca_once(builder, context.get_data_type(element), number)

    return types.CPointer(element)(like, count), generate


@intrinsic
def turn(context: Any, pointer: Any) -> Any:
    """The next turn: every number from 0 once, whichever thread asks."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", values[0], BITS64(1), "monotonic")

    fits = pointer == types.CPointer(types.int64)
    return (types.int64(pointer), generate) if fits else None


def _half_reader(name: str, widen: Callable[..., Any]) -> Any:
    """`name(pointer, index)` reads 16 bits as a float32."""

    def describe(context: Any, pointer: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return widen(builder, builder.load(_element(builder, *values)))

        fits = pointer == types.CPointer(types.uint16)
        return (types.float32(pointer, types.intp), generate) if fits else None

    describe.__name__ = name
    return intrinsic(describe)


def _half_writer(name: str, narrow: Callable[..., Any]) -> Any:
    """`name(pointer, index, value)` writes a float32 in 16 bits, rounded to nearest even."""

    def describe(context: Any, pointer: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *place, value = values
            builder.store(narrow(builder, value), _element(builder, *place))
            return context.get_dummy_value()

        fits = pointer == types.CPointer(types.uint16) and value == types.float32
        found = types.void(pointer, types.intp, types.float32)
        return (found, generate) if fits else None

    describe.__name__ = name
    return intrinsic(describe)


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


def jitted() -> dict[str, Any]:
    """What kernel text sees when numba compiles it."""
    return dict(_namespace())


@cache
def _namespace() -> dict[str, Any]:
    by_name = vectormath.by_name().items()
    return {
        "float32": types.float32,
        "float64": types.float64,
        "int32": types.int32,
        "int64": types.int64,
        "inf": vectormath.INFINITY,
        "nan": vectormath.NAN,
        "read": read,
        "write": write,
        "turn": turn,
        "room": room,
        "read_float16": _half_reader("read_float16", _from_float16),
        "write_float16": _half_writer("write_float16", _to_float16),
        "read_bfloat16": _half_reader("read_bfloat16", _from_bfloat16),
        "write_bfloat16": _half_writer("write_bfloat16", _to_bfloat16),
        **{name: _primitive(name, rule) for name, rule in KERNEL_PRIMITIVES.items()},
        **{name: _function(name, function, kind) for name, (function, kind) in by_name},
    }
