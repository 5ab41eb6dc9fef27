"""Kernel text -> object code -> a function on addresses.

numba compiles a text once per machine; the object code is kept on disk and loaded by LLVM alone,
so that a process in which every kernel is known never imports numba. A loaded kernel is a C
function: ctypes calls it with addresses and releases the GIL while it runs.
"""

from __future__ import annotations

import ctypes
import linecache
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from onepass.formula.expression import Expression
from onepass.printers.cpu import BLOCK, Kernel, text
from onepass.runtime import cache as disk
from onepass.runtime.threads import over_blocks

_loading = threading.Lock()  # LLVM's bindings are not thread-safe


class Loaded:
    """A kernel in memory."""

    def __init__(self, address: int, kernel: Kernel) -> None:
        pointers, numbers = len(kernel.pointers), len(kernel.numbers)
        # Behind numba's two places for a result and an exception, which no kernel has.
        signature = [ctypes.c_void_p] * (2 + pointers) + [ctypes.c_double] * numbers
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *signature, *[ctypes.c_int64] * 3)(
            address
        )
        self._unused = (ctypes.addressof(_scratch),) * 2

    def __call__(self, addresses: Iterable[int], numbers: Sequence[float], count: int) -> float:
        """Run over `count` elements; the sum of the values, if the kernel computes it."""
        if count <= BLOCK:
            partials = array("d", (0.0,))
            self._function(
                *self._unused, *addresses, partials.buffer_info()[0], *numbers, count, 0, 1
            )
            return partials[0]
        blocks = -(-count // BLOCK)
        partials = array("d", bytes(8 * blocks))
        fixed = (*self._unused, *addresses, partials.buffer_info()[0], *numbers, count)
        over_blocks(lambda first, last: self._function(*fixed, first, last), blocks)
        return sum(partials)


_scratch = (ctypes.c_void_p * 2)()


def _unlock() -> None:
    """A child forked while another thread was loading would wait for it forever."""
    global _loading
    _loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def load(
    kernel: Kernel, results: Mapping[str, Expression], names: Mapping[Expression, str]
) -> Loaded:
    """The kernel, from the disk cache or freshly compiled."""
    source = text(kernel, results, names)
    with _loading:
        name = disk.key(source, repr(kernel.pointers), _toolchain())
        stored = disk.load(f"{name}.o")
        if stored is None:
            path = disk.save_text(f"{name}.py", source)
            stored = b"\0".join(compiled(source, kernel, name, path))
            disk.save(f"{name}.o", stored)
        symbol, _, code = stored.partition(b"\0")
        return Loaded(_linked(code, symbol.decode()), kernel)


def compiled(
    source: str, kernel: Kernel, name: str, path: Path | None = None
) -> tuple[bytes, bytes]:
    """Object code, and how the function is called in it; numba is imported here.

    `name` becomes part of that: all kernels are linked into one process.
    """
    import numba

    from onepass.runtime import intrinsics

    function = _executed(source, intrinsics.jitted(), path)
    function.__name__ = function.__qualname__ = f"onepass_{name}"
    pointers = [numba.types.CPointer(_numba_type(dtype)) for _, dtype in kernel.pointers]
    numbers = [numba.float64] * len(kernel.numbers)
    signature = numba.void(*pointers, *numbers, numba.int64, numba.int64, numba.int64)
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(signature, error_model="numpy", nogil=True, **options)(function)
    result = dispatcher.overloads[signature.args]
    return result.fndesc.llvm_func_name.encode(), result.library._get_compiled_object()


def plain(source: str) -> Callable[..., None]:
    """The same text as a Python function over numpy arrays, for tests and for reading along."""
    from onepass.runtime import vectormath

    return _executed(source, vectormath.plain(), None)


def _executed(source: str, functions: dict[str, Any], path: Path | None) -> Any:
    file = str(path) if path else f"<onepass {disk.key(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = dict(functions)
    exec(compile(source, file, "exec"), namespace)
    return namespace["kernel"]


def _numba_type(dtype: str) -> Any:
    import numba

    return numba.uint16 if dtype in ("float16", "bfloat16") else getattr(numba, dtype)


@cache
def _linker() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _linked(code: bytes, symbol: str) -> int:
    from llvmlite import binding as llvm

    linker = _linker()
    linker.add_object_file(llvm.ObjectFileRef.from_data(code))
    linker.finalize_object()
    return linker.get_function_address(symbol)


@cache
def _toolchain() -> str:
    """What object code depends on beside its text: the processor, LLVM, and our own functions."""
    from importlib.metadata import version

    from llvmlite import binding as llvm

    here = Path(__file__).parent
    sources = [(here / name).read_text() for name in ("vectormath.py", "intrinsics.py")]
    features = llvm.get_host_cpu_features().flatten()
    return disk.key(
        version("numba"), version("llvmlite"), llvm.get_host_cpu_name(), features, *sources
    )
