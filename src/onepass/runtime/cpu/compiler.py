"""Kernel text -> object code, by LLVM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llvmlite import binding as llvm
from llvmlite import ir

from onepass.runtime.cpu import intrinsics, language, processor, registers
from onepass.runtime.cpu.registers import BITS64, FLOAT64, Pointer, Register
from onepass.runtime.cpu.vectormath import plain_python

if TYPE_CHECKING:
    from onepass.runtime.cpu.kernels import Signature

_LARGER, _TRUE = ir.IntType(32)(7), ir.IntType(32)(1)  # of two modules' flags; and a flag


def compiled(source: str, signature: Signature, symbol: str, path: Path | None = None) -> bytes:
    """Object code with the C function `symbol` of a frame; tracebacks show the text at the path."""
    return processor.machine().emit_object(module(source, signature, symbol, path))


def module(source: str, signature: Signature, symbol: str, path: Path | None = None) -> Any:
    """The same as LLVM has it, optimised."""
    machine = processor.machine()
    whole = ir.Module(symbol)
    whole.triple, whole.data_layout = machine.triple, str(machine.target_data)
    # memset and its like are called by an address beside the code: they may be far away
    whole.add_named_metadata("llvm.module.flags", [_LARGER, "RtLibUseGOT", _TRUE])
    _emit_entry(_emit_kernel(whole, source, signature, path), symbol)
    parsed = llvm.parse_assembly(str(whole))
    parsed.verify()
    return _optimised(parsed)


def plain(source: str) -> Callable[..., None]:
    """The same text as a Python function over numpy arrays, for tests and for reading along."""
    return language.executed(source, plain_python.plain())["kernel"]


def _emit_kernel(whole: ir.Module, source: str, signature: Signature, path: Path | None) -> Any:
    """The kernel of a text: a function of the signature's arguments and `next_block_at`."""
    dtypes = [dtype for _, dtype in signature.pointers]
    pointers = [registers.stored(dtype).as_pointer() for dtype in dtypes]
    numbers = [FLOAT64] * len(signature.numbers) + [BITS64] * len(signature.integers)
    kinds = [*pointers, *numbers, BITS64.as_pointer()]
    function = ir.Function(whole, ir.FunctionType(ir.VoidType(), kinds), "kernel")
    function.linkage = "internal"
    function.attributes.add("noinline")  # its pointers would be less known to be apart
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block())
    body = function.append_basic_block()
    builder.position_at_end(body)
    arguments = []
    for value, dtype in zip(function.args, [*dtypes, *[""] * len(numbers), "int64"], strict=True):
        if dtype:
            value.add_attribute("noalias")
        arguments.append(Pointer(builder, value, dtype) if dtype else Register(builder, value))
    language.Text(source, intrinsics.words(builder), path).emit(builder, arguments)
    if not language.is_over(builder):
        builder.ret_void()
    builder.position_at_end(function.entry_basic_block)  # behind all variables
    builder.branch(body)
    return function


def _emit_entry(kernel: Any, symbol: str) -> None:
    """The C function `symbol`, which calls the kernel with what is in a frame: addresses, numbers
    and integers, eight bytes each, and last the number of the next block, by its address.
    """
    frame = ir.FunctionType(ir.VoidType(), [BITS64.as_pointer()])
    function = ir.Function(kernel.module, frame, symbol)
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block())
    *kinds, _ = [argument.type for argument in kernel.args]
    *places, next_block = [
        builder.gep(function.args[0], [BITS64(k)]) for k in range(len(kinds) + 1)
    ]
    pointers = [kind.as_pointer() for kind in kinds]
    values = [builder.load(builder.bitcast(*each)) for each in zip(places, pointers, strict=True)]
    builder.call(kernel, [*values, next_block])
    builder.ret_void()


def _optimised(module: Any) -> Any:
    """Changed in place."""
    builder = llvm.create_pass_builder(processor.machine(), _tuning())
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    # its close() frees nothing: ObjectRef, whose _dispose is empty, is the first of its bases
    llvm.NewPassManager._dispose(passes)
    passes.detach()
    return module


def _tuning() -> Any:
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.loop_interleaving = True
    return tuning
