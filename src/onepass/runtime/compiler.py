"""Kernel text -> object code: numba infers types and writes LLVM's text, LLVM makes code of it.

numba by itself optimises and compiles every function of a text and keeps it in the process. None
is of use outside its kernel, so here they stay text until the kernel is whole. A function that
several kernels share is typed and written once in a process.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from llvmlite import binding as llvm
from llvmlite import ir
from numba.core import types
from numba.core.codegen import AOTCodeLibrary, JITCPUCodegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUTargetOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from onepass.runtime import cache as disk
from onepass.runtime import intrinsics, processor, vectormath

if TYPE_CHECKING:
    from onepass.runtime.kernels import Signature

_ADDRESS = ir.IntType(64)
_LARGEST = ir.IntType(32)(7), ir.IntType(32)(1)  # how flags of two modules become one: the larger
_OPTIONS = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_shared: dict[Any, Any] = {}


def compiled(source: str, signature: Signature, symbol: str, path: Path | None = None) -> bytes:
    """Object code with the C function `symbol` of a frame; tracebacks show the text at the path."""
    return processor.machine().emit_object(module(source, signature, symbol, path))


def module(source: str, signature: Signature, symbol: str, path: Path | None = None) -> Any:
    """The same as LLVM has it, optimised."""
    namespace = _executed(source, intrinsics.jitted(), path)
    kernel = namespace.pop("kernel")
    kernel.__name__ = kernel.__qualname__ = symbol
    helpers = {name: made for name, made in namespace.items() if isinstance(made, FunctionType)}
    shared = {name: _helper(helper) for name, helper in helpers.items()}
    kernel.__globals__.update(shared)
    pointers = [types.CPointer(_type(dtype)) for _, dtype in signature.pointers]
    numbers = [types.float64] * len(signature.numbers)
    integers = [types.int64] * len(signature.integers)
    arguments = types.void(*pointers, *numbers, *integers, types.CPointer(types.int64))
    function = _Function(kernel, targetoptions=_OPTIONS)
    return _optimised(_whole(function.get_compile_result(arguments), symbol))


def plain(source: str) -> Callable[..., None]:
    """The same text as a Python function over numpy arrays, for tests and for reading along."""
    return _executed(source, vectormath.plain(), None)["kernel"]


def _executed(source: str, words: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """What the text defines, with these words bound in it."""
    file = str(path) if path else f"<onepass {disk.key(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = dict(words)
    exec(compile(source, file, "exec"), namespace)
    return {name: made for name, made in namespace.items() if name not in words}


def _helper(function: FunctionType) -> _Function:
    """For numba; the same one for functions that do the same."""
    key = _meaning(function)
    if key not in _shared:  # inlined, or loops that call it stay scalar
        _shared[key] = _Function(function, targetoptions={**_OPTIONS, "forceinline": True})
    return _shared[key]


def _meaning(function: FunctionType) -> Any:
    """Its code, and what the names in it stand for."""
    used = [function.__globals__.get(name) for name in function.__code__.co_names]
    meanings = [_meaning(each) if isinstance(each, FunctionType) else each for each in used]
    return (_placeless(function.__code__), *((type(each), each) for each in meanings))


def _placeless(code: CodeType) -> CodeType:
    """The same code, wherever its text stands."""
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"")


def _type(dtype: str) -> Any:
    return types.uint16 if dtype in ("float16", "bfloat16") else getattr(types, dtype)


class _Library(AOTCodeLibrary):
    """Functions as LLVM's text: not optimised, and not made code of."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # there is none


class _Codegen(JITCPUCodegen):
    _library_class = _Library

    def _add_module(self, module: Any) -> None:
        """Nothing of it runs in numba's engine."""

    def set_env(self, env_name: str, env: Any) -> None:
        """Nor needs Python's objects."""


class _Target(TargetDescriptor):
    """numba's CPU, but for what becomes of LLVM's text."""

    options = CPUTargetOptions

    @property
    def typing_context(self) -> Any:
        return cpu_target.typing_context

    @property
    def target_context(self) -> Any:
        return _context()


@cache
def _context() -> Any:
    numbas: Any = cpu_target.target_context
    return numbas.subtarget(_internal_codegen=_Codegen("onepass"))


class _Function(Dispatcher):
    """A Python function, and what numba makes of it for each set of argument types."""

    targetdescr = _Target("cpu")


def _whole(result: Any, name: str) -> Any:
    """The module of the C function `name`, which calls the compiled one with what is in a frame:
    addresses, numbers and the count, eight bytes each, and last the turns, by their place.
    """
    context, arguments = result.target_context, result.signature.args
    library = context.codegen().create_library(name)
    module = library.create_ir_module(name)
    # memset and its like are called by an address beside the code: they may be far away
    module.add_named_metadata("llvm.module.flags", [_LARGEST[0], "RtLibUseGOT", _LARGEST[1]])
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_ADDRESS.as_pointer()]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    *places, turns = [builder.gep(function.args[0], [_ADDRESS(k)]) for k in range(len(arguments))]
    kinds = [context.get_value_type(argument).as_pointer() for argument in arguments[:-1]]
    values = [builder.load(builder.bitcast(p, k)) for p, k in zip(places, kinds, strict=True)]
    callee = context.declare_function(module, result.fndesc)
    context.call_conv.call_function(builder, callee, types.void, arguments, [*values, turns])
    builder.ret_void()
    with global_compiler_lock:
        library.add_ir_module(module)
        library.add_linking_library(result.library)
        library.finalize()
    whole = library._final_module
    for symbol in (*whole.functions, *whole.global_variables):
        if symbol.name != name and not symbol.is_declaration:
            symbol.linkage = "private"  # or one of its name, far away, is called in its place
    return whole


def _optimised(module: Any) -> Any:
    """Changed in place."""
    passes = llvm.create_pass_builder(processor.machine(), _tuning())
    passes.getModulePassManager().run(module, passes)
    return module


def _tuning() -> Any:
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.loop_interleaving = True
    return tuning
